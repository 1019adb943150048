"""`score`, `evaluate`, `diff`: compare answers with a truth file, or two submissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from animalclef.cli import console
from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_result, warn
from animalclef.errors import DataError, SubmissionError
from animalclef.runtime.atomic_files import write_csv
from animalclef.runtime.output_guard import check_output, protect_inputs

__all__ = ["diff", "evaluate", "score"]


@app.command()
def score(
    truth: opt.Truth,
    submission: Annotated[Path, typer.Option(help="CSV with image_id and identity, or cluster.")],
    no_merge_case: Annotated[
        bool, typer.Option("--no-merge-case", help="Tell names apart that differ only in case or spaces.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Compute the competition's score: the mean over data sets of sqrt(BAKS * BAUS), or of the ARI of clusters."""
    from animalclef.evaluation.evaluate import score_files
    from animalclef.evaluation.evaluate_clusters import holds_clusters, score_cluster_file

    if holds_clusters(submission):
        scores = score_cluster_file(truth, submission, merge_case=not no_merge_case)
        content = {"score": scores.ari, "ami": scores.ami, **asdict(scores)}
        print_result(content, console.cluster_score_table(scores), as_json=as_json)
        return
    result = score_files(truth, submission, merge_case=not no_merge_case)
    parts = {name: {**asdict(part), "score": part.score} for name, part in result.datasets.items()}
    print_result({"score": result.overall, "datasets": parts}, console.score_table(result), as_json=as_json)


@app.command()
def evaluate(
    run: opt.FinishedRun,
    truth: opt.Truth,
    masked_data: Annotated[
        Path | None,
        typer.Option("--data", help="The data set: also list the share of matches outside its masks."),
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Folder of masks for --data, if its table names none.")] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="With --data: folder that is searched first for the matcher's published weights.",
            callback=opt.weights_there,
        ),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Compute rank-1/5/20/25 and mAP of a run's candidates, per data set and viewpoint, with bootstrap intervals.

    A second table lists recall@1/10/25/100 of each source of candidates and of the shortlist, a third one how well the
    groups of photographs agree with the individuals (ARI, AMI), if the run grouped its new ones.
    """
    from animalclef.evaluation.background_share import background_of_run
    from animalclef.evaluation.evaluate import evaluate_run
    from animalclef.evaluation.evaluate_clusters import score_clusters_of_run
    from animalclef.report.match_view import matcher_of
    from animalclef.store.finished_run import load_run

    if masks is not None and masked_data is None:
        raise DataError("--masks needs --data: the data set that the masks belong to.")
    finished = load_run(run, masked_data)
    report, clusters = evaluate_run(finished, truth), score_clusters_of_run(finished, truth)
    content, tables = asdict(report), [console.retrieval_table(report)]
    if report.recall:
        tables.append(console.recall_table(report))
    if clusters is not None:
        content["clusters"] = asdict(clusters)["datasets"]
        tables.append(console.cluster_score_table(clusters))
    if masked_data is not None:
        matcher = matcher_of(finished.config, weights)
        if matcher is None:
            raise DataError(
                f"{finished.path}: no matches to measure; the run matched nothing, or its matcher cannot be opened "
                "any more."
            )
        images = opt.load(masked_data, settings=finished.config.data).images
        shares = background_of_run(finished, images, masks, matcher.correspondences)
        content["background"] = [asdict(one) for one in shares]
        tables.append(console.background_table(shares))
    print_result(content, *tables, as_json=as_json)


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(metavar="A.csv", help="A submission.")],
    b: Annotated[Path, typer.Argument(metavar="B.csv", help="Another one for the same queries.")],
    data: opt.Data = None,
    columns: opt.Columns = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(
            help="The finished run folder of both, or twice: the run of A, then the run of B. Default: the files "
            "beside each submission."
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="CSV with image_id, identity, dataset, known: count which file is right.")
    ] = None,
    out_path: Annotated[Path | None, typer.Option("--out", help="Write every difference to this CSV file.")] = None,
    as_json: opt.Json = False,
) -> None:
    """Compare two submissions: count the answers that differ, by data set and cause.

    The cause is found with the files that predict wrote beside each submission, or with the run folders: the
    *threshold* (the best candidate is the same, the threshold is not), its *probability* (it crossed the threshold),
    *another best candidate*, *people's answers*, or a *skipped* photograph. Where a run was changed since, the files
    beside the submission are used.

    Examples:

    - `animalclef diff old.csv new.csv --data animal-clef-2025`

    - `animalclef diff old.csv new.csv --run runs/old --run runs/new --out changed.csv`
    """
    from animalclef.evaluation.answer_evidence import explain_pair, open_runs
    from animalclef.evaluation.compare import counts, differences, read_pair, rows_of
    from animalclef.evaluation.evaluate import right_answers

    runs = open_runs(run or [])
    if len(runs) > 2:
        raise DataError(f"diff: --run was given {len(runs)} times; expected one run for both files, or A's and B's.")
    if out_path is not None:
        protect_inputs(path for path in (a, b, truth) if path is not None)
        check_output(out_path, "list of differences")
    answers, others = read_pair(a, b)
    of, notes = explain_pair((a, b), (answers, others), runs)
    for note in notes:
        warn(note)
    dataset: dict[str, str] = {}
    if data is not None:
        queries = opt.load(data, columns).images.queries
        dataset = dict(zip(queries.image_id, queries.dataset, strict=True))
        if stray := [image_id for image_id in answers if image_id not in dataset]:
            raise SubmissionError(
                f"{a}: image_id {stray[0]} is no query of {data}; give the data of these submissions."
            )
    right = None if truth is None else right_answers(truth)
    found = differences(answers, others, dataset=dataset, of=of, truth=right)
    grouped = counts(found)
    shown: list[Table | str] = [_difference_table(grouped, f"A: {a}, B: {b}")] if found else []
    shown.append(f"{len(found):,} of {len(answers):,} answers differ.")
    if out_path is not None:
        write_csv(out_path, *rows_of(found))
        shown.append(f"Every one of them: {out_path}")
    content = {"queries": len(answers), "differ": len(found), "counts": grouped, "rows": [asdict(one) for one in found]}
    content["notes"] = notes
    print_result(content, *shown, as_json=as_json)


def _difference_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """List counts per data set, kind of difference and cause; with a truth, how often each file is right."""
    judged = any("a_right" in row for row in rows)
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD)
    for name in ("data set", "A", "B", "cause"):
        table.add_column(name, overflow="fold", min_width=11 if name == "cause" else None)  # "probability"
    for name in ("rows", "A right", "B right", "neither") if judged else ("rows",):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [str(row[name]) for name in ("dataset", "a", "b", "cause")]
        numbers = [row["rows"], *([row["a_right"], row["b_right"], row["neither"]] if judged else [])]
        table.add_row(*cells, *[f"{number:,}" for number in numbers])
    return table
