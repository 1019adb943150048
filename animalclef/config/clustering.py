"""Settings of clustering: who the photographs without a name show."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from animalclef.config.base import Settings

__all__ = ["ClusterConfig"]


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
        fixed: dict[str, Any] = {name: getattr(self, name) for name in ("cut", "attach", "margin")}
        return {name: value for name, value in fixed.items() if value is not None}
