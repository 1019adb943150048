"""Matching on a budget: rounds by hand, and whole runs that are stopped, timed and taken up again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rows import Row, image_table, strings
from tiny import make_tiny_data, read_csv
from whole_run import artefacts, count_work, predict

from animalclef.config import load_config
from animalclef.decision.early_exit import StopRule
from animalclef.errors import ConfigError
from animalclef.matching.rerank import scores_without_matching
from animalclef.pipeline import budget as budgeting
from animalclef.pipeline import match as matching
from animalclef.pipeline import predict as predicting
from animalclef.pipeline.match import Allowance, first_slots, match_in_steps
from animalclef.structures import PairScores, Shortlist

IMAGES = image_table([Row("q"), Row("r"), *[Row(f"g{row}", "a") for row in range(6)]])
LEARNED = ("decide.pseudo_queries=12", "retrieve.top_k=6")


@pytest.fixture(autouse=True)
def _sample_of_a_small_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgeting, "_SAMPLE", 12)
    monkeypatch.setattr(budgeting, "_SAMPLE_SHARE", 1)
    monkeypatch.setattr(budgeting, "STEPS", (1, 2, 3))


def shortlist() -> Shortlist:
    """Query q has six candidates and r four."""
    index = np.array([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, -1, -1]], dtype=np.int32)
    return Shortlist(strings("q", "r"), IMAGES.gallery.image_id, index, np.where(index >= 0, 0.5, np.nan).astype("f4"))


class Matching:
    """Scores a pair by its candidate's number, and remembers how many pairs each call asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, shortlist: Shortlist) -> PairScores:
        plain = scores_without_matching(shortlist)
        self.asked.append(len(plain))
        inliers = np.array([float(one[1:]) for one in plain.gallery_id], dtype=np.float32)
        return PairScores(plain.query_id, plain.gallery_id, {**plain.columns, "inliers": inliers})


class Told(StopRule):
    """A rule that says q is settled after its second candidate, and r never."""

    def chance(self, scores: PairScores, images: Any) -> dict[str, float]:
        seen = np.isfinite(scores.columns["inliers"][scores.query_id == "q"]).sum()
        return {"q": 1.0 if seen < 2 else 0.01, "r": 0.9}


def matched(share: float, steps: tuple[int, ...] = (1, 2, 3), limit: float = 0.1) -> tuple[list[bool], list[int]]:
    """Which pairs were matched (six of q, four of r), and how many each call asked for."""
    rule = Told(steps=steps, match_columns=("inliers",), provisional=None, curves={}, limit=limit)
    match = Matching()
    plain = scores_without_matching(shortlist())
    scores = match_in_steps(shortlist(), plain, match, IMAGES, Allowance(share, rule, "made"))
    assert len(scores) == 10
    assert np.isfinite(scores.columns["similarity"]).all()
    seen = np.isfinite(scores.columns["inliers"])
    numbers = [float(one[1:]) for one in scores.gallery_id[seen]]
    assert scores.columns["inliers"][seen].tolist() == numbers  # each score stands with its pair
    return seen.tolist(), match.asked


def test_a_settled_query_stops_and_the_other_goes_on_to_its_end() -> None:
    seen, asked = matched(1.0)
    assert seen == [True, True, False, False, False, False, True, True, True, True]
    assert asked == [2, 4, 5, 6]


def test_a_limit_of_0_settles_nobody() -> None:
    assert matched(1.0, limit=0.0)[0] == [True] * 10


@pytest.mark.parametrize(
    ("share", "q", "r"), [(0.0, 0, 0), (0.1, 1, 0), (0.2, 1, 1), (0.3, 2, 1), (0.4, 2, 2), (0.5, 2, 3), (0.9, 2, 4)]
)
def test_never_more_than_the_share(share: float, q: int, r: int) -> None:
    seen, _ = matched(share)
    assert seen == [place < q for place in range(6)] + [place < r for place in range(4)]


def test_without_steps_all_come_forward_in_turn() -> None:
    seen, _ = matched(0.5, steps=())
    assert seen == [True, True, True, False, False, False, True, True, False, False]


def test_first_slots_by_hand() -> None:
    matched, goal, chance = np.array([0, 2, 1]), np.array([3, 3, 1]), np.array([0.1, 0.9, 0.5])
    assert first_slots(matched, goal, chance, 9).tolist() == [3, 3, 1]
    assert first_slots(matched, goal, chance, 2).tolist() == [1, 3, 1]
    assert first_slots(matched, goal, chance, 1).tolist() == [0, 3, 1]  # the less settled one first
    assert first_slots(matched, goal, np.zeros(3), 1).tolist() == [1, 2, 1]  # equal: the first in the table
    assert first_slots(matched, goal, chance, 0).tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("text", "pairs", "minutes"),
    [
        ("50000", 50000, None),
        ("30min", None, 30),
        ("30m", None, 30),
        ("0.5 min", None, 0.5),
        ("6h", None, 360),
        ("1.5 h", None, 90),
        ("1h30m", None, 90),
        ("1h 30min", None, 90),
    ],
)
def test_what_a_budget_may_be(text: str, pairs: int | None, minutes: float | None) -> None:
    for given in (json.dumps(text), text):
        budget = load_config(None, [f"budget.spend={given}"]).budget
        assert (budget.pairs, budget.minutes) == (pairs, minutes)


