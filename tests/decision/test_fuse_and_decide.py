"""Ranked candidates and answers, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rows import Row, image_table, strings

from animalclef.decision.decide import decide
from animalclef.decision.decision_model import Calibrator, DatasetDecision, Decision, load_decision
from animalclef.decision.fusion import fuse
from animalclef.errors import OutputError
from animalclef.structures import ImageTable, PairScores, RankedCandidates

IDENTITY = Calibrator(log=False, mean=0.0, spread=1.0, slope=1.0, intercept=0.0)  # log-odds are the score


def decision_of(threshold: float = 0.5, weights: dict[str, float] | None = None, **others: DatasetDecision) -> Decision:
    return Decision(scores="", gallery="", seed=0, datasets=others, pooled=part_of(threshold, weights))


def part_of(threshold: float = 0.5, weights: dict[str, float] | None = None, **more: bool) -> DatasetDecision:
    weights = weights or {"similarity": 1.0}
    return DatasetDecision(
        calibrators=dict.fromkeys(weights, IDENTITY), weights=weights, threshold=threshold, fitted_on="pooled", **more
    )


def scores_of(*pairs: tuple[str, str, float]) -> PairScores:
    query, gallery, score = zip(*pairs, strict=True) if pairs else ((), (), ())
    return PairScores(strings(*query), strings(*gallery), {"similarity": np.array(score, dtype=np.float32)})


def animals() -> ImageTable:
    return image_table([Row("q2"), Row("q1"), Row("g10", "a"), Row("g9", "b"), Row("g1", "c")])


def test_best_first_within_a_query_and_queries_in_table_order() -> None:
    scores = scores_of(("q1", "g1", 0.0), ("q1", "g9", 2.0), ("q2", "g10", -1.0))
    ranked = fuse(scores, animals(), decision_of())
    assert list(zip(ranked.query_id, ranked.identity, strict=True)) == [("q2", "a"), ("q1", "b"), ("q1", "c")]
    np.testing.assert_allclose(ranked.probability, [1 / (1 + np.e), 1 / (1 + np.exp(-2)), 0.5])
    assert ranked.columns["similarity"].tolist() == [-1, 2, 0]


def test_equal_candidates_keep_the_order_of_the_shortlist() -> None:
    ranked = fuse(scores_of(("q1", "g9", 1.0), ("q1", "g10", 1.0), ("q1", "g1", 1.0)), animals(), decision_of())
    assert ranked.gallery_id.tolist() == ["g9", "g10", "g1"]


def test_log_odds_are_averaged_by_weight() -> None:
    columns = {"similarity": np.array([2.0], np.float32), "inliers": np.array([-2.0], np.float32)}
    scores = PairScores(strings("q1"), strings("g1"), columns)
    ranked = fuse(scores, animals(), decision_of(weights={"similarity": 0.75, "inliers": 0.25}))
    assert ranked.probability[0] == pytest.approx(1 / (1 + np.exp(-1)))
    alone = fuse(scores, animals(), decision_of(weights={"similarity": 0.0, "inliers": 1.0}))
    assert alone.probability[0] == pytest.approx(1 / (1 + np.exp(2)))


def test_each_data_set_has_its_own_decision() -> None:
    rows = [Row("q"), Row("g", "a"), Row("r", dataset="newt"), Row("h", "b", dataset="newt")]
    images = image_table(rows)
    newt = DatasetDecision(
        calibrators={"similarity": Calibrator(log=False, mean=0, spread=1, slope=0, intercept=1)},
        weights={"similarity": 1.0}, threshold=0.9, fitted_on="newt",
    )  # fmt: skip
    ranked = fuse(scores_of(("q", "g", 3.0), ("r", "h", 3.0)), images, decision_of(newt=newt))
    np.testing.assert_allclose(ranked.probability, [1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-1))])
    answers = decide(ranked, images.queries, decision_of(newt=newt))
    assert dict(zip(answers.image_id, answers.identity, strict=True)) == {"q": "a", "r": None}


def test_other_viewpoints_fall_to_zero_where_the_decision_says_so() -> None:
    rows = [Row("q", viewpoint="left"), Row("l", "a", "left"), Row("r", "b", "right"), Row("n", "c")]
    images = image_table(rows)
    scores = scores_of(("q", "r", 5.0), ("q", "n", 1.0), ("q", "l", 0.0))
    ranked = fuse(scores, images, decision_of(lynx=part_of(same_viewpoint=True)))
    assert ranked.gallery_id.tolist() == ["n", "l", "r"]
    assert ranked.probability[2] == 0


def test_photographs_of_one_individual_are_gathered() -> None:
    rows = [Row("q"), Row("a1", "a"), Row("a2", "a"), Row("b", "b")]
    images = image_table(rows)
    scores = scores_of(("q", "b", 1.0), ("q", "a1", 0.5), ("q", "a2", 0.5))
    alone = fuse(scores, images, decision_of())
    assert alone.gallery_id.tolist() == ["b", "a1", "a2"]
    part = part_of().model_copy(update={"aggregation": "noisy_or"})
    together = fuse(scores, images, decision_of(lynx=part))
    assert together.gallery_id.tolist() == ["a1", "a2", "b"]
    one = 1 / (1 + np.exp(-0.5))
    np.testing.assert_allclose(together.identity_probability[:2], 1 - (1 - one) ** 2)
    np.testing.assert_allclose(together.probability[:2], one)
    odds = np.log((1 - (1 - one) ** 2) / (1 - one) ** 2)
    np.testing.assert_allclose(together.lead, odds - 1)


@pytest.mark.parametrize(("margin", "answer"), [(0.4, "b"), (0.6, None)])
def test_a_small_lead_is_no_answer(margin: float, answer: str | None) -> None:
    images = image_table([Row("q"), Row("a", "a"), Row("b", "b")])
    decision = decision_of(lynx=part_of(0.1).model_copy(update={"margin": margin}))
    ranked = fuse(scores_of(("q", "a", 0.5), ("q", "b", 1.0)), images, decision)
    assert decide(ranked, images.queries, decision).identity.tolist() == [answer]


def test_no_pairs_at_all() -> None:
    images = animals()
    ranked = fuse(scores_of(), images, decision_of())
    assert len(ranked) == 0
    answers = decide(ranked, images.queries, decision_of())
    assert answers.identity.tolist() == [None, None]
    assert answers.probability.tolist() == [0, 0]


def ranked_at(*probabilities: float) -> RankedCandidates:
    n = len(probabilities)
    ids, names = [f"g{one}" for one in range(n)], [f"i{one}" for one in range(n)]
    return RankedCandidates(
        strings(*["q"] * n), strings(*ids), strings(*names), strings(*["lynx"] * n), np.array(probabilities)
    )


@pytest.mark.parametrize(("threshold", "answer"), [(0.7, "i0"), (np.nextafter(0.7, 1), None), (0.0, "i0"), (1.0, None)])
def test_the_threshold_itself_is_enough(threshold: float, answer: str | None) -> None:
    queries = image_table([Row("q")])
    assert decide(ranked_at(0.7, 0.6), queries, decision_of(threshold)).identity.tolist() == [answer]


def test_a_query_without_candidates_is_new_even_at_threshold_zero() -> None:
    answers = decide(ranked_at(0.7), image_table([Row("p"), Row("q")]), decision_of(0.0))
    assert answers.image_id.tolist() == ["p", "q"]
    assert answers.identity.tolist() == [None, "i0"]
    assert answers.probability.tolist() == [0, 0.7]
    assert list(answers.named()) == ["i0"]


def test_a_probability_is_a_probability() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        ranked_at(1.5)


def test_a_decision_is_saved_and_read_and_replaces_only_its_kind(tmp_path: Path) -> None:
    decision = decision_of()
    for _ in range(2):
        decision.save(tmp_path / "kept.json")
    assert load_decision(tmp_path / "kept.json") == decision
    (tmp_path / "notes.json").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.json"):
        decision.save(tmp_path / "notes.json")
    assert (tmp_path / "notes.json").read_text() == "mine"
