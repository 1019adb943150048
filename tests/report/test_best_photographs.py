"""Beside a query stand its best individuals, each by its best photograph."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from rows import strings

from animalclef.evaluation.outcomes import Answers
from animalclef.report.best_photographs import BestPhotograph, best_photographs
from animalclef.report.query_cards import shown_candidates


def run_of(*names: str) -> Any:
    """A run with one candidate of another query, then the candidates of query 7, then a query without any."""
    identity = strings("Zoe", *names)
    queries = SimpleNamespace(image_id=strings("7", "8"))
    run = SimpleNamespace(
        ranked=SimpleNamespace(identity=identity), rows_of={"6": slice(0, 1), "7": slice(1, len(identity))},
        images=SimpleNamespace(queries=queries),
    )  # fmt: skip
    return cast(Any, run)


def test_the_second_individual_follows_the_first_whatever_photographs_lie_between() -> None:
    run = run_of("Luna", "Luna", "Luna", "Bo", "Luna", "Bo", "Ada")
    assert best_photographs(run, "7") == [
        BestPhotograph(row=1, rank=1, place=1, further=3),
        BestPhotograph(row=4, rank=2, place=4, further=1),
        BestPhotograph(row=7, rank=3, place=7, further=0),
    ]
    assert best_photographs(run, "8") == []


def test_the_true_individual_keeps_its_rank_where_it_comes_later() -> None:
    run = run_of("Luna", "Luna", "Bo", "Cy", "Cy", "Ada", "Ada")
    [shown, empty] = shown_candidates(run, None, 2)
    assert (shown.rows, [one.rank for one in shown.best], empty.rows) == ([1, 3], [1, 2], [])
    answers = SimpleNamespace(image_id=strings("7"), truth=np.array(["Ada"], dtype=object))
    [shown, _] = shown_candidates(run, cast(Answers, answers), 2)
    assert [(one.row, one.rank, one.place, one.further) for one in shown.best][-1] == (6, 4, 6, 1)
    answers.truth[0] = "Bo"  # among the best two already
    [shown, _] = shown_candidates(run, cast(Answers, answers), 2)
    assert shown.rows == [1, 3]
