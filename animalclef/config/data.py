"""Settings of reading tables and photographs, and of splitting named ones into training and test."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, model_validator

from animalclef.config.base import Settings

__all__ = ["DataConfig", "DateOrder", "EncounterConfig", "SplitConfig", "SplitKind"]

DateOrder = Literal["day-first", "month-first", "year-first"]
SplitKind = Literal["paper", "closed-set", "open-set", "disjoint", "time"]


class DataConfig(Settings):
    """How tables and photographs are read."""

    columns: dict[str, str] = Field(
        {}, description="the table's columns by subject, such as {path: filename, identity: individual}"
    )
    date_order: DateOrder | None = Field(
        None, description="the order in dates such as 5/1/2023 or 23-05-01; by default the column's own dates settle it"
    )
    merge_case: bool = Field(
        True, description="names that differ by case, spaces or accents' encoding alone are one individual"
    )
    cache_gb: float = Field(
        20.0,
        gt=0,
        description="s3:// and gs://: gigabytes of photographs that are kept on this machine, of each address of data",
    )
    max_missing: float = Field(0.01, ge=0, le=1, description="share of missing files above which the run stops")
    max_pixels: int = Field(150_000_000, gt=0, le=178_000_000, description="larger photographs are skipped")
    decode_long_side: int = Field(
        1024,
        ge=64,
        le=32_768,
        description="large photographs are decoded at a reduced scale, no smaller than this long side",
    )

    @property
    def reading(self) -> dict[str, Any]:
        """The settings of reading a table."""
        return self.model_dump(include={"columns", "date_order", "merge_case", "cache_gb"})


class EncounterConfig(Settings):
    """Encounters: photographs of one event, found among gallery photographs if the table does not name them."""

    near_duplicate_correlation: float = Field(
        0.7,
        gt=0,
        le=1,
        description="lowest correlation of the thumbnails of one individual's photographs of one encounter",
    )


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
