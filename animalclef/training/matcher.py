"""Train a LightGlue matcher on a folder of photographs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from animalclef.config import fingerprint
from animalclef.config.training import TrainMatcherConfig
from animalclef.errors import ConfigError, RunInUseError
from animalclef.progress import Progress, Silent
from animalclef.store.files import make_folder
from animalclef.training.batches import PairSource, held_out
from animalclef.training.checkpoints import read_weights
from animalclef.training.features import training_features
from animalclef.training.measuring import Measured
from animalclef.training.photographs import fill_store, find_photographs, subjects_of
from animalclef.training.running import MatcherTraining

__all__ = ["TrainedMatcher", "train_matcher"]

logger = logging.getLogger(__name__)

_LEAST_KEYPOINTS = 16  # of a view that is worth matching


@dataclass(frozen=True)
class TrainedMatcher:
    """What a training came to."""

    path: Path  # the network
    measured: dict[str, Measured]  # on held-out views: the network, and nearest neighbours beside it
    unreadable: list[str]  # photographs that were left out


def train_matcher(
    config: TrainMatcherConfig,
    images: Path,
    out: Path,
    *,
    start: Path | None = None,
    device: str = "auto",
    devices: int = 1,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainedMatcher:
    """Train on every photograph below `images`, or go on from the checkpoint in `out`.

    Views are made once and kept in `out`. The result depends on the recipe, the photographs, the start and the machine.

    Raises:
        DataError: there are too few photographs.
        StaleArtefactError: `out` holds a training of another recipe, and `overwrite` is not given.
        TrainingError: the loss became something that is not a number.
    """
    fabric = _fabric(config, device, devices, workers)
    progress = progress if progress is not None and fabric.global_rank == 0 else Silent()
    photos = find_photographs(images)
    weights = None if start is None else read_weights(start)
    features = training_features(config.keypoints)
    make_folder(out)
    with _claimed(out, fabric.global_rank):
        store, key_of, unreadable = fill_store(photos, out / "views", features, config, workers, progress)
        subjects = subjects_of(photos, key_of, store, config.warps.views, _LEAST_KEYPOINTS)
        learnt, apart = held_out(subjects, config.held_out, config.seed)
        logger.info("%d subjects to learn from, %d held out", len(learnt), len(apart))
        begun = "" if start is None else hashlib.sha256(start.read_bytes()).hexdigest()
        shown = [view for subject in subjects for view in subject.views]
        training = MatcherTraining(
            config=config,
            out=out,
            learnt=PairSource(learnt, store, features, config),
            apart=PairSource(apart, store, features, config),
            recipe=fingerprint(1, features.name, config, begun, shown),
            fabric=fabric,
            progress=progress,
            workers=workers,
            start=weights,
            start_name="" if start is None else str(start),
        )
        if overwrite and fabric.global_rank == 0:
            training.forget()
        fabric.launch()
        return TrainedMatcher(training.network_path, training.run(), unreadable)


def _fabric(config: TrainMatcherConfig, device: str, devices: int, workers: int) -> Any:
    """Lightning Fabric for a device (`auto`, `cpu`, `cuda`, `cuda:1`, `mps`).

    Raises:
        ConfigError: Fabric is not installed, or there is no such device.
    """
    import torch

    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise ConfigError("Training needs Lightning Fabric: pip install 'animalclef[train]'.") from error
    kind, _, number = device.partition(":")
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if kind == "auto" else kind
    if kind == "cpu":
        torch.set_num_threads(workers)
    precision = config.precision
    if precision == "auto":
        precision = "32-true"
        if kind == "cuda":
            precision = "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    try:
        which: Any = [int(number)] if number else devices
        strategy = "ddp" if devices > 1 else "auto"
        return Fabric(accelerator=kind, devices=which, strategy=strategy, precision=precision)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"--device {device}: cannot be used here ({error}). Try --device cpu.") from error


@contextmanager
def _claimed(out: Path, rank: int) -> Iterator[None]:
    """Nobody else trains in the folder meanwhile (the other processes of this training are the same one)."""
    from filelock import FileLock, Timeout

    if rank:
        yield
        return
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunInUseError(f"{out}: another process is training there. Wait for it, or use another --out.") from error
    try:
        yield
    finally:
        lock.release()
