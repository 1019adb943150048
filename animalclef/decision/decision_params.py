"""One way to answer, as the search proposes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from animalclef.config.decision import Aggregation, Calibration, Fusion
from animalclef.decision.score_columns import is_relative

__all__ = ["DecisionParams"]


@dataclass(frozen=True)
class DecisionParams:
    """Everything between raw scores and names; `threshold` is in log-odds, minus infinity where the lead counts."""

    weights: Mapping[str, float]
    fusion: Fusion = "weighted"
    calibration: Calibration = "logistic"
    aggregation: Aggregation = "max"
    crowd_weight: float = 0.0
    same_viewpoint: bool = False
    threshold: float = -np.inf
    margin: float = 0.0

    def at(self, threshold: float, margin: float | None = None) -> DecisionParams:
        """With another threshold."""
        return dataclasses.replace(self, threshold=threshold, margin=self.margin if margin is None else margin)

    @property
    def complexity(self) -> int:
        """How many decisions it takes to say what it does; a single column with a logistic curve has none."""
        used = [weight for weight in self.weights.values() if weight > 0]
        weighing = 0 if self.fusion == "learned" or len(set(used)) == 1 else 1
        return (
            (3 if self.fusion == "learned" else len(used) - 1 + weighing + (self.calibration != "logistic"))
            + any(is_relative(name) for name, weight in self.weights.items() if weight > 0)
            + (self.aggregation != "max")
            + (self.crowd_weight > 0)
            + self.same_viewpoint
            + (self.margin > 0)
            + bool(self.margin > 0 and np.isfinite(self.threshold))
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values; minus infinity is left out."""
        content = dataclasses.asdict(self)
        return content if np.isfinite(self.threshold) else {**content, "threshold": None}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DecisionParams:
        """The choice that `as_json` wrote."""
        threshold = content["threshold"]
        return cls(**{**content, "threshold": -np.inf if threshold is None else threshold})
