"""Format what the command line prints: tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.table import Table

from animalclef.cli.progress_bar import RichProgress
from animalclef.decision.strangers import small_validation_notes
from animalclef.runtime.wording import counted, duration

if TYPE_CHECKING:
    from animalclef.decision.decision_model import DatasetDecision, Decision
    from animalclef.evaluation.background_share import BackgroundShare
    from animalclef.evaluation.evaluate import RetrievalReport
    from animalclef.metrics.competition import Score
    from animalclef.metrics.retrieval_metrics import RetrievalFigures
    from animalclef.pipeline.run_context import Plan
    from animalclef.prepare.viewpoints import ViewQuality
    from animalclef.structures import Skipped
    from animalclef.training.embedder.embedder_task import TrainingPlan

__all__ = [
    "RichProgress",
    "answer_lines",
    "background_table",
    "boxes_table",
    "decision_table",
    "embedder_table",
    "empty_table",
    "honesty_lines",
    "measured_table",
    "plan_sentence",
    "recall_table",
    "retrieval_table",
    "retrieved_table",
    "score_table",
    "set_aside_sentence",
    "statistics_table",
    "training_sentence",
    "viewpoints_table",
]


def plan_sentence(plan: Plan) -> str:
    """Describe the work ahead and its cost."""
    if plan.images_to_describe == 0:
        work = f"{plan.images:,} photographs have their features already; up to {plan.pairs:,} pairs to match"
    else:
        work = f"{plan.images_to_describe:,} of {plan.images:,} photographs to extract features from"
        work += f", up to {plan.pairs:,} pairs to match"
    work += f" (up to {plan.views} views of a query)" if plan.views > 1 else ""
    if plan.network_megabytes:
        hours = plan.machines * plan.seconds / 3600
        work += f", on {counted(plan.machines, 'machine')}: about {duration(plan.seconds)} ({hours:,.1f} machine hours)"
        return f"{work}, {plan.megabytes:,.0f} MB on disk and {plan.network_megabytes:,.0f} MB of network at most."
    return f"{work}: about {duration(plan.seconds)} and {plan.megabytes:,.0f} MB on disk at most."


def set_aside_sentence(set_aside: Sequence[Skipped], run: Path) -> str:
    """Say how many photographs were skipped, and where they are listed."""
    first, count = set_aside[0], len(set_aside)
    skipped = counted(count, "photograph", "was")
    return f"{skipped} skipped (first: {first.path}: {first.reason}); see {run / 'set_aside.csv'}."


def score_table(score: Score) -> Table:
    """List BAKS, BAUS and the score per data set, and the mean."""
    table = empty_table("score", ("data set", "BAKS", "BAUS", "score", "known", "unknown"))
    for name, part in score.datasets.items():
        numbers = (_number(part.baks), _number(part.baus), _number(part.score))
        table.add_row(name, *numbers, str(part.known), str(part.unknown))
    table.add_section()
    table.add_row("mean over data sets", "", "", _number(score.overall), "", "", style="bold")
    return table


def decision_table(decision: Decision, datasets: Sequence[str]) -> Table:
    """List the decision of each data set and its validation."""
    header = ("data set", "threshold", "validation", "95%", "optimism", "weights")
    table = empty_table("decision, tuned on gallery photographs only", header)
    for name in datasets:
        part, seen = decision.of(name), decision.of(name).validation
        measured, plateau = ["-"] * 3, ""
        if seen is not None:
            measured = [_number(seen.nested), _range(seen.low, seen.high), f"{seen.optimism:+.3f}"]
            plateau = f"\n{_range(*seen.plateau)}" if seen.plateau else ""
        label = name if part.fitted_on == name else f"{name} ({part.fitted_on})"
        table.add_row(label, _number(part.threshold) + plateau, *measured, _manner(part))
    table.caption = "Below a threshold: the range that scores within 1% of the best."
    table.caption_justify = "left"
    return table


def honesty_lines(decision: Decision) -> list[str]:
    """Describe the validation score over all data sets, its optimism, and data sets with few photographs."""
    whole = decision.summary
    if whole is None:
        return small_validation_notes(decision)
    return [
        f"Validation score {whole.nested:.3f}, 95% interval {whole.low:.3f} to {whole.high:.3f} over individuals. "
        f"On the photographs that it was tuned on, the score is {abs(whole.optimism):.3f} "
        f"{'higher' if whole.optimism >= 0 else 'lower'} (optimism).",
        *small_validation_notes(decision),
    ]


def answer_lines(summary: Mapping[str, Any], submission: Path, run: Path) -> list[str]:
    """Describe the answers, where they are, and which commands to run next."""
    queries, new = summary["queries"], summary["new_individuals"]
    return [
        f"{queries} queries: {queries - new} named ({summary['individuals_named']} individuals), {new} new.",
        f"Submission: {submission}",
        f"Run folder: {run}",
        f"Next: animalclef report {run} (look at every answer in a browser)",
        f"      animalclef show QUERY_ID --run {run} (draw one query with its matches)",
        f"      animalclef evaluate --run {run} --truth TRUTH.csv (with known answers: rank-1 and mAP)",
        f"      animalclef ledger add --public SCORE --submission {submission} (note a leaderboard score)",
    ]


def _manner(part: DatasetDecision) -> str:
    """Describe weights and settings that are not the default."""
    parts = [f"{column} {weight:.2f}" for column, weight in part.weights.items() if weight >= 0.005]
    parts = ["learned model"] if part.pair_model is not None else parts
    parts += [part.aggregation] if part.aggregation != "max" else []
    parts += [f"lead {part.margin:.2f}"] if part.margin else []
    return ", ".join([*parts, "same viewpoint"] if part.same_viewpoint else parts)


def _range(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.2f}–{high:.2f}"


def retrieval_table(report: RetrievalReport) -> Table:
    """List rank-k and mAP with their intervals; viewpoints stand below their data set."""
    names = list(report.groups[0].measures) if report.groups else []
    table = empty_table("known queries, 95% bootstrap interval over individuals", ("data set", "queries", *names))
    for group in report.groups:
        cells = [f"{one.mean:.3f}\n{_range(one.low, one.high)}" for one in group.measures.values()]
        name = group.dataset if group.viewpoint is None else f"  {group.viewpoint or 'no viewpoint'}"
        table.add_row(name, str(group.queries), *cells)
    return table


def recall_table(report: RetrievalReport) -> Table:
    """List how often each source of candidates has the right individual among its first k."""
    names = [name.removeprefix("recall") for name in report.recall[0].recall] if report.recall else []
    title = "known queries: share with the right individual among the first k candidates (recall@k)"
    table = empty_table(title, ("data set", "source", "queries", *names))
    for one in report.recall:
        table.add_row(one.dataset, one.source, str(one.queries), *[_number(value) for value in one.recall.values()])
    return table


def background_table(shares: Sequence[BackgroundShare]) -> Table:
    """List the share of the best candidates' matches that lie outside the masks."""
    table = empty_table("outside the masks, best candidate of each query", ("data set", "pairs", "matches", "inliers"))
    for one in shares:
        table.add_row(one.dataset, str(one.pairs), _number(one.matches), _number(one.inliers))
    return table


