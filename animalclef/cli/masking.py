"""`mask`: where the animal is on each photograph."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.shared import DataOption, JsonOption, Workers, err, load, out, print_json, warn

__all__ = ["mask"]


@app.command()
def mask(
    to: Annotated[Path, typer.Option(help="Folder that gets a PNG per photograph, under the photograph's own path.")],
    data: DataOption = None,
    model: Annotated[
        str, typer.Option(help="grabcut (no weights), or a SAM model: a folder, or its hub name where it is cached.")
    ] = "grabcut",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ... (for SAM)")] = "auto",
    overwrite: Annotated[bool, typer.Option(help="Make masks again that are there.")] = False,
    workers: Workers = None,
    as_json: JsonOption = False,
) -> None:
    """Make a mask of every photograph, so that keypoints on the background are dropped.

    Look at a few before you trust them: GrabCut tells colours apart, not animals. Then:
    `animalclef predict --data DIR --set keypoints.masks=MASKS`.
    """
    import dataclasses

    from animalclef.console import RichProgress
    from animalclef.models.segmenters import load_segmenter
    from animalclef.models.zoo import choose_device
    from animalclef.stages.segment import make_masks

    images = load(data).images
    segmenter = load_segmenter(model, "cpu" if model == "grabcut" else choose_device(device))
    count = (workers or os.cpu_count() or 1) if model == "grabcut" else 1
    made = make_masks(images, to, segmenter, count, RichProgress(err), overwrite=overwrite)
    if made.unreadable:
        warn(f"{len(made.unreadable)} photographs cannot be read (first: {made.unreadable[0]}).")
    if as_json:
        print_json(dataclasses.asdict(made))
        return
    unclear = f" ({len(made.unclear)} without a clear animal: all is kept)" if made.unclear else ""
    out.print(
        f"{made.masks} masks made{unclear}, {made.kept} were there. Folder: {to}", highlight=False, soft_wrap=True
    )
