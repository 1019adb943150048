"""The command line: parse, call, print. One module per group of commands."""

from animalclef.cli import (
    comparing,
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
