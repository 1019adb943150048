"""Step two: make the shortlist of every query, and where a decision is tuned those of pseudo-queries."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from animalclef.data.encounters import Encounters
from animalclef.pipeline.candidate_search import CandidateSearch, united
from animalclef.pipeline.features import FeatureSet, encounters_of
from animalclef.pipeline.pseudo_query_lists import PseudoQuerySet, build_pseudo_queries, warn_train_overlap
from animalclef.pipeline.run_context import RunContext
from animalclef.structures import Shortlist

__all__ = ["Shortlists", "make_shortlists"]

logger = logging.getLogger(__name__)


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
        gallery = features.images.gallery
        for sentence in warn_train_overlap(gallery, features.trained_on, encounters, context.config):
            logger.warning("%s", sentence)
    [lists] = search.by_source(features.images.queries)
    return Shortlists(features, encounters, united(list(lists.values()), context.config.retrieve.top_k), lists, search)
