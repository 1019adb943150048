"""Array types, and what every artefact of arrays does: check their shapes, and select rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "BoolArray",
    "FloatArray",
    "Floats",
    "Integers",
    "Pixels",
    "StrArray",
    "check_rows",
    "check_shape",
    "rows_in",
    "select_rows",
    "text_array",
]

Artefact = TypeVar("Artefact", bound="DataclassInstance")
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
StrArray = NDArray[np.object_]
Pixels = NDArray[np.uint8]

# What decisions are computed with.
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def text_array(values: Sequence[object]) -> StrArray:
    """Return strings (or `None`) as an array, (n,)."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def check_shape(name: str, array: NDArray[np.generic], expected: tuple[int | None, ...]) -> None:
    """Raise a ValueError that says what was expected and what came; None stands for any length."""
    fits = array.ndim == len(expected) and all(
        want is None or want == have for want, have in zip(expected, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected shape {expected}, got {array.shape}.")


def check_rows(artefact: object, count: int, *names: str) -> None:
    """Check that these arrays of an artefact are (count,); one that is `None` is absent."""
    for name in names:
        array = getattr(artefact, name)
        if array is not None:
            check_shape(name, array, (count,))


def rows_in(ids: Iterable[str], asked: Iterable[str]) -> Integers:
    """Return the place of each id that is asked for among `ids`, (asked,).

    Raises:
        KeyError: one is not among them.
    """
    row_of = {one: row for row, one in enumerate(ids)}
    return np.array([row_of[one] for one in asked], dtype=np.int64)


def select_rows(artefact: Artefact, rows: NDArray[np.generic], *names: str) -> Artefact:
    """Return an artefact with the given rows (indices or a mask) of these arrays, in that order; `None` stays."""
    arrays = {name: getattr(artefact, name) for name in names}
    return replace(artefact, **{name: None if array is None else array[rows] for name, array in arrays.items()})
