"""Settings of reading photographs."""

from __future__ import annotations

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["DataConfig", "EncounterConfig"]


class DataConfig(Settings):
    """How photographs are read."""

    max_missing: float = Field(0.01, ge=0, le=1, description="share of missing files above which the run stops")
    max_pixels: int = Field(150_000_000, gt=0, le=178_000_000, description="larger photographs are set aside")
    decode_long_side: int = Field(
        1024, ge=64, description="large photographs are decoded at a reduced scale, no smaller than this long side"
    )


class EncounterConfig(Settings):
    """How gallery photographs of one event are recognised where the table does not say."""

    near_duplicate_correlation: float = Field(
        0.7, gt=0, le=1, description="thumbnail correlation from which two photographs of one animal are one event"
    )
