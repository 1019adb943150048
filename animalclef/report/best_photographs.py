"""Find the best photograph of each individual among a query's candidates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from animalclef.runtime.wording import counted
from animalclef.store.finished_run import FinishedRun

__all__ = ["BestPhotograph", "best_photographs", "further_photographs"]


@dataclass(frozen=True)
class BestPhotograph:
    """The best photograph of one individual among a query's candidates."""

    row: int  # of the run's ranked candidates
    rank: int  # of the individual among those of the query, from 1
    place: int  # of the photograph among all candidates of the query, from 1
    further: int  # further candidates that show the individual


def best_photographs(run: FinishedRun, query_id: str) -> list[BestPhotograph]:
    """Return the best photograph of each individual, the best individual first; none without candidates."""
    own = run.rows_of.get(query_id, slice(0, 0))
    names = run.ranked.identity[own].tolist()
    first: dict[str, int] = {}
    for place, name in enumerate(names):
        first.setdefault(name, place)
    count = Counter(names)
    return [
        BestPhotograph(own.start + place, rank, place + 1, count[name] - 1)
        for rank, (name, place) in enumerate(first.items(), 1)
    ]


def further_photographs(count: int, name: str) -> str:
    """Say how many further photographs of an individual were candidates; "" for none.

    >>> further_photographs(4, "Luna"), further_photographs(1, "Bo"), further_photographs(0, "Ada")
    ('and 4 more photographs of Luna', 'and 1 more photograph of Bo', '')
    """
    return f"and {counted(count, 'more photograph')} of {name}" if count else ""
