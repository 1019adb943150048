"""What the command line shows: progress bars, tables and sentences."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from animalclef.decision.decision_model import DatasetDecision, Decision
from animalclef.evaluation.background_share import BackgroundShare
from animalclef.evaluation.evaluate import RetrievalReport
from animalclef.metrics.competition import Score
from animalclef.metrics.retrieval_metrics import RetrievalFigures
from animalclef.pipeline.cost import Plan
from animalclef.prepare.viewpoints import ViewQuality
from animalclef.structures import Skipped

__all__ = [
    "RichProgress",
    "background_table",
    "boxes_table",
    "decision_table",
    "duration",
    "embedder_table",
    "empty_table",
    "honesty_lines",
    "measured_table",
    "plan_sentence",
    "recall_table",
    "retrieval_table",
    "score_table",
    "set_aside_sentence",
    "statistics_table",
    "viewpoints_table",
]


class RichProgress:
    """A bar per task with count, rate and time left; a line now and then where the console is no terminal."""

    def __init__(self, console: Console, every_seconds: float = 20.0) -> None:
        self.console, self.every_seconds = console, every_seconds

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Show a bar while the task lasts; nothing for a task without work."""
        if total == 0:
            yield lambda done: None
        elif self.console.is_terminal:
            with self._bar(unit) as progress:
                task = progress.add_task(name, total=total)
                yield lambda done: progress.advance(task, done)
        else:
            yield from self._lines(name, total, unit)

    def _bar(self, unit: str) -> Progress:
        columns = (
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=10),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}", table_column=Column(no_wrap=True)),
            _Rate(unit),
            TextColumn("left", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        return Progress(*columns, console=self.console, refresh_per_second=4)

    def _lines(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        start = told = time.monotonic()
        count = 0

        def advance(done: int) -> None:
            nonlocal told, count
            count += done
            now = time.monotonic()
            if now - told < self.every_seconds and count < total:
                return
            told = now
            rate = count / max(now - start, 1e-6)
            left = f", {duration((total - count) / rate)} left" if 0 < count < total else f" in {duration(now - start)}"
            line = f"{name}: {count:,} of {total:,} {unit}, {rate:,.1f} a second{left}"
            self.console.print(line, highlight=False, soft_wrap=True)

        yield advance


class _Rate(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self.unit = unit

    def render(self, task: Task) -> Text:
        """The rate so far."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.1f} {self.unit}/s" if speed else f"- {self.unit}/s")


def plan_sentence(plan: Plan) -> str:
    """What is about to be done and what it will cost."""
    if plan.images_to_describe == 0:
        work = f"{plan.images:,} photographs are described already; up to {plan.pairs:,} pairs to match"
    else:
        work = f"{plan.images_to_describe:,} of {plan.images:,} photographs to describe"
        work += f", up to {plan.pairs:,} pairs to match"
    work += f" (up to {plan.views} views of a query)" if plan.views > 1 else ""
    return f"{work}: about {duration(plan.seconds)} and {plan.megabytes:,.0f} MB on disk at the most."


def set_aside_sentence(set_aside: Sequence[Skipped], run: Path) -> str:
    """How many photographs were set aside, the first of them, and where the list is."""
    first, count = set_aside[0], len(set_aside)
    subject = "1 photograph was" if count == 1 else f"{count:,} photographs were"
    return f"{subject} set aside (first: {first.path}: {first.reason}); see {run / 'set_aside.csv'}."


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(59), duration(90), duration(4000)
    ('59 s', '2 min', '1.1 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def score_table(score: Score) -> Table:
    """BAKS, BAUS and the score per data set, and the mean."""
    table = empty_table("score", ("data set", "BAKS", "BAUS", "score", "known", "unknown"))
    for name, part in score.datasets.items():
        numbers = (_number(part.baks), _number(part.baus), _number(part.score))
        table.add_row(name, *numbers, str(part.known), str(part.unknown))
    table.add_section()
    table.add_row("mean over data sets", "", "", _number(score.overall), "", "", style="bold")
    return table


def decision_table(decision: Decision, datasets: Sequence[str]) -> Table:
    """What was decided per data set, and how it was validated."""
    header = ("data set", "threshold", "validation", "95 %", "optimism", "weights")
    table = empty_table("decision, tuned on the gallery alone", header)
    for name in datasets:
        part, seen = decision.of(name), decision.of(name).validation
        measured, plateau = ["-"] * 3, ""
        if seen is not None:
            measured = [_number(seen.nested), _range(seen.low, seen.high), f"{seen.optimism:+.3f}"]
            plateau = f"\n{_range(*seen.plateau)}" if seen.plateau else ""
        label = name if part.fitted_on == name else f"{name} ({part.fitted_on})"
        table.add_row(label, _number(part.threshold) + plateau, *measured, _manner(part))
    table.caption = "Under a threshold: the range that scores within 1 % of the best."
    table.caption_justify = "left"
    return table


def honesty_lines(decision: Decision) -> list[str]:
    """The validated score over all data sets, and what tuning made of it."""
    whole = decision.summary
    if whole is None:
        return []
    return [
        f"Validation score {whole.nested:.3f}, 95 % interval {whole.low:.3f} to {whole.high:.3f} over individuals; "
        f"where it was tuned it is {whole.optimism:+.3f} (optimism)."
    ]


def _manner(part: DatasetDecision) -> str:
    """Weights and whatever else is not as plain as can be."""
    told = [f"{column} {weight:.2f}" for column, weight in part.weights.items() if weight >= 0.005]
    told = ["learned model"] if part.pair_model is not None else told
    told += sorted({one.kind for one in part.calibrators.values()} - {"logistic"})
    told += [part.aggregation] if part.aggregation != "max" else []
    told += [f"gallery size {part.crowd_weight:.2f}"] if part.crowd_weight else []
    told += [f"lead {part.margin:.2f}"] if part.margin else []
    return ", ".join([*told, "same viewpoint"] if part.same_viewpoint else told)


def _range(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.2f}–{high:.2f}"


def retrieval_table(report: RetrievalReport) -> Table:
    """Rank-k and mAP with their intervals."""
    names = list(report.groups[0].measures) if report.groups else []
    table = empty_table("known queries, 95 % bootstrap over individuals", ("data set", "viewpoint", "queries", *names))
    for group in report.groups:
        cells = [f"{one.mean:.3f} [{one.low:.2f}, {one.high:.2f}]" for one in group.measures.values()]
        viewpoint = "all" if group.viewpoint is None else group.viewpoint or "-"
        table.add_row(group.dataset, viewpoint, str(group.queries), *cells)
    return table


def recall_table(report: RetrievalReport) -> Table:
    """How often each source of candidates names the right individual."""
    names = list(report.recall[0].recall) if report.recall else []
    title = "known queries: the right individual among the first k candidates of a source"
    table = empty_table(title, ("data set", "source", "queries", *names))
    for one in report.recall:
        table.add_row(one.dataset, one.source, str(one.queries), *[_number(value) for value in one.recall.values()])
    return table


def background_table(shares: Sequence[BackgroundShare]) -> Table:
    """What share of the best candidates' matches lies beside the animals."""
    table = empty_table("outside the masks, best candidate of each query", ("data set", "pairs", "matches", "inliers"))
    for one in shares:
        table.add_row(one.dataset, str(one.pairs), _number(one.matches), _number(one.inliers))
    return table


def measured_table(rows: Mapping[str, Mapping[str, float]]) -> Table:
    """What matchers come to on held-out views."""
    header = {"precision": "precision", "recall": "recall", "auc_5px": "AUC 5px", "auc_10px": "AUC 10px",
              "separation": "separation", "false_matches": "false"}  # fmt: skip
    table = empty_table("held-out views", ("matcher", *header.values()))
    for name, figures in rows.items():
        table.add_row(name, *[_number(figures[key]) for key in header])
    return table


def embedder_table(figures: RetrievalFigures) -> Table:
    """Rank-k and mAP of an embedding per species, and their mean."""
    names = list(figures.mean)
    header = ("species", "queries", "alone", "candidates", *names)
    table = empty_table("stage one alone, database photographs", header)
    for one in figures.species:
        counts = (one.queries, one.alone, one.candidates)
        table.add_row(one.species, *map(str, counts), *[_number(one.measures[name]) for name in names])
    table.add_section()
    table.add_row("mean over species", *[""] * 3, *[_number(figures.mean[name]) for name in names], style="bold")
    table.caption = "alone: no other photograph of the individual to be found; not counted."
    table.caption_justify = "left"
    return table


def viewpoints_table(quality: Sequence[ViewQuality]) -> Table:
    """How well viewpoints are told, measured on held-out individuals, and what was filled."""
    header = ("data set", "labelled", "absent", "majority", "accuracy", "sure", "right of sure", "filled")
    table = empty_table("viewpoints, told of held-out individuals", header)
    for one in quality:
        figures = [_number(value) for value in (one.majority, one.accuracy, one.sure, one.sure_accuracy)]
        table.add_row(one.dataset, str(one.labelled), str(one.absent), *figures, str(one.filled))
    told = [f"{one.dataset}: nothing filled, {one.why_not}." for one in quality if one.why_not]
    table.caption, table.caption_justify = "\n".join(told) or None, "left"
    return table


def boxes_table(counted: Mapping[str, Mapping[str, int]]) -> Table:
    """How many boxes were found, and why others were not."""
    table = empty_table("boxes", ("data set", "found", "given", "unclear", "unreadable"))
    for name, part in counted.items():
        table.add_row(name, *[f"{part.get(column, 0):,}" for column in ("found", "given", "unclear", "unreadable")])
    return table


def statistics_table(statistics: Mapping[str, Any]) -> Table:
    """What `inspect` counted."""
    header = ("data set", "gallery", "queries", "individuals", "singletons", "dated", "viewpoints")
    table = empty_table(f"{statistics['photographs']:,} photographs, {statistics['task']} task", header)
    for name, part in statistics["datasets"].items():
        viewpoints = ", ".join(f"{view or 'none'} {count}" for view, count in part["viewpoints"].items())
        table.add_row(name, *[f"{part[column]:,}" for column in header[1:-1]], viewpoints)
    return table


def empty_table(title: str, header: Sequence[str]) -> Table:
    """A table without rows; what is no text stands on the right."""
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD)
    for place, name in enumerate(header):
        text = place == 0 or name in ("weights", "viewpoints", "species")
        table.add_column(name, justify="left" if text else "right", overflow="fold")
    return table


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
