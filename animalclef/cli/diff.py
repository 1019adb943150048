"""`diff`: compare two submissions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import ColumnsOption, DataOption, JsonOption, load, out, print_json
from animalclef.errors import DataError, SubmissionError

__all__ = ["diff"]


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(metavar="A.csv", help="A submission.")],
    b: Annotated[Path, typer.Argument(metavar="B.csv", help="Another one for the same queries.")],
    data: DataOption = None,
    columns: ColumnsOption = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(help="The finished run folder of both, or twice: the run of A, then the run of B."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="CSV with image_id, identity, dataset, known: count which file is right.")
    ] = None,
    out_path: Annotated[Path | None, typer.Option("--out", help="Write every difference to this CSV file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two submissions: count the answers that differ, by data set and cause.

    The cause is found with the run folders: the *threshold* (the best candidate is the same, the threshold is not), its
    *probability* (it crossed the threshold), *another best candidate*, or a *skipped* photograph.

    Examples:

    - `animalclef diff old.csv new.csv --data animal-clef-2025`

    - `animalclef diff old.csv new.csv --run runs/old --run runs/new --out changed.csv`
    """
    from animalclef.cli.ledger import difference_table
    from animalclef.evaluation.compare import check_answers, counts, differences, explain_with, read_pair, rows_of
    from animalclef.evaluation.evaluate import right_answers
    from animalclef.runtime.atomic_files import write_csv
    from animalclef.runtime.output_guard import check_output, protect_inputs
    from animalclef.store.finished_run import load_run

    runs = [explain_with(load_run(one)) for one in run or []]
    if len(runs) > 2:
        raise DataError(f"diff: --run was given {len(runs)} times; expected one run for both files, or A's and B's.")
    if out_path is not None:
        protect_inputs(path for path in (a, b, truth) if path is not None)
        check_output(out_path, "list of differences")
    answers, others = read_pair(a, b)
    check_answers(a, b, (answers, others), runs)
    dataset = None
    if data is not None or not runs:
        dataset = _datasets(data, columns) if data is not None else {}
        if data is not None and set(answers) - set(dataset):
            stray = next(image_id for image_id in answers if image_id not in dataset)
            raise SubmissionError(f"{a}: image_id {stray} is no query of {data}; give the data of these submissions.")
    right = None if truth is None else right_answers(truth)
    found = differences(answers, others, dataset=dataset, runs=runs, truth=right)
    grouped = counts(found)
    if out_path is not None:
        write_csv(out_path, *rows_of(found))
    if as_json:
        rows = [dataclasses.asdict(one) for one in found]
        print_json({"queries": len(answers), "differ": len(found), "counts": grouped, "rows": rows})
        return
    if found:
        out.print(difference_table(grouped, f"A: {a}, B: {b}"))
    out.print(f"{len(found):,} of {len(answers):,} answers differ.", highlight=False)
    if out_path is not None:
        out.print(f"Every one of them: {out_path}", highlight=False, soft_wrap=True)


def _datasets(data: Path, columns: str | None) -> dict[str, str]:
    queries = load(data, columns).images.queries
    return dict(zip(queries.image_id, queries.dataset, strict=True))