def measured_table(rows: Mapping[str, Mapping[str, float]]) -> Table:
    """List the figures of matchers on held-out views."""
    header = {"precision": "precision", "recall": "recall", "auc_5px": "AUC 5px", "auc_10px": "AUC 10px",
              "separation": "separation", "false_matches": "false"}  # fmt: skip
    table = empty_table("held-out views", ("matcher", *header.values()))
    for name, figures in rows.items():
        table.add_row(name, *[_number(figures[key]) for key in header])
    return table


def embedder_table(figures: RetrievalFigures) -> Table:
    """List rank-k and mAP of an embedding per species, and their mean."""
    names = list(figures.mean)
    header = ("species", "queries", "alone", "candidates", *names)
    table = empty_table("stage one alone, database photographs", header)
    for one in figures.species:
        counts = (one.queries, one.alone, one.candidates)
        table.add_row(one.species, *map(str, counts), *[_number(one.measures[name]) for name in names])
    table.add_section()
    table.add_row("mean over species", *[""] * 3, *[_number(figures.mean[name]) for name in names], style="bold")
    table.caption = "alone: queries without another photograph of their individual; not counted."
    table.caption_justify = "left"
    return table


def viewpoints_table(quality: Sequence[ViewQuality]) -> Table:
    """List the accuracy of predicted viewpoints on held-out individuals, and how many were filled."""
    header = ("data set", "labelled", "absent", "majority", "accuracy", "confident", "correct", "filled")
    table = empty_table("viewpoints, predicted for held-out individuals", header)
    for one in quality:
        figures = [_number(value) for value in (one.majority, one.accuracy, one.sure, one.sure_accuracy)]
        table.add_row(one.dataset, str(one.labelled), str(one.absent), *figures, str(one.filled))
    notes = ["confident: share above the confidence limit; correct: accuracy among these."]
    notes += [f"{one.dataset}: nothing filled, {one.why_not}." for one in quality if one.why_not]
    table.caption, table.caption_justify = "\n".join(notes), "left"
    return table


