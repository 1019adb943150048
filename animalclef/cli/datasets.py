"""`demo`, `inspect`, `validate`: data sets and submissions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from animalclef.cli import console
from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_lines, print_result, progress, warn
from animalclef.errors import ConfigError
from animalclef.runtime.threads import cores
from animalclef.runtime.wording import counted

if TYPE_CHECKING:
    from animalclef.structures import Skipped

_NOT_READ = "Photographs in a bucket are not read: only those that are missing or empty are listed."

__all__ = ["demo", "inspect", "validate"]


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(help="Folder to make.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other animals.")] = 0,
    species: Annotated[
        int,
        typer.Option(
            "--synthetic-training-set",
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
    workers: opt.Workers = None,
) -> None:
    """Render a demo data set: three synthetic species in the competition's layout, with a truth.csv to score against.

    With `--synthetic-training-set 84`: a training set of 84 synthetic species, about 8 photographs a second and core.
    If interrupted, run the same command again: it resumes.
    """
    from animalclef.synthetic import DemoConfig, TrainingSetConfig, render_demo, render_training_set

    given = {"animals": animals, "photographs": photographs, "close": cropped}
    sizes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if sizes and not species:
        raise ConfigError(
            "--animals, --photographs and --cropped need --synthetic-training-set; the demo has a size of its own."
        )
    count = cores(workers)
    if species:
        config = TrainingSetConfig(seed=seed, species=species, **sizes)
        render_training_set(directory, config, workers=count, progress=progress)
    else:
        render_demo(directory, DemoConfig(seed=seed), workers=count, progress=progress)
    print_lines(f"{'Training' if species else 'Demo'} data set: {directory}")


@app.command()
def inspect(
    data: opt.Data = None,
    columns: opt.Columns = None,
    config_name: opt.Config = None,
    assignments: opt.Set = None,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
) -> None:
    """Check a data set's table, count what is in it, and list photographs that are missing or no images.

    Only the head of each file is read; queries whose files have the same size are read whole, to find equal ones.
    Of a bucket only the list of files is read. Give the same --config and --set that you will give predict.
    """
    from animalclef.data.hashing import equal_queries
    from animalclef.data.table import count_images
    from animalclef.pipeline.image_contents import keyed_by_size, unusable_photographs
    from animalclef.runtime.bucket_address import remote_url

    config = opt.run_config(config_name, assignments, columns, None)
    loaded = opt.load(data, settings=config.data)
    config.check_datasets(loaded.images.datasets)
    is_here = data is None or remote_url(data) is None
    unusable = unusable_photographs(loaded.images, cores(workers), progress, loaded.source.listed)
    equal = equal_queries(keyed_by_size(loaded.images.queries, cores(workers))) if is_here else []
    for sentence in (*_unusable_sentences(unusable, len(loaded.images), config.data.max_missing), *equal):
        warn(sentence)
    statistics = count_images(loaded) | {"unusable": [asdict(one) for one in unusable]}
    lines = [*_unused_sentences(loaded.unused), *([] if is_here else [_NOT_READ])]
    print_result(statistics, console.statistics_table(statistics), *lines, as_json=as_json)


@app.command()
def validate(
    submission: Annotated[Path, typer.Argument(help="The file to check.")],
    data: opt.Data = None,
    columns: opt.Columns = None,
    as_json: opt.Json = False,
) -> None:
    """Check a submission against its data set, and name every row that is not right. Exit status 2 if any is.

    It is if sample_submission.csv has other rows than the table has queries, too.
    """
    from animalclef.data.submission import check_submission_file

    loaded = opt.load(data, columns)
    problems = check_submission_file(submission, loaded)
    differs = loaded.sample_id is not None and sorted(loaded.sample_id) != sorted(loaded.images.queries.image_id)
    more = f" ({len(problems) - 50} more)" if len(problems) > 50 else ""
    verdict = "right by the table, but sample_submission.csv asks for other rows" if differs else "valid"
    verdict = f"{len(problems)} problems{more}" if problems else verdict
    content = {"valid": not problems and not differs, "problems": [asdict(problem) for problem in problems]}
    print_result(content, *map(str, problems[:50]), f"{submission}: {verdict}.", as_json=as_json)
    raise typer.Exit(2 if problems or differs else 0)


def _unused_sentences(columns: Sequence[str]) -> list[str]:
    """Say which columns are not used, and how to name one that is."""
    if not columns:
        return []
    more = f" and {len(columns) - 8} more" if len(columns) > 8 else ""
    return [f"Columns not used: {', '.join(columns[:8])}{more}. If one holds dates, give --columns date=COLUMN."]


def _unusable_sentences(unusable: Sequence[Skipped], photographs: int, most: float) -> list[str]:
    """Say which photographs are missing or no images, and whether a run stops for it."""
    from animalclef.data.hashing import MISSING

    absent = [one for one in unusable if one.reason.startswith(MISSING)]
    hints = [one.reason.removeprefix(MISSING).removeprefix("; ") for one in absent]
    missing = [f"{one.path} ({hint})" if hint else one.path for one, hint in zip(absent, hints, strict=True)]
    others = [f"{one.path}: {one.reason}" for one in unusable if one not in absent]
    stops = len(missing) > most * photographs
    then = (
        f"`predict` stops where more than {100 * most:.3g}% of all are (--max-missing)"
        if stops
        else "`predict` skips them"
    )
    sentences = []
    for what, found, end in (("missing", missing, then), ("unreadable", others, "`predict` skips them")):
        if found:
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            count = counted(len(found), "photograph", "is")
            sentences.append(f"{count} {what}: {', '.join(found[:5])}{more}. {end}.")
    return sentences
