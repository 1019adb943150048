"""`train-matcher`: train a LightGlue matcher."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    DeviceOption,
    DevicesOption,
    JsonOption,
    OverwriteTraining,
    SeedOption,
    SetOption,
    TrainingFolder,
    Workers,
    err,
    out,
    print_json,
    warn,
)
from animalclef.errors import DataError

__all__ = ["train_matcher"]


@app.command()
def train_matcher(
    out_path: TrainingFolder,
    images: Annotated[
        Path | None, typer.Option(help="Folder of photographs to train on; no names are needed. Default: OUT/images.")
    ] = None,
    render: Annotated[
        int, typer.Option(min=0, help="Render this many photographs of synthetic animals into that folder first.")
    ] = 0,
    recipe: Annotated[
        str | None, typer.Option("--config", help="A YAML recipe, or the name of a shipped one (lightglue-sift).")
    ] = None,
    assignments: SetOption = None,
    start: Annotated[
        Path | None, typer.Option(help="Start from this LightGlue (.safetensors, kornia's names) of the same size.")
    ] = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    devices: DevicesOption = 1,
    workers: Workers = None,
    overwrite: OverwriteTraining = False,
    as_json: JsonOption = False,
) -> None:
    """Train a LightGlue matcher on warped views of photographs, without any names.

    Every photograph is warped by random homographies and thin-plate splines, relit, blurred, made noisy and partly
    covered, so the true place of every point is known. Rendered photographs (`--render`) also show one animal in
    several poses and places, and similar animals that must not be matched. If interrupted, run the same command again:
    it resumes and writes an identical file. Written: NAME.safetensors, log.jsonl, measured.json, TensorBoard's events.

    Examples:

    - `animalclef train-matcher --render 2880 --config lightglue-sift --start lighterglue.safetensors --out my-matcher`

    - `animalclef train-matcher --images my-photos --set steps=20000 --set network.n_layers=6 --out my-matcher`
    """
    from animalclef.cli.console import RichProgress, measured_table
    from animalclef.config import TrainMatcherConfig, load_recipe
    from animalclef.training.matcher.matcher_training import train_matcher as train
    from animalclef.training.matcher.rendered_subjects import PHOTOGRAPHS_PER_SPECIES, render_subjects

    config = load_recipe(TrainMatcherConfig, recipe, assignments or [], seed)
    folder = images or out_path / "images"
    if not render and not folder.is_dir():
        raise DataError(f"{folder}: nothing to train on. Give a folder of photographs with --images, or --render 2880.")
    progress = RichProgress(err)
    count = workers or os.cpu_count() or 1
    if render:
        total = -(-render // PHOTOGRAPHS_PER_SPECIES) * PHOTOGRAPHS_PER_SPECIES
        with progress.task("rendering photographs", total, "images") as advance:
            render_subjects(folder, render, config.render_seed, workers=count, advance=advance)
    outcome = train(
        config, folder, out_path, start=start, device=device, devices=devices, workers=count, overwrite=overwrite,
        progress=progress,
    )  # fmt: skip
    if not outcome.is_first:
        return
    if outcome.unreadable:
        warn(
            f"{len(outcome.unreadable)} photographs cannot be read and were left out (first: {outcome.unreadable[0]})."
        )
    if as_json:
        print_json({"network": str(outcome.path), "steps": config.steps, "measured": outcome.measured})
        return
    out.print(measured_table(outcome.measured))
    out.print(f"Network: {outcome.path}", highlight=False, soft_wrap=True)
