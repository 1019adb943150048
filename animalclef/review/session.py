"""One review: the questions of a run, the log of the answers, and what the page shows of photographs."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from animalclef.data.review_log import Answered, ReviewLog, Said, SeenPhotograph, read_review, resolved
from animalclef.errors import AnimalClefError
from animalclef.report.match_view import Matches
from animalclef.report.query_cards import packed_matches
from animalclef.report.thumbnails import copy_of, read_photograph
from animalclef.review.question_queue import Question, QuestionQueue
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import Conflict, ReviewedPairs

__all__ = ["SIZES", "ReviewSession", "review_path"]

SIZES = (240, 1400)  # long sides at which photographs are shown
_MOST_MATCHES, _MOST_OTHERS = 100, 24
_SETTLED = 0.05  # questions that put fewer names right on average are counted as settled


def review_path(run: Path) -> Path:
    """Return where the review of a run is kept: beside its folder, so that it outlives the run.

    >>> review_path(Path("runs/my-run")).as_posix()
    'runs/my-run.review.jsonl'
    """
    whole = run.resolve() if run.name in ("", "..") else run
    return whole.with_name(f"{whole.name}.review.jsonl")


class ReviewSession:
    """The state behind the page; photographs are addressed by their row in the run's table.

    Raises:
        DataError: the log is damaged, or a newer version wrote it.
        StaleArtefactError: it is the log of another run.
    """

    def __init__(self, run: FinishedRun, log: ReviewLog, who: str, weights: Path | None = None) -> None:
        self.run, self.log, self.who = run, log, who
        self._queue, self._matches = QuestionQueue(run), Matches(run, None, weights)
        self._lock = threading.Lock()
        self._skipped: dict[str, None] = {}
        self._reviewed: tuple[int, ReviewedPairs] | None = None
        self.photograph = lru_cache(maxsize=64)(self._photograph)
        self.matches = lru_cache(maxsize=64)(self._matched)
        self._pairs()

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
                state["question"] = self._asked(*found)
            return state | {"undone": None if undone is None else undone.said}

    def skip(self, first: int) -> dict[str, Any]:
        """Put the questions about a row behind all others, until the review is opened again."""
        with self._lock:
            image_id = self._seen(first).image_id
            self._skipped.pop(image_id, None)
            self._skipped[image_id] = None
            return self._state()

    def pair(self, first: int, second: int) -> dict[str, Any]:
        """Return any two rows as a question."""
        with self._lock:
            return self._asked(self._seen(first).image_id, self._seen(second).image_id)

    def _photograph(self, row: int, long_side: int) -> bytes | None:
        """Return a photograph as a JPEG; `None` where it is missing."""
        image = read_photograph(self.run, self._seen(row).image_id, long_side)
        return None if image is None else copy_of(image, long_side).jpeg

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

    def _pairs(self) -> ReviewedPairs:
        """Return what everybody's answers say now."""
        answers = self.log.standing()
        stamp = hash(tuple((one.line, one.said) for one in answers))
        if self._reviewed is None or self._reviewed[0] != stamp:
            pairs = read_review(self.log.path, self.run.images) if answers else ReviewedPairs()
            self._reviewed = stamp, pairs
        return self._reviewed[1]

    def _state(self) -> dict[str, Any]:
        reviewed, answers = self._pairs(), self.log.standing()
        said = resolved(self.log.path, answers, self.run.images)
        unsure = [pair for pair, one in said if one == "unsure"]
        open_now = self._queue.open(reviewed, unsure)
        order = {image_id: place for place, image_id in enumerate(self._skipped)}
        first = min(open_now, key=lambda one: order.get(one.query_id, -1), default=None)
        now = self._queue.submitted(reviewed)
        return {
            "question": None if first is None else self._question(first),
            "answered": len(answers),
            "mine": sum(one.who == self.who for one in answers),
            "open": sum(one.gain >= _SETTLED for one in open_now),
            "expected": round(sum(one.gain for one in open_now), 1),
            "changed": sum(a != b for a, b in zip(now.identity, self.run.predictions.identity, strict=True)),
            "conflicts": [self._conflict(one) for one in reviewed.conflicts],
        }

    def _question(self, one: Question) -> dict[str, Any]:
        more = {"submitted": one.submitted, "probability": one.probability, "change": one.change, "name": one.name}
        return self._asked(one.query_id, one.gallery_id) | more

    def _asked(self, first: str, second: str) -> dict[str, Any]:
        animals = [self._animal(one) for one in (first, second)]
        names = zip(self.run.predictions.image_id, self._queue.submitted(self._pairs()).identity, strict=True)
        submitted = dict(names).get(first)
        return {"animals": animals, "submitted": submitted, "is_query": first in set(self.run.predictions.image_id)}

    def _animal(self, image_id: str) -> dict[str, Any]:
        """Return a photograph with the others of its animal, those of the same side first."""
        images, row = self.run.images, self.run.row_of[image_id]
        group = [one for pair in self._pairs().same if image_id in pair for one in pair]
        rows = {self.run.row_of[one] for one in group}
        name = images.identity[row]
        if name is not None:
            mine = (images.identity == name) & (images.dataset == images.dataset[row])
            rows |= {int(one) for one in mine.nonzero()[0]}
        others = sorted(rows - {row}, key=lambda one: (images.viewpoint[one] != images.viewpoint[row], one))
        return self._card(row) | {"others": [self._card(one) for one in others[:_MOST_OTHERS]]}

    def _card(self, row: int) -> dict[str, Any]:
        images = self.run.images
        texts = {name: getattr(images, name)[row] for name in ("image_id", "identity", "viewpoint", "date", "dataset")}
        return {"row": row, **texts}

    def _shown(self, first: str, second: str) -> dict[str, Any]:
        """Return what the log keeps of the question: the submitted name, and the probability of the individual."""
        submitted = dict(zip(self.run.predictions.image_id, self.run.predictions.identity, strict=True))
        name = self.run.images.identity[self.run.row_of[second]]
        probability = self._queue.probability(first, name)
        return {"run": self.run.name, "submitted": submitted.get(first), "name": name, "probability": probability}

    def _conflict(self, one: Conflict) -> dict[str, Any]:
        rows = [self.run.row_of[image_id] for image_id in one.chain]
        return {"by": one.by, "photographs": [self._card(row) for row in rows]}

    def _rows_of(self, one: Answered) -> tuple[str, str] | None:
        try:
            [(pair, _)] = resolved(self.log.path, [one], self.run.images)
        except (AnimalClefError, ValueError):
            return None
        return pair
