"""Settings of the open-set decision."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["Aggregation", "Calibration", "DecideConfig", "Fusion", "Rule"]

Calibration = Literal["logistic", "isotonic", "beta", "none"]
Aggregation = Literal["max", "top2", "noisy_or"]
Fusion = Literal["weighted", "learned"]
Rule = Literal["probability", "margin", "both"]

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]


class DecideConfig(Settings):
    """The open-set decision, tuned on the gallery alone.

    Where a setting holds one value per data set, those that are not named take the default. Where it holds several
    choices, the study picks among them.
    """

    pseudo_queries: Count | dict[str, Count] = Field(
        300, description="gallery photographs that play the query: in every data set, or {data set: number}"
    )
    match_query: bool = Field(False, description="not more pseudo-queries than a data set has queries")
    unknown_share: Share | dict[str, Share] = Field(0.4, description="share of individuals hidden in a split")
    photographs_each: CountOrNone | dict[str, CountOrNone] = Field(
        0, description="at most so many pseudo-queries of one individual; 0: no limit"
    )
    hidden_days: CountOrNone | dict[str, CountOrNone] = Field(
        0, description="a pseudo-query does not see its individual's photographs from so many days around it"
    )
    latest_first: bool | dict[str, bool] = Field(
        False, description="pseudo-queries come from the latest encounters, as when the queries are next year's"
    )
    splits: int = Field(8, ge=1, description="how many random open-set splits the score is averaged over")
    folds: int = Field(4, ge=2, description="calibrators are scored on folds of individuals they never saw")
    scores: tuple[str, ...] = Field(
        ("similarity", "inliers"), min_length=1, description="score columns that are fused, where a run has them"
    )
    calibrations: tuple[Calibration, ...] = Field(("logistic",), min_length=1, description="curves to choose from")
    shrinkage: float = Field(
        10.0, ge=0, description="pairs of the other data sets count as so many matching pairs in every calibration"
    )
    fusions: tuple[Fusion, ...] = Field(
        ("weighted",), min_length=1, description="weighted calibrated scores, or a learned model of the pair"
    )
    aggregations: tuple[Aggregation, ...] = Field(
        ("top2",), min_length=1, description="from an individual's photographs to the individual"
    )
    crowd_weight: float = Field(
        0.0, ge=0, description="largest log-odds taken per ln(photographs in the gallery) of an individual"
    )
    rules: tuple[Rule, ...] = Field(
        ("probability",), min_length=1, description="what a name needs: a probability, a lead over the second, or both"
    )
    threshold: float | None = Field(None, ge=0, le=1, description="a fixed threshold; default: tuned")
    trials: int = Field(60, ge=1, description="Optuna trials per data set")
    not_learnt_by: tuple[str, ...] = Field(
        (),
        description="files of further embedders; what trained them does not play the query, so that runs can be fused",
    )
    min_pseudo_queries: int = Field(12, ge=1, description="data sets with fewer take the pooled decision")

    @property
    def needs_circumstances(self) -> bool:
        """Whether some choice looks at more than scores."""
        return "learned" in self.fusions or self.crowd_weight > 0

    def of(self, name: str, dataset: str) -> Any:
        """A setting as it holds for one data set."""
        value = getattr(self, name)
        return value.get(dataset, type(self).model_fields[name].default) if isinstance(value, dict) else value
