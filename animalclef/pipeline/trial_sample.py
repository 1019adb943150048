"""Draw the database photographs that preparations are tried on, and measure one preparation on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.config import Config
from animalclef.config.prepare import Mode
from animalclef.data.encounters import Encounters
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.cross_fit import nested_answers
from animalclef.decision.pseudo_query_scores import events_show_through, from_own_side_only, joined, lay_out
from animalclef.decision.tune import cross_fitters
from animalclef.metrics.bootstrap import paired_difference, standard_error
from animalclef.metrics.threshold_sweep import Roles, score_of
from animalclef.pipeline.candidate_search import CandidateSearch
from animalclef.pipeline.match import match_pairs
from animalclef.pipeline.shortlists import build_pseudo_queries
from animalclef.prepare.variant_choice import Margin
from animalclef.runtime.regular_files import is_gone
from animalclef.structures import ImageTable, StrArray
from animalclef.structures.arrays import BoolArray

__all__ = [
    "Trial",
    "draw_samples",
    "margin_between",
    "mean_over_individuals",
    "rank1_margin",
    "rows_of",
    "score_trials",
    "trial_config",
    "try_on",
]

_EACH = 6  # photographs of one individual in the sample, at most
_SHARE_OF_QUERIES = 0.5  # pseudo-queries of the trial, as a share of the data set's queries, at most


@dataclass(frozen=True, eq=False)
class Trial:
    """What one preparation does for the pseudo-queries of a sample, for one data set."""

    part: PseudoQueries
    own_side: frozenset[str]  # pseudo-queries that may see their individual from their own side
    hits: tuple[BoolArray, BoolArray] = (np.zeros(0, bool), np.zeros(0, bool))  # nested, as known and as unknown
    score: float = float("nan")

    @property
    def rank1_right(self) -> tuple[BoolArray, BoolArray]:
        """Return (p,) whether stage one has the right individual first, and (p,) where it can be found at all."""
        part = self.part
        values = part.columns.get("similarity", np.full(part.same.shape, np.nan, np.float32))
        seen = np.where(part.as_known, np.nan_to_num(values, nan=-np.inf), -np.inf)
        rows = np.arange(len(part))
        best = seen.argmax(axis=1)
        right = part.same[rows, best] & part.as_known[rows, best]
        return np.asarray(right), np.asarray(part.splits.is_known.any(axis=0))

    @property
    def rank1(self) -> float:
        """Return the rank-1 of stage one over pseudo-queries that can be found."""
        right, findable = self.rank1_right
        return float(right[findable].mean()) if findable.any() else float("nan")


def draw_samples(images: ImageTable, names: Iterable[str], config: Config) -> dict[str, ImageTable]:
    """Return database photographs of each data set, whole individuals in random order, up to six of each.

    Individuals with one photograph are in it as often as in the database. Photographs that are gone are left out.
    """
    most, gallery = config.prepare.trial_photographs, images.gallery
    return {name: _sample(gallery.select(gallery.dataset == name), most, config.seed) for name in names}


def rows_of(images: ImageTable, samples: Mapping[str, ImageTable]) -> BoolArray:
    """Return which rows are in one of the samples."""
    ids = np.concatenate([table.image_id for table in samples.values()]).astype(str)
    return np.asarray(np.isin(images.image_id.astype(str), ids))


def _sample(gallery: ImageTable, most: int, seed: int) -> ImageTable:
    by_identity: dict[str, list[int]] = {}
    for row in np.random.default_rng([seed, 12]).permutation(len(gallery)).tolist():
        by_identity.setdefault(gallery.identity[row], []).append(row)
    rows: list[int] = []
    for mine in by_identity.values():
        if len(rows) + min(len(mine), _EACH) <= most:
            rows += mine[:_EACH]
    there = [row for row in sorted(rows) if not is_gone(gallery.root / gallery.path[row])]
    return gallery.select(np.array(there, dtype=np.int64))


def trial_config(config: Config, images: ImageTable, names: Collection[str]) -> Config:
    """Return the settings of a trial of some data sets: few pseudo-queries, short shortlists.

    A trial never has more than half as many pseudo-queries as its data set has queries, but 24 at least.
    """
    wanted, queries = config.prepare.trial_queries, Counter(images.queries.dataset.tolist())
    pseudo = {name: min(wanted, max(24, round(_SHARE_OF_QUERIES * queries[name]))) for name in names}
    decide = config.decide.model_copy(update={"pseudo_queries": pseudo})
    retrieve = config.retrieve.model_copy(update={"top_k": min(config.retrieve.top_k, config.prepare.trial_candidates)})
    return config.model_copy(update={"decide": decide, "retrieve": retrieve})


def try_on(search: CandidateSearch, encounters: Encounters) -> dict[str, Trial]:
    """Match the pseudo-queries of a prepared sample; not scored yet."""
    pseudo = build_pseudo_queries(search, encounters)
    known, unknown = (match_pairs(one, search.features, search.context) for one in (pseudo.as_known, pseudo.as_unknown))
    top_k = search.context.config.retrieve.top_k
    return {
        name: Trial(
            joined(lay_out(known, pseudo.gallery, split, top_k), lay_out(unknown, pseudo.gallery, split, top_k)),
            pseudo.own_side,
        )
        for name, split in pseudo.splits.items()
    }


def score_trials(name: str, trials: Mapping[Mode, Trial], config: Config) -> dict[Mode, Trial]:
    """Return the trials of one data set with their nested scores, all over the same pseudo-queries and splits.

    `whole` is one of them. A trial with other pseudo-queries, because a cut photograph could not be read, is left out.

    Where any of them finds individuals by the background of one event, all are scored without other sides.
    """
    asked = trials["whole"].part.splits.image_id
    parts = {mode: trial.part for mode, trial in trials.items() if np.array_equal(trial.part.splits.image_id, asked)}
    if any(events_show_through(part) for part in parts.values()):
        parts = {mode: from_own_side_only(part, trials["whole"].own_side) for mode, part in parts.items()}
    scored: dict[Mode, Trial] = {}
    for mode, part in parts.items():
        trial = Trial(part, trials[mode].own_side)
        for fitter in cross_fitters({name: part}, config.decide, config.seed):
            hits = nested_answers(fitter)[name].hits
            trial = Trial(part, trial.own_side, hits, score_of(hits, Roles.of(part.splits))[0])
        scored[mode] = trial
    return scored


def margin_between(best: Trial, other: Trial) -> Margin:
    """Return how far a trial is behind the best one by nested score."""
    if best is other or best.score != best.score or other.score != other.score:
        return Margin(0.0, 0.0)
    return Margin(*paired_difference(best.hits, other.hits, best.part.splits))


def rank1_margin(best: Trial, other: Trial) -> Margin:
    """Return how far a trial is behind the best one by rank-1 of stage one, with its error over individuals."""
    (right, findable), (theirs, _) = best.rank1_right, other.rank1_right
    difference = right[findable].astype(np.float64) - theirs[findable]
    if best is other or not len(difference):
        return Margin(0.0, 0.0)
    return Margin(*mean_over_individuals(difference, best.part.splits.identity[findable]))


def mean_over_individuals(values: NDArray[np.float64], identity: StrArray) -> tuple[float, float]:
    """Return the mean of one value per photograph, and its standard error over individuals."""
    _, who = np.unique(identity.astype(str), return_inverse=True)
    influence = np.bincount(who, values - values.mean()) / len(values)
    return float(values.mean()), standard_error(influence)
