"""The command line: parse, call, print. One module per group of commands."""

from animalclef.cli import comparing, ensembling, ledger, predicting, scoring, tables, weights
from animalclef.cli.app import app, main

__all__ = ["app", "comparing", "ensembling", "ledger", "main", "predicting", "scoring", "tables", "weights"]
