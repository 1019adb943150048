"""Gallery photographs that play the query, once as known animals and once as unknown ones."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from animalclef.config import Config
from animalclef.data.encounters import Encounters
from animalclef.data.open_set_splits import OpenSetSplits, choose_pseudo_queries, open_set_splits
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.pseudo_query_scores import lay_out
from animalclef.decision.roles import joined
from animalclef.decision.viewpoint_bias import events_show_through, from_own_side_only
from animalclef.pipeline.shortlist import Shortlisting
from animalclef.structures import ImageTable, PairScores, Shortlist

__all__ = ["PseudoQuerySet", "build_pseudo_queries", "warn_train_overlap"]

logger = logging.getLogger(__name__)

_LEAST_INDIVIDUALS = 5  # of photographs that no embedder was trained on, and that can be found


@dataclass(frozen=True, eq=False)
class PseudoQuerySet:
    """Pseudo-queries with the shortlists that they see in their two roles."""

    gallery: ImageTable
    queries: ImageTable
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

    def laid_out(self, known: PairScores, unknown: PairScores, top_k: int) -> dict[str, PseudoQueries]:
        """For tuning: the scores of both shortlists, by data set."""
        return {
            name: self._of_other_events(
                name, joined(lay_out(known, self.gallery, split, top_k), lay_out(unknown, self.gallery, split, top_k))
            )
            for name, split in self.splits.items()
        }

    def _of_other_events(self, name: str, part: PseudoQueries) -> PseudoQueries:
        """Without finds that can only be of the same event, where there are many."""
        if not events_show_through(part):
            return part
        logger.warning(
            "%s: database photographs of one individual are found from other sides rather than the same one, so by the "
            "background of one event. Validation hides its other sides; an encounter column would say more.",
            name,
        )
        return from_own_side_only(part, np.isin(part.splits.image_id.astype(str), list(self.own_side)))


def build_pseudo_queries(encounters: Encounters, config: Config, shortlist: Shortlisting) -> PseudoQuerySet:
    """Draw pseudo-queries of every data set and make their shortlists."""
    gallery = shortlist.described.images.gallery
    asked = Counter(shortlist.described.images.queries.dataset)
    chosen, splits = [], {}
    for name in gallery.datasets:
        table = gallery.select(gallery.dataset == name)
        learnt = shortlist.described.learnt
        fresh = None if learnt.isdisjoint(table.image_id) else _fresh(table, learnt, encounters, config)
        pseudo = choose_pseudo_queries(
            table if fresh is None else fresh, encounters.of, config.decide, config.seed, asked[name]
        )
        splits[name] = open_set_splits(pseudo, table, encounters.of, config.decide, config.seed)
        chosen.append(pseudo.image_id)
    queries = gallery.select(np.isin(gallery.image_id.astype(str), np.concatenate(chosen).astype(str)))
    days = {name: config.decide.of("hidden_days", name) for name in gallery.datasets}
    hidden, others = encounters.hidden_from(queries, gallery, days)
    findable = frozenset(image_id for image_id, count in others.items() if count)
    views = [hidden, _whole_individual(queries, gallery, hidden)]
    own_side = _seen_from_own_side(queries, gallery, hidden)
    return PseudoQuerySet(gallery, queries, splits, findable, own_side, *shortlist(queries, views))


def warn_train_overlap(
    gallery: ImageTable, learnt: frozenset[str], encounters: Encounters, config: Config
) -> list[str]:
    """What to say of data sets whose pseudo-queries trained the embedder, for want of enough that did not."""
    sentences = []
    for name in gallery.datasets:
        table = gallery.select(gallery.dataset == name)
        seen = len(learnt & set(table.image_id))
        if seen and _fresh(table, learnt, encounters, config) is None:
            sentences.append(
                f"{name}: the embedder was trained on {seen} of the {len(table)} database photographs, and too few are "
                "left to play the query, so validation flatters it and the threshold is too strict. Hold some out when "
                "it is trained: train --set 'validation.split={kind: open-set}'."
            )
    return sentences


def _fresh(table: ImageTable, learnt: frozenset[str], encounters: Encounters, config: Config) -> ImageTable | None:
    """The photographs of one data set that no embedder was trained on; `None` where too few of them can be found."""
    events: dict[str, set[str]] = defaultdict(set)
    for image_id, who in zip(table.image_id, table.identity, strict=True):
        events[who].add(encounters.of[image_id])
    fresh = table.select(np.array([one not in learnt for one in table.image_id], dtype=bool))
    findable = {who for who in fresh.identity if len(events[who]) > 1}
    enough = len(fresh) >= config.decide.min_pseudo_queries and len(findable) >= _LEAST_INDIVIDUALS
    return fresh if enough else None


def _seen_from_own_side(
    queries: ImageTable, gallery: ImageTable, hidden: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    sides: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for image_id, dataset, who, side in zip(
        gallery.image_id, gallery.dataset, gallery.identity, gallery.viewpoint, strict=True
    ):
        sides[dataset, who].append((image_id, side))
    found = set()
    for image_id, dataset, who, side in zip(
        queries.image_id, queries.dataset, queries.identity, queries.viewpoint, strict=True
    ):
        others = [view for one, view in sides[dataset, who] if one not in hidden[image_id]]
        if any(not side or not view or side == view for view in others):
            found.add(image_id)
    return frozenset(found)


def _whole_individual(
    queries: ImageTable, gallery: ImageTable, hidden: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    own: dict[tuple[str, str], set[str]] = defaultdict(set)
    for image_id, dataset, identity in zip(gallery.image_id, gallery.dataset, gallery.identity, strict=True):
        own[dataset, identity].add(image_id)
    whose = zip(queries.image_id, queries.dataset, queries.identity, strict=True)
    return {image_id: hidden[image_id] | own[dataset, who] for image_id, dataset, who in whose}
