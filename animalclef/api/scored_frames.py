"""Answers and truth that come as a DataFrame or a mapping: checked as their files are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from animalclef.data.columns import NEW_INDIVIDUAL
from animalclef.data.names import one_spelling
from animalclef.data.submission import KNOWN_WORDS, Truth
from animalclef.errors import SubmissionError
from animalclef.structures.arrays import text_array

__all__ = ["answers_of", "answers_of_frame", "truth_of_frame"]


def truth_of_frame(frame: pd.DataFrame, *, merge_case: bool = True) -> Truth:
    """Return the truth that a DataFrame with image_id, identity, dataset and known holds.

    Raises:
        SubmissionError: a column is missing, an id stands twice, `known` is neither 1 nor 0, or one individual is
            called both known and unknown.
    """
    _check_columns(frame, "truth", ("image_id", "identity", "dataset", "known"))
    image_id, identity, dataset, cells = (
        ["" if pd.isna(cell) else str(cell) for cell in frame[name]]
        for name in ("image_id", "identity", "dataset", "known")
    )
    rows = _rows(frame)
    _refuse_doubled(image_id, rows, "truth")
    known = [KNOWN_WORDS.get(cell.lower()) for cell in cells]
    if None in known:
        at = known.index(None)
        raise SubmissionError(
            f"truth, row {rows[at]}: known: expected 1 (the database has the individual) or 0 (new), got {cells[at]!r}."
        )
    identity = one_spelling(identity, dataset, merge=merge_case).names
    _refuse_both(identity, dataset, known, rows)
    return Truth(text_array(image_id), text_array(identity), text_array(dataset), np.array(known, dtype=bool))


def answers_of_frame(frame: pd.DataFrame) -> dict[str, str | None]:
    """Return the answers that a DataFrame with image_id and identity holds, `None` for a new individual.

    Raises:
        SubmissionError: a column is missing, or an id stands twice.
    """
    _check_columns(frame, "predictions", ("image_id", "identity"))
    return answers_of(frame["image_id"], frame["identity"], _rows(frame))


def answers_of(
    image_ids: Iterable[object], identities: Iterable[Any], rows: Iterable[object] | None = None
) -> dict[str, str | None]:
    """Return the answers by image_id, `None` for a new individual; `rows` name where each of them stands.

    Raises:
        SubmissionError: an id stands twice.
    """
    names = [str(image_id) for image_id in image_ids]
    _refuse_doubled(names, range(len(names)) if rows is None else rows, "predictions")
    answers = zip(names, identities, strict=True)
    return {image_id: None if pd.isna(who) or who == NEW_INDIVIDUAL else str(who) for image_id, who in answers}


def _rows(frame: pd.DataFrame) -> list[object]:
    """Return what rows are called: by the index, or by their place where two share it."""
    return list(frame.index if frame.index.is_unique else range(len(frame)))


def _check_columns(frame: pd.DataFrame, what: str, names: Sequence[str]) -> None:
    if absent := sorted(set(names) - set(frame.columns)):
        raise SubmissionError(f"{what}: expected the columns {', '.join(names)}; {absent} absent.")


def _refuse_doubled(image_ids: Sequence[str], rows: Iterable[object], what: str) -> None:
    seen: dict[str, object] = {}
    for image_id, row in zip(image_ids, rows, strict=True):
        if image_id in seen:
            raise SubmissionError(f"{what}, row {row}: image_id {image_id} stands already in row {seen[image_id]}.")
        seen[image_id] = row


def _refuse_both(
    who: Sequence[str], datasets: Sequence[str], known: Sequence[bool | None], rows: Iterable[object]
) -> None:
    seen: dict[tuple[str, str], tuple[bool | None, object]] = {}
    for dataset, identity, is_known, row in zip(datasets, who, known, rows, strict=True):
        earlier, first = seen.setdefault((dataset, identity), (is_known, row))
        if earlier != is_known and identity not in ("", NEW_INDIVIDUAL):
            word = "known" if earlier else "unknown"
            raise SubmissionError(f"truth, row {row}: {identity} of {dataset} is {word} in row {first}, and not here.")
