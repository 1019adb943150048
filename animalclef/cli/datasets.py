"""`demo`, `inspect`, `validate`: data sets and submissions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    ColumnsOption,
    DataOption,
    JsonOption,
    Workers,
    err,
    escaped,
    load,
    out,
    print_json,
)
from animalclef.errors import ConfigError

__all__ = ["demo", "inspect", "validate"]


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(help="Folder to make.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other animals.")] = 0,
    species: Annotated[
        int,
        typer.Option(
            "--synthetic-training-set",
            "--crowd",
            min=0,
            help="Instead render this many random species to train an embedder on, all named.",
        ),
    ] = 0,
    animals: Annotated[
        int | None, typer.Option(min=1, help="Of a synthetic training set: animals of each species. Default 12.")
    ] = None,
    photographs: Annotated[
        int | None, typer.Option(min=1, help="Of a synthetic training set: photographs of each animal. Default 6.")
    ] = None,
    cropped: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Of a synthetic training set: share cropped to the animal. Default 0.6."),
    ] = None,
    workers: Workers = None,
) -> None:
    """Render a demo data set: three synthetic species in the competition's layout, with a truth.csv to score against.

    With `--synthetic-training-set 84`: a training set of 84 synthetic species, about 8 photographs a second and core.
    If interrupted, run the same command again: it resumes.
    """
    from animalclef.cli.console import RichProgress
    from animalclef.synthetic import DemoConfig, TrainingSetConfig, render_demo, render_training_set

    given = {"animals": animals, "photographs": photographs, "close": cropped}
    sizes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if sizes and not species:
        raise ConfigError(
            "--animals, --photographs and --cropped need --synthetic-training-set; the demo has a size of its own."
        )
    count = workers or os.cpu_count() or 1
    with ExitStack() as stack:
        advance: list[Callable[[int], None]] = []
        shown = 0

        def tell(finished: int, total: int) -> None:
            nonlocal shown
            if not advance:
                advance.append(stack.enter_context(RichProgress(err).task("rendering photographs", total, "images")))
            advance[0](finished - shown)
            shown = finished

        if species:
            config = TrainingSetConfig(seed=seed, species=species, **sizes)
            render_training_set(directory, config, workers=count, progress=tell)
        else:
            render_demo(directory, DemoConfig(seed=seed), workers=count, progress=tell)
    out.print(f"{'Training' if species else 'Demo'} data set: {directory}", highlight=False, soft_wrap=True)


@app.command()
def inspect(data: DataOption = None, columns: ColumnsOption = None, as_json: JsonOption = False) -> None:
    """Check a data set's table and count what is in it; photographs are not opened."""
    from animalclef.data.table import count_images

    loaded = load(data, columns)
    statistics = count_images(loaded)
    if as_json:
        print_json(statistics)
        return
    from animalclef.cli.console import statistics_table

    out.print(statistics_table(statistics))


@app.command()
def validate(
    submission: Annotated[Path, typer.Argument(help="The file to check.")],
    data: DataOption = None,
    columns: ColumnsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a submission against its data set, and name every row that is not right. Exit status 2 if any is."""
    from animalclef.data.submission import check_submission_file

    problems = check_submission_file(submission, load(data, columns))
    if as_json:
        print_json({"valid": not problems, "problems": [dataclasses.asdict(problem) for problem in problems]})
    else:
        for problem in problems[:50]:
            out.print(escaped(str(problem)), highlight=False, soft_wrap=True)
        more = f" ({len(problems) - 50} more)" if len(problems) > 50 else ""
        verdict = f"{len(problems)} problems{more}" if problems else "valid"
        out.print(f"{submission}: {verdict}.", highlight=False, soft_wrap=True)
    raise typer.Exit(2 if problems else 0)
