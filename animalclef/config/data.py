"""Settings of reading tables and photographs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["DataConfig", "EncounterConfig"]


class DataConfig(Settings):
    """How tables and photographs are read."""

    columns: dict[str, str] = Field(
        {}, description="the table's columns by subject, such as {path: filename, identity: individual}"
    )
    date_order: Literal["day-first", "month-first", "year-first"] | None = Field(
        None, description="the order in dates such as 5/1/2023 or 23-05-01; by default the column's own dates settle it"
    )
    merge_case: bool = Field(
        True, description="names that differ by case, spaces or accents' encoding alone are one individual"
    )
    cache_gb: float = Field(
        20.0, gt=0, description="s3:// and gs://: gigabytes of photographs that are kept on this machine"
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
