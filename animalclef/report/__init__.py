"""Look at a run: the HTML report, the picture of one query, data frames for notebooks."""

from animalclef.report.explanations import Explanations
from animalclef.report.match_view import Matches
from animalclef.report.query_picture import draw_pair, draw_query, write_picture
from animalclef.report.write_report import Written, write_report
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
    "write_report",
]
