"""Settings of the demo data set."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["DemoConfig"]


class DemoConfig(BaseModel):
    """The number of animals and photographs of the demo, per species."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0)
    known_individuals: int = Field(default=22, ge=2)
    """Animals with photographs in the database."""
    unknown_individuals: int = Field(default=10, ge=0)
    """Animals seen on queries only."""
    places: int = Field(default=45, ge=1)
    database_visits: int = Field(default=16, ge=1)
    """Encounters (place, date and light) of the database; an animal meets one to four of them."""
    query_visits: int = Field(default=10, ge=1)
    """Encounters of the queries, none of them in the database."""
    max_database_images: int = Field(default=6, ge=1)
    """Photographs of one known animal in the database, at most."""
    max_known_queries: int = Field(default=3, ge=1)
    """Query photographs of one known animal, at most; drawn evenly from one on."""
    max_unknown_queries: int = Field(default=4, ge=1)
    """Query photographs of one unknown animal, at most; drawn evenly from one on."""
    odd_cases: bool = True
    """Add the files that trip up careless readers: tiny, grey, turned by EXIF, with transparency, odd file name."""
