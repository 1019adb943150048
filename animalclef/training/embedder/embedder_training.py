"""Train an embedder on the named photographs of a data set."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from animalclef.config import fingerprint
from animalclef.config.embedder_training import TrainConfig
from animalclef.data.content_key import photograph_keys
from animalclef.data.encounters import find_encounters
from animalclef.data.hashing import hash_images
from animalclef.data.training_splits import split_rows
from animalclef.features.embedding.embedder_registry import learnt_from
from animalclef.runtime.atomic_files import make_folder
from animalclef.runtime.progress import Progress, Silent
from animalclef.structures import ImageTable, Skipped
from animalclef.training.embedder.early_stopping import TrainingPlan
from animalclef.training.embedder.embedder_loop import EmbedderTraining
from animalclef.training.embedder.embedder_validation import ValidationSet, hold_out
from animalclef.training.embedder.image_cache import Pictures, keep_pictures
from animalclef.training.embedder.photograph_batches import BatchSource
from animalclef.training.embedder.trained_network import TrainedNetwork, build_trained, find_start, start_from
from animalclef.training.embedder.training_labels import TrainingSet, by_side, label_rows, named_rows
from animalclef.training.fabric import claimed, open_fabric

__all__ = ["TrainedEmbedder", "train_embedder"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedEmbedder:
    """What a training came to."""

    path: Path  # the network
    measured: dict[str, Any]  # of held-out photographs: `start` and `trained`, and the epoch that was the best
    set_aside: list[Skipped]  # photographs that were left out, and why
    is_first: bool = True  # False in the further processes of a training


def train_embedder(
    config: TrainConfig,
    table: ImageTable,
    out: Path,
    *,
    start: Path | str | None = None,
    device: str = "auto",
    devices: int = 1,
    workers: int = 1,
    overwrite: bool = False,
    pictures: Path | None = None,
    progress: Progress | None = None,
    announce: Callable[[TrainingPlan], None] | None = None,
) -> TrainedEmbedder:
    """Train on the named database rows of `table`, or go on from the checkpoint in `out`; queries are never looked at.

    Reduced copies of the photographs are made once and kept in `pictures` (default: in `out`), which trainings may
    share. `start` is a file of weights, one that ships, or `published`. The result depends on the recipe, the
    photographs, the start, the number of processes, the machine, and the versions of the libraries; on the CPU also on
    the number of workers, which torch takes as threads.

    Raises:
        DataError: there is too little to learn from, or to validate on.
        ConfigError: there is no such network or device.
        WeightsError: the start does not fit.
        StaleArtefactError: `out` holds a training of another recipe, and `overwrite` is not given.
        TrainingError: the loss, its gradient or an embedding became something that is not a number.
    """
    import torch

    fabric = open_fabric(config.precision, device, devices, workers)
    if fabric.global_rank == 0:
        _warn_of_few_pairs(config)
    progress = progress if progress is not None and fabric.global_rank == 0 else Silent()
    torch.manual_seed(config.seed)
    network = build_trained(config.network)
    begun = None if start is None else find_start(start, config.network.model)
    started = None if begun is None else start_from(network, begun)
    make_folder(out)
    with claimed(out, fabric.global_rank):
        named, aside = hash_images(named_rows(table, config.labels), config.data, workers, progress)
        side = max(network.preprocessing.size_wh)
        kept, broken = keep_pictures(named, pictures or out / "pictures", side, config.data, workers, progress)
        lost = {one.image_id for one in broken}
        named = named.select(np.array([one not in lost for one in named.image_id], dtype=bool))
        learnt, held = _split(named, kept, config)
        logger.info("%d photographs of %d classes to learn from", len(learnt), len(learnt.classes))
        fabric.launch()
        training = EmbedderTraining(
            config=config,
            out=out,
            network=network,
            source=BatchSource(learnt, kept, config, network.preprocessing),
            held=held,
            recipe=_recipe(config, network, begun, learnt, held, fabric.world_size),
            fabric=fabric,
            progress=progress,
            announce=announce if announce is not None and fabric.global_rank == 0 else lambda plan: None,
            workers=workers,
            started=started,
            learnt=_learnt(learnt.table, begun, workers) if fabric.global_rank == 0 else (),
        )
        if overwrite and fabric.global_rank == 0:
            training.forget()
        fabric.barrier()
        measured = training.run()
        return TrainedEmbedder(training.network_path, measured, [*aside, *broken], fabric.global_rank == 0)


def _learnt(table: ImageTable, start: Path | None, workers: int) -> frozenset[str]:
    """Keys of the photographs that train, and that the start was trained on."""
    before = frozenset[str]() if start is None else learnt_from(start)
    return before | (frozenset(photograph_keys(table, workers)) - {""})


def _warn_of_few_pairs(config: TrainConfig) -> None:
    if config.loss.kind in ("triplet", "contrastive") and config.sampling.kind != "pxk":
        logger.warning(
            "loss.kind=%s learns from photographs of one individual in the same batch, which sampling.kind=%s seldom "
            "draws; sampling.kind=pxk always does.", config.loss.kind, config.sampling.kind,
        )  # fmt: skip


def _split(named: ImageTable, pictures: Pictures, config: TrainConfig) -> tuple[TrainingSet, ValidationSet | None]:
    """What is learnt from, and what is held out."""
    sided = by_side(named, config.labels)
    if config.validation.split is None:
        return label_rows(sided, config.labels), None
    encounter_of = find_encounters(named, pictures.thumbnails(list(named.key)), config.encounters).of
    split = split_rows(sided, encounter_of, config.validation.split, config.seed)
    return label_rows(sided.select(split.train), config.labels), hold_out(sided, encounter_of, split, config.labels)


def _recipe(
    config: TrainConfig,
    network: TrainedNetwork,
    start: Path | None,
    learnt: TrainingSet,
    held: ValidationSet | None,
    processes: int,
) -> str:
    """Changes with the settings, the start, the photographs, how they are split, and the number of processes.

    The machine, the versions of libraries and the code are no part of it, though the weights depend on them: a training
    may go on elsewhere, and ends with other bytes there.
    """
    shown = [learnt.table.key.tolist(), learnt.label.tolist(), network.preprocessing.size_wh]
    apart = [] if held is None else [held.table.key.tolist(), held.split.query.tolist(), held.split.gallery.tolist()]
    begun = "" if start is None else hashlib.sha256(start.read_bytes()).hexdigest()
    settings = config.model_dump(mode="json", exclude={"name", "data", "checkpoint_every"})
    return fingerprint(1, settings, begun, shown, apart, processes)
