"""Train a LightGlue matcher on a folder of photographs."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from animalclef.config import fingerprint
from animalclef.config.training import TrainMatcherConfig
from animalclef.hub.load import read_weights
from animalclef.runtime.atomic_files import make_folder
from animalclef.runtime.progress import Progress, Silent
from animalclef.training.fabric import lock_folder, open_fabric
from animalclef.training.matcher.matcher_task import MatcherTask
from animalclef.training.matcher.training_features import training_features
from animalclef.training.matcher.training_folder import fill_store, find_photographs, subjects_of
from animalclef.training.matcher.view_batches import PairSource, held_out
from animalclef.training.training_loop import TrainingLoop

__all__ = ["TrainedMatcher", "train_matcher"]

logger = logging.getLogger(__name__)

_LEAST_KEYPOINTS = 16  # of a view that is worth matching


@dataclass(frozen=True)
class TrainedMatcher:
    """The outcome of a training."""

    path: Path  # the network
    measured: dict[str, dict[str, float]]  # on held-out views: `network`, and `mutual nearest RATIO` beside it
    unreadable: list[str]  # photographs that were left out
    is_first: bool = True  # False in the further processes of a training


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
    """Train on every photograph below `images`, or resume from the checkpoint in `out`.

    Views are made once and kept in `out`. The result depends on the recipe, the photographs, the start, the
    number of processes and the machine.

    Raises:
        DataError: there are too few photographs.
        OutputError: a file of `out` would be replaced that is the start, or that no training wrote.
        StaleArtefactError: `out` holds a training of another recipe, and `overwrite` is not given.
        TrainingError: the loss became something that is not a number.
    """
    fabric = open_fabric(config.precision, device, devices, workers)
    progress = progress if progress is not None and fabric.global_rank == 0 else Silent()
    photos = find_photographs(images)
    weights = None if start is None else read_weights(start)
    features = training_features(config.keypoints)
    make_folder(out)
    with lock_folder(out, fabric.global_rank):
        store, key_of, unreadable = fill_store(photos, out / "views", features, config, workers, progress)
        subjects = subjects_of(photos, key_of, store, config.warps.views, _LEAST_KEYPOINTS)
        trained, apart = held_out(subjects, config.held_out, config.seed)
        logger.info("%d subjects to train on, %d held out", len(trained), len(apart))
        digest = "" if start is None else hashlib.sha256(start.read_bytes()).hexdigest()
        shown = [view for subject in subjects for view in subject.views]
        fabric.launch()
        source, held = (PairSource(part, store, features, config) for part in (trained, apart))
        task = MatcherTask(config, source, held, fabric, weights, str(start))
        settings = config.model_dump(mode="json", exclude={"name"})
        recipe = fingerprint(3, features.name, settings, digest, shown, fabric.world_size)
        loop = TrainingLoop(task, task.settings, out, recipe, fabric, start=start, progress=progress, workers=workers)
        measured = loop.run(overwrite=overwrite)
        return TrainedMatcher(loop.network_path, measured, unreadable, fabric.global_rank == 0)
