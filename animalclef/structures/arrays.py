"""Array types and the check of a shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "Bools", "FloatArray", "Floats", "Integers", "StrArray", "check_shape", "text_array"]

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
StrArray = NDArray[np.object_]

# What decisions are computed with.
Bools = BoolArray
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
