"""Choose upright or rotation-invariant keypoints for each data set by matching its database photographs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from animalclef.config.prepare import Mode
from animalclef.data.encounters import Encounters
from animalclef.data.masks import find_masks
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.features.local.sift import SiftExtractor
from animalclef.metrics.bootstrap import standard_error
from animalclef.pipeline.background_events import BackgroundLinks, link_by_background
from animalclef.pipeline.candidate_search import CandidateSearch
from animalclef.pipeline.cut_photographs import cut_photographs
from animalclef.pipeline.features import extract_all_features
from animalclef.pipeline.image_contents import Contents
from animalclef.pipeline.outlines import Outlines
from animalclef.pipeline.run_context import RunContext
from animalclef.pipeline.trial_sample import draw_sample, trial_config, try_on
from animalclef.structures import ImageTable

__all__ = ["UprightTrial", "can_try_upright", "choose_upright", "upright_gain"]

_LEAST_PHOTOGRAPHS = 40  # of the database; a trial on fewer is inconclusive
_SURE = 2.0  # standard errors; every limit from 1.8 to 4.2 is as good on six real data sets
_LEAST_QUERIES = 16  # that have a candidate of their own and one of a stranger

FindOutlines = Callable[[ImageTable], Outlines]
FindEncounters = Callable[[ImageTable, BackgroundLinks], Encounters]


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
    images: ImageTable,
    modes: Mapping[str, Mode],
    context: RunContext,
    find_outlines: FindOutlines,
    find_encounters: FindEncounters,
) -> dict[str, UprightTrial]:
    """Return the trial of each data set with enough comparable pseudo-queries.

    `modes` says how the photographs of each data set are prepared. Database photographs are matched with their first
    candidates twice: rotation-invariant, then upright. Features and pairs are kept in the run's own stores.
    """
    config = context.config
    if not can_try_upright(context):
        return {}
    mine = {name: images.select(images.dataset == name) for name in modes}
    drawn = {
        name: draw_sample(one, config.prepare.trial_photographs, config.seed)
        for name, one in mine.items()
        if len(one.gallery) >= _LEAST_PHOTOGRAPHS
    }
    samples = {name: one for name, one in drawn.items() if _shows_twice(one)}
    if not samples:
        return {}
    queries = Counter(images.queries.dataset.tolist())
    context = replace(context, announce=None, more_matchers=()).with_config(
        trial_config(config, {name: queries[name] for name in samples})
    )
    ids = np.concatenate([one.image_id for one in samples.values()]).astype(str)
    sample = images.select(np.isin(images.image_id.astype(str), ids))
    if context.say is not None:
        names = ", ".join(samples)
        context.say(
            f"Trying upright keypoints on {len(sample)} database photographs of {names}. "
            "The setting keypoints.upright=false skips this."
        )
    whole, links = sample, BackgroundLinks({})
    cut = np.array([modes[name] != "whole" for name in sample.dataset], dtype=bool)
    if cut.any():
        outlines = find_outlines(sample.select(cut))
        if config.prepare.events:
            links = link_by_background(sample.select(cut), outlines.mask, context)
        masks = None if config.keypoints.masks is None else Path(config.keypoints.masks)
        given = find_masks(sample, masks, report=False)
        sample, _ = cut_photographs(sample, outlines, modes, given, context)
    contents, encounters = Contents(sample, []), find_encounters(whole, links)
    parts = []
    for upright in (False, True):
        keypoints = context.config.keypoints.model_copy(update={"upright": upright})
        own = context.with_config(context.config.model_copy(update={"keypoints": keypoints}))
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
    change = change[known]
    _, who = np.unique(turned.splits.identity[known].astype(str), return_inverse=True)
    influence = np.bincount(who, change - change.mean()) / len(change)
    return UprightTrial(float(change.mean()), standard_error(influence))


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
