"""One way to answer, as the search proposes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from animalclef.config.decision import Aggregation, Calibration, Fusion

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

    def as_json(self) -> dict[str, Any]:
        """Plain values; minus infinity is left out."""
        content = dataclasses.asdict(self)
        return content if np.isfinite(self.threshold) else {**content, "threshold": None}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DecisionParams:
        """The choice that `as_json` wrote."""
        threshold = content["threshold"]
        return cls(**{**content, "threshold": -np.inf if threshold is None else threshold})
