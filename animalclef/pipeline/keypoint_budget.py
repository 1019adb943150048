"""Choose how many keypoints a run takes of a photograph, and at which size, by what its time budget affords.

The choice rests on nominal times, never on a stop-watch: the same photographs get the same keypoints on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from animalclef.config import Config, VoteConfig
from animalclef.config.budget import BudgetConfig
from animalclef.store.pair_log import PairLog
from animalclef.structures import ImageTable, StrArray

__all__ = ["KeypointSize", "affordable", "count_pairs", "count_pairs_left", "sized_for_job"]

_MINUTES, _PHOTOGRAPHS = 22.0, 3500  # the default budget: so many minutes for so many photographs
_CORES = 2


@dataclass(frozen=True)
class KeypointSize:
    """One step: keypoints that are found at a long side, how many are matched, and seconds of one core for each."""

    found: int
    long_side: int
    matched: int
    describe_s: float  # of a photograph: its outline, embedding and keypoints
    match_s: float  # of a pair


# Seconds of one core, measured with SIFT on photographs of 640 to 1,024 pixels.
_STEPS = (
    KeypointSize(512, 512, 512, 0.24, 0.0027),
    KeypointSize(1024, 640, 768, 0.27, 0.0046),
    KeypointSize(2048, 800, 1024, 0.30, 0.0070),
    KeypointSize(2048, 800, 1536, 0.30, 0.0145),
    KeypointSize(2048, 800, 2048, 0.30, 0.0270),
)


def sized_for_job(config: Config, images: ImageTable, *, tunes: bool, groups_all: bool = False) -> Config:
    """Return the settings with the keypoints that the job affords; see `count_pairs` for the job.

    Sizes that the settings give stay, and so do those of networks and of learned matchers, which were trained with
    their own.
    """
    keypoints = config.keypoints
    given = keypoints.long_side is not None or keypoints.max_keypoints is not None
    if given or keypoints.feature.has_weights or config.rerank.matcher != "mutual-nearest":
        return config
    pairs = count_pairs(images, config, tunes=tunes, groups_all=groups_all)
    minutes = keypoints.minutes or _MINUTES * len(images) / _PHOTOGRAPHS
    step = affordable(len(images), pairs, minutes)
    sizes = {"max_keypoints": step.found, "long_side": step.long_side}
    sizes["matched"] = step.matched if keypoints.matched is None else keypoints.matched
    vote = config.vote
    if vote.max_keypoints == VoteConfig().max_keypoints:  # the settings give no number
        vote = vote.model_copy(update={"max_keypoints": max(vote.max_keypoints, step.matched // 2)})
    return config.model_copy(update={"keypoints": keypoints.model_copy(update=sizes), "vote": vote})


def affordable(photographs: int, pairs: int, minutes: float) -> KeypointSize:
    """Return the largest step whose nominal time on two cores stays within the minutes; at least the first.

    >>> affordable(3500, 175_000, 20.0).matched, affordable(3500, 175_000, 60.0).matched
    (1024, 2048)
    """
    best = _STEPS[0]
    for step in _STEPS:
        if (photographs * step.describe_s + pairs * step.match_s) / _CORES <= 60 * minutes:
            best = step
    return best


def count_pairs(images: ImageTable, config: Config, *, tunes: bool, groups_all: bool = False) -> int:
    """Return how many pairs are asked for at most, within a budget in pairs, every view of a query counted.

    Queries and pseudo-queries are matched with their candidates. Those that are grouped by individual (new ones, with
    `groups_all` all queries, or everything where there are none) are matched with each other, and so is a sample of the
    database. The grouping that a budget leaves out counts, so that a budget that suffices changes no answer.
    """
    unlimited = config.model_copy(update={"budget": BudgetConfig()})
    pairs = _asked_pairs(images, unlimited, tunes=tunes, groups_all=groups_all, distinct=False)
    return pairs if config.budget.pairs is None else min(pairs, config.budget.pairs)


def count_pairs_left(
    images: ImageTable, config: Config, log: PairLog | None = None, *, tunes: bool, groups_all: bool = False,
    groups_nobody: bool = False,
) -> int:  # fmt: skip
    """Return how many pairs are matched at most without a budget: each once, and none that is in the log.

    The keys of `images` are matching keys. In a small job most pairs are asked for more than once.
    """
    return _asked_pairs(images, config, log, tunes=tunes, groups_all=groups_all, nobody=groups_nobody, distinct=True)


def _asked_pairs(
    images: ImageTable, config: Config, log: PairLog | None = None, *, tunes: bool, groups_all: bool, distinct: bool,
    nobody: bool = False,
) -> int:  # fmt: skip
    grouping = config.cluster
    groups = (groups_all or grouping.new_ones) and not nobody and config.budget.spend is None
    if config.rerank.matcher == "none":
        return 0
    pairs = 0
    for name in images.datasets:
        mine = images.dataset == name
        queries, gallery = images.key[mine & images.is_query], images.key[mine & ~images.is_query]
        pseudo = min(len(gallery), config.decide.of("pseudo_queries", name)) if tunes else 0
        tested = min(len(gallery), grouping.photographs)
        if groups_all and not images.is_query.any():
            queries, gallery, pseudo, tested = gallery, gallery[:0], 0, 0
        listed = min(config.retrieve.top_k, len(gallery))
        known, new, named = _Done(queries, gallery, log), _Done(queries, queries, log), _Done(gallery, gallery, log)
        among, within = 0, named.left(pseudo, listed)  # pairs of two queries, and of two database photographs
        if groups:
            among = new.left(len(queries), min(grouping.neighbours, max(0, len(queries) - 1)))
            within += named.left(tested, min(grouping.neighbours, max(0, tested - 1)))
            within += named.left(tested, listed) if groups_all else 0
        views = 1 + len(config.keypoints.views.get(name, ()))
        if distinct and views == 1:  # a view belongs to one of the two, so both directions are matched
            among, within = min(among, new.absent), min(within, named.absent)
        pairs += (known.left(len(queries), listed) + among + within) * views
    return pairs


class _Done:
    """Pairs of some photographs with others that a log holds already."""

    def __init__(self, keys: StrArray, others: StrArray, log: PairLog | None) -> None:
        self._matched = np.zeros(len(keys), dtype=np.int64) if log is None else log.partners(keys, others)

    def left(self, count: int, listed: int) -> int:
        """Return how many pairs are left where `count` of the photographs are matched with `listed` others each."""
        lacking = np.maximum(listed - self._matched, 0)
        return count * int(lacking.sum()) // max(1, len(lacking))

    @property
    def absent(self) -> int:
        """How many pairs of two of the photographs are not in the log, each once."""
        count = len(self._matched)
        return (count * (count - 1) - int(self._matched.sum())) // 2
