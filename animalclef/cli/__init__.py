"""The command line: parse, call, print. One module per group of commands, which register as they are imported."""

from animalclef.cli import (  # noqa: F401
    catalogue,
    catalogue_edits,
    cluster,
    config,
    convert,
    datasets,
    doctor,
    embedders,
    ledger,
    predict,
    prepare,
    report,
    score,
    train,
    weights,
)
from animalclef.cli.app import app, main

__all__ = ["app", "main"]
