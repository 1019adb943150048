"""`study`: compare several trainings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    AddressOption,
    ColumnsOption,
    DataOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    Workers,
    err,
    escaped,
    load,
    out,
    print_json,
)
from animalclef.errors import ConfigError, DataError

__all__ = ["study"]


@app.command()
def study(
    out_path: Annotated[Path, typer.Option("--out", help="Folder for the trainings, the embeddings and the table.")],
    config: Annotated[str, typer.Option("--config", help="A YAML study, or the name of a shipped one.")],
    data: DataOption = None,
    columns: ColumnsOption = None,
    start: Annotated[
        list[str] | None,
        typer.Option("--start", metavar="NAME=FILE", help="Weights that arms of the study start from."),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Report on the table's own queries: all database photographs are trained on, and this file is "
            "read after the last training. Default: queries from a split of the database."
        ),
    ] = None,
    device: DeviceOption = "auto",
    workers: Workers = None,
    overwrite: Annotated[bool, typer.Option(help="Discard trainings of other settings in the folder.")] = False,
    engine: EngineOption = "local",
    address: AddressOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train several embedders and compare how well each retrieves individuals.

    A study names arms: recipes, starts, one network for all data sets or one for each, a data set left out, galleries
    with fewer photographs, a species classifier in front. Each arm is trained with every seed; finished
    parts are kept. Written: table.md, lines.json, and a folder for each training.

    Examples:

    - `animalclef study --config multi-or-single --data my-photos --start start=embedder.safetensors --out my-study`

    - `animalclef study --config losses --data wild --out s --start shipped=a.safetensors --start imagenet=b.pth`
    """  # fmt: skip
    from animalclef.cli.console import RichProgress
    from animalclef.config import load_recipe
    from animalclef.config.training import StudyConfig
    from animalclef.engine.open_engine import open_engine
    from animalclef.evaluation.evaluate import right_answers
    from animalclef.features.embedding.timm_embedder import choose_device
    from animalclef.runtime.atomic_files import make_folder, write_text
    from animalclef.runtime.output_guard import check_output
    from animalclef.training.study.run_study import Study
    from animalclef.training.study.study_scores import study_markdown, study_rows

    if truth is not None and not truth.is_file():
        raise DataError(f"{truth}: no such file. Give the truth of the table's queries, or leave --truth out.")
    settings, count = load_recipe(StudyConfig, config, group="studies"), workers or os.cpu_count() or 1
    starts = dict(_named(one) for one in start or [])
    loaded = load(data, columns)
    check_output(out_path / "table.md", "study table")
    check_output(out_path / "lines.json", "list of study lines")
    if engine != "local":
        device = choose_device(device)
        make_folder(out_path)
    with open_engine(engine, address, device=device, folders=(loaded.source.root, out_path)) as opened:
        asked = Study(settings, loaded, out_path, starts, device, count, RichProgress(err), overwrite, opened)
        lines = asked.run(None if truth is None else lambda: right_answers(truth, loaded.images))
    table = study_markdown(settings, lines, queries=truth is not None)
    write_text(out_path / "table.md", table)
    if as_json:
        print_json(study_rows(lines))
        return
    out.print(escaped(table), highlight=False, soft_wrap=True)
    out.print(f"Table: {out_path / 'table.md'}", highlight=False, soft_wrap=True)


def _named(given: str) -> tuple[str, Path]:
    from animalclef.config.loading import refuse_removed
    from animalclef.hub.catalogue import SHIPPED, shipped_embedder

    name, equals, file = given.partition("=")
    refuse_removed("--start", file)
    path = shipped_embedder(file) if file in SHIPPED else Path(file)
    if not equals or not name or not path.is_file():
        raise ConfigError(f"--start {given}: expected NAME=FILE with a file that is there, or NAME={SHIPPED[0]}.")
    return name, path
