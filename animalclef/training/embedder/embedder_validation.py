"""Measure how well a network retrieves the photographs that were held out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from animalclef.config.embedder_training import LabelConfig
from animalclef.data.encounters import events_of
from animalclef.data.training_splits import TrainingSplit, species_groups
from animalclef.engine.work import batched
from animalclef.errors import TrainingError
from animalclef.features.embedding.preprocessing import Preprocessing
from animalclef.metrics.retrieval_metrics import Candidates, RetrievalFigures, retrieval_of_split
from animalclef.runtime.threads import prefetch
from animalclef.structures import DecodedImage, FloatArray, ImageTable, StrArray
from animalclef.training.embedder.image_cache import ImageCache
from animalclef.training.embedder.training_labels import species_of

__all__ = ["ValidationSet", "embed_images", "figures_row", "hold_out", "rounded"]

_BATCH = 64


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """Photographs to validate on."""

    table: ImageTable
    identity: StrArray  # (n,)
    species: StrArray  # (n,) compared within
    event: NDArray[np.int64]  # (n,)
    split: TrainingSplit  # rows of the table; no query is trained on, the gallery may be

    def measure(self, embeddings: FloatArray) -> RetrievalFigures:
        """Return the figures of embeddings (n, d) of all rows.

        Raises:
            TrainingError: some of them are not numbers.
        """
        broken = self.table.image_id[~np.isfinite(embeddings).all(axis=1)]
        if len(broken):
            raise TrainingError(
                f"The embeddings of {len(broken)} held-out photographs are not numbers (first image_id: {broken[0]}). "
                "Lower optimiser.learning_rate, or give another start; the last checkpoint is kept."
            )
        every = Candidates(embeddings, self.identity, self.species, self.table.viewpoint, self.event)
        return retrieval_of_split(every, self.split)


def hold_out(
    named: ImageTable, encounter_of: Mapping[str, str], split: TrainingSplit, labels: LabelConfig
) -> ValidationSet:
    """Return what a split keeps from training, ready to be measured."""
    rows = np.union1d(split.gallery, split.query).astype(np.int64)
    table = named.select(rows)
    identity, within = table.identity, species_groups(named)[rows]
    if labels.classes == "species":
        identity, within = species_of(table), np.full(len(table), "all", dtype=object)
    return ValidationSet(
        table, identity, within, events_of(table, encounter_of),
        TrainingSplit(rows[:0], np.searchsorted(rows, split.gallery), np.searchsorted(rows, split.query)),
    )  # fmt: skip


def embed_images(
    network: nn.Module,
    preprocessing: Preprocessing,
    images: ImageCache,
    keys: StrArray,
    device: Any,
    autocast: AbstractContextManager[Any],
    workers: int,
) -> FloatArray:
    """Return embeddings (n, d) float32, of any length, of cached photographs prepared as in a run."""

    def prepared(key: str) -> NDArray[np.uint8]:
        pixels = images.pixels(key)
        views = preprocessing.views(DecodedImage(pixels, None, (pixels.shape[1], pixels.shape[0])))
        return np.asarray(views[0], dtype=np.uint8)

    found = []
    with torch.inference_mode(), autocast, closing(prefetch(prepared, keys, workers)) as views:
        for batch in batched(views, _BATCH):
            inputs = preprocessing.normalise(torch.from_numpy(np.stack(batch)), device)
            found.append(network(inputs).float().cpu().numpy())
    return np.concatenate(found).astype(np.float32)


def figures_row(figures: RetrievalFigures) -> dict[str, Any]:
    """Return figures by name, rounded: `mean` over species, then each species; one called so gets a slash before it."""
    rows: dict[str, Any] = {"mean": rounded(figures.mean)}
    for one in figures.species:
        name = f"/{one.species}" if one.species in rows else one.species
        rows[name] = {**rounded(one.measures), "queries": one.queries, "individuals": one.individuals}
    return rows


def rounded(measures: Mapping[str, float]) -> dict[str, float | None]:
    """Return measures with four digits, None where there is none."""
    return {name: None if value != value else round(float(value), 4) for name, value in measures.items()}
