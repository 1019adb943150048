"""`decision.json`: how scores become answers, and what that was fitted on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from animalclef.errors import StaleArtefactError

__all__ = ["Calibrator", "DatasetDecision", "Decision", "Validation", "load_decision"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calibrator(_Part):
    """A logistic curve (Platt) over a raw score, or over log(1 + score) for counts."""

    log: bool
    mean: float
    spread: float = Field(gt=0)
    slope: float = Field(ge=0)
    intercept: float

    def log_odds(self, score: NDArray[np.generic]) -> NDArray[np.float64]:
        """Log-odds that two photographs show one individual; a NaN score counts as the lowest."""
        z = (self.shaped(score) - self.mean) / self.spread
        z = np.clip(np.nan_to_num(z, nan=-10.0, posinf=10.0, neginf=-10.0), -10.0, 10.0)
        return np.asarray(self.slope * z + self.intercept, dtype=np.float64)

    def shaped(self, score: NDArray[np.generic]) -> NDArray[np.float64]:
        """The score on the scale that the curve is drawn over."""
        return shaped(score, log=self.log)


class Validation(_Part):
    """What was measured on pseudo-queries; `nested` was tuned on individuals it was not scored on."""

    pseudo_queries: int
    individuals: int
    tuned: float
    nested: float
    baks: float
    baus: float


class DatasetDecision(_Part):
    """Of one data set: calibrators and weights per score column, and the least probability of a known animal."""

    calibrators: dict[str, Calibrator]
    weights: dict[str, float]
    threshold: float = Field(ge=0, le=1)
    same_viewpoint: bool = Field(False, description="candidates seen from another side get probability 0")
    fitted_on: str = Field(description="the data set whose gallery it was fitted on, `pooled`, or `default`")
    validation: Validation | None = None

    @model_validator(mode="after")
    def _weights_are_calibrated(self) -> Self:
        if not self.weights or not self.weights.keys() <= self.calibrators.keys():
            raise ValueError(f"weights of {sorted(self.weights)}, but calibrators of {sorted(self.calibrators)}")
        return self


class Decision(_Part):
    """The decisions of all data sets; one that is not named takes `pooled`."""

    format: Literal[1] = 1
    scores: str = Field(description="fingerprint of the settings and weights that made the raw scores")
    gallery: str = Field(description="digest of the gallery it was fitted on")
    seed: int
    datasets: dict[str, DatasetDecision]
    pooled: DatasetDecision

    def of(self, dataset: str) -> DatasetDecision:
        """The decision that applies to a data set."""
        return self.datasets.get(dataset, self.pooled)

    def check(self, scores: str) -> None:
        """Refuse to be applied to other scores than it was fitted on.

        Raises:
            StaleArtefactError: this run's scores come from other settings or weights.
        """
        if self.scores != scores:
            raise StaleArtefactError(
                f"The decision was fitted on scores of settings {self.scores}, this run's are {scores}. "
                "Use the configuration it was made with, or leave --decision out to fit a new one."
            )


def load_decision(path: Path) -> Decision:
    """Read a decision file.

    Raises:
        StaleArtefactError: it is not one, or of another format.
    """
    try:
        return Decision.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StaleArtefactError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise StaleArtefactError(f"{path}: not a decision file of this version ({where}: {problem['msg']}).") from error


def shaped(score: NDArray[np.generic], *, log: bool) -> NDArray[np.float64]:
    """The score itself, or log(1 + score) for counts."""
    values = np.asarray(score, dtype=np.float64)
    return np.log1p(np.maximum(values, 0)) if log else values
