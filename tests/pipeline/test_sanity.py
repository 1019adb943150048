"""The answers of a run against its own pseudo-queries, through the stages that answer queries."""

from __future__ import annotations

import numpy as np
from rows import Row, image_table, strings

from animalclef.data.pseudo_query import OpenSetSplits
from animalclef.decision.decision_model import Calibrator, DatasetDecision, Decision
from animalclef.decision.pseudo_query_scores import lay_out
from animalclef.pipeline.sanity import sanity_warnings
from animalclef.structures import PairScores, Predictions

N = 60  # individuals with two photographs each, and as many queries


def test_one_name_for_all_queries_is_told_and_validations_own_answers_are_not() -> None:
    rows = [Row(f"g{number}", f"i{number // 2}") for number in range(2 * N)]
    images = image_table([*rows, *[Row(f"q{number}") for number in range(N)]])
    asked = [f"g{2 * number}" for number in range(N)]
    known = np.arange(N)[None] % 2 == 0
    splits = OpenSetSplits(strings(*asked), strings(*[f"i{number}" for number in range(N)]), known, ~known)
    # every pseudo-query sees its individual's other photograph at 0.9 and somebody else's at 0.1
    queries = strings(*[one for one in asked for _ in range(2)])
    seen = strings(*[one for n in range(N) for one in (f"g{2 * n + 1}", f"g{(2 * n + 2) % (2 * N)}")])
    scores = PairScores(queries, seen, {"similarity": np.tile(np.array([0.9, 0.1], np.float32), N)})
    pseudo = {"lynx": lay_out(scores, images.gallery, splits, top_k=2)}
    curve = Calibrator(log=False, mean=0.5, spread=0.1, slope=1.0, intercept=0.0)  # 0.9: log-odds 4; 0.1: -4
    part = DatasetDecision(calibrators={"similarity": curve}, weights={"similarity": 1.0}, threshold=0.5,
                           fitted_on="lynx", validation=None)  # fmt: skip
    decision = Decision(scores="s", gallery="g", seed=0, datasets={"lynx": part}, pooled=part)

    def told(*answers: str | None) -> list[str]:
        query_id = images.queries.image_id
        return sanity_warnings(Predictions(query_id, strings(*answers), np.ones(N)), images, pseudo, decision)

    assert told(*[f"i{number}" if number % 2 else None for number in range(N)]) == []
    (sentence,) = told(*["i0"] * N)
    # half of the individuals play known, and all 30 are named right: 30 individuals in 30 answers
    assert "lynx: 30 answers with a name hold 1 individual, 30 in validation" in sentence
    assert "look at i0, which is named 60 times" in sentence
