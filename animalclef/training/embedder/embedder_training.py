"""Train an embedder on the named photographs of a data set."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from animalclef.config import fingerprint
from animalclef.config.data import DataConfig
from animalclef.config.embedder_training import TrainConfig
from animalclef.data.encounters import find_encounters
from animalclef.data.hashing import hash_images, photograph_keys
from animalclef.data.review_log import read_review
from animalclef.data.training_splits import split_rows
from animalclef.decision.reviewed_answers import with_reviewed_names
from animalclef.features.embedding.embedder_registry import trained_on_keys
from animalclef.features.extract import stored_thumbnails
from animalclef.runtime.digests import file_digest
from animalclef.runtime.progress import Progress, Silent
from animalclef.structures import ImageTable, Skipped
from animalclef.training.embedder.batch_sampling import Batch, BatchSource
from animalclef.training.embedder.embedder_task import EmbedderTask, TrainingPlan
from animalclef.training.embedder.embedder_validation import ValidationSet, hold_out
from animalclef.training.embedder.image_cache import ImageCache, cache_images
from animalclef.training.embedder.trained_network import Started, build_trained, find_start, start_from
from animalclef.training.embedder.training_labels import TrainingSet, by_side, label_rows, named_rows
from animalclef.training.fabric import lock_folder, open_fabric
from animalclef.training.training_loop import TrainingLoop

__all__ = ["TrainedEmbedder", "train_embedder"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedEmbedder:
    """The outcome of a training."""

    path: Path  # the network
    measured: dict[str, Any]  # on the held-out photographs: `start` and `trained`, and the best epoch
    skipped: list[Skipped]  # photographs that were left out, and why
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
    image_cache: Path | None = None,
    reviewed: Path | None = None,
    progress: Progress | None = None,
    announce: Callable[[TrainingPlan], None] | None = None,
) -> TrainedEmbedder:
    """Train on the named database rows of `table`, or resume from the checkpoint in `out`.

    Queries are used where a `reviewed` log (of `animalclef review`) says whom they show, and never otherwise.
    Reduced copies of the photographs are made once and kept in `image_cache` (default: in `out`), which trainings may
    share. `start` is a file of weights, one that ships, or `published`. The result depends on the recipe, the
    photographs, the start, the number of processes, the machine, and the versions of the libraries; on the CPU also on
    the number of workers, which torch takes as threads.

    Raises:
        DataError: there are too few photographs to train or to validate on, or the log cannot be read.
        ConfigError: there is no such network or device.
        WeightsError: the start does not fit.
        OutputError: a file of `out` would be replaced that is the start, or that no training wrote.
        StaleArtefactError: `out` holds a training of another recipe, and `overwrite` is not given; or the log is of
            other photographs.
        TrainingError: the loss, its gradient or an embedding became something that is not a number.
    """
    fabric = open_fabric(config.precision, device, devices, workers)
    if fabric.global_rank == 0:
        _warn_of_few_pairs(config)
    progress = progress if progress is not None and fabric.global_rank == 0 else Silent()
    torch.manual_seed(config.seed)
    network = build_trained(config.network)
    begun = None if start is None else find_start(start, config.network.model)
    started = None if begun is None else start_from(network, begun)
    with lock_folder(out, fabric.global_rank):
        rows = table if reviewed is not None else named_rows(table, config.labels)
        named, skipped = hash_images(rows, config.data, workers, progress)
        if reviewed is not None:
            named = named_rows(with_reviewed_names(named, read_review(reviewed, named)), config.labels)
        side = max(network.preprocessing.size_wh)
        images, broken = cache_images(named, image_cache or out / "pictures", side, config.data, workers, progress)
        named = named.select(~np.isin(named.image_id, [one.image_id for one in broken]))
        training_set, held = _split(named, images, config)
        logger.info("%d photographs of %d classes to train on", len(training_set), len(training_set.classes))
        fabric.launch()
        is_first = fabric.global_rank == 0
        task = EmbedderTask(
            config, network, BatchSource(training_set, images, config, network.preprocessing), held, fabric, workers,
            _trained_on(training_set.table, begun, workers) if is_first else (),
        )  # fmt: skip
        plan = _plan(task, started)
        loop: TrainingLoop[Batch] = TrainingLoop(
            task, out, _recipe(task, begun), fabric, start=begun, progress=progress, workers=workers,
            announce=lambda pace: announce(replace(plan, **vars(pace))) if announce is not None and is_first else None,
        )  # fmt: skip
        measured = loop.run(overwrite=overwrite)
        return TrainedEmbedder(loop.network_path, measured, [*skipped, *broken], is_first)


def _plan(task: EmbedderTask, started: Started | None) -> TrainingPlan:
    training_set, config = task.source.training_set, task.config
    held = set() if task.held is None else set(task.held.table.image_id) - set(training_set.table.image_id)
    return TrainingPlan(
        images=len(training_set),
        classes=len(training_set.classes),
        held_out=len(held),
        batch=config.batch_size * config.optimiser.accumulate * task.fabric.world_size,
        epochs=config.epochs,
        steps=task.settings.steps,
        started=started,
    )


def _trained_on(table: ImageTable, start: Path | None, workers: int) -> frozenset[str]:
    """Return keys of the photographs that are trained on, and that the start was trained on."""
    before = frozenset[str]() if start is None else trained_on_keys(start)
    return before | (frozenset(photograph_keys(table, workers)) - {""})


def _warn_of_few_pairs(config: TrainConfig) -> None:
    if config.loss.kind in ("triplet", "contrastive") and config.sampling.kind != "pxk":
        logger.warning(
            "loss.kind=%s needs photographs of one individual in the same batch, which sampling.kind=%s seldom "
            "draws; sampling.kind=pxk always does.", config.loss.kind, config.sampling.kind,
        )  # fmt: skip


def _split(named: ImageTable, images: ImageCache, config: TrainConfig) -> tuple[TrainingSet, ValidationSet | None]:
    """Return what is trained on, and what is held out."""
    sided = by_side(named, config.labels)
    if config.validation.split is None:
        return label_rows(sided, config.labels), None
    encounter_of = find_encounters(named, stored_thumbnails(images.store, named.key), config.encounters).of
    split = split_rows(sided, encounter_of, config.validation.split, config.seed)
    return label_rows(sided.select(split.train), config.labels), hold_out(sided, encounter_of, split, config.labels)


def _recipe(task: EmbedderTask, start: Path | None) -> str:
    """Return a digest of the settings, the start, the photographs, their split, and the number of processes.

    The machine and the versions of libraries are no part of it, though the weights depend on them: a training may be
    resumed elsewhere, and ends with other bytes there.
    """
    config, training_set, held = task.config, task.source.training_set, task.held
    shown = [training_set.table.key.tolist(), training_set.label.tolist(), task.trained.preprocessing.size_wh]
    if config.data.decode_long_side != DataConfig().decode_long_side:  # the default is no part of older digests
        shown.append(config.data.decode_long_side)
    apart = [] if held is None else [held.table.key.tolist(), held.split.query.tolist(), held.split.gallery.tolist()]
    begun = "" if start is None else file_digest(start)
    settings = config.digested(exclude={"name", "data", "checkpoint_every"})
    return fingerprint(2, settings, begun, shown, apart, task.fabric.world_size)
