"""`train-segmenter`: train the network that finds animals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    ColumnsOption,
    DeviceOption,
    DevicesOption,
    JsonOption,
    OverwriteTraining,
    SeedOption,
    SetOption,
    TrainingFolder,
    WeightsOption,
    Workers,
    err,
    load,
    out,
    print_json,
)

__all__ = ["train_segmenter"]


@app.command()
def train_segmenter(
    out_path: TrainingFolder,
    start: Annotated[
        Path | None,
        typer.Option(help="Weights of U2-Net-P to start from (.onnx, .safetensors). Default: the pulled u2netp."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Also train on photographs of your own: a table or folder, as for predict, with masks."),
    ] = None,
    columns: ColumnsOption = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder of masks for --data, as `mask` makes it. Default: those that the table names."),
    ] = None,
    recipe: Annotated[str | None, typer.Option("--config", help="A YAML recipe.")] = None,
    assignments: SetOption = None,
    weights: WeightsOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    workers: Workers = None,
    overwrite: OverwriteTraining = False,
    as_json: JsonOption = False,
) -> None:
    """Train the segmenter on rendered animals with exact masks, and on your photographs with masks.

    Masks may be files, or COCO polygons and run lengths in the table. A few hundred small steps keep the network near
    its start. If interrupted, run the same command again: it resumes and writes an identical file. Use the result with
    `animalclef mask --model OUT/animal-segmenter.safetensors`.

    Examples:

    - `animalclef train-segmenter --out my-segmenter`

    - `animalclef train-segmenter --data my-photos --masks my-masks --set steps=300 --out my-segmenter`
    """
    from animalclef.cli.console import RichProgress
    from animalclef.config import load_recipe
    from animalclef.config.training import TrainSegmenterConfig
    from animalclef.data.masks import find_masks
    from animalclef.hub.cache import find_weights
    from animalclef.training.segmenter.segmenter_training import train_segmenter as train

    config = load_recipe(TrainSegmenterConfig, recipe, assignments or [], seed)
    images = None if data is None else load(data, columns).images
    outcome = train(
        config, start or find_weights("u2netp", weights), out_path, images=images,
        masks=None if images is None else find_masks(images, masks), device=device, devices=devices,
        workers=workers or os.cpu_count() or 1, overwrite=overwrite, progress=RichProgress(err),
    )  # fmt: skip
    if not outcome.is_first:
        return
    if as_json:
        print_json({"network": str(outcome.path), "steps": config.steps, "measured": outcome.measured})
        return
    before, after = (outcome.measured[name]["mean_iou"] for name in ("start", "network"))
    out.print(f"Mean IoU with the masks of held-out photographs: {after:.3f}, at the start {before:.3f}.")
    out.print(f"Network: {outcome.path}", highlight=False, soft_wrap=True)
