"""Decisions for data sets that cannot be tuned: nothing in raw units goes from one to another."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from evaluation_cases import synthetic
from rows import Row, image_table, strings
from test_null_model import singletons

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.decision_model import DatasetDecision, Decision
from animalclef.decision.fusion import fuse
from animalclef.decision.null_model import Null, nulls_of
from animalclef.decision.strangers import confidence_sentences, measured_on_strangers
from animalclef.decision.transfer import for_dataset, nulls_of_queries, prior_decision, scale_free_columns
from animalclef.decision.tune import tune
from animalclef.errors import StaleArtefactError
from animalclef.runtime.progress import Silent
from animalclef.structures import PairScores


def tuned(**pseudo: PseudoQueries) -> Decision:
    return tune(pseudo, DecideConfig(folds=2), 0, "scores", "gallery", Silent())


def scaled(part: PseudoQueries, factor: float, shift: float) -> PseudoQueries:
    """The same pseudo-queries measured in other units of similarity."""
    columns = {"similarity": (part.columns["similarity"] * factor + shift).astype(np.float32)}
    return dataclasses.replace(part, columns=columns)


def new_among_strangers(decision: DatasetDecision, part: PseudoQueries) -> float:
    found = measured_on_strangers(decision, part)
    assert found is not None
    return found.new


def test_a_pooled_decision_does_not_depend_on_the_units_of_the_data_sets_it_learned_from() -> None:
    lynx, newt = scaled(synthetic(20, 4.0, seed=0), 1.0, 0.0), scaled(singletons(40), 1.0, 0.0)
    plain = tuned(lynx=lynx, newt=newt).of("newt")
    for factor, shift in ((100.0, 7.0), (0.01, -3.0)):
        other = tuned(lynx=scaled(lynx, factor, shift), newt=newt).of("newt")
        assert other.threshold == pytest.approx(plain.threshold, abs=1e-3)
        values = newt.columns["similarity"]
        ours, theirs = (one.calibrators["similarity"].log_odds(values) for one in (plain, other))
        np.testing.assert_allclose(ours, theirs, atol=0.01)


def test_a_decision_in_raw_units_cannot_be_transferred() -> None:
    own = tuned(lynx=synthetic(20, 4.0, seed=0)).of("lynx")
    assert not own.scale_free
    with pytest.raises(ValueError, match="own data set alone"):
        for_dataset(own, own.nulls)


def test_an_old_pooled_decision_is_refused_for_data_sets_that_it_does_not_name() -> None:
    own = tuned(lynx=synthetic(20, 4.0, seed=0)).of("lynx")
    old = Decision(scores="s", gallery="g", seed=0, datasets={"lynx": own}, pooled=own)
    old.check("s", ["lynx"])
    with pytest.raises(StaleArtefactError, match="holds for lynx alone and cannot be applied to newt"):
        old.check("s", ["lynx", "newt"])
    tuned(lynx=synthetic(20, 4.0, seed=0)).check("scores", ["lynx", "newt"])


def test_translation_into_raw_units_by_hand() -> None:
    pooled = prior_decision(["inliers", "similarity"])
    assert set(pooled.weights) == {"inliers/null"}
    null = Null(location=2.0, scale=0.5, photographs=9, individuals=9)
    mine = for_dataset(pooled, {"inliers": null})
    score = np.expm1(np.array([2.0, 2.0 + 0.5 * np.log(13)]))
    slope, intercept = 11 / 12, -np.log(12)
    np.testing.assert_allclose(
        mine.calibrators["inliers"].log_odds(score), [intercept, slope * np.log(13) + intercept], atol=1e-9
    )
    assert mine.threshold == pytest.approx(1 / (1 + np.exp(-(slope * np.log(13) + intercept))))
    assert not mine.scale_free


def test_singletons_alone_get_a_threshold_from_their_own_strangers() -> None:
    part = singletons(200)
    decision = tuned(newt=part)
    mine = decision.of("newt")
    assert mine.fitted_on == "default"
    assert mine.validation is None
    assert 0.86 < new_among_strangers(mine, part) < 0.98  # exp(-1 / 13) = 0.926 is expected
    [sentence] = confidence_sentences(decision)
    assert "no estimate of how many known animals will be found" in sentence
    assert "200 photographs of 200 individuals" in sentence


def test_singletons_beside_another_data_set_keep_their_strangers_out() -> None:
    part = singletons(100, seed=4)
    decision = tuned(lynx=synthetic(20, 4.0, seed=0), newt=part)
    assert decision.of("newt").fitted_on == "pooled"
    assert 0.83 < new_among_strangers(decision.of("newt"), part) <= 1.0


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("value", [None, 0.0, 0.5, np.nan])
def test_very_few_equal_and_absent_scores_give_a_usable_decision(count: int, value: float | None) -> None:
    part = singletons(count)
    if value is not None:
        columns = {name: np.full(part.same.shape, value, np.float32) for name in part.columns}
        part = dataclasses.replace(part, columns=columns)
    decision = tuned(newt=part)
    mine = decision.of("newt")
    assert 0 < mine.threshold < 1
    assert mine.strangers is not None
    assert 0 <= mine.strangers.low <= mine.strangers.new <= mine.strangers.high <= 1
    assert Decision.model_validate_json(decision.model_dump_json()) == decision
    assert len(confidence_sentences(decision)) == 1


def test_no_candidates_at_all() -> None:
    part = singletons(4)
    nothing = np.zeros_like(part.as_known)
    mine = tuned(newt=dataclasses.replace(part, as_known=nothing, as_unknown=nothing)).of("newt")
    assert mine.strangers is not None
    assert mine.strangers.new == 1


def test_twelve_photographs_of_four_animals_are_decided_with_a_caveat() -> None:
    decision = tuned(lynx=synthetic(4, 5.0, seed=0, photographs=3))
    assert decision.of("lynx").fitted_on == "lynx"
    [sentence] = confidence_sentences(decision)
    assert "validated on only 12 photographs of 4 individuals, so its score" in sentence


def test_a_data_set_that_the_decision_has_never_seen_is_decided_by_its_own_lists() -> None:
    """The second-best individual of a query is a stranger, so the lists alone show what strangers reach."""
    rows = [Row(f"q{one}", dataset="newt") for one in range(40)]
    rows += [Row(f"g{one}", f"i{one}", dataset="newt") for one in range(5)]
    rng = np.random.default_rng(0)
    similarity = (100 + 10 * rng.gumbel(size=(40, 5))).astype(np.float32)
    similarity[:20, 0] = 400.0  # the first twenty queries show i0
    scores = PairScores(
        strings(*[f"q{one // 5}" for one in range(200)]), strings(*[f"g{one % 5}" for one in range(200)]),
        {"similarity": similarity.ravel()},
    )  # fmt: skip
    lynx = scaled(synthetic(20, 4.0, seed=0), 1.0, 0.0)
    decision = tuned(lynx=lynx)
    ranked = fuse(scores, image_table(rows), decision)
    best = {}
    for query, probability in zip(ranked.query_id, ranked.identity_probability, strict=True):
        best.setdefault(query, probability)
    threshold = decision.of("newt").threshold
    assert all(best[f"q{one}"] >= threshold for one in range(20))
    assert np.mean([best[f"q{one}"] < threshold for one in range(20, 40)]) > 0.6


def test_the_null_of_queries_takes_the_second_individual() -> None:
    query = np.array([0, 0, 0, 1, 1])
    who = np.array([5, 5, 6, 6, 7])
    nulls = nulls_of_queries({"similarity": np.array([0.9, 0.8, 0.3, 0.7, 0.3])}, query, who, 3)
    assert nulls["similarity"].location == pytest.approx(0.3, abs=0.05)
    assert nulls["similarity"].individuals == 2


def test_missing_columns_leave_their_weight_to_the_others() -> None:
    pooled = tuned(lynx=synthetic(20, 4.0, seed=0)).pooled
    mine = for_dataset(pooled, {"inliers": nulls_of(singletons(9))["inliers"]})
    assert mine.weights == {"inliers": 1.0}


def test_scale_free_columns_are_scales_above_the_location() -> None:
    null = Null(location=np.log(11.0), scale=0.5, photographs=9, individuals=3)
    found = scale_free_columns({"inliers": np.array([[10.0, 0.0]], np.float32)}, {"inliers": null})
    assert found["inliers/null"][0] == pytest.approx([0.0, -2 * np.log(11)])
    assert set(found) == {"inliers/null"}
