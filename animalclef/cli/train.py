"""`train`, `train-matcher`, `train-segmenter`: networks of your own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from animalclef.cli import console
from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_result, progress, tell, warn
from animalclef.errors import DataError
from animalclef.runtime.output_guard import protect_inputs
from animalclef.runtime.threads import cores
from animalclef.runtime.wording import counted

if TYPE_CHECKING:
    from animalclef.training.embedder.embedder_task import TrainingPlan

__all__ = ["train", "train_matcher", "train_segmenter"]


@app.command()
def train(
    out_path: opt.TrainingFolder,
    data: opt.Data = None,
    columns: opt.Columns = None,
    recipe: Annotated[
        str | None, typer.Option("--config", help="A YAML recipe, or the name of a shipped one (miewid).")
    ] = None,
    assignments: opt.Set = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Weights of the backbone or of the whole network to start from: a file, an embedder that ships "
            "(`embedder-lite`), or `published`."
        ),
    ] = None,
    seed: opt.Seed = None,
    device: opt.Device = "auto",
    devices: opt.Devices = 1,
    workers: opt.Workers = None,
    image_cache: Annotated[
        Path | None,
        typer.Option(
            "--image-cache",
            help="Folder for reduced copies, which trainings may share. Default: OUT/pictures.",
        ),
    ] = None,
    reviewed: Annotated[
        Path | None,
        typer.Option(help="Log of `animalclef review`: queries whose individual it says are trained on, too."),
    ] = None,
    max_missing: opt.MaxMissing = None,
    overwrite: opt.OverwriteTraining = False,
    as_json: opt.Json = False,
) -> None:
    """Train or fine-tune an embedder on the named photographs of a data set.

    Only named database rows are used, and queries that a review named (`--reviewed`). Some are held out
    (`validation.split`); the weights with the best rank-1 on them are written. If interrupted, run the same command
    again: it resumes and writes an identical file. Written: NAME.safetensors (use it with
    `--set embed.model=file:PATH`), log.jsonl, measured.json, and TensorBoard's events.

    Examples:

    - `animalclef train --data my-photos --config miewid --start published --out my-miewid`

    - `animalclef train --data my-photos --config triplet-resnet50 --set epochs=40 --out my-triplets`

    - `animalclef train --data my-photos --config embedder-lite-laptop --start embedder-lite --out mine`

    - `torchrun --nproc-per-node 4 -m animalclef train --data my-photos --config miewid --out my-miewid`
    """
    from animalclef.config import TrainConfig, load_recipe
    from animalclef.training.embedder.embedder_training import train_embedder

    extra = [] if max_missing is None else [f"data.max_missing={max_missing}"]
    config = load_recipe(TrainConfig, recipe, [*(assignments or []), *extra, *opt.column_settings(columns)], seed)
    table = opt.load(data, settings=config.data).images
    protect_inputs([] if reviewed is None else [reviewed])
    outcome = train_embedder(
        config, table, out_path, start=start, device=device,
        devices=max(devices, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))),  # torchrun's
        workers=cores(workers), overwrite=overwrite, image_cache=image_cache, reviewed=reviewed,
        progress=progress, announce=_announce,
    )  # fmt: skip
    if not outcome.is_first:
        return
    if outcome.skipped:
        first = outcome.skipped[0]
        warn(f"{counted(len(outcome.skipped), 'photograph', 'was')} left out (first: {first.path}: {first.reason}).")
    rows = {name: outcome.measured[name] for name in ("start", "trained") if outcome.measured[name]}
    nothing = (
        "Nothing was held out, so there is no figure of how good the network is. "
        "--set 'validation.split={kind: open-set}' holds some individuals out."
    )
    content = {"network": str(outcome.path), **outcome.measured}
    print_result(
        content, console.retrieved_table(rows) if rows else nothing, f"Network: {outcome.path}", as_json=as_json
    )


def _announce(plan: TrainingPlan) -> None:
    tell(console.training_sentence(plan))
    started = plan.started
    if started is None or plan.seconds is not None:
        return
    for names, what in ((started.new, "Not in the start, so new"), (started.unused, "In the start, but not used")):
        if names:
            tell(f"{what}: {', '.join(names[:6])}" + (f" and {len(names) - 6} more" if len(names) > 6 else ""))


@app.command()
def train_matcher(
    out_path: opt.TrainingFolder,
    images: Annotated[
        Path | None, typer.Option(help="Folder of photographs to train on; no names are needed. Default: OUT/images.")
    ] = None,
    render: Annotated[
        int, typer.Option(min=0, help="Render this many photographs of synthetic animals into that folder first.")
    ] = 0,
    recipe: Annotated[
        str | None, typer.Option("--config", help="A YAML recipe, or the name of a shipped one (lightglue-sift).")
    ] = None,
    assignments: opt.Set = None,
    start: Annotated[
        Path | None, typer.Option(help="Start from this LightGlue (.safetensors, kornia's names) of the same size.")
    ] = None,
    seed: opt.Seed = None,
    device: opt.Device = "auto",
    devices: opt.Devices = 1,
    workers: opt.Workers = None,
    overwrite: opt.OverwriteTraining = False,
    as_json: opt.Json = False,
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
    from animalclef.config import TrainMatcherConfig, load_recipe
    from animalclef.training.matcher.matcher_training import train_matcher as train
    from animalclef.training.matcher.rendered_subjects import PHOTOGRAPHS_PER_SPECIES, render_subjects

    config = load_recipe(TrainMatcherConfig, recipe, assignments or [], seed)
    folder = images or out_path / "images"
    if not render and not folder.is_dir():
        raise DataError(f"{folder}: nothing to train on. Give a folder of photographs with --images, or --render 2880.")
    count = cores(workers)
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
            f"Left out: {counted(len(outcome.unreadable), 'photograph')} that cannot be read "
            f"(first: {outcome.unreadable[0]})."
        )
    content = {"network": str(outcome.path), "steps": config.steps, "measured": outcome.measured}
    table = console.measured_table(outcome.measured)
    print_result(content, table, f"Network: {outcome.path}", as_json=as_json)


@app.command()
def train_segmenter(
    out_path: opt.TrainingFolder,
    start: Annotated[
        Path | None,
        typer.Option(help="Weights of U2-Net-P to start from (.onnx, .safetensors). Default: the pulled u2netp."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Also train on photographs of your own: a table or folder, as for predict, with masks."),
    ] = None,
    columns: opt.Columns = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder of masks for --data, as `mask` makes it. Default: those that the table names."),
    ] = None,
    recipe: Annotated[str | None, typer.Option("--config", help="A YAML recipe.")] = None,
    assignments: opt.Set = None,
    weights: opt.Weights = None,
    seed: opt.Seed = None,
    device: opt.Device = "auto",
    devices: opt.Devices = 1,
    workers: opt.Workers = None,
    overwrite: opt.OverwriteTraining = False,
    as_json: opt.Json = False,
) -> None:
    """Train the segmenter on rendered animals with exact masks, and on your photographs with masks.

    Masks may be files, or COCO polygons and run lengths in the table. A few hundred small steps keep the network near
    its start. If interrupted, run the same command again: it resumes and writes an identical file. Use the result with
    `animalclef mask --model OUT/animal-segmenter.safetensors`.

    Examples:

    - `animalclef train-segmenter --out my-segmenter`

    - `animalclef train-segmenter --data my-photos --masks my-masks --set steps=300 --out my-segmenter`
    """
    from animalclef.config import load_recipe
    from animalclef.config.training import TrainSegmenterConfig
    from animalclef.data.masks import find_masks
    from animalclef.hub.cache import find_weights
    from animalclef.training.segmenter.segmenter_training import train_segmenter as train

    config = load_recipe(TrainSegmenterConfig, recipe, assignments or [], seed)
    images = None if data is None else opt.load(data, columns).images
    outcome = train(
        config, start or find_weights("u2netp", weights), out_path, images=images,
        masks=None if images is None else find_masks(images, masks), device=device, devices=devices,
        workers=cores(workers), overwrite=overwrite, progress=progress,
    )  # fmt: skip
    if not outcome.is_first:
        return
    content = {"network": str(outcome.path), "steps": config.steps, "measured": outcome.measured}
    before, after = (outcome.measured[name]["mean_iou"] for name in ("start", "network"))
    sentence = f"Mean IoU with the masks of held-out photographs: {after:.3f}, at the start {before:.3f}."
    print_result(content, sentence, f"Network: {outcome.path}", as_json=as_json)
