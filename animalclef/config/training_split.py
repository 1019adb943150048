"""Settings of splitting named photographs into training and test."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from animalclef.config.base import Settings

__all__ = ["SplitConfig", "SplitKind"]

SplitKind = Literal["paper", "closed-set", "open-set", "disjoint", "time"]


class SplitConfig(Settings):
    """Which named photographs are trained on, which are the gallery, and which the queries."""

    kind: SplitKind = Field(
        "paper",
        description="paper: some tested individuals are trained on too, with other photographs, and queries "
        "are compared with each other (MiewID); closed-set: all are trained on, queries are compared with the rest; "
        "open-set: some have no photograph but the queries; disjoint: none is trained on; time: queries are the "
        "photographs from a day on",
    )
    share: float = Field(0.2, gt=0, le=1, description="share of the individuals of each species that are tested")
    unseen: float = Field(0.5, ge=0, lt=1, description="paper, open-set: share of the tested that are not trained on")
    least_training: int = Field(3, ge=1, description="photographs of an individual in training")
    least_tested: int = Field(2, ge=2, description="paper: queries of a tested individual")
    most_tested: int = Field(10, ge=1, description="queries of a tested individual, one per encounter")
    cut_off: date | dict[str, date] | None = Field(
        None, description="time: the first day of the queries, YYYY-MM-DD, or {data set: day}"
    )

    @model_validator(mode="after")
    def _fits(self) -> SplitConfig:
        if (self.kind == "time") != (self.cut_off is not None):
            raise ValueError("cut_off belongs to kind = time, which needs one")
        if self.kind == "paper" and self.most_tested < self.least_tested:
            raise ValueError(f"most_tested must not be below least_tested = {self.least_tested}")
        return self
