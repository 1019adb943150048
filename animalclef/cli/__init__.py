"""The command line: parse, call, print. One module per group of commands."""

from animalclef.cli import (
    config,
    convert,
    datasets,
    diff,
    embedders,
    ensemble,
    ledger,
    predict,
    prepare,
    report,
    score,
    study,
    train,
    train_matcher,
    train_segmenter,
    tune,
    weights,
)
from animalclef.cli.app import app, main

__all__ = [
    "app",
    "config",
    "convert",
    "datasets",
    "diff",
    "embedders",
    "ensemble",
    "ledger",
    "main",
    "predict",
    "prepare",
    "report",
    "score",
    "study",
    "train",
    "train_matcher",
    "train_segmenter",
    "tune",
    "weights",
]
