"""Stage one alone: photographs with their embeddings, from the stores of the run that `predict` would use."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from animalclef.config import Config, SplitConfig
from animalclef.data.encounters import events_of
from animalclef.data.table import LoadedTable
from animalclef.data.table_writing import without_filled
from animalclef.data.training_splits import species_groups, split_rows
from animalclef.engine.work import Engine, ThisMachine
from animalclef.errors import DataError
from animalclef.hub.needed_weights import require_weights
from animalclef.metrics.retrieval_metrics import Candidates, RetrievalFigures, one_against_all, retrieval_of_split
from animalclef.pipeline.features import FeatureSet, encounters_of, extract_all_features
from animalclef.pipeline.image_contents import Contents, read_contents
from animalclef.pipeline.run_context import open_context
from animalclef.prepare.viewpoints import ViewLabels, label_views
from animalclef.runtime.progress import Progress
from animalclef.store.run_folder import RunFolder
from animalclef.structures import ImageTable, Skipped

__all__ = ["Embedding", "evaluate_embedder", "fill_viewpoints"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Embedding:
    """How photographs are embedded: settings, device, and where the work is kept (`None`: where `predict` keeps it)."""

    config: Config
    device: str
    workers: int
    progress: Progress
    weights: Path | None = None
    run: Path | None = None
    engine: Engine = field(default_factory=ThisMachine)

    def extract_features(self, loaded: LoadedTable, *, queries: bool) -> FeatureSet:
        """The named database photographs, and with `queries` all others too.

        Raises:
            DataError: no database photograph has a name, or too many files are missing.
            WeightsError: the embedder's weights are not here.
        """
        config = _stage_one(self.config)
        require_weights(config, self.weights)
        if not len(loaded.images.gallery):
            raise DataError(f"{loaded.source.root}: no database rows with an identity, so there is nobody to look for.")
        contents = read_contents(loaded, config, self.workers, self.progress)
        folder = RunFolder(self.run or Path("runs") / f"{config.name}-{contents.digest[:8]}")
        if not queries:
            contents = Contents(contents.images.gallery, [one for one in contents.set_aside if one.split != "query"])
        with folder.claimed():
            folder.open(overwrite=False)
            context = open_context(
                config, folder, self.device, self.weights, self.workers, self.progress, engine=self.engine
            )
            return extract_all_features(contents, context)


def evaluate_embedder(
    loaded: LoadedTable, embedding: Embedding, split: SplitConfig | None, *, hide_events: bool
) -> tuple[RetrievalFigures, list[Skipped]]:
    """Rank-k and mAP of the named database photographs, one against all others, or as a split says.

    Viewpoints count in the data sets that `retrieve.same_viewpoint` names. With `hide_events` a photograph does not see
    those of its own encounter. The table's queries are not looked at.

    Raises:
        DataError: nobody can be looked for, or nobody can be tested by the split.
    """
    described = embedding.extract_features(loaded, queries=False)
    images = described.images
    encounter_of = encounters_of(described, embedding.config).of
    one_side = [name for name in images.datasets if embedding.config.retrieve.compares_one_side(name)]
    restricted = np.isin(images.dataset, one_side)
    photographs = Candidates(
        described.embeddings.of(images.image_id),
        images.identity,
        species_groups(images),
        np.where(restricted, images.viewpoint, ""),
        events_of(described.by_content(), encounter_of) if hide_events else None,
    )
    if split is None:
        _warn_train_overlap(images, described.trained_on)
        return one_against_all(photographs), described.set_aside
    rows = split_rows(described.by_content(), encounter_of, split, embedding.config.seed)
    _warn_train_overlap(images.select(rows.query), described.trained_on)
    return retrieval_of_split(photographs, rows), described.set_aside


def _warn_train_overlap(queries: ImageTable, trained_on: frozenset[str]) -> None:
    if seen := len(trained_on & set(queries.image_id)):
        logger.warning("The embedder was trained on %d of these %d queries: figures flatter it.", seen, len(queries))


def fill_viewpoints(
    loaded: LoadedTable, embedding: Embedding, least_confidence: float
) -> tuple[ViewLabels, list[Skipped]]:
    """Return the viewpoints of all photographs, given or predicted from their embedding; queries with a viewpoint are
    training data too.

    Raises:
        DataError: there is no table, or no data set from which viewpoints can be predicted.
    """
    if loaded.source.table is None:
        raise DataError(f"{loaded.source.root}: a tree of folders has no viewpoints; write a table with `orientation`.")
    given = replace(loaded, images=without_filled(loaded.images, loaded.source))
    if not (given.images.viewpoint != "").any():
        raise DataError(
            f"{loaded.source.table}: no photograph has a viewpoint, so there is nothing to learn from. Fill the column "
            "orientation for some photographs of several individuals, from every side."
        )
    described = embedding.extract_features(given, queries=True)
    labels = label_views(described.images, described.embeddings, least_confidence, embedding.config.seed)
    return labels, described.set_aside


def _stage_one(config: Config) -> Config:
    """The same settings without local features and matches."""
    retrieve = config.retrieve.model_copy(update={"sources": ("embedding",)})
    rerank = config.rerank.model_copy(update={"matcher": "none", "members": ()})
    embed = config.embed.model_copy(update={"members": ()})
    keypoints = config.keypoints.model_copy(update={"masks": None, "views": {}})
    return config.model_copy(update={"embed": embed, "retrieve": retrieve, "rerank": rerank, "keypoints": keypoints})
