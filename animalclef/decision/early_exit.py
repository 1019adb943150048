"""When a query's answer is settled: learned on pseudo-queries whose candidates were all matched.

A query's candidates are matched in the order of the shortlist, step by step. After each step its state (how probable
the best individual is, how far ahead of the second, what is still to come) gives the chance that the answer differs
from the one that all candidates would give. A query whose chance is at most the rule's limit is settled.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from animalclef.decision.aggregation import places_in_list
from animalclef.decision.calibrators import Part
from animalclef.decision.decide import decide
from animalclef.decision.decision_model import Decision
from animalclef.decision.fusion import fuse
from animalclef.structures import ImageTable, PairScores, StrArray
from animalclef.structures.arrays import Floats, Integers

__all__ = ["Curve", "StopRule", "Trace", "learn_rule", "only_first", "trace_of"]


_STATE = 6  # numbers that describe a query's state


class Curve(Part):
    """A logistic curve over a query's standardised state."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    slope: tuple[float, ...]
    intercept: float

    def chance(self, state: Floats) -> Floats:
        """The chance, (n,), that the answer still changes, of states (n, 6)."""
        z = np.clip((state - np.array(self.mean)) / np.array(self.spread), -8, 8)
        return np.asarray(1 / (1 + np.exp(-(z @ np.array(self.slope) + self.intercept))))


class StopRule(Part):
    """Whether a query goes on after each of `steps` candidates; without curves all go on."""

    steps: tuple[int, ...]
    match_columns: tuple[str, ...]  # what matching finds out; all else is known of every candidate before
    provisional: Decision | None
    curves: dict[str, Curve]
    limit: float

    def chance(self, scores: PairScores, images: ImageTable) -> dict[str, float]:
        """Of each query in `scores` the chance that its answer still changes; pairs not matched yet are NaN."""
        queries = images.select(np.isin(images.image_id.astype(str), np.unique(scores.query_id.astype(str))))
        if self.provisional is None:
            return dict.fromkeys(queries.image_id, 1.0)
        state, _ = _look(scores, queries, images, self.provisional, self.match_columns)
        return dict(zip(queries.image_id, _chances(self.curves, queries.dataset, state), strict=True))


@dataclass(frozen=True, eq=False)
class Trace:
    """What would have been seen of queries whose candidates were all matched, after each step."""

    image_id: StrArray  # (n,)
    dataset: StrArray  # (n,)
    identity: StrArray  # (n,)
    pairs: Integers  # (steps, n) how many candidates were matched
    state: Floats  # (steps, n, 6)
    answer: NDArray[np.object_]  # (steps, n) the last one is that of all candidates

    @property
    def changes(self) -> NDArray[np.bool_]:
        """(steps, n): the answer is not yet the last one."""
        return np.asarray(self.answer != self.answer[-1], dtype=bool)

    def select(self, rows: NDArray[np.generic]) -> Trace:
        """Some of the queries."""
        return Trace(
            self.image_id[rows], self.dataset[rows], self.identity[rows],
            self.pairs[:, rows], self.state[:, rows], self.answer[:, rows],
        )  # fmt: skip

    def chances(self, curves: Mapping[str, Curve]) -> Floats:
        """(steps, n) the chance of a change; 0 after the last step."""
        chance = np.stack([_chances(curves, self.dataset, state) for state in self.state])
        chance[self.pairs >= self.pairs[-1]] = 0
        return chance

    def stopped_at(self, chance: Floats, limit: float) -> Integers:
        """(n,) the first step after which the chance is at most the limit."""
        return np.asarray((chance <= limit).argmax(axis=0))


def only_first(scores: PairScores, count: int | Integers, match_columns: Collection[str]) -> PairScores:
    """As if of every query's pairs only the first `count` had been matched; the others' match columns are NaN."""
    unseen = places_in_list(scores.query_id) >= count
    columns = {
        name: np.where(unseen, np.float32(np.nan), values) if name in match_columns else values
        for name, values in scores.columns.items()
    }
    return PairScores(scores.query_id, scores.gallery_id, columns)


