"""Train every arm of a study, embed, and measure; finished parts are kept."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from animalclef.config import Config
from animalclef.config.training import StudyConfig
from animalclef.data.encounters import find_encounters
from animalclef.data.table import LoadedTable
from animalclef.data.training_splits import split_rows
from animalclef.engine.work import Engine, ThisMachine
from animalclef.errors import ConfigError, DataError
from animalclef.features.extract import ExtractionJob, ThumbnailExtractor, extract_features, stored_thumbnails
from animalclef.pipeline.embed_only import Embedding
from animalclef.pipeline.image_contents import read_contents
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.progress import Progress
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable
from animalclef.structures.arrays import text_array
from animalclef.training.embedder.embedder_validation import rounded
from animalclef.training.study.arm_trainings import ArmSeed, ArmTrainings, plan_arm
from animalclef.training.study.study_scores import Asked, Line, score_dataset, thinned

__all__ = ["Study"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Parts:
    """Rows of the table to train on and of the queries, and the data sets that have both."""

    train: NDArray[np.int64]
    datasets: tuple[str, ...]
    asked: Callable[[], Asked]  # reads the truth where there is one, after everything is trained and embedded
    asks_queries: bool  # the table's own, rather than a split's


@dataclass(eq=False)
class Study:
    """One study on one data folder."""

    config: StudyConfig
    loaded: LoadedTable
    out: Path
    starts: Mapping[str, Path]
    device: str
    workers: int
    progress: Progress
    overwrite: bool = False
    engine: Engine = field(default_factory=ThisMachine)  # trains the arms, and embeds with them

    def run(self, read_truth: Callable[[], Mapping[str, str | None]] | None = None) -> list[Line]:
        """Train what is absent, embed and measure.

        Without `read_truth` the queries are those of a split of the database. With it all named database photographs
        are trained on, and the queries are the table's own known ones. It returns their names by image_id, None for a
        new individual, and is called once, after the last training.

        Raises:
            ConfigError: an arm names a start that is not given, or settings that are not there.
            DataError: the photographs do not allow the split, or the truth is of other photographs.
        """
        self._check_starts()
        parts = self._parts(read_truth)
        work = ArmTrainings(
            self.config, self.images, parts.train, self.out, self.starts, self.device, self.workers, self.progress,
            self.overwrite,
        )  # fmt: skip
        plans = {arm.name: plan_arm(arm, parts.datasets) for arm in self.config.arms}
        asked_for = [ArmSeed(arm, plans[arm.name], seed) for seed in self.config.seeds for arm in self.config.arms]
        chunks = work.chunks(asked_for)  # reports a mistake in a recipe before the first training, not after the last
        if self.engine.capacity is not None:
            work.fill_image_cache(asked_for)
        trained = zip(chunks, self.engine.ordered(work, chunks), strict=True)
        made = {
            (one.arm.name, one.seed): paths for chunk, found in trained for one, paths in zip(chunk, found, strict=True)
        }
        embedded = [(one, *self._embedded(one, made[one.arm.name, one.seed], parts)) for one in asked_for]
        asked = parts.asked()
        lines = [line for one in embedded for line in _lines(*one, asked)]
        write_text(self.out / "lines.json", json.dumps([_plain(line) for line in lines], indent=1) + "\n")
        return lines

    @cached_property
    def images(self) -> ImageTable:
        """Return all photographs, with their content keys."""
        return read_contents(self.loaded, Config(), self.workers, self.progress).images

    def _check_starts(self) -> None:
        wanted = {arm.start for arm in self.config.arms if arm.start is not None}
        if absent := sorted(wanted - set(self.starts)):
            given = " ".join(f"--start {name}=FILE" for name in absent)
            raise ConfigError(f"{self.config.name}: arms begin from weights that are not given. Add {given}.")

    def _parts(self, read_truth: Callable[[], Mapping[str, str | None]] | None) -> _Parts:
        images = self.images
        named = np.flatnonzero(images.is_named)
        if read_truth is None:
            named, encounter_of = self._encounters(named)
            split = split_rows(images.select(named), encounter_of, self.config.split, self.config.split_seed)
            train, gallery, query = (named[rows] for rows in (split.train, split.gallery, split.query))
            event = text_array([encounter_of.get(one, "") for one in images.image_id])
            asked = Asked(images.identity, images.dataset, event, gallery, query)
            return _Parts(train, self._datasets(train, query), lambda: asked, asks_queries=False)

        def with_truth() -> Asked:
            whose = {one: who for one, who in read_truth().items() if who is not None}
            both = zip(images.image_id, images.identity, strict=True)
            identity = np.array([whose.get(one, who) for one, who in both], dtype=object)
            known = np.flatnonzero(np.array([one in whose for one in images.image_id], dtype=bool) & images.is_query)
            if not len(known):
                raise DataError(f"{images.root}: the truth names no known query of this table. Is it of other data?")
            alone = np.arange(len(images)).astype(str).astype(object)  # no query shares an event with the database
            return Asked(identity, images.dataset, alone, named, known)

        return _Parts(named, self._datasets(named, np.flatnonzero(images.is_query)), with_truth, asks_queries=True)

    def _datasets(self, train: NDArray[np.int64], query: NDArray[np.int64]) -> tuple[str, ...]:
        """Return the data sets with two individuals to train on, and with queries."""
        kept = []
        for name in self.images.datasets:
            individuals = set(self.images.identity[train[self.images.dataset[train] == name]])
            if len(individuals) > 1 and name in self.images.dataset[query]:
                kept.append(name)
            else:
                logger.warning("%s: left out of the study, it needs two individuals to train on and a query.", name)
        if not kept:
            raise DataError(f"{self.images.root}: no data set has two individuals to train on, and queries.")
        return tuple(kept)

    def _encounters(self, named: NDArray[np.int64]) -> tuple[NDArray[np.int64], Mapping[str, str]]:
        """Return the named rows that can be read, and their encounters by image_id."""
        images, settings = self.images, Config()
        store, unreadable = ShardStore(self.out / "thumbnails"), ShardStore(self.out / "unreadable")
        jobs = [ExtractionJob(ThumbnailExtractor(), store)]
        broken = extract_features(images.select(named), jobs, unreadable, settings.data, self.workers, self.progress)
        usable = named[~np.isin(images.image_id[named], [one.image_id for one in broken])]
        thumbnails = stored_thumbnails(store, images.key[usable])
        return usable, find_encounters(images.select(usable), thumbnails, settings.encounters).of

    def _embedded(
        self, one: ArmSeed, made: Mapping[str, Path], parts: _Parts
    ) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32] | None]:
        """Return the vectors of every data set by its own network of an arm, and those of all by the arm's router."""
        start, plan = str(one.arm.start), one.plan
        network_of = {name: self.starts[start] if job is None else made[job] for name, job in plan.network_of.items()}
        vectors = {}
        for path in dict.fromkeys(network_of.values()):
            vectors[path] = self._vectors(path, [name for name, own in network_of.items() if own == path], parts)
        router = None if plan.router is None else self._vectors(made[plan.router], parts.datasets, parts)
        return {name: vectors[path] for name, path in network_of.items()}, router

    def _vectors(self, network: Path, datasets: Sequence[str], parts: _Parts) -> NDArray[np.float32]:
        """Return vectors (n, d) of the data sets' photographs; zeros elsewhere, and for unreadable ones."""
        images = self.images.select(np.isin(self.images.dataset, list(datasets)))
        config = Config.model_validate({"embed": {"model": f"file:{network}"}})
        embedding = Embedding(
            config, self.device, self.workers, self.progress, run=self.out / "run", engine=self.engine
        )
        embeddings = embedding.extract_features(
            replace(self.loaded, images=images), queries=parts.asks_queries
        ).embeddings
        rows = [self.images.row_of[one] for one in embeddings.image_id]
        vectors = np.zeros((len(self.images), embeddings.values.shape[1]), dtype=np.float32)
        vectors[rows] = embeddings.values
        return vectors


