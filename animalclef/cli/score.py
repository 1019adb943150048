"""`score`, `evaluate`: against a truth file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    FinishedRunOption,
    JsonOption,
    TruthOption,
    load,
    out,
    print_json,
)
from animalclef.errors import DataError

if TYPE_CHECKING:
    from animalclef.evaluation.background_share import BackgroundShare
    from animalclef.store.finished_run import FinishedRun

__all__ = ["evaluate", "score"]


@app.command()
def score(
    truth: TruthOption,
    submission: Annotated[Path, typer.Option(help="CSV with image_id and identity, or cluster.")],
    merge_case: Annotated[
        bool,
        typer.Option("--merge-case/--no-merge-case", help="Treat names that differ only in case or spaces as one."),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Compute the competition's score: the mean over data sets of sqrt(BAKS * BAUS), or of the ARI of clusters."""
    from animalclef.cli.console import score_table
    from animalclef.cli.console_clusters import cluster_score_table
    from animalclef.evaluation.evaluate import score_files
    from animalclef.evaluation.evaluate_clusters import holds_clusters, score_cluster_file

    if holds_clusters(submission):
        scores = score_cluster_file(truth, submission, merge_case=merge_case)
        if as_json:
            print_json({"score": scores.ari, "ami": scores.ami, **dataclasses.asdict(scores)})
        else:
            out.print(cluster_score_table(scores))
        return
    result = score_files(truth, submission, merge_case=merge_case)
    if as_json:
        parts = {name: {**dataclasses.asdict(part), "score": part.score} for name, part in result.datasets.items()}
        print_json({"score": result.overall, "datasets": parts})
    else:
        out.print(score_table(result))


@app.command()
def evaluate(
    run: FinishedRunOption,
    truth: TruthOption,
    masked_data: Annotated[
        Path | None,
        typer.Option("--data", help="The data set: also list the share of matches outside its masks."),
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of masks for --data, if its table names none.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="With --data: folder that is searched first for the matcher's published weights."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute rank-1/5/20/25 and mAP of a run's candidates, per data set and viewpoint, with bootstrap intervals.

    A second table lists recall@1/10/25/100 of each source of candidates and of the shortlist, a third one how well the
    groups of photographs agree with the individuals (ARI, AMI), if the run grouped its new ones.
    """
    from animalclef.cli.console import background_table, recall_table, retrieval_table
    from animalclef.cli.console_clusters import cluster_score_table
    from animalclef.evaluation.evaluate import evaluate_run
    from animalclef.evaluation.evaluate_clusters import score_clusters_of_run
    from animalclef.store.finished_run import load_run

    if masks is not None and masked_data is None:
        raise DataError("--masks needs --data: the data set that the masks belong to.")
    finished = load_run(run, masked_data)
    report = evaluate_run(finished, truth)
    clusters = score_clusters_of_run(finished, truth)
    shares = [] if masked_data is None else _background(finished, masked_data, masks, weights)
    if as_json:
        background = {} if masked_data is None else {"background": [dataclasses.asdict(one) for one in shares]}
        grouped = {} if clusters is None else {"clusters": dataclasses.asdict(clusters)["datasets"]}
        print_json({**dataclasses.asdict(report), **grouped, **background})
        return
    out.print(retrieval_table(report))
    if report.recall:
        out.print(recall_table(report))
    if clusters is not None:
        out.print(cluster_score_table(clusters))
    if masked_data is not None:
        out.print(background_table(shares))


def _background(run: FinishedRun, data: Path, masks: Path | None, weights: Path | None) -> list[BackgroundShare]:
    from animalclef.evaluation.background_share import background_of_run
    from animalclef.report.match_view import matcher_of

    matcher = matcher_of(run.config, weights)
    if matcher is None:
        raise DataError(
            f"{run.path}: no matches to measure; the run matched nothing, or its matcher cannot be opened any more."
        )
    return background_of_run(run, load(data, settings=run.config.data).images, masks, matcher.correspondences)