@pytest.mark.parametrize(
    "text", ["much", "-5", "3.5", "30 days", "30min1h", "h", "''", "0", "0min", "0h0m", "true", "9" * 400]
)
def test_what_a_budget_may_not_be(text: str) -> None:
    said = r"budget.spend: .*more than 0 pairs \(50000\) or a time \(6h, 30min, 1h30min\); a plain number means pairs"
    with pytest.raises(ConfigError, match=said):
        load_config(None, [f"budget.spend={text}"])


def test_what_was_matched_is_counted_by_the_scores(tmp_path: Path) -> None:
    scores = PairScores(
        strings("q", "q", "q"), strings("g0", "g1", "g2"), {"inliers": np.array([4, np.nan, 0], dtype=np.float32)}
    )
    listed = np.array([[True, True, False], [True, False, True]])
    inliers = np.array([[3, np.nan, np.nan], [7, 8, 3]], dtype=np.float32)  # the 8 is on neither list
    part: Any = SimpleNamespace(
        columns={"inliers": inliers}, as_known=listed, as_unknown=listed & False,
        splits=SimpleNamespace(image_id=strings("a", "b")),
        gallery_id=np.array([["b", "c", "d"], ["c", "d", "a"]], dtype=object),  # a with b stands twice
    )  # fmt: skip
    context: Any = SimpleNamespace(
        config=load_config(None, ["budget.spend=200"]),
        match_columns=("inliers",),
        folder=SimpleNamespace(path=tmp_path),
    )
    (tmp_path / "budget.json").write_text('{"asked": "200", "pairs": 200, "sample_pairs": 0, "share": 0.5}')
    spent = budgeting.spent_on(scores, {"NewtID": part}, context)
    assert spent == budgeting.Spent("200 pairs", 2, 3, 2, 3)
    assert spent is not None
    assert spent.sentence == (
        "Budget of 200 pairs: matched 2 of 3 pairs of queries and 2 of 3 pairs of validation; the others are scored "
        "without keypoints, and new individuals are not grouped."
    )
    (tmp_path / "budget.json").write_text('{"asked": "200", "pairs": 200, "sample_pairs": 24, "share": 1.0}')
    stopped = budgeting.spent_on(scores, {"NewtID": part}, context)
    assert stopped is not None
    assert stopped.settled
    assert stopped.sentence.endswith("The rest of the budget was not needed: no answer was expected to change.")
    context.config = load_config(None)
    assert budgeting.spent_on(scores, {}, context) is None


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("data") / "tiny", datasets=("NewtID",), individuals=5, unknown=1)


