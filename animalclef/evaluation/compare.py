"""Compare two submissions, and find the causes of their differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from animalclef.data.columns import NEW_INDIVIDUAL
from animalclef.data.names import comparable
from animalclef.data.submission import read_submission
from animalclef.errors import SubmissionError
from animalclef.evaluation.answer_evidence import Answers, Explanation

__all__ = ["Difference", "counts", "differences", "read_pair", "rows_of"]

Pair = tuple[Explanation | None, Explanation | None]  # of A and B


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


def differences(
    a: Answers,
    b: Answers,
    *,
    dataset: Mapping[str, str] | None = None,
    of: Pair = (None, None),
    truth: Answers | None = None,
) -> list[Difference]:
    """List every query with two different answers, in A's order.

    `of` explains A and B; without an explanation a cause stays open. Data sets come from `dataset`, else from the
    explanations. `truth` holds the right answers, `None` for a new individual.
    """
    where = {**{key: name for one in of if one for key, name in one.dataset.items()}, **(dataset or {})}
    found = []
    for image_id, one in a.items():
        other = b[image_id]
        if one == other:
            continue
        name = where.get(image_id, "")
        difference = Difference(image_id, name, one, other, _cause(image_id, name, one, other, of))
        p_a, p_b = (why.first[image_id][1] if why is not None and image_id in why.first else None for why in of)
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


def _cause(image_id: str, dataset: str, a: str | None, b: str | None, of: Pair) -> str:
    known = [one for one in of if one is not None]
    if any(image_id in one.reviewed for one in known):
        return "people's answers"
    if any(image_id in one.skipped for one in known):
        return "photograph skipped"
    if any(image_id not in one.first for one in known):
        return "no candidates"
    if a is not None and b is not None:
        return "another best candidate" if known else "another name"
    best = {one.first[image_id][0] for one in known} | {a if a is not None else b}
    if len(best) > 1:
        return "another best candidate"
    if of[0] is None or of[1] is None:
        return "threshold or candidate"
    p_a, limit = of[0].first[image_id][1], of[1].decision.of(dataset).threshold
    if abs(p_a - limit) < of[0].error * limit:
        return "threshold or probability"  # too close, as the probability was written
    return "threshold" if (p_a >= limit) == (b is not None) else "probability"  # what B's threshold makes of A's
