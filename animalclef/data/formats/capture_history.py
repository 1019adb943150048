"""Capture histories for MARK and CAPTURE, and what uncertain answers do to the count of individuals.

A history has a 1 for every occasion on which an individual was photographed. MARK's encounter histories:
http://www.phidot.org/software/mark/docs/book/ (chapter 2). CAPTURE's X matrix:
https://www.mbr-pwrc.usgs.gov/software/doc/capture/capture.htm
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from animalclef.data.answers import Answer
from animalclef.errors import DataError
from animalclef.structures import ImageTable
from animalclef.structures.arrays import Integers

__all__ = ["Histories", "Occasion", "capture_histories", "capture_text", "mark_text"]

Occasion = Literal["day", "month", "year"]
_CHARACTERS = {"day": 10, "month": 7, "year": 4}
_DRAWS = 1000

Individual = tuple[str, str]  # data set and name


@dataclass(frozen=True)
class Histories:
    """Capture histories of all individuals, and how sure their number is."""

    occasions: list[str]  # days, months or years in order
    of: Mapping[str, str]  # individual -> history, such as 0101
    undated: int  # photographs left out
    individuals: int
    expected: float  # mean number of individuals over draws of the uncertain answers
    low: float  # 95% interval of that number
    high: float


def capture_histories(images: ImageTable, answers: Sequence[Answer], occasion: Occasion) -> Histories:
    """Return the histories of named database photographs and of the answers.

    New animals that were grouped as one (`new_1`) are one; without groups every photograph of a new one is another.

    Two individuals of one name in two data sets are two; then the data set stands before each name. A date that is only
    a year or a month counts for occasions that need no more.

    The interval draws each answer 1,000 times: a name holds with its probability, else the photograph shows one of the
    next candidates with theirs, else its new individual, or one of its own.

    Raises:
        DataError: no photograph has both an individual and a date.
    """
    length = _CHARACTERS[occasion]
    dated = zip(images.image_id, images.date, strict=True)
    when = {image_id: str(date)[:length] for image_id, date in dated if len(date) >= length}
    dataset = dict(zip(images.image_id, images.dataset, strict=True))
    sightings: dict[Individual, set[str]] = defaultdict(set)
    for image_id, who in zip(images.image_id, images.identity, strict=True):
        if who is not None and image_id in when:
            sightings[dataset[image_id], str(who)].add(when[image_id])
    fixed = set(sightings)
    used = [answer for answer in answers if not answer.skipped and answer.image_id in when]
    times = Counter(answer.path for answer in used if answer.individual is None)
    for answer in used:
        further = f" ({answer.image_id})" if times[answer.path] > 1 else ""  # several animals on one photograph
        new = f"new: {answer.group or answer.path + further}"
        who = new if answer.individual is None else answer.individual
        sightings[dataset[answer.image_id], who].add(when[answer.image_id])
    if not sightings:
        raise DataError("There is no photograph with both an individual and a date, so there is no capture history.")
    occasions = sorted(set().union(*sightings.values()))
    several = len({name for name, _ in sightings}) > 1
    histories = {
        f"{name}: {who}" if several else who: "".join("1" if one in seen else "0" for one in occasions)
        for (name, who), seen in sorted(sightings.items())
    }
    counts = _drawn_counts(fixed, used, dataset, np.random.default_rng(0))
    low, high = np.quantile(counts, [0.025, 0.975])
    undated = len(images) - len(when)
    return Histories(occasions, histories, undated, len(histories), float(counts.mean()), float(low), float(high))


def mark_text(histories: Histories) -> str:
    """Return the histories as MARK's .inp file: a comment with the name, the history, the count 1.

    >>> print(mark_text(Histories(["2023", "2024"], {"Ada": "11"}, 0, 1, 1.0, 1.0, 1.0)), end="")
    /* occasions: 2023 2024 */
    /* individuals: 1; with uncertain answers 1.0 on average, 95% between 1 and 1 */
    /* Ada */ 11 1;
    """
    lines = [
        f"/* occasions: {' '.join(histories.occasions)} */",
        f"/* individuals: {histories.individuals}; with uncertain answers {histories.expected:.1f} on average, 95% "
        f"between {histories.low:.0f} and {histories.high:.0f} */",
    ]
    lines += [f"/* {who.replace('*/', '* /')} */ {history} 1;" for who, history in histories.of.items()]
    return "\n".join(lines) + "\n"


def capture_text(histories: Histories) -> str:
    """Return the histories as an input file of program CAPTURE: an X matrix with a number for each individual.

    >>> print(capture_text(Histories(["2023", "2024"], {"Ada": "11"}, 0, 1, 1.0, 1.0, 1.0)), end="")
    title='1 individuals; with uncertain answers 1.0, 95% between 1 and 1'
    task read captures occasions=2 x matrix
    format='(a6,1x,2f1.0)'
    read input data
    000001 11
    task closure test
    task model selection
    task population estimate all
    """
    count, between = histories.individuals, f"between {histories.low:.0f} and {histories.high:.0f}"
    lines = [
        f"title='{count} individuals; with uncertain answers {histories.expected:.1f}, 95% {between}'",
        f"task read captures occasions={len(histories.occasions)} x matrix",
        f"format='(a6,1x,{len(histories.occasions)}f1.0)'",
        "read input data",
        *[f"{number:06d} {history}" for number, history in enumerate(histories.of.values(), start=1)],
        "task closure test",
        "task model selection",
        "task population estimate all",
    ]
    return "\n".join(lines) + "\n"


def _drawn_counts(
    fixed: set[Individual], answers: Sequence[Answer], dataset: Mapping[str, str], rng: np.random.Generator
) -> Integers:
    """Return the number of individuals in each draw, (1000,)."""
    counts = np.zeros(_DRAWS, dtype=np.int64)
    options = [[((dataset[one.image_id], who), upper) for who, upper in _options(one)] for one in answers]
    others = [
        (dataset[one.image_id], f"new: {one.group}") if one.group else ("", str(place))  # one of its own
        for place, one in enumerate(answers)
    ]
    for draw, values in enumerate(rng.random((_DRAWS, len(answers)))):
        rows = zip(values, options, others, strict=True)
        seen = {next((who for who, upper in choices if value < upper), other) for value, choices, other in rows}
        counts[draw] = len(fixed | seen)
    return counts


def _options(answer: Answer) -> list[tuple[str, float]]:
    """Return the possible individuals with their cumulative probability; the rest is an individual of its own."""
    known = [] if answer.individual is None else [(answer.individual, answer.probability)]
    upper, options = 0.0, []
    for name, probability in (*known, *answer.following):
        upper = min(1.0, upper + probability)
        options.append((name, upper))
    return options
