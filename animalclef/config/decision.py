"""Settings of the open-set decision."""

from __future__ import annotations

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["DecideConfig"]


class DecideConfig(Settings):
    """The open-set decision, tuned on the gallery alone."""

    pseudo_queries: int = Field(300, ge=1, description="per data set: gallery photographs that play the query")
    unknown_share: float = Field(0.4, gt=0, lt=1, description="share of individuals hidden in a split")
    splits: int = Field(8, ge=1, description="how many random open-set splits the score is averaged over")
    folds: int = Field(4, ge=2, description="calibrators are scored on folds of individuals they never saw")
    scores: tuple[str, ...] = Field(
        ("similarity", "inliers"), min_length=1, description="score columns that are fused, where a run has them"
    )
    trials: int = Field(120, ge=1, description="Optuna trials per data set")
    min_pseudo_queries: int = Field(12, ge=1, description="data sets with fewer take the pooled decision")