def boxes_table(counted: Mapping[str, Mapping[str, int]]) -> Table:
    """List how many boxes were found, and why others were not."""
    table = empty_table("boxes", ("data set", "found", "given", "unclear", "unreadable"))
    for name, part in counted.items():
        table.add_row(name, *[f"{part.get(column, 0):,}" for column in ("found", "given", "unclear", "unreadable")])
    return table


def statistics_table(statistics: Mapping[str, Any]) -> Table:
    """List the counts of `inspect`."""
    header = ("data set", "gallery", "queries", "individuals", "singletons", "dated", "viewpoints")
    table = empty_table(f"{statistics['photographs']:,} photographs, {statistics['task']} task", header)
    for name, part in statistics["datasets"].items():
        viewpoints = ", ".join(f"{view or 'none'} {count}" for view, count in part["viewpoints"].items())
        table.add_row(name, *[f"{part[column]:,}" for column in header[1:-1]], viewpoints)
    return table


def empty_table(title: str, header: Sequence[str]) -> Table:
    """Return a table without rows that fits 80 columns: numbers are right-aligned and never wrapped."""
    table = Table(
        title=title, title_justify="left", header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD,
        collapse_padding=True,
    )  # fmt: skip
    for place, name in enumerate(header):
        wraps = name in ("weights", "viewpoints")
        justify: Literal["left", "right"] = "left" if place == 0 or wraps or name in ("species", "source") else "right"
        table.add_column(name, justify=justify, no_wrap=not wraps)
    return table


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"


def retrieved_table(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """Return retrieval among held-out photographs: the mean over species, then each species."""
    header = ("rank-1", "rank-5", "rank-10", "rank-20", "mAP")
    table = empty_table("held-out photographs", ("network", "species", *header))
    for name, figures in rows.items():
        for species, measures in figures.items():
            values = [measures[one] for one in header]
            table.add_row(name, species, *["-" if one is None else f"{one:.3f}" for one in values])
    return table


def training_sentence(plan: TrainingPlan) -> str:
    """Return a sentence on what a training will do and how long it takes."""
    if plan.seconds is not None:
        frozen = " longer once the backbone is trained too," if plan.frozen else ""
        return f"At this speed training takes about {duration(plan.seconds)} more,{frozen} validation not counted."
    begun = f" ({plan.done:,} of them done)" if plan.done else ""
    held = f", {plan.held_out:,} held out" if plan.held_out else ""
    return (
        f"{plan.images:,} photographs of {plan.classes:,} classes{held}: {plan.epochs:,} epochs, {plan.steps:,} "
        f"steps{begun} of {plan.batch:,} photographs."
    )
