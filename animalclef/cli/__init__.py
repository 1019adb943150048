"""The command line: parse, call, print. One module per group of commands."""

from animalclef.cli import masking, predicting, scoring, tables
from animalclef.cli.app import app, main

__all__ = ["app", "main", "masking", "predicting", "scoring", "tables"]
