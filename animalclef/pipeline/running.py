"""The way from a table to its answers."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from animalclef.artefacts import ImageTable, PairScores, Predictions, RankedCandidates, SetAside, Shortlist
from animalclef.config import Config
from animalclef.data.images import LoadedTable
from animalclef.decision import Decision
from animalclef.errors import DataError
from animalclef.estimate import Plan
from animalclef.pipeline.contents import Contents, gallery_digest
from animalclef.pipeline.deciding import Deciding, encounters_of, with_circumstances
from animalclef.pipeline.describing import Described, describe_photographs
from animalclef.pipeline.matching import Matching, open_log, scores_fingerprint
from animalclef.progress import Progress
from animalclef.stages.decide import decide
from animalclef.stages.embed import load_network
from animalclef.stages.fuse import fuse
from animalclef.stages.rescore import rescore
from animalclef.stages.retrieve import retrieve
from animalclef.store.files import write_text
from animalclef.store.run import RunFolder

__all__ = ["Outcome", "Pipeline"]

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
        scores_id = scores_fingerprint(self.config, network)
        if given is not None:
            given.check(scores_id)
        if not len(self.loaded.images.gallery):
            where = self.loaded.source.table or self.loaded.source.root
            raise DataError(f"{where}: no database rows with an identity, so nobody can be recognised.")
        log = open_log(self.config, self.run)
        match = Matching(self.config, log, self.workers, self.progress)
        with self._timed("describe"):
            matched = 0 if log is None else len(log)
            described = describe_photographs(
                self.contents, self.config, network, self.run, matched, self.workers, self.progress, self.announce,
                tunes=given is None,
            )  # fmt: skip
        images = described.images
        _warn_of_what_is_absent(self.loaded.images, images)
        if given is not None and network is None and given.gallery != gallery_digest(images):
            logger.warning("The decision was fitted on another gallery, and so was its weight-free embedding.")
        with self._timed("match"):
            shortlist = retrieve(images.queries, images.gallery, described.embeddings, self.config.retrieve)
            scores = _with_rescored(match(shortlist, described), shortlist, described, self.config)
        encounters = encounters_of(described, self.config)
        deciding = Deciding(self.config, self.run, match, self.progress, self._timed)
        decision = given or deciding(described, encounters, self.contents.digest, scores_id)
        if decision.needs_circumstances:
            scores = with_circumstances(scores, described, self.config)
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

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - start, 2)


def _with_rescored(scores: PairScores, shortlist: Shortlist, described: Described, config: Config) -> PairScores:
    filled = shortlist.index >= 0
    rescored = rescore(shortlist, described.embeddings, config.retrieve) if config.retrieve.rescore else {}
    columns = {**scores.columns, **{name: values[filled] for name, values in rescored.items()}}
    return PairScores(scores.query_id, scores.gallery_id, columns)


def _warn_of_what_is_absent(asked: ImageTable, usable: ImageTable) -> None:
    if not len(asked.queries):
        logger.warning("There are no queries; the submission has a header and no rows.")
    for name in sorted(set(asked.queries.datasets) - set(usable.gallery.datasets)):
        count = int((asked.queries.dataset == name).sum())
        logger.warning(
            "%s: no usable database photograph with an identity; its queries (%d) are all answered as new.", name, count
        )
