"""`train_embedder`, `train_matcher`: networks of your own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from animalclef.api.datasets import Dataset, PathLike, path_or_none, settings_of, table_of
from animalclef.api.shown_progress import ProgressLike, shown_progress
from animalclef.config import TrainConfig, TrainMatcherConfig
from animalclef.runtime.threads import cores
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
    config: TrainConfig | PathLike | None = None,
    start: PathLike | None = None,
    seed: int | None = None,
    device: str = "auto",
    devices: int = 1,
    workers: int | None = None,
    image_cache: PathLike | None = None,
    reviewed: PathLike | None = None,
    overwrite: bool = False,
    progress: ProgressLike = None,
    announce: Callable[[TrainingPlan], None] | None = None,
) -> TrainedEmbedder:
    """Train or fine-tune an embedder on the named database photographs.

    Queries are used where a `reviewed` log (of `animalclef review`) says whom they show, and never otherwise.

    `config` is the settings, such as `load_config("miewid", "epochs=40", command="train")`, a YAML file, or the name of
    a shipped config (miewid, triplet-resnet50 ...). `start` is a weight file, `published`, or
    embedder-lite (with the config embedder-lite-laptop). Reduced copies of the photographs are kept
    in `image_cache` (default: in `out`). An interrupted call resumes from the last checkpoint in `out`. The result's
    `.path` is the network; use it with `Embedder(f"file:{path}")`.

    Raises:
        DataError: there are too few photographs to train or to validate on, or the log cannot be read.
        ConfigError: there is no such config, network or device.
        StaleArtefactError: the log is of other photographs.
        TrainingError: the loss is not a number.

    Example:
        >>> trained = train_embedder(data_folder, folder / "mine", config=small_training, device="cpu")
        >>> Embedder(f"file:{trained.path}").embed(photographs).values.shape[0]
        12
    """
    chosen = settings_of(config, model=TrainConfig, seed=seed)
    return train_network(
        chosen, table_of(data, chosen.data).images, Path(out), start=None if start is None else str(start),
        device=device, devices=devices, workers=cores(workers), overwrite=overwrite,
        image_cache=path_or_none(image_cache, "image_cache"), reviewed=path_or_none(reviewed, "reviewed"),
        progress=shown_progress(progress), announce=announce,
    )  # fmt: skip


def train_matcher(
    images: PathLike,
    out: PathLike,
    *,
    config: TrainMatcherConfig | PathLike | None = None,
    start: PathLike | None = None,
    seed: int | None = None,
    device: str = "auto",
    devices: int = 1,
    workers: int | None = None,
    overwrite: bool = False,
    progress: ProgressLike = None,
) -> TrainedMatcher:
    """Train a LightGlue matcher on warped views of the photographs in a folder; no names are needed.

    `config` is the settings, such as `load_config("lightglue-sift", "steps=20000", command="train-matcher")`, a YAML
    file, or the name of a shipped config (lightglue-sift). An interrupted call resumes from the last checkpoint in
    `out`. The result's `.path` is the network; use it with
    `Matcher("lightglue", weights=path)`.

    Raises:
        DataError: there are too few photographs.
        ConfigError: there is no such config or device.
        TrainingError: the loss is not a number.

    Example:
        >>> trained = train_matcher(data_folder, folder / "matcher", config=small_matcher, device="cpu")
        >>> trained.path.suffix
        '.safetensors'
    """
    chosen = settings_of(config, model=TrainMatcherConfig, seed=seed)
    return train_on_images(
        chosen, Path(images), Path(out), start=path_or_none(start, "start"), device=device, devices=devices,
        workers=cores(workers), overwrite=overwrite, progress=shown_progress(progress),
    )  # fmt: skip
