"""Match photographs without names with each other, and database photographs as pseudo-tests of the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from animalclef.clustering.choose_rule import KnownBest
from animalclef.clustering.held_out_links import LabelledPairs
from animalclef.clustering.learn_rules import Evidence, PseudoPool
from animalclef.clustering.link_model import linked_pairs, nulls_of_lists
from animalclef.clustering.pseudo_tests import Pool, draw_pool
from animalclef.data.encounters import Encounters
from animalclef.decision.decision_model import Decision
from animalclef.decision.fusion import fuse
from animalclef.decision.score_columns import scores_among
from animalclef.pipeline.candidate_search import CandidateSearch
from animalclef.pipeline.features import FeatureSet
from animalclef.pipeline.match import match_pairs
from animalclef.pipeline.run_context import RunContext
from animalclef.structures import ImageTable, PairScores, RankedCandidates, StrArray

__all__ = ["ClusterJob", "evidence_of", "known_best", "pools_of", "used_columns", "without_names"]

_LEAST = 5  # individuals of the database that no embedder was trained on; with fewer, all are used


@dataclass(frozen=True, eq=False)
class ClusterJob:
    """A run's photographs with what was extracted from them; `search` finds candidates among the named ones."""

    features: FeatureSet
    encounters: Encounters
    search: CandidateSearch
    decision: Decision | None  # None where nobody has a name
    context: RunContext


def without_names(images: ImageTable) -> ImageTable:
    """Return photographs as a database in which each is an individual of its own."""
    return images.with_columns(is_query=np.zeros(len(images), dtype=bool), identity=images.image_id)


def evidence_of(images: ImageTable, ranked: RankedCandidates | None, job: ClusterJob) -> dict[str, Evidence]:
    """Return for every data set the pairs of some photographs, and their best known individuals."""
    scores = _among(images, job)
    return {
        name: Evidence(linked_pairs(mine, table.image_id), nulls_of_lists(mine), known_best(table.image_id, ranked))
        for name, (table, mine) in _by_dataset(images, scores).items()
    }


def pools_of(job: ClusterJob, *, attaches: bool) -> dict[str, PseudoPool]:
    """Draw database photographs of every data set, and match them as the queries are matched."""
    context, gallery = job.context, job.features.images.gallery
    most, seed = context.config.cluster.photographs, context.config.seed
    pools = {
        name: draw_pool(_fresh(gallery.select(gallery.dataset == name), job), job.encounters.of, most, seed,
                        attaches=attaches) for name in gallery.datasets
    }  # fmt: skip
    if not pools:
        return {}
    chosen = np.concatenate([pool.images.image_id for pool in pools.values()]).astype(str)
    images = gallery.select(np.isin(gallery.image_id.astype(str), chosen))
    scores = _by_dataset(images, _among(images, job))
    ranked = _against_database(images, pools, job) if attaches else None
    return {name: _pool(*scores[name], ranked, job.encounters) for name in pools if name in scores}


def known_best(image_id: StrArray, ranked: RankedCandidates | None) -> KnownBest:
    """Return the best known individual of each photograph; none where nothing is ranked."""
    if ranked is None:
        return KnownBest.none(len(image_id))
    first: dict[str, int] = {}
    for row, query_id in enumerate(ranked.query_id):
        first.setdefault(query_id, row)
    rows = [first.get(one, -1) for one in image_id]
    return KnownBest(
        [None if row < 0 else str(ranked.identity[row]) for row in rows],
        np.array([0.0 if row < 0 else ranked.identity_probability[row] for row in rows]),
        np.array([-np.inf if row < 0 else ranked.lead[row] for row in rows]),
    )


def used_columns(evidence: Mapping[str, Evidence], job: ClusterJob) -> tuple[str, ...]:
    """Return the score columns that every data set has and the settings name; all of them where they name none."""
    there = [set(scores_among(one.pairs.columns)) for one in evidence.values()]
    common = sorted(set.intersection(*there)) if there else []
    named = [name for name in common if name in job.context.config.decide.scores]
    return tuple(named or common)


def _pool(
    images: ImageTable, scores: PairScores, ranked: RankedCandidates | None, encounters: Encounters
) -> PseudoPool:
    _, who = np.unique(images.identity.astype(str), return_inverse=True)
    _, event = np.unique([encounters.of[one] for one in images.image_id], return_inverse=True)
    labelled = LabelledPairs(linked_pairs(scores, images.image_id), nulls_of_lists(scores), who, event)
    return PseudoPool(labelled, known_best(images.image_id, ranked))


def _among(images: ImageTable, job: ClusterJob) -> PairScores:
    """Match some photographs with each other; pairs in the run's log are not matched again."""
    context = job.context
    retrieve = context.config.retrieve.model_copy(update={"top_k": context.config.cluster.neighbours})
    context = replace(context, config=context.config.model_copy(update={"retrieve": retrieve}))
    nameless = without_names(images)
    features = replace(job.features, images=nameless)
    [shortlist] = CandidateSearch(features, context).shortlists(nameless)
    return match_pairs(shortlist, features, context)


def _against_database(images: ImageTable, pools: Mapping[str, Pool], job: ClusterJob) -> RankedCandidates | None:
    if job.decision is None:
        return None
    hidden = {one: ids for pool in pools.values() for one, ids in pool.hidden.items()}
    [shortlist] = job.search.shortlists(images, [hidden])
    return fuse(match_pairs(shortlist, job.features, job.context), job.features.images, job.decision)


def _fresh(table: ImageTable, job: ClusterJob) -> ImageTable:
    """Return the photographs that no embedder was trained on, or all where these show too few individuals."""
    fresh = table.select(np.array([one not in job.features.trained_on for one in table.image_id], dtype=bool))
    return fresh if len(set(fresh.identity)) >= _LEAST else table


def _by_dataset(images: ImageTable, scores: PairScores) -> dict[str, tuple[ImageTable, PairScores]]:
    """Return the photographs of every data set with the scores of their pairs."""
    dataset = dict(zip(images.image_id, images.dataset, strict=True))
    home = np.array([dataset[one] for one in scores.query_id], dtype=object)
    parts = {}
    for name in images.datasets:
        rows = home == name
        columns = {column: values[rows] for column, values in scores.columns.items()}
        mine = PairScores(scores.query_id[rows], scores.gallery_id[rows], columns)
        parts[name] = images.select(images.dataset == name), mine
    return parts
