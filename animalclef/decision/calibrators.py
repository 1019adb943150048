"""Curves from a raw score to log-odds that two photographs show one individual; plain numbers, stored as JSON."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from animalclef.structures.arrays import Floats

__all__ = ["LARGEST", "UNREACHED", "Calibrator", "Part", "Scale", "log_odds_of", "shaped", "sigmoid"]

LARGEST = 30.0  # a score counts as at most this many spreads from the mean
UNREACHED = 1e9  # log-odds above those of any answer


class Part(BaseModel):
    """A part of the decision file: frozen, an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Scale(Part):
    """A raw score, or log(1 + score) for counts, in spreads from its mean."""

    log: bool
    mean: float
    spread: float = Field(gt=0)

    def standardised(self, score: NDArray[np.generic]) -> Floats:
        """Return spreads from the mean, at most LARGEST either way; a NaN score counts as the lowest."""
        z = (shaped(score, log=self.log) - self.mean) / self.spread
        return np.clip(np.nan_to_num(z, nan=-LARGEST, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST)


class Calibrator(Scale):
    """A logistic curve (Platt)."""

    kind: Literal["logistic"] = "logistic"
    slope: float = Field(ge=0)
    intercept: float

    def log_odds(self, score: NDArray[np.generic]) -> Floats:
        """Return log-odds that two photographs show one individual; a NaN score counts as the lowest."""
        return self.slope * self.standardised(score) + self.intercept


def shaped(score: NDArray[np.generic], *, log: bool) -> Floats:
    """Return the score itself, or log(1 + score) for counts."""
    values = np.asarray(score, dtype=np.float64)
    return np.log1p(np.maximum(values, 0)) if log else values


def sigmoid(log_odds: Floats) -> Floats:
    """Return the probability of log-odds; 0 for minus infinity."""
    return np.asarray(np.exp(-np.logaddexp(0, -log_odds)))


def log_odds_of(probability: float) -> float:
    """Return the log-odds of a probability; UNREACHED at 1 or above.

    >>> log_odds_of(0.5), log_odds_of(0), log_odds_of(1) == UNREACHED
    (0.0, -inf, True)
    """
    with np.errstate(divide="ignore"):
        return float(np.log(probability) - np.log1p(-probability)) if probability < 1 else UNREACHED