def _lines(
    one: ArmSeed, vectors_of: Mapping[str, NDArray[np.float32]], router: NDArray[np.float32] | None, asked: Asked
) -> list[Line]:
    lines = []
    for most in one.arm.gallery_images or (0,):
        part = thinned(asked, most, one.seed) if most else asked
        name = f"{one.arm.name}, {most} each" if most else one.arm.name
        sent = None if router is None else _sent(router, part)
        for dataset, vectors in vectors_of.items():
            routed = None if sent is None else sent == dataset
            figures = score_dataset(part, dataset, vectors, routed)
            mine = part.query[part.dataset[part.query] == dataset]
            right = None if routed is None or not len(mine) else float(routed[mine].mean())
            lines.append(Line(name, one.seed, figures, right))
    return lines


def _sent(router: NDArray[np.float32], asked: Asked) -> NDArray[np.object_]:
    """Return the data set of the gallery photograph nearest to every query, (n,); None for other rows."""
    gallery = asked.gallery if len(asked.gallery) else asked.query
    gallery = gallery[router[gallery].any(axis=1)]
    sent = np.full(len(asked.dataset), None, dtype=object)
    for row in asked.query.tolist():
        similarity = router[gallery] @ router[row]
        similarity[gallery == row] = -np.inf
        sent[row] = asked.dataset[gallery[int(similarity.argmax())]]
    return sent


def _plain(line: Line) -> dict[str, object]:
    figures = line.figures
    return {"arm": line.arm, "seed": line.seed, "dataset": figures.dataset, "queries": figures.queries,
            **rounded(figures.measures), "told_apart": line.told_apart}  # fmt: skip
