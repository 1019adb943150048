"""The only file that knows the order of the stages."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata

import cv2
import numpy as np
import PIL

from animalclef.artefacts import (
    Embeddings,
    FloatArray,
    ImageTable,
    LocalFeatures,
    PairScores,
    Predictions,
    RankedCandidates,
    SetAside,
    Shortlist,
)  # fmt: skip
from animalclef.config import Config, fingerprint
from animalclef.data.encounters import Encounters, find_encounters
from animalclef.data.images import LoadedTable
from animalclef.data.splits import choose_pseudo_queries, open_set_splits
from animalclef.decision import Decision, load_decision
from animalclef.errors import DataError, StaleArtefactError
from animalclef.estimate import Plan, estimate
from animalclef.evaluation.tune import tune
from animalclef.evaluation.validation import PseudoQueries, lay_out
from animalclef.models.mutual_nearest import MutualNearest
from animalclef.models.zoo import TimmExtractor
from animalclef.progress import Progress
from animalclef.stages.decide import decide
from animalclef.stages.describe import Look, ThumbnailExtractor, describe
from animalclef.stages.embed import Embedder, join_embeddings, load_network
from animalclef.stages.fuse import fuse
from animalclef.stages.identify import identify
from animalclef.stages.keypoints import SiftExtractor, features_from_entry
from animalclef.stages.rerank import rerank, scores_without_matching
from animalclef.stages.retrieve import retrieve
from animalclef.store.files import write_text
from animalclef.store.pairs import PairLog
from animalclef.store.run import RunFolder
from animalclef.store.shards import ShardStore

__all__ = ["Outcome", "Pipeline", "read_contents"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run came to."""

    predictions: Predictions
    ranked: RankedCandidates
    decision: Decision
    set_aside: list[SetAside]
    seconds: dict[str, float]
    weights: str | None  # digest of the embedding network's weights, None without one
    device: str


@dataclass(frozen=True, eq=False)
class Contents:
    """The table with the content of its files known."""

    images: ImageTable
    set_aside: list[SetAside]

    @property
    def digest(self) -> str:
        """Changes with any row or any photograph."""
        images = self.images
        boxes = np.round(np.nan_to_num(images.bbox_xywhr, nan=-1), 3).tolist()
        columns = [images.image_id, images.dataset, images.is_query, images.identity, images.date, images.viewpoint]
        rows = [column.tolist() for column in [*columns, images.encounter, images.key]]
        return fingerprint(*rows, boxes, [item.image_id for item in self.set_aside])


def read_contents(loaded: LoadedTable, config: Config, workers: int, progress: Progress) -> Contents:
    """Read every file of a table once.

    Raises:
        DataError: too many files are missing, or nothing in the gallery can be used.
    """
    images, set_aside = identify(loaded.images, config.data, workers, progress)
    return Contents(images, set_aside)


@dataclass(frozen=True, eq=False)
class _Described:
    """Every usable photograph with what was extracted from it."""

    images: ImageTable
    embeddings: Embeddings
    thumbnails: ShardStore
    keypoints: ShardStore
    set_aside: list[SetAside]

    def features(self, key: str) -> LocalFeatures:
        """Local features by content key."""
        return features_from_entry(key, self.keypoints.get(key))

    def thumbnail(self, key: str) -> FloatArray:
        """The thumbnail by content key."""
        return self.thumbnails.get(key)["thumbnail"].astype(np.float32)