def trace_of(
    scores: PairScores, images: ImageTable, decision: Decision, steps: Sequence[int], match_columns: Collection[str]
) -> Trace:
    """Go through the steps of queries whose candidates were all matched."""
    names, length = np.unique(scores.query_id.astype(str), return_counts=True)
    queries = images.select(np.isin(images.image_id.astype(str), names))
    of = dict(zip(names, length, strict=True))
    longest = int(length.max(initial=1))
    counts = [step for step in steps if step < longest] + [longest]
    seen = [only_first(scores, count, match_columns) for count in counts]
    looks = [_look(one, queries, images, decision, match_columns) for one in seen]
    pairs = np.minimum(np.array(counts)[:, None], np.array([of[str(one)] for one in queries.image_id])[None])
    state, answer = (np.stack(one) for one in zip(*looks, strict=True))
    return Trace(queries.image_id, queries.dataset, queries.identity, pairs, state, answer)


def learn_rule(traces: Sequence[Trace], least: int = 40) -> dict[str, Curve]:
    """A curve for each data set in which at least `least` states were seen, and `pooled` for the others."""
    state = np.concatenate([_unfinished(one, one.state) for one in traces])
    changes = np.concatenate([_unfinished(one, one.changes) for one in traces])
    names = np.concatenate([_unfinished(one, np.broadcast_to(one.dataset, one.pairs.shape)) for one in traces])
    curves = {"pooled": _fit(state, changes)}
    for name in sorted(set(names)):
        rows = names == name
        if rows.sum() >= least:
            curves[name] = _fit(state[rows], changes[rows])
    return curves


def _unfinished(trace: Trace, values: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.asarray(values[trace.pairs < trace.pairs[-1]])


def _fit(state: Floats, changes: NDArray[np.bool_]) -> Curve:
    share = (changes.sum() + 1) / (len(changes) + 2)
    mean = state.mean(axis=0) if len(state) else np.zeros(_STATE)
    spread = np.maximum(state.std(axis=0), 1e-6) if len(state) else np.ones(_STATE)
    slope, intercept = np.zeros(_STATE), float(np.log(share / (1 - share)))
    if changes.any() and not changes.all():
        from sklearn.linear_model import LogisticRegression

        z = np.clip((state - mean) / spread, -8, 8)
        model = LogisticRegression(C=1.0, max_iter=1000).fit(z, changes)
        slope, intercept = model.coef_[0], float(model.intercept_[0])
    return Curve(mean=tuple(mean), spread=tuple(spread), slope=tuple(slope), intercept=intercept)


def _chances(curves: Mapping[str, Curve], dataset: StrArray, state: Floats) -> Floats:
    chance = np.ones(len(state))
    for name in sorted(set(dataset)):
        rows = dataset == name
        chance[rows] = curves.get(name, curves["pooled"]).chance(state[rows])
    return chance


def _look(
    scores: PairScores, queries: ImageTable, images: ImageTable, decision: Decision, match_columns: Collection[str]
) -> tuple[Floats, NDArray[np.object_]]:
    """State (n, 6) and answer (n,) of each query: log-odds of the best individual, their square, the lead over the
    second, similarity and vote of the next candidate, and how many were matched.
    """
    ranked = fuse(scores, images, decision)
    answer = decide(ranked, queries, decision).identity
    columns = [values for name, values in scores.columns.items() if name in match_columns]
    unseen = np.isnan(columns[0]) if columns else np.zeros(len(scores), dtype=bool)
    vote = scores.columns.get("vote", np.zeros(len(scores), np.float32))
    log_odds = np.log(np.clip(ranked.probability, 1e-6, 1 - 1e-6) / (1 - np.clip(ranked.probability, 1e-6, 1 - 1e-6)))
    place = {image_id: row for row, image_id in enumerate(queries.image_id)}
    state = np.zeros((len(queries), _STATE))
    for image_id, rows in _runs(ranked.query_id):
        others = ranked.identity[rows] != ranked.identity[rows.start]
        best = log_odds[rows.start]
        second = log_odds[rows][others].max(initial=-14.0)
        state[place[image_id], :3] = best, best**2, best - second
    for image_id, rows in _runs(scores.query_id):
        ahead = np.flatnonzero(unseen[rows])
        following = rows.start + ahead[0] if len(ahead) else rows.stop - 1
        similarity, voted = scores.columns["similarity"][following], vote[following]
        matched = rows.stop - rows.start - len(ahead)
        state[place[image_id], 3:] = np.nan_to_num([similarity, np.log1p(max(voted, 0)), np.log1p(matched)])
    return state, answer


def _runs(names: StrArray) -> list[tuple[str, slice]]:
    """Each name with the slice in which it stands."""
    if not len(names):
        return []
    starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))
    stops = np.append(starts[1:], len(names))
    return [(names[start], slice(start, stop)) for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
