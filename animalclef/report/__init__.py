"""Seeing what a run did: the report in HTML, the picture of one query, what the notebooks read."""

from animalclef.report.explaining import Explanations
from animalclef.report.finished import FinishedRun, load_run
from animalclef.report.matches import Matches
from animalclef.report.picture import draw_pair, draw_query, write_picture
from animalclef.report.writing import Written, write_report

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
