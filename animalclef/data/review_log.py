"""`review.jsonl`: what people answered about pairs of photographs. Lines are only appended.

The first line is a header (kind `review`): the format, and the run that was shown. Each further line is an answer (kind
`answer`) or takes one back (kind `undo`). A line counts once its line end is on the disk: one without is what an
interrupted process left, and is removed before the next is written.
"""

from __future__ import annotations

import errno
import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import animalclef
from animalclef.data.review_conflicts import consistent_pairs
from animalclef.errors import DataError, StaleArtefactError
from animalclef.runtime.atomic_files import append_bytes
from animalclef.runtime.file_lock import locked
from animalclef.runtime.wording import counted, now
from animalclef.structures import ImageTable
from animalclef.structures.reviewed import ReviewedPairs

__all__ = ["Answered", "ReviewLog", "Said", "SeenPhotograph", "consistent", "read_review", "resolved"]

logger = logging.getLogger(__name__)

Said = Literal["same", "different", "unsure"]

_FORMAT = 1
_KINDS = ("review", "answer", "undo")


@dataclass(frozen=True)
class SeenPhotograph:
    """One side of a pair: its image_id, the digest of its content, and its path."""

    image_id: str
    key: str
    path: str


@dataclass(frozen=True)
class Answered:
    """One answer, with its line number in the log; with `settles` it replaces those of everybody before it."""

    line: int
    when: str
    who: str
    said: Said
    first: SeenPhotograph
    second: SeenPhotograph
    settles: bool

    @property
    def pair(self) -> tuple[str, str]:
        """The two image_ids in order."""
        one, other = self.first.image_id, self.second.image_id
        return (one, other) if one <= other else (other, one)


class ReviewLog:
    """The log of one run or catalogue, for one or several processes at once.

    Raises:
        DataError: the file is no review log, a line in it is damaged, or a newer version wrote it.
    """

    def __init__(self, path: Path, run: Mapping[str, Any] | None = None) -> None:
        """Open a log; `run` (what the header says of the run) is needed where the file may have to be begun."""
        self.path, self._run = path, dict(run or {})
        self.header: dict[str, Any] = {}
        self._lines: list[dict[str, Any]] = []
        self._offset = 0
        self._read()

    def standing(self) -> list[Answered]:
        """Return the answers that count now: not taken back, and of each reviewer the last about a pair."""
        self._read()
        undone = {line["of"] for line in self._lines if line["kind"] == "undo"}
        last: dict[tuple[str, str], dict[str, Answered]] = {}
        for number, line in enumerate(self._lines, start=2):
            if line["kind"] != "answer" or number in undone:
                continue
            one = _answered(number, line)
            mine = last.setdefault(one.pair, {})
            if one.settles:
                mine.clear()
            mine.pop(one.who, None)
            mine[one.who] = one
        return sorted((one for by in last.values() for one in by.values()), key=lambda one: one.line)

    def add(
        self, who: str, said: Said, pair: tuple[SeenPhotograph, SeenPhotograph], shown: Mapping[str, Any],
        *, settles: bool = False,
    ) -> Answered:  # fmt: skip
        """Append an answer and wait until it is on the disk; `shown` is what the reviewer saw beside the photographs.

        Raises:
            OutputError: it cannot be written; the log is then as it was.
        """
        sides = [vars(one) for one in pair]
        line = {"kind": "answer", "when": now(), "who": who, "said": said, "pair": sides, "shown": dict(shown)}
        number = self._append(line | ({"settles": True} if settles else {}))
        return _answered(number, self._lines[number - 2])

    def undo(self, who: str) -> Answered | None:
        """Take back the last answer of a reviewer, and return it; `None` where there is none.

        Raises:
            OutputError: as `add`.
        """
        mine = [one for one in self.standing() if one.who == who]
        if not mine:
            return None
        self._append({"kind": "undo", "when": now(), "who": who, "of": mine[-1].line})
        return mine[-1]

    def _append(self, line: Mapping[str, Any]) -> int:
        """Append a line, and return its number."""
        with locked(self.path, "--log"):
            self._read()
            lines = [{**line, "animalclef": animalclef.__version__}]
            if not self.header:
                head = {"kind": "review", "format": _FORMAT, "when": now(), "animalclef": animalclef.__version__}
                lines.insert(0, head | self._run)
            text = "".join(json.dumps(one, ensure_ascii=False, allow_nan=False) + "\n" for one in lines)
            append_bytes(self.path, text.encode(), self._offset)
            self._read()
            return len(self._lines) + 1

    def _read(self) -> None:
        """Read the whole lines that were added since the last look."""
        try:
            there = self.path.exists()
            if there and not self.path.is_file():  # opening a pipe would wait for a writer
                raise OSError(errno.EINVAL, "not a regular file")
            if not there or self.path.stat().st_size < self._offset:
                self.header, self._lines, self._offset = {}, [], 0
            content = b""
            if there:
                with self.path.open("rb") as file:
                    file.seek(self._offset)
                    content = file.read()
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}).") from error
        whole = content[: content.rfind(b"\n") + 1]
        for text in whole.splitlines():
            number = len(self._lines) + 1 + bool(self.header)
            line = _parsed(self.path, number, text)
            if not self.header:
                self.header = line
            else:
                self._lines.append(line)
        self._offset += len(whole)