@pytest.fixture(scope="module")
def described(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder in which everything is described and nothing matched."""
    run = tmp_path_factory.mktemp("described") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predicting, "settle_budget", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            predict(data, run, *LEARNED)
    return run


def _interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def run(described: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(described, tmp_path / "run"))


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 102 pairs of the small data set are too few to match 12 pseudo-queries whole and have some left."""
    monkeypatch.setattr(budgeting, "_LEAST_SAMPLE", 4)


def matched_pairs(run: Path) -> int:
    return sum(1 for row in read_csv(run / "candidates.csv") if row["inliers"])


@pytest.mark.parametrize("spend", [30, 60, 90])
def test_a_small_budget_is_used_and_never_exceeded(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, spend: int
) -> None:
    counts = count_work(monkeypatch)
    predict(data, run, *LEARNED, f"budget.spend={spend}")
    assert f"A budget of {spend} means pairs of photographs" in caplog.text
    assert 0.95 * spend <= counts["pairs"] <= spend


@pytest.mark.usefixtures("few_are_enough")
def test_a_budget_is_kept_by_the_whole_run(data: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_work(monkeypatch)
    predict(data, run, *LEARNED, "budget.spend=80")
    assert 0 < counts["pairs"] <= 80
    record = json.loads((run / "budget.json").read_text())
    assert record["pairs"] == 80
    assert 0 < record["share"] <= 1  # settled queries stop before it
    candidates = read_csv(run / "candidates.csv")
    assert 0 < matched_pairs(run) < len(candidates)
    assert 0 < record["sample_pairs"] < 80
    assert (run / "budget.png").read_bytes().startswith(b"\x89PNG")
    assert read_csv(run / "budget.csv")[0]["rule"] == "settled"
    counts = json.loads((run / "timings.json").read_text())["counts"]
    assert (counts["query pairs matched"], counts["query pairs"]) == (matched_pairs(run), len(candidates))


def test_a_huge_budget_is_none(data: Path, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    assert predict(data, run, *LEARNED) == predict(data, other, *LEARNED, "budget.spend=1000000")
    assert artefacts(run) == artefacts(other)


def test_a_budget_of_nothing_answers_by_similarity(data: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgeting, "pair_seconds", lambda *_: 1.0)
    counts = count_work(monkeypatch)
    answer = predict(data, run, *LEARNED, "budget.spend=0.01min")
    assert counts["pairs"] == matched_pairs(run) == 0
    assert len(answer.splitlines()) == 7


def test_minutes_are_turned_into_pairs_once(data: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgeting, "pair_seconds", lambda *_: 0.1)
    minutes = (*LEARNED, "budget.spend=0.25min")
    first = predict(data, run, *minutes)
    record, kept = (run / "budget.json").read_bytes(), artefacts(run)
    assert json.loads(record)["pairs"] == 150
    monkeypatch.setattr(budgeting, "pair_seconds", lambda *_: 1e9)  # another machine, or the same one busy
    assert predict(data, run, *minutes) == first
    assert (run / "budget.json").read_bytes() == record
    assert artefacts(run) == kept


def test_the_measured_time_of_a_pair_is_a_time(data: Path, run: Path) -> None:
    predict(data, run, *LEARNED, "budget.spend=1min")
    record = json.loads((run / "budget.json").read_text())
    assert 1e-6 < record["pair_seconds"] < 1
    assert record["pairs"] == int(60 / record["pair_seconds"])


def dying_at(place: Any, name: str, call: int) -> Callable[[pytest.MonkeyPatch], None]:
    def patch(patching: pytest.MonkeyPatch) -> None:
        original, calls = getattr(place, name), 0

        def dying(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= call:
                raise KeyboardInterrupt
            return original(*arguments, **named)

        patching.setattr(place, name, dying)

    return patch


@pytest.mark.usefixtures("few_are_enough")
@pytest.mark.parametrize("budget", ["30", "80"])
def test_a_killed_run_ends_as_if_nothing_had_been(data: Path, run: Path, tmp_path: Path, budget: str) -> None:
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    settings = (*LEARNED, f"budget.spend={budget}")
    answer = predict(data, whole, *settings)
    from animalclef.store.pair_log import PairLog

    for kill in (dying_at(PairLog, "append", 2), dying_at(PairLog, "append", 2), dying_at(budgeting, "write_text", 2)):
        with pytest.MonkeyPatch.context() as patching:
            kill(patching)
            with pytest.raises(KeyboardInterrupt):
                predict(data, run, *settings)
    assert predict(data, run, *settings) == answer
    assert artefacts(run) == artefacts(whole)
    assert (run / "budget.json").read_bytes() == (whole / "budget.json").read_bytes()


def test_with_a_given_decision_the_queries_have_the_budget_for_themselves(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(data, run, *LEARNED)
    tuned, every = run / "decision.json", len(read_csv(run / "candidates.csv"))
    monkeypatch.setattr(budgeting, "_SAMPLE_SHARE", 0.01)
    predict(data, run, *LEARNED, f"budget.spend={every // 2}", decision=tuned)
    assert matched_pairs(run) == every // 2
    predict(data, run, *LEARNED, f"budget.spend={every}", decision=tuned)
    assert matched_pairs(run) == every


def test_what_lies_in_the_log_does_not_widen_the_budget(data: Path, run: Path, tmp_path: Path) -> None:
    settings = (*LEARNED, "budget.spend=60")
    other = Path(shutil.copytree(run, tmp_path / "other"))
    predict(data, other, *LEARNED)  # matches everything
    assert predict(data, run, *settings) == predict(data, other, *settings)
    assert artefacts(run) == artefacts(other)


@pytest.mark.usefixtures("few_are_enough")
def test_pseudo_queries_and_queries_are_matched_by_the_same_rule(
    data: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[float, float]] = []
    original = matching.match_in_steps

    def spying(shortlist: Shortlist, *arguments: Any) -> PairScores:
        scores = original(shortlist, *arguments)
        done = int(np.isfinite(scores.columns["inliers"]).sum())
        calls.append((arguments[-1].rule.limit, done / shortlist.pair_count))
        return scores

    monkeypatch.setattr(matching, "match_in_steps", spying)
    predict(data, run, *LEARNED, "budget.spend=80")
    record = json.loads((run / "budget.json").read_text())
    calls = calls[-3:]  # after those that settle the share: pseudo-queries as known, as unknown, queries
    assert len({limit for limit, _ in calls}) == 1
    assert all(0 < share <= record["share"] for _, share in calls)
