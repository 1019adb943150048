"""The command line: parse, call, print. One module per group of commands."""

from animalclef.cli import (
    comparing,
    embedder_training,
    embedding,
    ensembling,
    ledger,
    looking,
    masking,
    predicting,
    scoring,
    tables,
    training,
    tuning,
    weights,
)
from animalclef.cli.app import app, main

__all__ = [
    "app",
    "comparing",
    "embedder_training",
    "embedding",
    "ensembling",
    "ledger",
    "looking",
    "main",
    "masking",
    "predicting",
    "scoring",
    "tables",
    "training",
    "tuning",
    "weights",
]
