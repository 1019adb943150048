"""Curves from a raw score to log-odds that two photographs show one individual; plain numbers, stored as JSON."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["LARGEST", "AnyCurve", "BetaCurve", "Calibrator", "IsotonicCurve", "Part", "Scale", "shaped", "sigmoid"]

Floats = NDArray[np.float64]

LARGEST = 30.0  # a score counts as at most this many spreads from the mean
_TIE = 1e-6  # log-odds per spread: the raw score's order survives where a curve is flat


class Part(BaseModel):
    """A part of the decision file: frozen, an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Scale(Part):
    """A raw score, or log(1 + score) for counts, in spreads from its mean."""

    log: bool
    mean: float
    spread: float = Field(gt=0)

    def shaped(self, score: NDArray[np.generic]) -> Floats:
        """The score on the scale that the curve is drawn over."""
        return shaped(score, log=self.log)

    def standardised(self, score: NDArray[np.generic]) -> Floats:
        """Spreads from the mean, at most LARGEST either way; a NaN score counts as the lowest."""
        z = (self.shaped(score) - self.mean) / self.spread
        return np.clip(np.nan_to_num(z, nan=-LARGEST, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST)


class Calibrator(Scale):
    """A logistic curve (Platt). With slope 1 and intercept 0 it is no calibration: spreads are taken for log-odds."""

    kind: Literal["logistic"] = "logistic"
    slope: float = Field(ge=0)
    intercept: float

    def log_odds(self, score: NDArray[np.generic]) -> Floats:
        """Log-odds that two photographs show one individual; a NaN score counts as the lowest."""
        return self.slope * self.standardised(score) + self.intercept


class BetaCurve(Scale):
    """Beta calibration (Kull, Silva Filho and Flach 2017): a ln s - b ln(1 - s) + c, where s is the standardised score
    squeezed into (0, 1) by a logistic function.
    """

    kind: Literal["beta"] = "beta"
    rise: float = Field(ge=0, description="a")
    fall: float = Field(ge=0, description="b")
    intercept: float

    def log_odds(self, score: NDArray[np.generic]) -> Floats:
        """Log-odds that two photographs show one individual; a NaN score counts as the lowest."""
        low, high = beta_terms(self.standardised(score))
        return self.rise * low + self.fall * high + self.intercept


class IsotonicCurve(Scale):
    """A rising broken line through knots, straight between them, flat outside but for a tilt that keeps the order."""

    kind: Literal["isotonic"] = "isotonic"
    knots: tuple[float, ...] = Field(min_length=1, description="standardised scores, rising")
    values: tuple[float, ...] = Field(description="log-odds at the knots, never falling")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        knots, values = np.array(self.knots), np.array(self.values)
        if len(knots) != len(values) or (np.diff(knots) <= 0).any() or (np.diff(values) < 0).any():
            raise ValueError("knots must rise and have one value each that never falls")
        return self

    def log_odds(self, score: NDArray[np.generic]) -> Floats:
        """Log-odds that two photographs show one individual; a NaN score counts as the lowest."""
        z = self.standardised(score)
        return np.asarray(np.interp(z, self.knots, self.values) + _TIE * z)


AnyCurve = Annotated[Calibrator | BetaCurve | IsotonicCurve, Field(discriminator="kind")]


def beta_terms(z: Floats) -> tuple[Floats, Floats]:
    """ln s and -ln(1 - s) of s = 1 / (1 + exp(-z))."""
    return -np.logaddexp(0, -z), np.logaddexp(0, z)


def shaped(score: NDArray[np.generic], *, log: bool) -> Floats:
    """The score itself, or log(1 + score) for counts."""
    values = np.asarray(score, dtype=np.float64)
    return np.log1p(np.maximum(values, 0)) if log else values


def sigmoid(log_odds: Floats) -> Floats:
    """The probability of log-odds; 0 for minus infinity."""
    return np.asarray(np.exp(-np.logaddexp(0, -log_odds)))
