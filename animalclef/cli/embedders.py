"""`evaluate-embedder`, `label-views`: use an embedder alone."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    ColumnsOption,
    ConfigOption,
    DataOption,
    DeviceOption,
    JsonOption,
    SeedOption,
    SetOption,
    WeightsOption,
    Workers,
    column_settings,
    err,
    load,
    out,
    print_json,
    refuse_overwriting,
    tell_where_paths_start,
    warn,
)
from animalclef.errors import ConfigError, DataError
from animalclef.runtime.wording import counted

if TYPE_CHECKING:
    from animalclef.pipeline.embed_only import Embedding

__all__ = ["evaluate_embedder", "label_views"]

RunOption = Annotated[
    Path | None, typer.Option("--run", help="Folder for embeddings. Default: the one that predict uses.")
]


@app.command()
def evaluate_embedder(
    data: DataOption = None,
    columns: ColumnsOption = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    split: Annotated[
        str | None,
        typer.Option(help="paper, closed-set, open-set, disjoint or time; default: one against all others."),
    ] = None,
    split_settings: Annotated[
        list[str] | None, typer.Option("--set-split", metavar="KEY=VALUE", help="Change one setting of the split.")
    ] = None,
    see_encounter: Annotated[
        bool,
        typer.Option(help="Do not hide photographs of a query's own encounter; the figures become too optimistic."),
    ] = False,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    workers: Workers = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure rank-1/5/10/20 and mAP of an embedder on the database photographs, per species and averaged.

    Each photograph is a query against all others of its species; those of its own encounter are hidden, and with
    `retrieve.same_viewpoint` those from another side. With `--split` the queries are those of a split for training.

    Examples:

    - `animalclef evaluate-embedder --data my-photos --set embed.model=file:my-embedder/embedder.safetensors`

    - `animalclef evaluate-embedder --data my-photos --split paper --set-split share=0.5 --seed 1`
    """
    from animalclef.cli.console import embedder_table
    from animalclef.config.data import SplitConfig
    from animalclef.config.loading import load_recipe
    from animalclef.pipeline.embed_only import evaluate_embedder as evaluate

    if split_settings and not split:
        raise ConfigError("--set-split needs --split: paper, closed-set, open-set, disjoint or time.")
    parts = None if split is None else load_recipe(SplitConfig, None, [f"kind={split}", *(split_settings or [])])
    embedding = _embedding(config_name, assignments, columns, seed, device, workers, run, weights)
    loaded = load(data, settings=embedding.config.data)
    figures, set_aside = evaluate(loaded, embedding, parts, hide_events=not see_encounter)
    if set_aside:
        first = f"{set_aside[0].path}: {set_aside[0].reason}"
        warn(f"{counted(len(set_aside), 'photograph')} cannot be used (first: {first}).")
    if as_json:
        print_json({"mean": figures.mean, "species": [dataclasses.asdict(one) for one in figures.species]})
        return
    out.print(embedder_table(figures))


@app.command()
def label_views(
    out_path: Annotated[
        Path, typer.Option("--out", help="The table to write. Its paths are relative to the folder of the old one.")
    ],
    data: DataOption = None,
    columns: ColumnsOption = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, help="A viewpoint of lower confidence stays absent.")
    ] = 0.8,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    workers: Workers = None,
    run: RunOption = None,
    weights: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fill absent viewpoints (the column orientation), predicted from photographs whose viewpoint is known.

    A classifier is fitted per data set; its accuracy on held-out individuals is printed first. Viewpoints in the table
    stay; a column orientation_confidence has the confidence of each filled one. Then:
    `animalclef predict --data TABLE --set retrieve.same_viewpoint=true`.

    Example:

    - `animalclef label-views --data my-photos --out my-photos/labelled.csv`
    """
    from animalclef.cli.console import viewpoints_table
    from animalclef.config.prepare import ViewLabelConfig
    from animalclef.data.table_writing import write_viewpoints
    from animalclef.pipeline.embed_only import fill_viewpoints
    from animalclef.runtime.output_guard import check_output

    embedding = _embedding(config_name, assignments, columns, seed, device, workers, run, weights)
    loaded = load(data, settings=embedding.config.data)
    table = (
        loaded.source.table or loaded.source.root
    )  # without a table there are no viewpoints, which is reported below
    refuse_overwriting(loaded, out_path)
    check_output(out_path, "table with viewpoints")
    labels, set_aside = fill_viewpoints(loaded, embedding, ViewLabelConfig(least_confidence=confidence))
    if not as_json:
        out.print(viewpoints_table(labels.quality))
    if all(one.why_not for one in labels.quality):
        reasons = "; ".join(f"{one.dataset}: {one.why_not}" for one in labels.quality)
        raise DataError(f"{table}: viewpoints cannot be predicted ({reasons}). Nothing was written.")
    write_viewpoints(loaded.source, out_path, labels.filled())
    if set_aside:
        first = f"{set_aside[0].path}: {set_aside[0].reason}"
        warn(f"{counted(len(set_aside), 'photograph')} cannot be used (first: {first}).")
    tell_where_paths_start(loaded, data, out_path)
    if as_json:
        print_json({"table": str(out_path), "datasets": [dataclasses.asdict(one) for one in labels.quality]})
        return
    out.print(f"Table: {out_path}", highlight=False, soft_wrap=True)


def _embedding(
    config_name: str | None,
    assignments: list[str] | None,
    columns: str | None,
    seed: int | None,
    device: str,
    workers: int | None,
    run: Path | None,
    weights: Path | None,
) -> Embedding:
    from animalclef.cli.console import RichProgress
    from animalclef.config import load_config
    from animalclef.pipeline.embed_only import Embedding

    config = load_config(config_name, [*(assignments or []), *column_settings(columns)], seed)
    return Embedding(config, device, workers or os.cpu_count() or 1, RichProgress(err), weights, run)
