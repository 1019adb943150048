"""The decision of a run: pseudo-queries from the gallery, matched like queries, and the study over them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from animalclef.artefacts import PairScores, Shortlist
from animalclef.config import Config, fingerprint
from animalclef.data.encounters import Encounters, find_encounters
from animalclef.data.pseudo_queries import PseudoQueries
from animalclef.data.splits import choose_pseudo_queries, open_set_splits
from animalclef.decision import Decision, load_decision
from animalclef.errors import StaleArtefactError
from animalclef.evaluation.tune import tune
from animalclef.evaluation.validation import lay_out
from animalclef.pipeline.contents import gallery_digest
from animalclef.pipeline.describing import Described
from animalclef.pipeline.matching import Matching
from animalclef.progress import Progress
from animalclef.score_columns import UNSEEN
from animalclef.stages.circumstances import circumstances
from animalclef.stages.rescore import rescore
from animalclef.stages.retrieve import retrieve
from animalclef.store.files import write_text
from animalclef.store.run import RunFolder
from animalclef.store.validation import Stamp, holds_pseudo_queries, write_pseudo_queries

__all__ = ["Deciding", "encounters_of", "pseudo_queries", "with_circumstances"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Deciding:
    """Finds the decision for some scores; one tuned before on the same, by the same versions, is used again."""

    config: Config
    run: RunFolder
    match: Matching
    progress: Progress
    timed: Callable[[str], AbstractContextManager[None]]

    def __call__(self, described: Described, encounters: Encounters, data_digest: str, scores_id: str) -> Decision:
        config, gallery = self.config, gallery_digest(described.images)
        versions = [metadata.version(name) for name in ("optuna", "scikit-learn", "numpy", "faiss-cpu")]
        seen = [data_digest, described.images.key.tolist(), sorted(encounters.of.items())]
        made_by = [scores_id, described.embeddings.model, self.match.name, *versions]
        made = fingerprint(3, seen, made_by, config.decide, config.retrieve, config.seed)
        path, stamp = self.run.decision_of(made), Stamp(made, scores_id, data_digest)
        known = self._known(path)
        if known is not None and holds_pseudo_queries(self.run, made):
            return known
        with self.timed("validate"):
            pseudo = pseudo_queries(described, encounters, config, self.match)
            write_pseudo_queries(self.run, pseudo, stamp)
        if known is not None:
            return known
        with self.timed("tune"):
            decision = tune(pseudo, config.decide, config.seed, scores_id, gallery, self.progress)
        write_text(path, decision.model_dump_json(indent=1) + "\n")
        return decision

    def _known(self, path: Path) -> Decision | None:
        """The decision tuned before, where its file is there and whole."""
        try:
            return load_decision(path) if path.is_file() else None
        except StaleArtefactError as error:
            logger.warning("%s It is tuned again.", error)
            return None


def encounters_of(described: Described, config: Config) -> Encounters:
    """Which gallery photographs belong to one event."""
    gallery = described.images.gallery
    thumbnails = {key: described.thumbnail(key) for key in dict.fromkeys(gallery.key)}
    return find_encounters(gallery, thumbnails, config.encounters)


def pseudo_queries(
    described: Described, encounters: Encounters, config: Config, match: Matching
) -> dict[str, PseudoQueries]:
    """Gallery photographs matched against the gallery, their own encounter hidden."""
    gallery = described.images.gallery
    asked = Counter(described.images.queries.dataset)
    chosen, splits = [], {}
    for name in gallery.datasets:
        table = gallery.select(gallery.dataset == name)
        pseudo = choose_pseudo_queries(table, encounters.of, config.decide, config.seed, asked[name])
        splits[name] = open_set_splits(pseudo, table, encounters.of, config.decide, config.seed)
        chosen.append(pseudo.image_id)
    queries = gallery.select(np.isin(gallery.image_id.astype(str), np.concatenate(chosen).astype(str)))
    days = {name: config.decide.of("hidden_days", name) for name in gallery.datasets}
    hidden, own = encounters.hidden_from(queries, gallery, days)
    shortlist = retrieve(queries, gallery, described.embeddings, config.retrieve, hidden, own)
    scores = match(shortlist, described)
    if "learned" in config.decide.fusions or config.decide.crowd_weight:
        scores = with_circumstances(scores, described, config)
    laid = {name: lay_out(scores, gallery, split, config.retrieve.top_k) for name, split in splits.items()}
    return {name: _rescored(part, shortlist, described, config) for name, part in laid.items()}


def with_circumstances(scores: PairScores, described: Described, config: Config) -> PairScores:
    """With the columns that a learned model, or a weight for how often an individual was photographed, looks at."""
    size_of = None if config.rerank.matcher == "none" else described.size_of
    columns = circumstances(scores, described.images, size_of)
    return PairScores(scores.query_id, scores.gallery_id, {**scores.columns, **columns})


def _rescored(part: PseudoQueries, shortlist: Shortlist, described: Described, config: Config) -> PseudoQueries:
    """With the scores that look at the whole list: as it is, and once the pseudo-query's individual is hidden."""
    if not config.retrieve.rescore:
        return part
    row_of = {query_id: row for row, query_id in enumerate(shortlist.query_id)}
    rows = np.array([row_of[one] for one in part.splits.image_id], dtype=np.int64)
    width = part.same.shape[1]
    mine = Shortlist(
        shortlist.query_id[rows],
        shortlist.gallery_id,
        shortlist.index[rows, :width],
        shortlist.similarity[rows, :width],
    )
    columns = dict(part.columns)
    for ending, visible in (("", part.as_known), (UNSEEN, part.as_unknown)):
        rescored = rescore(mine, described.embeddings, config.retrieve, visible)
        columns |= {f"{name}{ending}": values for name, values in rescored.items()}
    return replace(part, columns=columns)
