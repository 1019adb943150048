"""Step two: make the shortlist of every query, and those of pseudo-queries where a decision is tuned.

A pseudo-query is a gallery photograph as a query, once of a known animal and once of an unknown one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from animalclef.config import Config
from animalclef.data.encounters import Encounters
from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries, choose_pseudo_queries, open_set_splits
from animalclef.decision.pseudo_query_scores import events_show_through, from_own_side_only, joined, lay_out
from animalclef.pipeline.candidate_search import CandidateSearch, united
from animalclef.pipeline.features import FeatureSet, encounters_of
from animalclef.pipeline.run_context import RunContext
from animalclef.structures import ImageTable, PairScores, Shortlist

__all__ = ["PseudoQuerySet", "Shortlists", "build_pseudo_queries", "make_shortlists", "sample_pseudo_queries"]

_LEAST_INDIVIDUALS = 5  # of photographs that no embedder was trained on, and that can be found


@dataclass(frozen=True, eq=False)
class PseudoQuerySet:
    """Pseudo-queries with the shortlists that they see in their two roles."""

    gallery: ImageTable
    queries: ImageTable
    encounter_of: Mapping[str, str]  # of each gallery photograph
    splits: Mapping[str, OpenSetSplits]  # by data set
    findable: frozenset[str]  # pseudo-queries whose individual has a photograph that they may see
    own_side: frozenset[str]  # those that may see one from their own side
    as_known: Shortlist  # their own encounter hidden
    as_unknown: Shortlist  # all of their individual hidden

    @property
    def pair_count(self) -> int:
        """How many pairs the two shortlists hold; one that is in both is matched once."""
        both = zip(self.as_known.index.tolist(), self.as_unknown.index.tolist(), strict=True)
        return sum(len((set(one) | set(other)) - {-1}) for one, other in both)

    def laid_out(
        self, known: PairScores, unknown: PairScores, top_k: int, warn: Callable[[str], None] = lambda _: None
    ) -> dict[str, PseudoQueries]:
        """For tuning: the scores of both shortlists, by data set; `warn` gets a sentence where sides are hidden."""
        laid = {
            name: [lay_out(scores, self.gallery, split, top_k, self.encounter_of) for scores in (known, unknown)]
            for name, split in self.splits.items()
        }
        return {name: self._of_other_events(name, joined(*roles), warn) for name, roles in laid.items()}

    def _of_other_events(self, name: str, part: PseudoQueries, warn: Callable[[str], None]) -> PseudoQueries:
        """Without finds that can only be of the same event, where there are many."""
        if not events_show_through(part):
            return part
        warn(
            f"{name}: database photographs of one individual are found from other sides rather than the same one, so "
            "by the background of one event. Validation hides its other sides; an encounter column would say more."
        )
        return from_own_side_only(part, self.own_side)


@dataclass(frozen=True, eq=False)
class Shortlists:
    """The candidates of queries and pseudo-queries."""

    features: FeatureSet
    encounters: Encounters
    queries: Shortlist
    by_source: Mapping[str, Shortlist]  # each source's own list of the queries
    search: CandidateSearch

    @cached_property
    def pseudo(self) -> PseudoQuerySet:
        """Pseudo-queries with their shortlists; built at the first use, and once a run."""
        return build_pseudo_queries(self.search, self.encounters)


def make_shortlists(features: FeatureSet, context: RunContext, encounters: Encounters | None = None) -> Shortlists:
    """Search the gallery for `retrieve.top_k` candidates of every query; `encounters` where they are known already."""
    search = CandidateSearch(features, context)
    encounters = encounters or encounters_of(features, context.config)
    if context.given is None:
        _warn_train_overlap(features.images.gallery, features.trained_on, encounters, context)
    [lists] = search.by_source(features.images.queries)
    return Shortlists(features, encounters, united(list(lists.values()), context.config.retrieve.top_k), lists, search)


def build_pseudo_queries(search: CandidateSearch, encounters: Encounters) -> PseudoQuerySet:
    """Draw pseudo-queries of every data set and make their shortlists."""
    config, gallery = search.context.config, search.features.images.gallery
    chosen, splits = _drawn(search.features, encounters, config)
    queries = gallery.select(np.isin(gallery.image_id.astype(str), chosen))
    days = {name: config.decide.of("hidden_days", name) for name in gallery.datasets}
    hidden, others = encounters.hidden_from(queries, gallery, days)
    findable = frozenset(image_id for image_id, count in others.items() if count)
    whole_individual, own_side = _of_individuals(queries, gallery, hidden)
    as_known, as_unknown = search.shortlists(queries, [hidden, whole_individual])
    return PseudoQuerySet(gallery, queries, encounters.of, splits, findable, own_side, as_known, as_unknown)


def sample_pseudo_queries(
    pseudo: PseudoQuerySet, count: int, features: FeatureSet, encounters: Encounters, config: Config
) -> PseudoQuerySet:
    """Return the first `count` of each data set, as they were drawn, with splits of their own."""
    decide = config.decide.model_copy(update={"pseudo_queries": count})
    chosen, splits = _drawn(features, encounters, config.model_copy(update={"decide": decide}))
    rows = np.isin(pseudo.queries.image_id.astype(str), chosen)
    return replace(
        pseudo,
        queries=pseudo.queries.select(rows),
        splits=splits,
        as_known=pseudo.as_known.select(rows),
        as_unknown=pseudo.as_unknown.select(rows),
    )


def _drawn(
    features: FeatureSet, encounters: Encounters, config: Config
) -> tuple[NDArray[np.str_], dict[str, OpenSetSplits]]:
    """Draw the image_ids of the pseudo-queries, and the splits of every data set."""
    gallery, trained_on = features.images.gallery, features.trained_on
    asked = Counter(features.images.queries.dataset)
    chosen, splits = [], {}
    for name in gallery.datasets:
        table = gallery.select(gallery.dataset == name)
        fresh = None if trained_on.isdisjoint(table.image_id) else _fresh(table, trained_on, encounters, config)
        drawn = choose_pseudo_queries(
            table if fresh is None else fresh, encounters.of, config.decide, config.seed, asked[name]
        )
        splits[name] = open_set_splits(drawn, table, encounters.of, config.decide, config.seed)
        chosen.append(drawn.image_id)
    return np.concatenate(chosen).astype(str), splits


def _warn_train_overlap(
    gallery: ImageTable, trained_on: frozenset[str], encounters: Encounters, context: RunContext
) -> None:
    """Warn of data sets whose pseudo-queries trained the embedder, for want of enough that did not."""
    for name in gallery.datasets:
        table = gallery.select(gallery.dataset == name)
        seen = len(trained_on & set(table.image_id))
        if seen and _fresh(table, trained_on, encounters, context.config) is None:
            context.warn(
                f"{name}: the embedder was trained on {seen} of the {len(table)} database photographs, and too few are "
                "left as pseudo-queries. The validation score is too high and the threshold too strict. Hold some out "
                "when it is trained: train --set 'validation.split={kind: open-set}'."
            )


def _fresh(table: ImageTable, trained_on: frozenset[str], encounters: Encounters, config: Config) -> ImageTable | None:
    """The photographs of one data set that no embedder was trained on; `None` where too few of them can be found."""
    events: dict[str, set[str]] = defaultdict(set)
    for image_id, who in zip(table.image_id, table.identity, strict=True):
        events[who].add(encounters.of[image_id])
    fresh = table.select(np.array([one not in trained_on for one in table.image_id], dtype=bool))
    findable = {who for who in fresh.identity if len(events[who]) > 1}
    enough = len(fresh) >= config.decide.min_pseudo_queries and len(findable) >= _LEAST_INDIVIDUALS
    return fresh if enough else None


def _of_individuals(
    queries: ImageTable, gallery: ImageTable, hidden: Mapping[str, frozenset[str]]
) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    """Return what is hidden with all of a query's individual, and the queries that may see it from their own side."""
    sides: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for image_id, dataset, who, side in _sides(gallery):
        sides[dataset, who][image_id] = side
    whole, own_side = {}, set()
    for image_id, dataset, who, side in _sides(queries):
        mine = sides[dataset, who]
        whole[image_id] = hidden[image_id].union(mine)
        seen = [view for one, view in mine.items() if one not in hidden[image_id]]
        if any(not side or not view or side == view for view in seen):
            own_side.add(image_id)
    return whole, frozenset(own_side)


def _sides(images: ImageTable) -> Iterator[tuple[str, str, str, str]]:
    return zip(images.image_id, images.dataset, images.identity, images.viewpoint, strict=True)
