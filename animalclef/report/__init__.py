"""Look at a run: the HTML report, the picture of one query, data frames for notebooks.

Every name is loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from animalclef.report.explanations import Explanations
    from animalclef.report.match_view import Matches
    from animalclef.report.query_picture import draw_pair, draw_query, write_picture
    from animalclef.report.write_report import Written
    from animalclef.store.finished_run import FinishedRun, load_run

__all__ = [
    "Explanations",
    "FinishedRun",
    "Matches",
    "Written",
    "draw_pair",
    "draw_query",
    "load_run",
    "write_picture",
]

_HOME = {
    "Explanations": "report.explanations",
    "FinishedRun": "store.finished_run",
    "Matches": "report.match_view",
    "Written": "report.write_report",
    "draw_pair": "report.query_picture",
    "draw_query": "report.query_picture",
    "load_run": "store.finished_run",
    "write_picture": "report.query_picture",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"animalclef.{_HOME[name]}"), name)
    raise AttributeError(f"module 'animalclef.report' has no attribute {name!r}")
