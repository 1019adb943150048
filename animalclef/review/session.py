"""One review: the questions of a run, the log of the answers, and what the page shows of photographs."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from animalclef.data.review_log import Answered, ReviewLog, Said, SeenPhotograph, consistent, resolved
from animalclef.errors import AnimalClefError
from animalclef.report.match_view import Matches
from animalclef.report.query_cards import packed_matches
from animalclef.report.thumbnails import copy_of, failure_of_bucket, read_photograph
from animalclef.review.question_queue import OpenQuestions, Question, QuestionQueue
from animalclef.store.cluster_file import read_clusters
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import Conflict

__all__ = ["SIZES", "ReviewSession", "review_path"]

logger = logging.getLogger(__name__)

SIZES = (240, 1400)  # long sides at which photographs are shown
_MOST_MATCHES, _MOST_OTHERS = 100, 24
_SETTLED = 0.05  # questions that put fewer photographs right on average are counted as settled


def review_path(run: Path) -> Path:
    """Return where the review of a run is kept: beside its folder, so that it outlives the run.

    >>> review_path(Path("runs/my-run")).as_posix()
    'runs/my-run.review.jsonl'
    """
    whole = run.resolve() if run.name in ("", "..") else run
    return whole.with_name(f"{whole.name}.review.jsonl")


@dataclass(frozen=True, eq=False)
class _Now:
    """What follows from the answers that stand."""

    answers: list[Answered]
    conflicts: tuple[Conflict, ...]
    open: OpenQuestions
    submitted: dict[str, str | None]  # the name of each query

    def is_new(self, image_id: str) -> bool:
        """Return whether a photograph is a query that is answered as new."""
        return self.submitted.get(image_id, "") is None


class ReviewSession:
    """The state behind the page; photographs are addressed by their row in the run's table.

    Raises:
        DataError: the log is damaged, or a newer version wrote it.
        StaleArtefactError: it is the log of another run.
    """

    def __init__(self, run: FinishedRun, log: ReviewLog, who: str, weights: Path | None = None) -> None:
        self.run, self.log, self.who = run, log, who
        clusters = read_clusters(run)
        self._new = {} if clusters is None else clusters.new_names
        self._queue, self._matches = QuestionQueue(run, clusters), Matches(run, None, weights)
        self._lock = threading.Lock()
        self._skipped: dict[str, None] = {}
        self._known: _Now | None = None
        self._jpeg = lru_cache(maxsize=64)(self._read_jpeg)
        self._told = ""  # why a bucket gave no photographs
        self.matches = lru_cache(maxsize=64)(self._matched)
        self._now()

    def state(self) -> dict[str, Any]:
        """Return the next question, the contradictions, and how far the review is."""
        with self._lock:
            return self._state()

    def answer(self, first: int, second: int, said: Said, *, settles: bool = False) -> dict[str, Any]:
        """Save an answer about two rows, and return the state after it.

        Raises:
            OutputError: the answer is not saved.
            IndexError: there is no such row.
        """
        with self._lock:
            pair = (self._seen(first), self._seen(second))
            shown = self._shown(pair[0].image_id, pair[1].image_id)
            self.log.add(self.who, said, pair, shown, settles=settles)
            self._skipped.pop(pair[0].image_id, None)
            return self._state() | {"saved": {"said": said, "names": [one.image_id for one in pair]}}

    def undo(self) -> dict[str, Any]:
        """Take back this reviewer's last answer, and ask about its pair again."""
        with self._lock:
            undone = self.log.undo(self.who)
            found = None if undone is None else self._rows_of(undone)
            state = self._state()
            if found is not None:
                self._skipped.pop(found[0], None)
                state["question"] = self._asked(self._now(), *found)
            return state | {"undone": None if undone is None else undone.said}

    def skip(self, first: int) -> dict[str, Any]:
        """Put the questions about a row behind all others, until the review is opened again."""
        with self._lock:
            image_id = self._seen(first).image_id
            self._skipped.pop(image_id, None)
            self._skipped[image_id] = None
            return self._state()

    def questions(self, most: int) -> list[Question]:
        """Return the open questions, the most useful one first."""
        with self._lock:
            return self._now().open.questions[:most]

    def pair(self, first: int, second: int) -> dict[str, Any]:
        """Return any two rows as a question."""
        with self._lock:
            return self._asked(self._now(), self._seen(first).image_id, self._seen(second).image_id)

    def photograph(self, row: int, long_side: int) -> bytes | None:
        """Return a photograph as a JPEG; `None` where it is missing, or its bucket gives no answer (one warning)."""
        try:
            return self._jpeg(row, long_side)
        except FileNotFoundError:
            failure = failure_of_bucket(self.run, [self._seen(row).image_id])
        with self._lock:
            is_new, self._told = failure not in ("", self._told), failure or self._told
        if is_new:
            logger.warning("Photographs are not shown: %s", failure)
        return None

    def _read_jpeg(self, row: int, long_side: int) -> bytes:
        """Return a photograph as a JPEG; what is missing may come later, so that is not kept."""
        image = read_photograph(self.run, self._seen(row).image_id, long_side)
        if image is None:
            raise FileNotFoundError(self._seen(row).path)
        return copy_of(image, long_side).jpeg

    def _matched(self, first: int, second: int) -> list[int]:
        """Return the matches of two rows as six whole numbers each, as the report has them."""
        left, right = self._seen(first).image_id, self._seen(second).image_id
        with self._lock:
            features = self._matches.features(left), self._matches.features(right)
            return packed_matches(self._matches, features[0], features[1], _MOST_MATCHES) or []

    def _seen(self, row: int) -> SeenPhotograph:
        images = self.run.images
        if not 0 <= row < len(images):
            raise IndexError(f"row: expected 0 to {len(images) - 1}, got {row}.")
        return SeenPhotograph(str(images.image_id[row]), str(images.key[row]), str(images.path[row]))

    def _now(self) -> _Now:
        """Return what everybody's answers come to; worked out anew where one was added."""
        answers = self.log.standing()
        if self._known is None or self._known.answers != answers:
            said = resolved(self.log.path, answers, self.run.images)
            reviewed = consistent(said, self.run.images)
            left = self._queue.open(reviewed, [pair for pair, one in said if one == "unsure"])
            names = dict(zip(left.submitted.image_id, left.submitted.identity, strict=True))
            self._known = _Now(answers, reviewed.conflicts, left, names)
        return self._known

    def _state(self) -> dict[str, Any]:
        now = self._now()
        order = {image_id: place for place, image_id in enumerate(self._skipped)}
        questions = now.open.questions
        first = min(questions, key=lambda one: order.get(one.query_id, -1), default=None)
        return {
            "question": None if first is None else self._question(now, first),
            "answered": len(now.answers),
            "mine": sum(one.who == self.who for one in now.answers),
            "open": sum(one.gain >= _SETTLED for one in questions),
            "expected": round(sum(one.gain for one in questions), 1),
            "changed": sum(a != b for a, b in zip(now.submitted.values(), self.run.predictions.identity, strict=True)),
            "conflicts": [
                {"by": one.by, "photographs": [self._card(now, self.run.row_of[image_id]) for image_id in one.chain]}
                for one in now.conflicts
            ],
        }

    def _question(self, now: _Now, one: Question) -> dict[str, Any]:
        names = ("submitted", "probability", "change", "name", "together")
        more = {name: getattr(one, name) for name in names}
        return self._asked(now, one.query_id, one.gallery_id) | more

    def _asked(self, now: _Now, first: str, second: str) -> dict[str, Any]:
        animals = [self._animal(now, one, other) for one, other in ((first, second), (second, first))]
        return {"animals": animals, "submitted": now.submitted.get(first), "is_query": first in now.submitted}

    def _animal(self, now: _Now, image_id: str, beside: str) -> dict[str, Any]:
        """Return a photograph with the others of its animal but that beside it, those of the same side first."""
        images, row = self.run.images, self.run.row_of[image_id]
        group = set(now.open.animals.group(image_id))
        if now.is_new(image_id):
            group |= {one for one in self._queue.group(image_id) if now.is_new(one)}
        rows = {self.run.row_of[one] for one in group}
        name = images.identity[row]
        if name is not None:
            mine = (images.identity == name) & (images.dataset == images.dataset[row])
            rows |= {int(one) for one in mine.nonzero()[0]}
        rows -= {row, self.run.row_of[beside]}
        others = sorted(rows, key=lambda one: (images.viewpoint[one] != images.viewpoint[row], one))
        return self._card(now, row) | {"others": [self._card(now, one) for one in others[:_MOST_OTHERS]]}

    def _card(self, now: _Now, row: int) -> dict[str, Any]:
        images = self.run.images
        texts = {name: getattr(images, name)[row] for name in ("image_id", "identity", "viewpoint", "date", "dataset")}
        return {"row": row, **texts, "new": self._new.get(texts["image_id"]) if now.is_new(texts["image_id"]) else None}

    def _shown(self, first: str, second: str) -> dict[str, Any]:
        """Return what the log keeps of the question: the submitted name, and the probability of the individual."""
        submitted = dict(zip(self.run.predictions.image_id, self.run.predictions.identity, strict=True))
        name, probability = self.run.images.identity[self.run.row_of[second]], self._queue.probability(first, second)
        return {"run": self.run.name, "submitted": submitted.get(first), "name": name, "probability": probability}

    def _rows_of(self, one: Answered) -> tuple[str, str] | None:
        try:
            [(pair, _)] = resolved(self.log.path, [one], self.run.images)
        except (AnimalClefError, ValueError):
            return None
        return pair
