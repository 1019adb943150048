"""`evaluate-embedder`, `study`, `label-views`: measure embedders, compare them, use one alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from animalclef.cli import console
from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import out, print_result, progress, warn
from animalclef.errors import ConfigError, DataError
from animalclef.runtime.atomic_files import make_folder, write_text
from animalclef.runtime.output_guard import check_output
from animalclef.runtime.threads import cores
from animalclef.runtime.wording import counted

if TYPE_CHECKING:
    from animalclef.structures import Skipped

__all__ = ["evaluate_embedder", "label_views", "study"]

RunOption = Annotated[
    Path | None, typer.Option("--run", help="Folder for embeddings. Default: the one that predict uses.")
]


@app.command()
def evaluate_embedder(
    data: opt.Data = None,
    columns: opt.Columns = None,
    config_name: opt.Config = None,
    assignments: opt.Set = None,
    split: Annotated[
        str | None,
        typer.Option(help="paper, closed-set, open-set, disjoint or time; default: one against all others."),
    ] = None,
    split_settings: Annotated[
        list[str] | None, typer.Option("--set-split", metavar="KEY=VALUE", help="Change one setting of the split.")
    ] = None,
    see_encounter: Annotated[
        bool,
        typer.Option(
            "--see-encounter",
            help="Do not hide photographs of a query's own encounter; the figures become too optimistic.",
        ),
    ] = False,
    seed: opt.Seed = None,
    device: opt.Device = "auto",
    workers: opt.Workers = None,
    run: RunOption = None,
    weights: opt.Weights = None,
    as_json: opt.Json = False,
) -> None:
    """Measure rank-1/5/10/20 and mAP of an embedder on the database photographs, per species and averaged.

    Each photograph is a query against all others of its species; those of its own encounter are hidden, and with
    `retrieve.same_viewpoint` those from another side. With `--split` the queries are those of a split for training.

    Examples:

    - `animalclef evaluate-embedder --data my-photos --set embed.model=file:my-embedder/embedder.safetensors`

    - `animalclef evaluate-embedder --data my-photos --split paper --set-split share=0.5 --seed 1`
    """
    from animalclef.config.data import SplitConfig
    from animalclef.config.loading import load_recipe
    from animalclef.pipeline.embed_only import Embedding
    from animalclef.pipeline.embed_only import evaluate_embedder as evaluate

    if split_settings and not split:
        raise ConfigError("--set-split needs --split: paper, closed-set, open-set, disjoint or time.")
    parts = None if split is None else load_recipe(SplitConfig, None, [f"kind={split}", *(split_settings or [])])
    config = opt.run_config(config_name, assignments, columns, seed)
    embedding = Embedding(config, device, cores(workers), progress, weights, run)
    loaded = opt.load(data, settings=config.data)
    figures, set_aside = evaluate(loaded, embedding, parts, hide_events=not see_encounter)
    _warn_of(set_aside)
    content = {"mean": figures.mean, "species": [asdict(one) for one in figures.species]}
    print_result(content, console.embedder_table(figures), as_json=as_json)


@app.command()
def label_views(
    out_path: Annotated[
        Path, typer.Option("--out", help="The table to write. Its paths are relative to the folder of the old one.")
    ],
    data: opt.Data = None,
    columns: opt.Columns = None,
    config_name: opt.Config = None,
    assignments: opt.Set = None,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="A viewpoint of lower confidence stays absent.")
    ] = 0.8,
    seed: opt.Seed = None,
    device: opt.Device = "auto",
    workers: opt.Workers = None,
    run: RunOption = None,
    weights: opt.Weights = None,
    as_json: opt.Json = False,
) -> None:
    """Fill absent viewpoints (the column orientation), predicted from photographs whose viewpoint is known.

    A classifier is fitted per data set; its accuracy on held-out individuals is printed first. Viewpoints in the table
    stay; a column orientation_confidence has the confidence of each filled one. Then:
    `animalclef predict --data TABLE --set retrieve.same_viewpoint=true`.

    Example:

    - `animalclef label-views --data my-photos --out my-photos/labelled.csv`
    """
    from animalclef.data.table_writing import write_viewpoints
    from animalclef.pipeline.embed_only import Embedding, fill_viewpoints

    config = opt.run_config(config_name, assignments, columns, seed)
    embedding = Embedding(config, device, cores(workers), progress, weights, run)
    loaded = opt.load(data, settings=config.data)
    opt.check_table(loaded, out_path, "table with viewpoints")
    labels, set_aside = fill_viewpoints(loaded, embedding, confidence)
    if not as_json:
        out.print(console.viewpoints_table(labels.quality))
    if all(one.why_not for one in labels.quality):
        table = loaded.source.table or loaded.source.root
        reasons = "; ".join(f"{one.dataset}: {one.why_not}" for one in labels.quality)
        raise DataError(f"{table}: viewpoints cannot be predicted ({reasons}). Nothing was written.")
    write_viewpoints(loaded.source, out_path, labels.filled())
    _warn_of(set_aside)
    opt.tell_where_paths_start(loaded, data, out_path)
    content = {"table": str(out_path), "datasets": [asdict(one) for one in labels.quality]}
    print_result(content, f"Table: {out_path}", as_json=as_json)


def _warn_of(set_aside: Sequence[Skipped]) -> None:
    if set_aside:
        first = f"{set_aside[0].path}: {set_aside[0].reason}"
        warn(f"{counted(len(set_aside), 'photograph')} cannot be used (first: {first}).")


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
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard trainings of other settings in the folder.")
    ] = False,
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
    from animalclef.engine.open_engine import open_engine, shared_paths
    from animalclef.evaluation.evaluate import right_answers
    from animalclef.runtime.devices import choose_device
    from animalclef.training.study.run_study import Study
    from animalclef.training.study.study_scores import study_markdown, study_rows

    if truth is not None and not truth.is_file():
        raise DataError(f"{truth}: no such file. Give the truth of the table's queries, or leave --truth out.")
    settings, count = load_recipe(StudyConfig, config), cores(workers)
    starts = dict(_named(one) for one in start or [])
    loaded = opt.load(data, columns)
    check_output(out_path / "table.md", "study table")
    check_output(out_path / "lines.json", "list of study lines")
    if engine != "local":
        device = choose_device(device)
        make_folder(out_path)
    with open_engine(engine, address, device=device, folders=shared_paths(loaded.images, out_path)) as opened:
        asked = Study(settings, loaded, out_path, starts, device, count, progress, overwrite, opened)
        lines = asked.run(None if truth is None else lambda: right_answers(truth, loaded.images))
    table = study_markdown(settings, lines, queries=truth is not None)
    write_text(out_path / "table.md", table)
    print_result(study_rows(lines), table, f"Table: {out_path / 'table.md'}", as_json=as_json)


def _named(given: str) -> tuple[str, Path]:
    from animalclef.config.loading import refuse_removed
    from animalclef.hub.catalogue import SHIPPED, shipped_embedder

    name, equals, file = given.partition("=")
    if not Path(file).exists():
        refuse_removed("--start", file)
    path = shipped_embedder(file) if file in SHIPPED else Path(file)
    if not equals or not name or not path.is_file():
        raise ConfigError(f"--start {given}: expected NAME=FILE with a file that is there, or NAME={SHIPPED[0]}.")
    return name, path
