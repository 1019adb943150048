"""Settings of the open-set decision, and of clustering: who the photographs without a name show."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["Aggregation", "ClusterConfig", "DecideConfig", "Fusion"]

Aggregation = Literal["max", "top2", "noisy_or"]
Fusion = Literal["weighted", "learned"]

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]


class DecideConfig(Settings):
    """The open-set decision, tuned on the gallery alone.

    Where a setting holds one value per data set, those that are not named take the default. Where it holds several
    choices, the study picks among them.
    """

    gone: ClassVar[dict[str, Any]] = {
        "relative_scores": False, "calibrations": ["logistic"], "crowd_weight": 0.0, "rules": ["probability"],
        "covariates": False,
    }  # fmt: skip
    fixed: ClassVar[dict[str, Any]] = {"shrinkage": 10.0, "standard_errors": 1.0, "safe_threshold": True}

    pseudo_queries: Count | dict[str, Count] = Field(
        300, description="gallery photographs that are pseudo-queries: in every data set, or {data set: number}"
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
    splits: int = Field(8, ge=1, le=10_000, description="how many random open-set splits the score is averaged over")
    folds: int = Field(4, ge=2, le=1_000, description="calibrators are scored on folds of individuals they never saw")
    scores: tuple[str, ...] = Field(
        (), description="score columns to choose from, where a run has them; none named: all that a run has"
    )
    fusions: tuple[Fusion, ...] = Field(
        ("weighted", "learned"),
        min_length=1,
        description="weighted calibrated scores, or a learned model of the pair",
    )
    aggregations: tuple[Aggregation, ...] = Field(
        ("max", "top2", "noisy_or"), min_length=1, description="from an individual's photographs to the individual"
    )
    threshold: float | None = Field(
        None, ge=0, le=1, description="a fixed threshold of the probability; it changes no probability; default: tuned"
    )
    trials: int = Field(
        0, ge=0, le=1_000_000, description="Optuna trials per data set that `tune` adds to the default search; 0: 200"
    )
    not_learnt_by: tuple[str, ...] = Field(
        (),
        description="files of further embedders; photographs that trained them are no pseudo-queries",
    )
    min_pseudo_queries: int = Field(12, ge=1, description="data sets with fewer take the pooled decision")

    def of(self, name: str, dataset: str) -> Any:
        """Return a setting as it holds for one data set."""
        value = getattr(self, name)
        return value.get(dataset, type(self).model_fields[name].default) if isinstance(value, dict) else value


class ClusterConfig(Settings):
    """Photographs without names: how they are grouped by individual. What is not given is chosen on the database."""

    gone: ClassVar[dict[str, Any]] = {"method": "auto", "largest": 0}

    new_ones: bool = Field(
        True, description="predict also groups the photographs of new individuals (answers.csv), unless it has a budget"
    )
    neighbours: int = Field(20, ge=1, description="other photographs without a name that each of them is matched with")
    cut: float | None = Field(None, ge=0.01, le=1, description="groups are joined from this mean probability on")
    attach: float | None = Field(
        None, ge=0, le=1, description="probability from which a photograph is taken for a known individual; 1: never"
    )
    margin: float | None = Field(None, ge=0, description="lead in log-odds over the second individual that it needs")
    photographs: int = Field(
        150, ge=10, description="database photographs of a data set that are grouped as a test of these settings"
    )

    @property
    def given(self) -> dict[str, Any]:
        """Return the fields of a rule that the settings fix."""
        return self.model_dump(include={"cut", "attach", "margin"}, exclude_none=True)
