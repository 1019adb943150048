"""`study`: compare several trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_result, progress
from animalclef.errors import ConfigError, DataError
from animalclef.runtime.atomic_files import make_folder, write_text
from animalclef.runtime.output_guard import check_output

__all__ = ["study"]


@app.command()
def study(
    out_path: Annotated[Path, typer.Option("--out", help="Folder for the trainings, the embeddings and the table.")],
    config: Annotated[str, typer.Option("--config", help="A YAML study, or the name of a shipped one.")],
    data: opt.Data = None,
    columns: opt.Columns = None,
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
    device: opt.Device = "auto",
    workers: opt.Workers = None,
    overwrite: Annotated[bool, typer.Option(help="Discard trainings of other settings in the folder.")] = False,
    engine: opt.Engine = "local",
    address: opt.Address = "auto",
    as_json: opt.Json = False,
) -> None:
    """Train several embedders and compare how well each retrieves individuals.

    A study names arms: recipes, starts, one network for all data sets or one for each, a data set left out, galleries
    with fewer photographs, a species classifier in front. Each arm is trained with every seed; finished
    parts are kept. Written: table.md, lines.json, and a folder for each training.

    Examples:

    - `animalclef study --config multi-or-single --data my-photos --start start=embedder.safetensors --out my-study`

    - `animalclef study --config losses --data wild --out s --start shipped=a.safetensors --start imagenet=b.pth`
    """  # fmt: skip
    from animalclef.config import load_recipe
    from animalclef.config.training import StudyConfig
    from animalclef.engine.open_engine import open_engine
    from animalclef.evaluation.evaluate import right_answers
    from animalclef.features.embedding.timm_embedder import choose_device
    from animalclef.training.study.run_study import Study
    from animalclef.training.study.study_scores import study_markdown, study_rows

    if truth is not None and not truth.is_file():
        raise DataError(f"{truth}: no such file. Give the truth of the table's queries, or leave --truth out.")
    settings, count = load_recipe(StudyConfig, config, group="studies"), opt.cores(workers)
    starts = dict(_named(one) for one in start or [])
    loaded = opt.load(data, columns)
    check_output(out_path / "table.md", "study table")
    check_output(out_path / "lines.json", "list of study lines")
    if engine != "local":
        device = choose_device(device)
        make_folder(out_path)
    with open_engine(engine, address, device=device, folders=(loaded.source.root, out_path)) as opened:
        asked = Study(settings, loaded, out_path, starts, device, count, progress, overwrite, opened)
        lines = asked.run(None if truth is None else lambda: right_answers(truth, loaded.images))
    table = study_markdown(settings, lines, queries=truth is not None)
    write_text(out_path / "table.md", table)
    print_result(study_rows(lines), table, f"Table: {out_path / 'table.md'}", as_json=as_json)


def _named(given: str) -> tuple[str, Path]:
    from animalclef.hub.catalogue import SHIPPED, shipped_embedder

    name, equals, file = given.partition("=")
    path = shipped_embedder(file) if file in SHIPPED else Path(file)
    if not equals or not name or not path.is_file():
        raise ConfigError(f"--start {given}: expected NAME=FILE with a file that is there, or NAME={SHIPPED[0]}.")
    return name, path
