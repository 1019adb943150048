"""Find the run that recognised a season of a catalogue, and the log of its review; every season keeps its own."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.schema import photographs
from animalclef.errors import DataError
from animalclef.store.run_folder import RunFolder

__all__ = ["SeasonRun", "find_season_run", "keep_season_run"]


@dataclass(frozen=True)
class SeasonRun:
    """The answers that a season got: its run folder, and the log of their review."""

    season: int
    run: Path
    log: Path


def find_season_run(catalogue: Catalogue, season: int | None = None) -> SeasonRun:
    """Return the run of a season that was not undone; by default of the last one with a run in this folder.

    Raises:
        DataError: there is none. A season whose photographs all had names, or one that was added on another machine,
            has no run here.
    """
    present = sa.select(photographs.c.season).where(photographs.c.present == 1).distinct()
    with catalogue.reading() as connection:
        standing = sorted(connection.execute(present).scalars())
    last = RunFolder(catalogue.folder / "run")
    runs = {number: last.earlier(_kept_as(number)) for number in standing}
    runs |= {number: last for number in standing if number == _season_of(last)}
    reviewable = [number for number in standing if runs[number].finished.is_file()]
    chosen = max(reviewable, default=0) if season is None else season
    if chosen not in reviewable:
        there = ", ".join(map(str, reviewable)) or "none"
        whose = "" if season is None else f" of season {season}"
        raise DataError(f"{catalogue.folder}: no answers{whose} to review here. Seasons that have some: {there}.")
    return SeasonRun(chosen, runs[chosen].path, catalogue.folder / f"season-{chosen}.review.jsonl")


def keep_season_run(run: RunFolder, seasons: Container[int]) -> None:
    """Keep the results of the last season beside the run, before those of the next one replace them.

    `seasons` are those of the catalogue: the results of a season that was computed and not added are not kept.
    """
    season = _season_of(run)
    if season in seasons:
        run.keep_results(_kept_as(season))


def _kept_as(season: int | None) -> str:
    return f"season-{season}"


def _season_of(run: RunFolder) -> int | None:
    """Return the season whose photographs are the queries of a finished run; `None` where there is none."""
    if not run.finished.is_file() or not run.order.is_file():
        return None
    lines = run.order.read_text(encoding="utf-8", errors="replace").splitlines()  # a header, then the queries
    season = "".join(lines[1:2]).strip('"').partition("/")[0]
    return int(season) if season.isdecimal() else None