def read_review(path: Path, images: ImageTable) -> ReviewedPairs:
    """Return the pairs that a log calls the same and different, by image_id, without the contradictions.

    Photographs are found again by their content, or by image_id and path where the file was changed, and the names in
    the table count, too. Answers about photographs that are gone, and contradictory ones, are left out with a warning.

    Raises:
        DataError: there is no such file, or it is no review log.
        StaleArtefactError: no answer is about these photographs: the log is of another run.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file. `animalclef review RUN` writes one.")
    pairs = consistent(resolved(path, ReviewLog(path).standing(), images), images)
    if not pairs.conflicts:
        return pairs
    told = f"{path}: {counted(len(pairs.conflicts), 'contradiction')}; their answers are left out. `animalclef review` "
    told += "shows them."
    logger.warning("%s", told)
    return replace(pairs, warnings=(told,))


def resolved(path: Path, answers: Sequence[Answered], images: ImageTable) -> list[tuple[tuple[str, str], Said]]:
    """Return the answers about photographs of a table, by its image_ids.

    Raises:
        StaleArtefactError: there are answers, and none is about these photographs.
    """
    of_key: dict[str, list[str]] = defaultdict(list)
    for image_id, key in zip(images.image_id, images.key, strict=True):
        of_key[key].append(image_id)
    path_of = dict(zip(images.image_id, images.path, strict=True))

    def id_of(photograph: SeenPhotograph) -> str | None:
        """Return the image_id of a photograph now, `None` where it is gone."""
        held = of_key.get(photograph.key, []) if photograph.key else []
        if held and photograph.image_id not in held:
            return held[0]
        return photograph.image_id if held or path_of.get(photograph.image_id) == photograph.path else None

    found = [((id_of(one.first), id_of(one.second)), one.said) for one in answers]
    there = [((a, b), said) for (a, b), said in found if a is not None and b is not None and a != b]
    if answers and not there:
        raise StaleArtefactError(
            f"{path}: it holds {counted(len(answers), 'answer')}, none about photographs of {images.root}; it "
            "is the review of another run. Give the log of this one."
        )
    if len(there) < len(found):
        logger.warning("%s: %d answers are about photographs that are not here.", path, len(found) - len(there))
    return there


def consistent(answers: Sequence[tuple[tuple[str, str], Said]], images: ImageTable) -> ReviewedPairs:
    """Return the pairs that answers call the same and different; they and the names of a table may contradict."""
    names = zip(images.image_id, images.dataset, images.identity, strict=True)
    name_of = {one: (dataset, who) for one, dataset, who in names if who is not None}
    parts: dict[Said, list[tuple[str, str]]] = {said: [] for said in get_args(Said)}
    for (a, b), said in answers:
        parts[said].append((a, b) if a <= b else (b, a))
    return consistent_pairs(parts["same"], parts["different"], name_of)


def _parsed(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
        kind = line["kind"]
        if number == 1 and (kind != "review" or not isinstance(line["format"], int)):
            raise ValueError
        is_newer = (number == 1 and line["format"] > _FORMAT) or kind not in _KINDS
        if not is_newer and number > 1:
            _ = _answered(number, line) if kind == "answer" else int(line["of"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = "this is no review log" if number == 1 else "this line is damaged; remove it, or restore a copy"
        raise DataError(f"{path}, line {number}: {what}.") from error
    if is_newer:
        raise DataError(f"{path}, line {number}: written by a newer version of animalclef. Update this one.")
    return dict(line)


def _answered(number: int, line: Mapping[str, Any]) -> Answered:
    sides = [SeenPhotograph(*(str(one[name]) for name in ("image_id", "key", "path"))) for one in line["pair"]]
    if line["said"] not in get_args(Said):
        raise ValueError(f"expected one of {get_args(Said)}.")
    first, second = sides
    said: Said = line["said"]
    return Answered(number, str(line["when"]), str(line["who"]), said, first, second, bool(line.get("settles")))
