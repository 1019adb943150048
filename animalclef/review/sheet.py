"""A review without a browser page: questions as an HTML file to print, and a CSV file of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from animalclef.data.review_log import Said
from animalclef.data.table_file import read_table
from animalclef.errors import DataError, OutputError
from animalclef.report.thumbnails import data_address
from animalclef.review.question_queue import Question
from animalclef.review.session import ReviewSession
from animalclef.runtime.atomic_files import check_writable, write_csv, write_text

__all__ = ["read_answers", "write_sheet"]

_COLUMNS = ("number", "query", "candidate", "individual", "probability", "answer")
_ANSWERS: dict[str, Said] = {
    "same": "same", "yes": "same", "y": "same", "different": "different", "no": "different", "n": "different",
    "unsure": "unsure", "?": "unsure",
}  # fmt: skip
_LONG_SIDE, _HEIGHT, _GAP = 480, 320, 8  # pixels


@dataclass(frozen=True)
class _Side:
    """A photograph in the drawing of a pair."""

    address: str
    left: float
    width: float


def write_sheet(session: ReviewSession, path: Path, most: int) -> Path:
    """Write the `most` most useful open questions to an HTML file, and beside it the CSV file that takes their answers.

    The page holds its pictures. Return the CSV file, whose column `answer` is empty.

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
    return table


def read_answers(session: ReviewSession, path: Path) -> int:
    """Save the answers of a filled-in CSV file in the review log, and return how many were new.

    An answer is same (yes, y), different (no, n) or unsure (?); rows without one are left out. Nothing is saved unless
    every row can be read.

    Raises:
        DataError: there is no such table, or a row names no photograph of the run, or has another answer.
    """
    table = read_table(path)
    if absent := sorted({"query", "candidate", "answer"} - set(table.columns)):
        raise DataError(f"{path}: the column {absent[0]} is absent; `animalclef review RUN --sheet` writes the table.")
    rows, given = session.run.row_of, []
    for line, row in zip(table.lines, table.rows, strict=True):
        if not row["answer"]:
            continue
        said, pair = _ANSWERS.get(row["answer"].strip().casefold()), (row["query"], row["candidate"])
        if said is None:
            raise DataError(f"{path}, line {line}: expected same, different, unsure or nothing, got {row['answer']}.")
        if unknown := [one for one in pair if one not in rows]:
            raise DataError(f"{path}, line {line}: the run has no photograph {unknown[0]}. Is it this run's sheet?")
        given.append((pair, said))
    there = {(one.pair, one.said) for one in session.log.standing() if one.who == session.who}
    new = [(pair, said) for pair, said in given if ((min(pair), max(pair)), said) not in there]
    for pair, said in new:
        session.answer(rows[pair[0]], rows[pair[1]], said)
    return len(new)


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
