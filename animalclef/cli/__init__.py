"""The command line: parse, call, print. One module per group of commands."""

from animalclef.cli import predicting, scoring, tables, tuning
from animalclef.cli.app import app, main

__all__ = ["app", "main", "predicting", "scoring", "tables", "tuning"]
