"""From pairs to identities, by hand and against a plain loop."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from animalclef.config.decision import Aggregation
from animalclef.decision.aggregation import Candidates

WHO = np.array([[5, 3, 5, 7]])
ODDS = np.array([[1.0, 2.0, 3.0, -1.0]])


def gathered(how: Aggregation) -> list[float]:
    candidates = Candidates(np.ones((1, 4), dtype=bool), WHO)
    return candidates.identity_log_odds(candidates.take(ODDS), how).tolist()


def test_each_aggregation_by_hand() -> None:
    assert gathered("max") == [3, 2, -1]  # identities in the order they first stand on the list: 5, 3, 7
    assert gathered("top2") == [2, 2, -1]
    none = (1 - 1 / (1 + math.exp(-1))) * (1 - 1 / (1 + math.exp(-3)))
    assert gathered("noisy_or") == pytest.approx([math.log((1 - none) / none), 2, -1])


def test_the_best_identity_its_lead_and_its_first_candidate() -> None:
    candidates = Candidates(np.array([[1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=bool), np.repeat(WHO, 3, axis=0))
    odds = candidates.take(np.repeat(ODDS, 3, axis=0))
    best = candidates.best(candidates.identity_log_odds(odds, "max"))
    assert best.log_odds.tolist() == [3, -np.inf, 2]
    assert best.lead.tolist() == [1, -np.inf, np.inf]
    assert best.slot.tolist() == [0, -1, 1]
    spread = candidates.of_pairs(candidates.identity_log_odds(odds, "max"))
    assert spread.tolist() == [[3, 2, 3, -1], [-np.inf] * 4, [-np.inf, 2, -np.inf, -np.inf]]


def test_of_equal_identities_the_first_on_the_list_is_best() -> None:
    candidates = Candidates(np.ones((1, 3), dtype=bool), np.array([[9, 2, 9]]))
    best = candidates.best(candidates.identity_log_odds(np.zeros(3), "max"))
    assert (best.slot.tolist(), best.lead.tolist()) == ([0], [0])


def test_nobody_to_be_seen() -> None:
    for shape in ((2, 3), (0, 3), (2, 0)):
        candidates = Candidates(np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.int64))
        best = candidates.best(candidates.identity_log_odds(candidates.take(np.zeros(shape)), "noisy_or"))
        assert best.log_odds.tolist() == [-np.inf] * shape[0]


def slow(odds: list[float], how: str) -> float:
    first, *others = sorted(odds, reverse=True)
    if how == "max":
        return first
    if how == "top2":
        return (first + others[0]) / 2 if others else first
    none = math.prod(1 - 1 / (1 + math.exp(-one)) for one in odds)
    return math.log((1 - none) / none)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(get_args(Aggregation)))
def test_gathering_is_the_plain_loop(seed: int, how: Aggregation) -> None:
    rng = np.random.default_rng(seed)
    q, k = rng.integers(1, 5), rng.integers(1, 8)
    visible, who = rng.random((q, k)) < 0.7, rng.integers(0, 4, (q, k))
    odds = rng.integers(-3, 4, (q, k)).astype(np.float64)
    candidates = Candidates(visible, who)
    best = candidates.best(candidates.identity_log_odds(candidates.take(odds), how))
    for row in range(q):
        mine = {one: odds[row, visible[row] & (who[row] == one)].tolist() for one in set(who[row, visible[row]])}
        values = sorted((slow(one, how) for one in mine.values()), reverse=True)
        assert best.log_odds[row] == (pytest.approx(values[0], abs=1e-9) if values else -np.inf)
        if len(values) > 1:
            assert best.lead[row] == pytest.approx(values[0] - values[1], abs=1e-9)
