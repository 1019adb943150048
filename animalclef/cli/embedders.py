"""`evaluate-embedder`, `label-views`: use an embedder alone."""

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
from animalclef.runtime.output_guard import check_output
from animalclef.runtime.wording import counted

if TYPE_CHECKING:
    from animalclef.structures import Skipped

__all__ = ["evaluate_embedder", "label_views"]

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
        typer.Option(help="Do not hide photographs of a query's own encounter; the figures become too optimistic."),
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
    from animalclef.config.loading import load_settings
    from animalclef.pipeline.embed_only import Embedding
    from animalclef.pipeline.embed_only import evaluate_embedder as evaluate

    if split_settings and not split:
        raise ConfigError("--set-split needs --split: paper, closed-set, open-set, disjoint or time.")
    parts = None if split is None else load_settings(SplitConfig, [f"kind={split}", *(split_settings or [])])
    config = opt.run_config(config_name, assignments, columns, seed)
    embedding = Embedding(config, device, opt.cores(workers), progress, weights, run)
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
    from animalclef.config.prepare import ViewLabelConfig
    from animalclef.data.table_writing import write_viewpoints
    from animalclef.pipeline.embed_only import Embedding, fill_viewpoints

    config = opt.run_config(config_name, assignments, columns, seed)
    embedding = Embedding(config, device, opt.cores(workers), progress, weights, run)
    loaded = opt.load(data, settings=config.data)
    opt.refuse_overwriting(loaded, out_path)
    check_output(out_path, "table with viewpoints")
    labels, set_aside = fill_viewpoints(loaded, embedding, ViewLabelConfig(least_confidence=confidence))
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
