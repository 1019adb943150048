"""`score`, `evaluate`: against a truth file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.shared import (
    JsonOption,
    out,
    print_json,
)

__all__ = ["evaluate", "score"]


@app.command()
def score(
    truth: Annotated[Path, typer.Option(help="CSV with image_id, identity, dataset, known (1 or 0).")],
    submission: Annotated[Path, typer.Option(help="CSV with image_id, identity.")],
    as_json: JsonOption = False,
) -> None:
    """The official score: the mean over data sets of sqrt(BAKS * BAUS)."""
    from animalclef.console import score_table
    from animalclef.evaluation.evaluate import score_files

    result = score_files(truth, submission)
    if as_json:
        parts = {name: {**dataclasses.asdict(part), "score": part.score} for name, part in result.datasets.items()}
        print_json({"score": result.overall, "datasets": parts})
    else:
        out.print(score_table(result))


@app.command()
def evaluate(
    run: Annotated[Path, typer.Option(help="A finished run folder.")],
    truth: Annotated[Path, typer.Option(help="CSV with image_id, identity, dataset, known (1 or 0).")],
    as_json: JsonOption = False,
) -> None:
    """Rank-1/5/20/25 and mAP of a run's candidates, per data set and viewpoint, with bootstrap intervals.

    Then recall@1/10/25/100 of each source of candidates and of both together.
    """
    from animalclef.console import recall_table, retrieval_table
    from animalclef.evaluation.evaluate import evaluate_run

    report = evaluate_run(run, truth)
    if as_json:
        print_json(dataclasses.asdict(report))
    else:
        out.print(retrieval_table(report))
        if report.recall:
            out.print(recall_table(report))
