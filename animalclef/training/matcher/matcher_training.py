"""Train a LightGlue matcher on a folder of photographs."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from animalclef.config import fingerprint
from animalclef.config.matcher_training import TrainMatcherConfig
from animalclef.runtime.atomic_files import make_folder
from animalclef.runtime.progress import Progress, Silent
from animalclef.training.fabric import claimed, open_fabric
from animalclef.training.matcher.matcher_loop import MatcherTraining
from animalclef.training.matcher.matcher_validation import Measured
from animalclef.training.matcher.training_features import training_features
from animalclef.training.matcher.training_folder import fill_store, find_photographs, subjects_of
from animalclef.training.matcher.view_batches import PairSource, held_out
from animalclef.training.training_checkpoint import read_weights

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
    fabric = open_fabric(config.precision, device, devices, workers)
    progress = progress if progress is not None and fabric.global_rank == 0 else Silent()
    photos = find_photographs(images)
    weights = None if start is None else read_weights(start)
    features = training_features(config.keypoints)
    make_folder(out)
    with claimed(out, fabric.global_rank):
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
