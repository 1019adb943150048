"""Choose upright or rotation-invariant keypoints for each data set by matching its database photographs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from animalclef.config.prepare import Mode
from animalclef.data.masks import Masks
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.features.local.sift import SiftExtractor
from animalclef.pipeline.candidate_search import CandidateSearch
from animalclef.pipeline.cut_photographs import cut_and_link
from animalclef.pipeline.features import encounters_of_whole, extract_all_features
from animalclef.pipeline.image_contents import Contents
from animalclef.pipeline.run_context import RunContext
from animalclef.pipeline.trial_sample import draw_samples, mean_over_individuals, rows_of, trial_config, try_on
from animalclef.structures import ImageTable

__all__ = ["UprightTrial", "can_try_upright", "choose_upright", "upright_gain"]

_LEAST_PHOTOGRAPHS = 40  # of the database; a trial on fewer is inconclusive
_SURE = 2.0  # standard errors; every limit from 1.8 to 4.2 is as good on six real data sets
_LEAST_QUERIES = 16  # that have a candidate of their own and one of a stranger


@dataclass(frozen=True)
class UprightTrial:
    """The gain of upright keypoints in separating pairs of one individual from pairs of two."""

    gain: float  # mean change of log((own inliers + 1) / (stranger's inliers + 1))
    error: float  # its standard error over individuals

    @property
    def is_better(self) -> bool:
        """Return whether the gain is more than twice its standard error; else keypoints stay rotation-invariant."""
        return self.gain > _SURE * self.error


def choose_upright(
    images: ImageTable, modes: Mapping[str, Mode], masks: Masks | None, context: RunContext
) -> dict[str, UprightTrial]:
    """Return the trial of each data set with enough comparable pseudo-queries.

    `modes` says how the photographs of each data set are prepared. Database photographs are matched with their first
    candidates twice: rotation-invariant, then upright. Features and pairs are kept in the run's own stores.
    """
    if not can_try_upright(context):
        return {}
    database = Counter(images.gallery.dataset.tolist())
    large = [name for name in modes if database[name] >= _LEAST_PHOTOGRAPHS]
    drawn = draw_samples(images, large, context.config)
    samples = {name: one for name, one in drawn.items() if _shows_twice(one)}
    if not samples:
        return {}
    rows = rows_of(images, samples)
    sample, given = images.select(rows), None if masks is None else masks.select(rows)
    if context.say is not None:
        names = ", ".join(samples)
        context.say(
            f"Trying upright keypoints on {len(sample)} database photographs of {names}. "
            "The setting keypoints.upright=false skips this."
        )
    settings = trial_config(context.config, images, samples)
    context = replace(context, announce=None, more_matchers=(), fitted_on=None, warnings=[]).with_config(settings)
    prepared, kept, links = cut_and_link(sample, modes, given, context)
    contents, encounters = Contents(prepared, []), encounters_of_whole(sample.select(kept), links.all(), context)
    parts = []
    for upright in (False, True):
        keypoints = settings.keypoints.model_copy(update={"upright": upright})
        own = context.with_config(settings.model_copy(update={"keypoints": keypoints}))
        parts.append(try_on(CandidateSearch(extract_all_features(contents, own), own), encounters))
    trials = {name: upright_gain(parts[0][name].part, parts[1][name].part) for name in samples if name in parts[0]}
    return {name: one for name, one in trials.items() if one is not None}


def upright_gain(turned: PseudoQueries, upright: PseudoQueries) -> UprightTrial | None:
    """Compare the inliers of the same pseudo-queries; `None` where too few can be compared."""
    if not np.array_equal(turned.splits.image_id, upright.splits.image_id):
        return None
    ratios = [_log_ratio(one) for one in (turned, upright)]
    change = ratios[1] - ratios[0]
    known = np.isfinite(change)
    if known.sum() < _LEAST_QUERIES:
        return None
    return UprightTrial(*mean_over_individuals(change[known], turned.splits.identity[known]))


def _log_ratio(part: PseudoQueries) -> NDArray[np.float64]:
    """Return log((own + 1) / (other + 1)) of the best inlier counts, (p,); NaN where either is missing."""
    inliers = np.asarray(part.columns["inliers"], dtype=np.float64)
    matched, seen = np.isfinite(inliers), part.as_known | part.as_unknown
    own, stranger = part.same & part.as_known & matched, ~part.same & seen & matched
    best = [np.where(rows, inliers, -1.0).max(axis=1, initial=-1.0) for rows in (own, stranger)]
    there = (best[0] >= 0) & (best[1] >= 0)
    return np.where(there, np.log1p(np.maximum(best[0], 0)) - np.log1p(np.maximum(best[1], 0)), np.nan)


def can_try_upright(context: RunContext) -> bool:
    """Return whether `upright` is `auto`, no decision is given, and the first matcher counts inliers of SIFT."""
    is_open = context.config.keypoints.upright == "auto" and context.given is None
    sift, log = isinstance(context.models.extractor, SiftExtractor), context.log
    return is_open and sift and log is not None and "inliers" in log.columns


def _shows_twice(sample: ImageTable) -> bool:
    """Return whether enough photographs share their individual with another one of the sample."""
    photographs = Counter(sample.identity.tolist())
    return sum(count for count in photographs.values() if count > 1) >= _LEAST_QUERIES
