"""A review without a browser page: questions as an HTML file to print, and a CSV file of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from animalclef.data.review_log import Said
from animalclef.data.table_file import Table, read_table
from animalclef.errors import DataError, OutputError
from animalclef.report.thumbnails import data_address
from animalclef.review.question_queue import Question
from animalclef.review.session import ReviewSession
from animalclef.runtime.atomic_files import check_writable, write_csv, write_text

__all__ = ["read_answers", "write_sheet"]

_COLUMNS = ("number", "query", "candidate", "individual", "probability", "answer")
_ANSWERS: dict[str, Said] = {
    "same": "same", "s": "same", "yes": "same", "y": "same",
    "different": "different", "d": "different", "no": "different", "n": "different",
    "unsure": "unsure", "?": "unsure", "can't tell": "unsure", "can’t tell": "unsure",
}  # fmt: skip
_LONG_SIDE, _HEIGHT, _GAP = 480, 320, 8  # pixels


@dataclass(frozen=True)
class _Side:
    """A photograph in the drawing of a pair."""

    address: str
    left: float
    width: float


def write_sheet(session: ReviewSession, path: Path, most: int) -> tuple[Path, int]:
    """Write the `most` most useful open questions to an HTML file, and beside it the CSV file that takes their answers.

    The page holds its pictures. Return the CSV file, whose column `answer` is empty, and the number of questions.

    Raises:
        OutputError: the name does not end with .html, or one of the files is there already.
        DataError: no question is open.
    """
    table = path.with_suffix(".csv")
    if path.suffix.lower() != ".html":
        raise OutputError(f"{path}: expected a name that ends with .html; the answers go to a .csv beside it.")
    for one in (path, table):
        if one.exists():
            raise OutputError(f"{one}: this file is there already and may hold answers. Give --sheet another name.")
    check_writable(path.parent)
    questions = session.questions(most)
    if not questions:
        raise DataError(f"{session.run.path}: no question is open.")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("animalclef.review"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    shown = [(question, *_drawn(session, question)) for question in questions]
    page = environment.get_template("sheet.html.j2").render(
        run=session.run.name, table=table.name, questions=shown, height=_HEIGHT
    )
    write_text(path, page)
    write_csv(table, _COLUMNS, (_row(number, one) for number, one in enumerate(questions, start=1)))
    return table, len(questions)


def read_answers(session: ReviewSession, path: Path) -> int:
    """Save the answers of a filled-in CSV file in the review log, and return how many were new.

    An answer is same (s, yes, y), different (d, no, n) or unsure (?, can't tell); rows without one are left out.
    Nothing is saved unless every row can be read.

    Raises:
        DataError: there is no such table, a row cannot be read, names no photograph of the run or one twice, or has
            another answer; or a pair has two answers.
    """
    table = _read(path)
    rows = session.run.row_of
    given: dict[frozenset[str], tuple[tuple[str, str], Said]] = {}
    for line, row in zip(table.lines, table.rows, strict=True):
        if not row["answer"]:
            continue
        said, pair = _ANSWERS.get(row["answer"].strip().casefold()), (row["query"], row["candidate"])
        if said is None:
            raise DataError(f"{path}, line {line}: expected same, different, unsure or nothing, got {row['answer']}.")
        if unknown := [one for one in pair if one not in rows]:
            raise DataError(
                f"{path}, line {line}: the run has no photograph {unknown[0]}. Is it this run's sheet, and has no "
                "spreadsheet changed its numbers (007 to 7)?"
            )
        if pair[0] == pair[1]:
            raise DataError(f"{path}, line {line}: the query and the candidate are the same photograph, {pair[0]}.")
        if given.setdefault(frozenset(pair), (pair, said))[1] != said:
            raise DataError(f"{path}, line {line}: {pair[0]} and {pair[1]} have another answer in a line before.")
    there = {(one.pair, one.said) for one in session.log.standing() if one.who == session.who}
    new = [(pair, said) for pair, said in given.values() if ((min(pair), max(pair)), said) not in there]
    for pair, said in new:
        session.answer(rows[pair[0]], rows[pair[1]], said)
    return len(new)


def _read(path: Path) -> Table:
    """Read the table of a sheet, with the names of its columns in small letters.

    Raises:
        DataError: it cannot be read, a column is absent or stands twice, or a row has other cells than the header.
    """
    table = read_table(path)
    columns = [name.casefold() for name in table.columns]
    if absent := sorted({"query", "candidate", "answer"} - set(columns)):
        raise DataError(f"{path}: the column {absent[0]} is absent; `animalclef review RUN --sheet` writes the table.")
    wrong = [one for one in table.problems if one.fatal or "stands twice" in one.message]
    if wrong or len(set(columns)) < len(columns):
        raise DataError(str(wrong[0]) if wrong else f"{path}: a column stands twice.")
    rows = [dict(zip(columns, row.values(), strict=True)) for row in table.rows]
    return replace(table, columns=tuple(columns), rows=rows)


def _row(number: int, one: Question) -> Sequence[object]:
    return number, one.query_id, one.gallery_id, one.name or "", f"{one.probability:.3f}", ""


def _drawn(session: ReviewSession, question: Question) -> tuple[list[_Side], list[tuple[float, ...]]]:
    """Return the two photographs side by side, and a line between the ends of each inlier."""
    rows = [session.run.row_of[one] for one in (question.query_id, question.gallery_id)]
    sides, left = [], 0.0
    for row in rows:
        jpeg = session.photograph(row, _LONG_SIDE)
        width = float(_HEIGHT)  # of a photograph that is missing
        if jpeg is not None:
            with Image.open(BytesIO(jpeg)) as image:
                width = round(_HEIGHT * image.width / image.height, 1)
        sides.append(_Side("" if jpeg is None else data_address("image/jpeg", jpeg), left, width))
        left += width + _GAP
    first, second = sides
    lines: list[tuple[float, ...]] = [
        (first.left + x * first.width / 1000, y * _HEIGHT / 1000,
         second.left + to_x * second.width / 1000, to_y * _HEIGHT / 1000)
        for x, y, to_x, to_y, _, flags in np.reshape(session.matches(*rows), (-1, 6)).tolist() if flags & 1
    ]  # fmt: skip
    return sides, lines
