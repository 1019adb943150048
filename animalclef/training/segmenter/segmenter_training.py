"""Train a segmenter on rendered animals and on photographs with masks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from animalclef.config import fingerprint
from animalclef.config.training import TrainSegmenterConfig
from animalclef.data.content_key import photograph_keys
from animalclef.data.masks import Masks
from animalclef.errors import DataError
from animalclef.prepare.u2netp import load_u2netp
from animalclef.runtime.atomic_files import make_folder
from animalclef.runtime.progress import Progress, Silent
from animalclef.structures import ImageTable
from animalclef.training.fabric import lock_folder, open_fabric
from animalclef.training.segmenter.segmenter_examples import ExampleSource, MaskBatch
from animalclef.training.segmenter.segmenter_task import SegmenterTask
from animalclef.training.training_loop import TrainingLoop

__all__ = ["TrainedSegmenter", "train_segmenter"]

_APART = 1_000_003  # added to the seed of what is held out


@dataclass(frozen=True)
class TrainedSegmenter:
    """The outcome of a training."""

    path: Path  # the network
    measured: dict[str, Any]  # mean IoU with the true masks of held-out photographs: `start` and `network`
    is_first: bool = True  # False in the further processes of a training


def train_segmenter(
    config: TrainSegmenterConfig,
    start: Path,
    out: Path,
    *,
    images: ImageTable | None = None,
    masks: Masks | None = None,
    device: str = "auto",
    devices: int = 1,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainedSegmenter:
    """Train from the weights of `start`, or resume from the checkpoint in `out`.

    Photographs of `images` are used where `masks` has a mask; a tenth of them, at least one, is held out for
    validation beside rendered ones. The result depends on the recipe, the photographs, their masks, the number of
    processes and the machine.

    Raises:
        DataError: `images` has fewer than two photographs with masks.
        WeightsError: `start` is not a file with weights of U2-Net-P.
        OutputError: a file of `out` would be replaced that is the start, or that no training wrote.
        StaleArtefactError: `out` holds a training of another recipe, and `overwrite` is not given.
        TrainingError: the loss became something that is not a number.
    """
    fabric = open_fabric(config.precision, device, devices, workers)
    progress = progress if progress is not None and fabric.global_rank == 0 else Silent()
    network = load_u2netp(start)
    parts: list[tuple[ImageTable | None, Masks | None]] = [(None, None), (None, None)]
    used: list[str] = []
    if images is not None:
        if masks is None or int((masks.source != "").sum()) < 2:
            raise DataError("Training needs two photographs with masks or more. Give masks with --masks, or no --data.")
        rows = np.flatnonzero(masks.source != "")
        held = np.arange(len(rows)) % 10 == 0
        parts = [(images.select(chosen), masks.select(chosen)) for chosen in (rows[~held], rows[held])]
        keys = photograph_keys(images.select(rows), workers)
        used = [
            f"{images.path[row]} {key} {masks.digest[row]} {images.bbox_xywhr[row].tolist()}"
            for row, key in zip(rows, keys, strict=True)
        ]
    make_folder(out)
    with lock_folder(out, fabric.global_rank):
        fabric.launch()
        source = ExampleSource(config, config.seed, *parts[0])
        task = SegmenterTask(config, network, source, ExampleSource(config, config.seed + _APART, *parts[1]), fabric)
        digest = hashlib.sha256(start.read_bytes()).hexdigest()
        settings = config.model_dump(mode="json", exclude={"name", "checkpoint_every"})
        recipe = fingerprint(2, settings, digest, used, fabric.world_size)
        loop = TrainingLoop[MaskBatch](
            task, task.settings, out, recipe, fabric, start=start, progress=progress, workers=workers
        )  # fmt: skip
        measured = loop.run(overwrite=overwrite)
        return TrainedSegmenter(loop.network_path, measured, fabric.global_rank == 0)
