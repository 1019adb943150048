"""When a query stops, on traces made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rows import Row, image_table, strings

from animalclef.decision.decision_model import Calibrator, DatasetDecision, Decision
from animalclef.decision.early_exit import Curve, StopRule, Trace, learn_rule, only_first, trace_of
from animalclef.decision.early_exit_curve import held_out_chances, limit_for, trade_off, write_trade_off
from animalclef.structures import PairScores

CURVE = Calibrator(log=False, mean=0.0, spread=1.0, slope=1.0, intercept=0.0)
PART = DatasetDecision(calibrators={"inliers": CURVE}, weights={"inliers": 1.0}, threshold=0.9, fitted_on="test")
DECISION = Decision(scores="s", gallery="g", seed=0, datasets={}, pooled=PART)


def scores() -> PairScores:
    """Query q meets a, b, a; query r meets b alone."""
    inliers = np.array([1, 5, 4, 0], dtype=np.float32)
    similarity = np.array([0.9, 0.8, 0.7, 0.6], dtype=np.float32)
    names = strings("q", "q", "q", "r"), strings("a1", "b1", "a2", "b1")
    return PairScores(*names, {"similarity": similarity, "inliers": inliers})


IMAGES = image_table([Row("q"), Row("r"), Row("a1", "a"), Row("b1", "b"), Row("a2", "a")])


def test_only_first_hides_what_matching_would_find_out() -> None:
    seen = only_first(scores(), 1, ("inliers",))
    np.testing.assert_array_equal(seen.columns["inliers"], [1, np.nan, np.nan, 0])
    np.testing.assert_array_equal(seen.columns["similarity"], scores().columns["similarity"])
    each = only_first(scores(), np.array([2, 2, 2, 0]), ("inliers",))
    np.testing.assert_array_equal(each.columns["inliers"], [1, 5, np.nan, np.nan])


def test_a_rehearsal_by_hand() -> None:
    done = trace_of(scores(), IMAGES, DECISION, (1, 2, 50), ("inliers",))
    assert done.pairs.tolist() == [[1, 1], [2, 1], [3, 1]]
    assert done.answer.tolist() == [[None, None], ["b", None], ["b", None]]  # 1 / (1 + e^-1) < 0.9 < 1 / (1 + e^-5)
    assert done.changes.tolist() == [[True, False], [False, False], [False, False]]
    unmatched = np.log(1e-6)  # the least probability that the log-odds of a lead are told apart from
    np.testing.assert_allclose(done.state[0, 0], [1, 1, 1 - unmatched, 0.8, 0, np.log(2)], rtol=1e-5)
    np.testing.assert_allclose(done.state[1, 0, :3], [5, 25, 4], rtol=1e-5)
    np.testing.assert_allclose(done.state[2, 0, :3], [5, 25, 1], rtol=1e-2)


def made_up(n: int = 60) -> Trace:
    """Every other query has its answer after the first step, and then a high state; the others change at the end."""
    early = np.arange(n) % 2 == 0
    pairs = np.repeat(np.array([[5], [10], [20]]), n, axis=1)
    state = np.zeros((3, n, 6))
    state[:, :, 0] = np.where(early, 8.0, -3.0)
    answer = np.full((3, n), None, dtype=object)
    identity = strings(*[f"i{row}" for row in range(n)])
    answer[:, early] = identity[early]
    answer[2] = identity
    return Trace(identity, strings(*["newt"] * n), identity, pairs, state, answer)


def test_the_rule_stops_settled_queries_and_lets_the_others_go_on() -> None:
    done = made_up()
    chance = done.chances(learn_rule([done]))
    early = np.arange(60) % 2 == 0
    assert (chance[:2, early] < 0.2).all()
    assert (chance[:2, ~early] > 0.8).all()
    assert (chance[2] == 0).all()
    assert done.stopped_at(chance, 0.5).tolist() == [0, 2] * 30


def test_a_rule_without_changes_or_states_is_flat() -> None:
    done = made_up()
    calm = done.select(np.flatnonzero(np.arange(60) % 2 == 0))
    assert learn_rule([calm])["newt"].slope == (0.0,) * 6
    assert calm.chances(learn_rule([calm])).max() < 0.02
    assert set(learn_rule([calm.select(np.arange(3))])) == {"pooled"}
    nobody = learn_rule([calm.select(np.zeros(30, dtype=bool))])
    assert nobody["pooled"].chance(np.zeros((1, 6))).tolist() == [0.5]


def test_the_limit_that_keeps_to_a_share() -> None:
    done = made_up()
    chances = held_out_chances([done, done])
    low = limit_for(done, done, chances, 0.7, 0.4)  # settled ones take 5 of 20, the others all: 0.625
    assert 0 < low < 0.8
    assert limit_for(done, done, chances, 1.0, 0.4) == 0
    assert limit_for(done, done, chances, 0.3, 0.4) > 0.5
    assert limit_for(done, done, chances, 0.0, 0.4) == 1


def test_the_curve_and_its_files(tmp_path: Path) -> None:
    done = made_up()
    unknown = Trace(done.image_id, done.dataset, done.identity, done.pairs, done.state, np.full((3, 60), None))
    points = trade_off(done, unknown, held_out_chances([done, unknown]), set(done.image_id))
    whole = next(point for point in points if point.limit == 0)
    assert (whole.pair_share, whole.score, whole.agreement) == (1, 1, 1)
    few = next(point for point in points if point.rule == "first" and point.limit == 5)
    assert (few.pair_share, few.agreement) == (0.25, 0.75)
    assert few.score == pytest.approx(np.sqrt(0.5))
    for folder in ("one", "two"):
        write_trade_off(points, tmp_path / folder / "budget.csv", tmp_path / folder / "budget.png")
    assert (tmp_path / "one/budget.png").read_bytes() == (tmp_path / "two/budget.png").read_bytes()
    lines = (tmp_path / "one/budget.csv").read_text().splitlines()
    assert lines[0] == "rule,limit,pairs,pair_share,score,agreement"
    assert len(lines) == len(points) + 1


def test_without_a_provisional_decision_everyone_goes_on() -> None:
    rule = StopRule(steps=(), match_columns=("inliers",), provisional=None, curves={}, limit=0.0)
    assert rule.chance(scores(), IMAGES) == {"q": 1.0, "r": 1.0}


def test_a_rule_survives_its_file() -> None:
    curve = Curve(mean=(0.0,) * 6, spread=(1.0,) * 6, slope=(0.1,) * 6, intercept=1 / 3)
    rule = StopRule(steps=(1, 2), match_columns=("inliers",), provisional=DECISION, curves={"pooled": curve}, limit=0.1)
    again = StopRule.model_validate_json(rule.model_dump_json())
    assert again == rule
    seen = only_first(scores(), 1, ("inliers",))
    assert again.chance(seen, IMAGES) == rule.chance(seen, IMAGES)
