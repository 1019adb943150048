"""Compare two submissions, and find the causes of their differences in their run folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from animalclef.data.columns import NEW_INDIVIDUAL
from animalclef.data.names import comparable
from animalclef.data.submission import read_submission
from animalclef.decision.decision_model import Decision
from animalclef.errors import RunError, SubmissionError
from animalclef.store.finished_run import FinishedRun

__all__ = [
    "Difference",
    "Explanation",
    "check_answers",
    "counts",
    "differences",
    "explain_with",
    "read_pair",
    "rows_of",
]

Answers = Mapping[str, str | None]


@dataclass(frozen=True)
class Explanation:
    """What a run holds about its queries."""

    path: Path
    dataset: Mapping[str, str]  # of every query
    answers: Answers
    first: Mapping[str, tuple[str, float]]  # the best candidate's individual and its probability
    decision: Decision
    skipped: frozenset[str]


@dataclass(frozen=True)
class Difference:
    """One query with two answers; `None` is a new individual."""

    image_id: str
    dataset: str
    a: str | None
    b: str | None
    cause: str
    a_probability: float | None = None  # of the first candidate in A's run
    b_probability: float | None = None
    truth: str | None = None
    a_right: bool | None = None  # None: there is no truth for this query
    b_right: bool | None = None


def read_pair(a: Path, b: Path) -> tuple[Answers, Answers]:
    """Read two submissions over the same queries.

    Raises:
        SubmissionError: a file is no submission, or they are over different queries.
    """
    one, other = read_submission(a), read_submission(b)
    only_a, only_b = [key for key in one if key not in other], [key for key in other if key not in one]
    for path, other_path, strays in ((a, b, only_a), (b, a, only_b)):
        if strays:
            raise SubmissionError(
                f"{path}: {len(strays)} of its image_id are not in {other_path} (first: {strays[0]}); "
                "compare two submissions for the same queries."
            )
    return one, other


def explain_with(run: FinishedRun) -> Explanation:
    """Return what a finished run says about its answers."""
    queries, ranked = run.images.queries, run.ranked
    best = {query_id: rows.start for query_id, rows in run.rows_of.items()}
    return Explanation(
        path=run.path,
        dataset=dict(zip(queries.image_id, queries.dataset, strict=True)),
        answers=dict(zip(run.predictions.image_id, run.predictions.identity, strict=True)),
        first={one: (ranked.identity[row], float(ranked.identity_probability[row])) for one, row in best.items()},
        decision=run.decision,
        skipped=frozenset(item.image_id for item in run.skipped),
    )


def check_answers(a: Path, b: Path, answers: tuple[Answers, Answers], runs: Sequence[Explanation]) -> None:
    """Check that each run still holds the answers of its submission; one run must hold those of A or of B.

    Raises:
        RunError: a run was made again since its submission was written, or wrote another one.
        SubmissionError: a query of the submissions is not in a run.
    """
    for place, run in enumerate(runs):
        for image_id in answers[0]:
            if image_id not in run.dataset:
                raise SubmissionError(
                    f"{a}: image_id {image_id} is no query of {run.path}; give the run of these submissions."
                )
        pairs = list(zip((a, b), answers, strict=True))
        pairs = pairs if len(runs) == 1 else pairs[place : place + 1]
        changed = [[one for one, answer in given.items() if run.answers[one] != answer] for _, given in pairs]
        if all(changed):
            raise RunError(
                f"{run.path}: its answers are not those of {' or '.join(str(path) for path, _ in pairs)} "
                f"({len(changed[0])} differ, first: {changed[0][0]}), so it cannot explain them. The run was changed "
                "since, or wrote another submission. Run predict again with another --run, or leave this --run out."
            )


def differences(
    a: Answers,
    b: Answers,
    *,
    dataset: Mapping[str, str] | None = None,
    runs: Sequence[Explanation] = (),
    truth: Answers | None = None,
) -> list[Difference]:
    """List every query with two different answers, in A's order.

    `runs` are none, one for both, or A's and B's. Data sets come from `dataset`, else from the runs. `truth` holds
    the right answers, `None` for a new individual.
    """
    where = {**{key: name for run in runs for key, name in run.dataset.items()}, **(dataset or {})}
    pair = (runs[0], runs[-1]) if runs else None
    found = []
    for image_id, one in a.items():
        other = b[image_id]
        if one == other:
            continue
        name = where.get(image_id, "")
        difference = Difference(image_id, name, one, other, _cause(image_id, name, one, other, pair))
        if pair is not None:
            p_a, p_b = (run.first[image_id][1] if image_id in run.first else None for run in pair)
            difference = replace(difference, a_probability=p_a, b_probability=p_b)
        if truth is not None and image_id in truth:
            who = truth[image_id]
            difference = replace(difference, truth=who, a_right=_is_same(one, who), b_right=_is_same(other, who))
        found.append(difference)
    return found


def _is_same(one: str | None, other: str | None) -> bool:
    """Return whether two answers name one individual, whatever their case and spaces."""
    return one == other or (one is not None and other is not None and comparable(one) == comparable(other))


def counts(found: Sequence[Difference]) -> list[dict[str, Any]]:
    """Count rows by data set, kind and cause, the most frequent first; with a truth also how often each is right."""
    groups: dict[tuple[str, str, str, str], Counter[str]] = {}
    for one in found:
        a, b = ("new" if who is None else "a name" for who in (one.a, one.b))
        b = "another name" if (a, b) == ("a name", "a name") else b
        group = groups.setdefault((one.dataset or "-", a, b, one.cause), Counter())
        group["rows"] += 1
        if one.a_right is not None:
            group["a_right"] += one.a_right
            group["b_right"] += bool(one.b_right)
            group["neither"] += not one.a_right and not one.b_right
    judged = any(one.a_right is not None for one in found)
    keys = ("rows", "a_right", "b_right", "neither") if judged else ("rows",)
    order = sorted(groups.items(), key=lambda item: (item[0][0], -item[1]["rows"], item[0]))
    return [
        {"dataset": name, "a": a, "b": b, "cause": cause, **{key: group[key] for key in keys}}
        for (name, a, b, cause), group in order
    ]


def rows_of(found: Sequence[Difference]) -> tuple[list[str], list[list[object]]]:
    """Return the header and the cells of a CSV file with every difference."""
    header = ["image_id", "dataset", "a", "b", "cause", "a_probability", "b_probability", "truth", "a_right", "b_right"]
    judged = any(one.a_right is not None for one in found)
    header = header if judged else header[:7]
    rows = []
    for one in found:
        cells: list[object] = [one.image_id, one.dataset, one.a or NEW_INDIVIDUAL, one.b or NEW_INDIVIDUAL, one.cause]
        cells += ["" if value is None else f"{value:.6g}" for value in (one.a_probability, one.b_probability)]
        if judged:
            cells += ["", "", ""] if one.a_right is None else [one.truth or NEW_INDIVIDUAL, int(one.a_right),
                                                               int(bool(one.b_right))]  # fmt: skip
        rows.append(cells)
    return header, rows


def _cause(
    image_id: str, dataset: str, a: str | None, b: str | None, pair: tuple[Explanation, Explanation] | None
) -> str:
    if pair is None:
        return "another name" if a is not None and b is not None else "threshold or candidate"
    if any(image_id in run.skipped for run in pair):
        return "photograph skipped"
    if any(image_id not in run.first for run in pair):
        return "no candidates"
    (first_a, p_a), (first_b, p_b) = (run.first[image_id] for run in pair)
    one_run = pair[0] is pair[1]
    if a is not None and b is not None:
        return "another best candidate" if one_run or first_a != first_b else "neither run's answer"
    named = a if a is not None else b
    if (first_a if a is not None else first_b) != named:
        return "another best candidate"
    if one_run:
        return "threshold"
    if first_a != first_b:
        return "another best candidate"
    limits = [run.decision.of(dataset).threshold for run in pair]
    moved = (p_a >= limits[1]) == (p_b >= limits[1])  # A's probability would be answered by B's threshold as B does
    return "threshold" if moved else "probability"
