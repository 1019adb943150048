"""The way from a table to its answers."""

from __future__ import annotations

import json
import logging
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from animalclef.config import Config
from animalclef.data.encounters import Encounters
from animalclef.data.table import LoadedTable
from animalclef.decision.decide import decide
from animalclef.decision.decision_model import Decision
from animalclef.decision.fusion import fuse
from animalclef.errors import DataError
from animalclef.pipeline.budget import Budgeting
from animalclef.pipeline.cost import Plan
from animalclef.pipeline.decide import Deciding, encounters_of
from animalclef.pipeline.features import FeatureSet, extract_all_features
from animalclef.pipeline.image_contents import Contents, gallery_digest
from animalclef.pipeline.match import Matching, open_log, scores_fingerprint
from animalclef.pipeline.models import open_tools
from animalclef.pipeline.pseudo_query_lists import warn_train_overlap
from animalclef.pipeline.sanity import sanity_warnings
from animalclef.pipeline.shortlist import Shortlisting, ranks_of_sources, united
from animalclef.prepare.body_box import stands_free
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.digests import with_digests
from animalclef.runtime.progress import Progress
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.store.run_folder import RunFolder
from animalclef.structures import ImageTable, Predictions, RankedCandidates, Skipped

__all__ = ["Outcome", "Pipeline"]

logger = logging.getLogger(__name__)

_LOOKED_AT, _FEW, _MOST_FREE = 100, 5, 0.8  # photographs of a data set, and the share of them on a plain ground


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run came to."""

    predictions: Predictions
    ranked: RankedCandidates
    decision: Decision
    set_aside: list[Skipped]
    seconds: dict[str, float]
    weights: str | None  # digest of the embedding network's weights, None without one
    device: str
    matcher_weights: str | None = None  # digest of the matching network's weights
    warnings: tuple[str, ...] = ()  # answers that are far from what validation saw


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
    weights: Path | None = None  # the folder that published weights are looked for in first

    def predict(self, given: Decision | None = None) -> Outcome:
        """Answer every query; with a decision given nothing is tuned.

        Raises:
            DataError: no gallery photograph has an identity.
            StaleArtefactError: the decision was fitted on scores of other settings.
        """
        tools = open_tools(self.config, self.device, self.weights)
        network = tools.network
        scores_id = scores_fingerprint(self.config, tools)
        if given is not None:
            given.check(scores_id)
        if not len(self.loaded.images.gallery):
            where = self.loaded.source.table or self.loaded.source.root
            raise DataError(f"{where}: no database rows with an identity, so nobody can be recognised.")
        log = open_log(self.config, self.run, tools)
        looks = self.config.decide.needs_circumstances if given is None else given.needs_circumstances
        match = Matching(self.config, tools.matcher, log, self.workers, self.progress, with_circumstances=looks)
        with self._timed("describe"):
            matched = 0 if log is None else len(log)
            described = extract_all_features(
                self.contents, self.config, tools, self.run, matched, self.workers, self.progress,
                self.announce, tunes=given is None,
            )  # fmt: skip
        images = described.images
        _warn_of_what_is_absent(self.loaded.images, images)
        _tell_of_plain_grounds(described)
        if given is not None and network is None and given.gallery != gallery_digest(images):
            logger.warning("The decision was fitted on another gallery, and so was its weight-free embedding.")
        shortlisting = Shortlisting(self.config, described, self.run, self.progress)
        with self._timed("match"):
            encounters = encounters_of(described, self.config)
            for sentence in (
                warn_train_overlap(images.gallery, described.learnt, encounters, self.config) if given is None else ()
            ):
                logger.warning("%s", sentence)
            [lists] = shortlisting.sources(images.queries)
            shortlist = united(list(lists.values()), self.config.retrieve.top_k)
            budgeting = Budgeting(self.config, self.run, shortlisting, match)
            match = budgeting(described, encounters, shortlist, scores_id, tunes=given is None)
            scores = match(shortlist, described)
        deciding = Deciding(self.config, self.run, shortlisting, match, self.progress, self._timed)
        decision = given or deciding(described, encounters, self.contents.digest, scores_id)
        ranked = fuse(scores, images, decision)
        predictions = decide(ranked, self.loaded.images.queries, decision)
        self.run.finished.unlink(missing_ok=True)
        seen = {} if given is not None else read_pseudo_queries(self.run)
        outcome = Outcome(
            predictions, ranked, decision, described.set_aside, self.seconds,
            weights=None if network is None else network.digest,
            matcher_weights=next(iter(map(str, tools.made_by)), None),
            device="cpu" if network is None else network.device,
            warnings=tuple(sanity_warnings(predictions, images, seen, decision)),
        )  # fmt: skip
        self.run.write_sources(ranks_of_sources({**lists, "shortlist": shortlist}, images))
        counts = {"query pairs": len(scores), "pairs in the log": 0 if log is None else len(log)}
        self._write(outcome, described, encounters, counts, scores_id)
        return outcome

    def _write(
        self, outcome: Outcome, described: FeatureSet, encounters: Encounters, counts: dict[str, int], scores_id: str
    ) -> None:
        """What later commands read; `finished.json` last."""
        self.run.write_set_aside(described.set_aside)
        self.run.write_encounters(encounters)
        write_text(self.run.decision, outcome.decision.model_dump_json(indent=1) + "\n")
        self.run.write_table(self.loaded.images, described.by_content())
        self.run.write_order(self.loaded.submission_id)
        self.run.write_candidates(outcome.ranked)
        self.run.write_answers(outcome.predictions)
        self.run.write_timings(self.seconds, {"photographs": len(described.images), **counts})
        settings = {"scores": scores_id, "data": self.contents.digest, "config": self.config.model_dump(mode="json")}
        settings |= {"root": str(self.loaded.source.root.resolve())}
        if described.features.extractor:
            settings["keypoints"] = described.features.stores[""].folder.relative_to(self.run.path).as_posix()
        write_text(self.run.finished, json.dumps(with_digests(settings, self.run.path), indent=1) + "\n")

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 2)


def _warn_of_what_is_absent(asked: ImageTable, usable: ImageTable) -> None:
    if not len(asked.queries):
        logger.warning("There are no queries; the submission has a header and no rows.")
    for name in sorted(set(asked.queries.datasets) - set(usable.gallery.datasets)):
        count = int((asked.queries.dataset == name).sum())
        logger.warning(
            "%s: no usable database photograph with an identity; its queries (%d) are all answered as new.", name, count
        )


def _tell_of_plain_grounds(described: FeatureSet) -> None:
    """Data sets whose animals could be cut out of the ground before they are described."""
    gallery = described.images.gallery
    for name in gallery.datasets:
        mine = gallery.select(gallery.dataset == name)
        pairs = zip(mine.key[:_LOOKED_AT], np.isnan(mine.bbox_xywhr[:, 0]), strict=False)
        free = [whole and stands_free(described.thumbnail(key)) for key, whole in pairs]
        if len(free) >= _FEW and np.mean(free) >= _MOST_FREE:
            logger.warning(
                "%s: the animals lie on a plain ground. `animalclef boxes` cuts them out, which often finds more of "
                "them (with --along-body %s where they are seen from above or below, at any angle).",
                name, shlex.quote(name),
            )  # fmt: skip