@dataclass(eq=False)
class Pipeline:
    """One run over one table; `announce` is told the plan before the long part."""

    loaded: LoadedTable
    contents: Contents
    config: Config
    run: RunFolder
    workers: int
    device: str
    progress: Progress
    announce: Callable[[Plan], None]
    seconds: dict[str, float] = field(default_factory=dict)

    def predict(self, given: Decision | None = None) -> Outcome:
        """Answer every query; with a decision given nothing is tuned.

        Raises:
            DataError: no gallery photograph has an identity.
            StaleArtefactError: the decision was fitted on scores of other settings.
        """
        network = load_network(self.config, self.device)
        scores_id = self._scores_id(network)
        if given is not None:
            given.check(scores_id)
        if not len(self.loaded.images.gallery):
            where = self.loaded.source.table or self.loaded.source.root
            raise DataError(f"{where}: no database rows with an identity, so nobody can be recognised.")
        log = self._open_log()
        with self._timed("describe"):
            described = self._describe(network, log, tunes=given is None)
        images = described.images
        _warn_of_what_is_absent(self.loaded.images, images)
        if given is not None and network is None and given.gallery != _gallery_digest(images):
            logger.warning("The decision was fitted on another gallery, and so was its weight-free embedding.")
        with self._timed("match"):
            shortlist = retrieve(images.queries, images.gallery, described.embeddings, self.config.retrieve)
            scores = self._match(shortlist, described, log)
        encounters = self._encounters(described)
        decision = given or self._tune(described, encounters, log, scores_id)
        ranked = fuse(scores, images, decision)
        predictions = decide(ranked, self.loaded.images.queries, decision)
        self.run.finished.unlink(missing_ok=True)
        self.run.write_set_aside(described.set_aside)
        self.run.write_encounters(encounters)
        write_text(self.run.decision, decision.model_dump_json(indent=1) + "\n")
        self.run.write_table(self.loaded.images, images)
        self.run.write_candidates(ranked)
        settings = {"scores": scores_id, "data": self.contents.digest, "config": self.config.model_dump(mode="json")}
        write_text(self.run.finished, json.dumps(settings, indent=1) + "\n")
        weights, device = (None, "cpu") if network is None else (network.digest, network.device)
        return Outcome(predictions, ranked, decision, described.set_aside, self.seconds, weights, device)

    def _describe(self, network: TimmExtractor | None, log: PairLog | None, *, tunes: bool) -> _Described:
        config, images = self.config, self.contents.images
        decoding = [config.data.decode_long_side, config.data.max_pixels, cv2.__version__, PIL.__version__]
        unreadable = ShardStore(self.run.store("unreadable", fingerprint(1, decoding)))
        thumbnails = ShardStore(self.run.store("thumbnails", fingerprint(1, decoding)))
        keypoints = ShardStore(self.run.store("keypoints", fingerprint(2, config.keypoints, decoding)))
        common = [Look(ThumbnailExtractor(), thumbnails)]
        if config.rerank.matcher != "none":
            common.append(Look(SiftExtractor(config.keypoints), keypoints))
        tables = {name: images.select(images.dataset == name) for name in images.datasets}
        embedders = {name: Embedder(name, table.gallery, config, network) for name, table in tables.items()}
        stores = {name: ShardStore(self.run.store("embeddings", one.fingerprint)) for name, one in embedders.items()}
        looks = {
            name: [*common, Look(one.extractor(stores[name].folder, self.workers, self.progress), stores[name])]
            for name, one in embedders.items()
        }
        matched = 0 if log is None else len(log)
        self.announce(estimate(images, looks, config, self.workers, matched, tunes=tunes))
        set_aside = list(self.contents.set_aside)
        for name, table in tables.items():
            set_aside += describe(table, looks[name], unreadable, config.data, self.workers, self.progress)
        bad = {item.image_id for item in set_aside}
        images = images.select(np.array([one not in bad for one in images.image_id], dtype=bool))
        if not len(images.gallery):
            raise DataError(f"{images.root}: no database photograph can be read, so nobody can be recognised.")
        parts = [
            embedders[name].embeddings(images.select(images.dataset == name), stores[name]) for name in images.datasets
        ]
        return _Described(images, join_embeddings(parts), thumbnails, keypoints, set_aside)

    def _scores_id(self, network: TimmExtractor | None) -> str:
        """What a decision's calibrators hold for: every setting that shapes a raw score, but not the photographs."""
        config = self.config
        embed = config.embed.model_dump(mode="json", exclude={"batch_size", "weights"})
        weights = "" if network is None else network.digest
        decoding = config.data.decode_long_side
        return fingerprint(3, decoding, embed, weights, config.retrieve.top_k, config.keypoints, config.rerank)

    def _open_log(self) -> PairLog | None:
        """The log of pairs matched with these settings; `None` where nothing is matched."""
        config = self.config
        if config.rerank.matcher == "none":
            return None
        parts = [2, config.rerank, config.keypoints, config.data.decode_long_side, cv2.__version__, np.__version__]
        key = fingerprint(*parts)
        return PairLog(self.run.path / "pairs" / f"{key}.log", key, MutualNearest.columns)

    def _match(self, shortlist: Shortlist, described: _Described, log: PairLog | None) -> PairScores:
        if log is None:
            return scores_without_matching(shortlist)
        matcher = MutualNearest(self.config.rerank)
        return rerank(shortlist, described.images, described.features, matcher, log, self.workers, self.progress)

    def _tune(self, described: _Described, encounters: Encounters, log: PairLog | None, scores_id: str) -> Decision:
        """The decision for these scores and photographs; one tuned before, by the same versions, is used again."""
        config, gallery = self.config, _gallery_digest(described.images)
        versions = [metadata.version(name) for name in ("optuna", "scikit-learn", "numpy", "faiss-cpu")]
        seen = [self.contents.digest, described.images.key.tolist(), sorted(encounters.of.items())]
        made_by = [scores_id, described.embeddings.model, "" if log is None else log.path.name, *versions]
        path = self.run.decision_of(fingerprint(2, seen, made_by, config.decide, config.retrieve, config.seed))
        if path.is_file():
            try:
                return load_decision(path)
            except StaleArtefactError as error:
                logger.warning("%s It is tuned again.", error)
        with self._timed("validate"):
            pseudo = self._pseudo_queries(described, encounters, log)
        with self._timed("tune"):
            decision = tune(pseudo, config.decide, config.seed, scores_id, gallery, self.progress)
        write_text(path, decision.model_dump_json(indent=1) + "\n")
        return decision

    def _encounters(self, described: _Described) -> Encounters:
        gallery = described.images.gallery
        thumbnails = {key: described.thumbnail(key) for key in dict.fromkeys(gallery.key)}
        return find_encounters(gallery, thumbnails, self.config.encounters)

    def _pseudo_queries(
        self, described: _Described, encounters: Encounters, log: PairLog | None
    ) -> dict[str, PseudoQueries]:
        """Gallery photographs matched against the gallery, their own encounter hidden."""
        config, gallery = self.config, described.images.gallery
        chosen, splits = [], {}
        for name in gallery.datasets:
            table = gallery.select(gallery.dataset == name)
            pseudo = choose_pseudo_queries(table, encounters.of, config.decide, config.seed)
            splits[name] = open_set_splits(pseudo, table, encounters.of, config.decide, config.seed)
            chosen.append(pseudo.image_id)
        queries = gallery.select(np.isin(gallery.image_id.astype(str), np.concatenate(chosen).astype(str)))
        hidden, own = encounters.hidden_from(queries, gallery)
        shortlist = retrieve(queries, gallery, described.embeddings, config.retrieve, hidden, own)
        scores = self._match(shortlist, described, log)
        return {name: lay_out(scores, gallery, split, config.retrieve.top_k) for name, split in splits.items()}

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 2)


def _gallery_digest(images: ImageTable) -> str:
    return fingerprint(sorted(images.gallery.key))


def _warn_of_what_is_absent(asked: ImageTable, usable: ImageTable) -> None:
    if not len(asked.queries):
        logger.warning("There are no queries; the submission has a header and no rows.")
    for name in sorted(set(asked.queries.datasets) - set(usable.gallery.datasets)):
        count = int((asked.queries.dataset == name).sum())
        logger.warning(
            "%s: no usable database photograph with an identity; its queries (%d) are all answered as new.", name, count
        )
