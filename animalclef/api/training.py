"""`train_embedder`, `train_matcher`: networks of your own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from animalclef.api.datasets import Dataset, PathLike, path_or_none, table_of
from animalclef.config import TrainConfig, TrainMatcherConfig, load_recipe
from animalclef.runtime.progress import Progress
from animalclef.training.embedder.embedder_task import TrainingPlan
from animalclef.training.embedder.embedder_training import TrainedEmbedder
from animalclef.training.embedder.embedder_training import train_embedder as train_network
from animalclef.training.matcher.matcher_training import TrainedMatcher
from animalclef.training.matcher.matcher_training import train_matcher as train_on_images

__all__ = ["train_embedder", "train_matcher"]


def train_embedder(
    data: Dataset | PathLike,
    out: PathLike,
    *,
    recipe: TrainConfig | str | None = None,
    settings: Sequence[str] = (),
    start: PathLike | None = None,
    seed: int | None = None,
    device: str = "auto",
    devices: int = 1,
    workers: int | None = None,
    image_cache: PathLike | None = None,
    reviewed: PathLike | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    announce: Callable[[TrainingPlan], None] | None = None,
) -> TrainedEmbedder:
    """Train or fine-tune an embedder on the named database photographs.

    Queries are used where a `reviewed` log (of `animalclef review`) says whom they show, and never otherwise.

    `recipe` is a shipped one (miewid, triplet-resnet50 ...), a YAML file or settings; `settings` changes it
    ("epochs=40"). `start` is a weight file, `published`, or
    embedder-lite (with the recipe embedder-lite-laptop). Reduced copies of the photographs are kept
    in `image_cache` (default: in `out`). An interrupted call resumes from the last checkpoint in `out`. The result's
    `.path` is the network; use it with `Embedder(f"file:{path}")`.

    Raises:
        DataError: there are too few photographs to train or to validate on, or the log cannot be read.
        ConfigError: there is no such recipe, network or device.
        StaleArtefactError: the log is of other photographs.
        TrainingError: the loss is not a number.

    Example:
        >>> trained = train_embedder(data_folder, folder / "mine", recipe=small_recipe, device="cpu")
        >>> Embedder(f"file:{trained.path}").embed(photographs).values.shape[0]
        12
    """
    base, name = (recipe, None) if isinstance(recipe, TrainConfig) else (None, recipe)
    config = load_recipe(TrainConfig, name, settings, seed, base)
    return train_network(
        config, table_of(data, config.data).images, Path(out), start=None if start is None else str(start),
        device=device, devices=devices, workers=workers or os.cpu_count() or 1, overwrite=overwrite,
        image_cache=path_or_none(image_cache), reviewed=path_or_none(reviewed), progress=progress, announce=announce,
    )  # fmt: skip


def train_matcher(
    images: PathLike,
    out: PathLike,
    *,
    recipe: TrainMatcherConfig | str | None = None,
    settings: Sequence[str] = (),
    start: PathLike | None = None,
    seed: int | None = None,
    device: str = "auto",
    devices: int = 1,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainedMatcher:
    """Train a LightGlue matcher on warped views of the photographs in a folder; no names are needed.

    `recipe` is a shipped one (lightglue-sift), a YAML file or settings; `settings` changes it ("steps=20000"). An
    interrupted call resumes from the last checkpoint in `out`. The result's `.path` is the network; use it with
    `Matcher("lightglue", weights=path)`.

    Raises:
        DataError: there are too few photographs.
        ConfigError: there is no such recipe or device.
        TrainingError: the loss is not a number.

    Example:
        >>> trained = train_matcher(data_folder, folder / "matcher", recipe=small_matcher, device="cpu")
        >>> trained.path.suffix
        '.safetensors'
    """
    base, name = (recipe, None) if isinstance(recipe, TrainMatcherConfig) else (None, recipe)
    config = load_recipe(TrainMatcherConfig, name, settings, seed, base)
    return train_on_images(
        config, Path(images), Path(out), start=path_or_none(start), device=device, devices=devices,
        workers=workers or os.cpu_count() or 1, overwrite=overwrite, progress=progress,
    )  # fmt: skip
