"""`train`: train or fine-tune an embedder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    ColumnsOption,
    DataOption,
    DeviceOption,
    DevicesOption,
    JsonOption,
    MaxMissing,
    OverwriteTraining,
    SeedOption,
    SetOption,
    TrainingFolder,
    Workers,
    column_settings,
    err,
    load,
    out,
    print_json,
    warn,
)

if TYPE_CHECKING:
    from animalclef.training.embedder.trained_network import Started
    from animalclef.training.embedder.training_plan import TrainingPlan

__all__ = ["train"]


@app.command()
def train(
    out_path: TrainingFolder,
    data: DataOption = None,
    columns: ColumnsOption = None,
    recipe: Annotated[
        str | None, typer.Option("--config", help="A YAML recipe, or the name of a shipped one (miewid).")
    ] = None,
    assignments: SetOption = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Weights of the backbone or of the whole network to start from: a file, an embedder that ships "
            "(`embedder-small`), or `published`."
        ),
    ] = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    workers: Workers = None,
    image_cache: Annotated[
        Path | None,
        typer.Option(
            "--image-cache",
            "--pictures",
            help="Folder for reduced copies, which trainings may share. Default: OUT/pictures.",
        ),
    ] = None,
    reviewed: Annotated[
        Path | None,
        typer.Option(help="Log of `animalclef review`: queries whose individual it says are trained on, too."),
    ] = None,
    max_missing: MaxMissing = None,
    overwrite: OverwriteTraining = False,
    as_json: JsonOption = False,
) -> None:
    """Train or fine-tune an embedder on the named photographs of a data set.

    Only named database rows are used, and queries that a review named (`--reviewed`). Some are held out
    (`validation.split`); the weights with the best rank-1 on them are written. If interrupted, run the same command
    again: it resumes and writes an identical file. Written: NAME.safetensors (use it with
    `--set embed.model=file:PATH`), log.jsonl, measured.json, and TensorBoard's events.

    Examples:

    - `animalclef train --data my-photos --config miewid --start published --out my-miewid`

    - `animalclef train --data my-photos --config triplet-resnet50 --set epochs=40 --out my-triplets`

    - `animalclef train --data my-photos --start embedder-small --reviewed runs/my-run.review.jsonl --out mine`

    - `torchrun --nproc-per-node 4 -m animalclef train --data my-photos --config miewid --out my-miewid`
    """
    from animalclef.cli.console import RichProgress
    from animalclef.cli.console_training import retrieved_table
    from animalclef.config import TrainConfig, load_recipe
    from animalclef.runtime.output_guard import protect_inputs
    from animalclef.training.embedder.embedder_training import train_embedder

    extra = [] if max_missing is None else [f"data.max_missing={max_missing}"]
    config = load_recipe(TrainConfig, recipe, [*(assignments or []), *extra, *column_settings(columns)], seed)
    table = load(data, settings=config.data).images
    protect_inputs(path for path in (reviewed,) if path is not None)
    outcome = train_embedder(
        config, table, out_path, start=start, device=device,
        devices=max(devices, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))),  # torchrun's
        workers=workers or os.cpu_count() or 1, overwrite=overwrite, image_cache=image_cache, reviewed=reviewed,
        progress=RichProgress(err), announce=_announce,
    )  # fmt: skip
    if not outcome.is_first:
        return
    if outcome.skipped:
        first = outcome.skipped[0]
        warn(f"{len(outcome.skipped)} photographs were left out (first: {first.path}: {first.reason}).")
    if as_json:
        print_json({"network": str(outcome.path), **outcome.measured})
        return
    rows = {name: outcome.measured[name] for name in ("start", "trained") if outcome.measured[name]}
    if rows:
        out.print(retrieved_table(rows))
    out.print(f"Network: {outcome.path}", highlight=False, soft_wrap=True)


def _announce(plan: TrainingPlan) -> None:
    from animalclef.cli.console_training import training_sentence

    err.print(training_sentence(plan), highlight=False, soft_wrap=True)
    if plan.started is not None and plan.seconds is None:
        _print_start(plan.started)


def _print_start(started: Started) -> None:
    for names, what in ((started.new, "Not in the start, so new"), (started.unused, "In the start, but not used")):
        if names:
            shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
            err.print(f"{what}: {shown}", highlight=False, soft_wrap=True)
