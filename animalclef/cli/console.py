"""Format what the command line prints: tables and sentences."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from animalclef.cli.printing import aligned_table, number_cell
from animalclef.runtime.wording import counted, duration, machine_time

if TYPE_CHECKING:
    from animalclef.decision.decision_model import DatasetDecision, Decision
    from animalclef.evaluation.background_share import BackgroundShare
    from animalclef.evaluation.evaluate import RetrievalReport
    from animalclef.metrics.clustering_metrics import ClusterScores
    from animalclef.metrics.competition import Score
    from animalclef.metrics.retrieval_metrics import RetrievalFigures
    from animalclef.pipeline.run_context import Plan
    from animalclef.prepare.viewpoints import ViewQuality
    from animalclef.structures import Skipped
    from animalclef.structures.clusters import ClusterCount
    from animalclef.training.embedder.embedder_task import TrainingPlan

__all__ = [
    "answer_lines",
    "background_table",
    "boxes_table",
    "cluster_score_table",
    "count_lines",
    "decision_table",
    "embedder_table",
    "honesty_lines",
    "individuals_table",
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

_MOST_WEIGHTS = 2  # of a data set, in a table of 80 columns


def plan_sentence(plan: Plan) -> str:
    """Describe the work ahead and its cost."""
    if plan.images_to_describe == 0:
        work = f"{plan.images:,} photographs have their features already; up to {plan.pairs:,} pairs to match"
    else:
        work = f"{plan.images_to_describe:,} of {plan.images:,} photographs to extract features from"
        work += f", up to {plan.pairs:,} pairs to match"
    work += f" (up to {plan.views} views of a query)" if plan.views > 1 else ""
    work += f" within the budget of {plan.budget}" if plan.budget else ""
    moved = f"{plan.network_megabytes:,.0f} MB"
    if plan.machines is not None:
        taken = machine_time(plan.machines, plan.seconds)
        work += f", on {counted(plan.machines, 'machine')}: about {duration(plan.seconds)} ({taken})"
        return f"{work}, {plan.megabytes:,.0f} MB on disk and {moved} of network at most."
    if plan.network_megabytes:
        work += f": about {duration(plan.seconds)}, {plan.megabytes:,.0f} MB on disk and"
        return f"{work} {moved} from the bucket at most, because data.cache_gb does not hold all photographs."
    return f"{work}: about {duration(plan.seconds)} and {plan.megabytes:,.0f} MB on disk at most."


def set_aside_sentence(set_aside: Sequence[Skipped], run: Path) -> str:
    """Say how many photographs were skipped, and where they are listed."""
    first, count = set_aside[0], len(set_aside)
    skipped = counted(count, "photograph", "was")
    return f"{skipped} skipped (first: {first.path}: {first.reason}); see {run / 'set_aside.csv'}."


def score_table(score: Score) -> Table:
    """List BAKS, BAUS and the score per data set, and the mean."""
    header = ("data set", "BAKS", "BAUS", "score", "known", "unknown")
    rows = [(name, one.baks, one.baus, one.score, one.known, one.unknown) for name, one in score.datasets.items()]
    return aligned_table("score", header, rows, mean=("mean over data sets", "", "", score.overall, "", ""))


def decision_table(decision: Decision, datasets: Sequence[str]) -> Table:
    """List the decision of each data set and its validation."""
    rows = []
    for name in datasets:
        part, seen = decision.of(name), decision.of(name).validation
        measured, plateau = ["-"] * 3, ""
        if seen is not None:
            measured = [number_cell(seen.nested), _range(seen.low, seen.high), f"{seen.optimism:+.3f}"]
            plateau = f"\n{_range(*seen.plateau)}" if seen.plateau and part.fitted_on == name else ""
        label = name if part.fitted_on == name else f"{name} ({part.fitted_on})"
        rows.append((label, number_cell(part.threshold) + plateau, *measured, _manner(part)))
    header = ("data set", "threshold", "validation", "95%", "optimism", "weights")
    ranges = "Below a threshold: the range that scores within 1% of the best. "
    note = (ranges if any("\n" in row[1] for row in rows) else "") + "All weights stand in decision.json."
    tuned = any(decision.of(name).validation for name in datasets)
    return aligned_table(f"decision{', tuned on gallery photographs only' if tuned else ''}", header, rows, note=note)


def honesty_lines(decision: Decision) -> list[str]:
    """Describe the validation score over all data sets, and its optimism."""
    whole = decision.summary
    return [] if whole is None else [
        f"Validation score {whole.nested:.3f}, 95% interval {whole.low:.3f} to {whole.high:.3f} over individuals. "
        f"On the photographs that it was tuned on, the score is {abs(whole.optimism):.3f} "
        f"{'higher' if whole.optimism >= 0 else 'lower'} (optimism)."
    ]  # fmt: skip


_REVIEWED = {"named": "named", "excluded": "without the individuals that they excluded", "grouped": "with others"}


def answer_lines(
    summary: Mapping[str, Any], submission: Path, run: Path, skipped: int = 0, *, competes: bool = False
) -> list[str]:
    """Describe the answers, where they are, and which commands to run next; `skipped` queries could not be read."""
    score = f"      animalclef ledger add --public SCORE --submission {submission} (note a leaderboard score)"
    queries, new = summary["queries"], summary["new_individuals"]
    unread = f", {skipped} of them because the photograph could not be read" if skipped else ""
    said = summary.get("reviewed", {})
    parts = [f"{said[kind]} {what}" for kind, what in _REVIEWED.items() if said.get(kind)]
    people = [f"People's answers decided {counted(sum(said.values()), 'query')}: {', '.join(parts)}."] if parts else []
    return [
        f"{queries} queries: {queries - new} named ({summary['individuals_named']} individuals), {new} new{unread}.",
        *people,
        f"Submission: {submission}",
        f"Run folder: {run}",
        f"Next: animalclef report {run} (look at every answer in a browser)",
        f"      animalclef show QUERY_ID --run {run} (draw one query with its matches)",
        f"      animalclef evaluate --run {run} --truth TRUTH.csv (with known answers: rank-1 and mAP)",
        *([score] if competes else []),
    ]


def _manner(part: DatasetDecision) -> str:
    """Describe the largest weights, and settings that are not the default."""
    used = sorted(((weight, column) for column, weight in part.weights.items() if weight >= 0.005), reverse=True)
    parts = [f"{column} {weight:.2f}" for weight, column in used[:_MOST_WEIGHTS]]
    parts += [f"{len(used) - _MOST_WEIGHTS} more"] if len(used) > _MOST_WEIGHTS else []
    parts = ["learned model"] if part.pair_model is not None else parts
    parts += [part.aggregation] if part.aggregation != "max" else []
    parts += [f"lead {part.margin:.2f}"] if part.margin else []
    return ", ".join([*parts, "same viewpoint"] if part.same_viewpoint else parts)


def _range(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.2f}–{high:.2f}"


def retrieval_table(report: RetrievalReport) -> Table:
    """List rank-k and mAP with their intervals; viewpoints stand below their data set."""
    names = list(report.groups[0].measures) if report.groups else []
    rows = []
    for group in report.groups:
        cells = [f"{one.mean:.3f}\n{_range(one.low, one.high)}" for one in group.measures.values()]
        name = group.dataset if group.viewpoint is None else f"  {group.viewpoint or 'no viewpoint'}"
        rows.append((name, group.queries, *cells))
    title = "known queries, 95% bootstrap interval over individuals"
    return aligned_table(title, ("data set", "queries", *names), rows)


def recall_table(report: RetrievalReport) -> Table:
    """List how often each source of candidates has the right individual among its first k."""
    names = [name.removeprefix("recall") for name in report.recall[0].recall] if report.recall else []
    title = "known queries: share with the right individual among the first k candidates (recall@k)"
    rows = [(one.dataset, one.source, one.queries, *one.recall.values()) for one in report.recall]
    return aligned_table(title, ("data set", "source", "queries", *names), rows)


def background_table(shares: Sequence[BackgroundShare]) -> Table:
    """List the share of the best candidates' matches that lie outside the masks."""
    rows = [(one.dataset, one.pairs, one.matches, one.inliers) for one in shares]
    title = "outside the masks, best candidate of each query"
    return aligned_table(title, ("data set", "pairs", "matches", "inliers"), rows)


def measured_table(measured: Mapping[str, Mapping[str, float]]) -> Table:
    """List the figures of matchers on held-out views."""
    header = {"precision": "precision", "recall": "recall", "auc_5px": "AUC 5px", "auc_10px": "AUC 10px",
              "separation": "separation", "false_matches": "false"}  # fmt: skip
    rows = [(name, *[figures[key] for key in header]) for name, figures in measured.items()]
    return aligned_table("held-out views", ("matcher", *header.values()), rows)


def embedder_table(figures: RetrievalFigures) -> Table:
    """List rank-k and mAP of an embedding per species, and their mean."""
    names = list(figures.mean)
    rows = [(one.species, one.queries, one.alone, *[one.measures[name] for name in names])
            for one in figures.species]  # fmt: skip
    return aligned_table(
        "stage one alone, database photographs", ("species", "queries", "alone", *names), rows,
        mean=("mean", "", "", *figures.mean.values()),
        note="alone: queries without another photograph of their individual; not counted.",
    )  # fmt: skip


def viewpoints_table(quality: Sequence[ViewQuality]) -> Table:
    """List the accuracy of predicted viewpoints on held-out individuals, and how many were filled."""
    header = ("data set", "labelled", "absent", "majority", "accuracy", "confident", "correct", "filled")
    rows = [(one.dataset, one.labelled, one.absent, one.majority, one.accuracy, one.sure, one.sure_accuracy, one.filled)
            for one in quality]  # fmt: skip
    notes = ["confident: share above the confidence limit; correct: accuracy among these."]
    notes += [f"{one.dataset}: nothing filled, {one.why_not}." for one in quality if one.why_not]
    return aligned_table("viewpoints, predicted for held-out individuals", header, rows, note="\n".join(notes))


def boxes_table(counted: Mapping[str, Mapping[str, int]]) -> Table:
    """List how many boxes were found, and why others were not."""
    outcomes = ("found", "given", "unclear", "unreadable")
    rows = [(name, *[f"{part.get(one, 0):,}" for one in outcomes]) for name, part in counted.items()]
    return aligned_table("boxes", ("data set", *outcomes), rows)


def statistics_table(statistics: Mapping[str, Any]) -> Table:
    """List the counts of `inspect`."""
    counts = ("gallery", "queries", "individuals", "singletons", "dated")
    rows = []
    for name, part in statistics["datasets"].items():
        viewpoints = ", ".join(f"{view or 'none'} {count}" for view, count in part["viewpoints"].items())
        rows.append((name, *[f"{part[column]:,}" for column in counts], viewpoints))
    title = f"{statistics['photographs']:,} photographs, {statistics['task']} task"
    return aligned_table(title, ("data set", *counts, "viewpoints"), rows)


def individuals_table(records: Sequence[Mapping[Hashable, Any]]) -> Table:
    """List the individuals of a catalogue: photographs, seasons, and the days of the first and the last one."""
    from animalclef.catalogue.individual_list import counted_individuals

    rows = []
    for one in records:
        seasons = dict.fromkeys(str(one[name]) for name in ("first_season", "last_season") if one[name] is not None)
        days = [one[name][:10] or "-" for name in ("first_date", "last_date")]
        rows.append((one["name"], one["id"], one["dataset"], one["photographs"], "–".join(seasons) or "-", *days))
    header = ("individual", "id", "data set", "images", "seasons", "first", "last")
    return aligned_table(counted_individuals([one["photographs"] for one in records]), header, rows)


def retrieved_table(networks: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """List retrieval among held-out photographs: the mean over species, then each species."""
    names = ("rank-1", "rank-5", "rank-10", "rank-20", "mAP")
    rows = [(network, species, *[measures[one] for one in names])
            for network, figures in networks.items() for species, measures in figures.items()]  # fmt: skip
    return aligned_table("held-out photographs", ("network", "species", *names), rows)


def cluster_score_table(scores: ClusterScores) -> Table:
    """List ARI, AMI, pairwise precision and recall of each data set, its clusters and its true individuals."""
    header = ("data set", "ARI", "AMI", "precision", "recall", "images", "clusters", "true")
    rows = [(name, one.ari, one.ami, one.precision, one.recall, one.photographs, one.clusters, one.individuals)
            for name, one in scores.datasets.items()]  # fmt: skip
    return aligned_table("clusters", header, rows, mean=("mean", scores.ari, scores.ami, *[""] * 5))


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


_FROM_STRANGERS = "from the null model of strangers"


def count_lines(counts: Mapping[str, ClusterCount], noun: str, of: str = "") -> list[str]:
    """Say for each data set how many individuals its photographs show; `noun` and `of` name the photographs."""
    lines = []
    for name, one in counts.items():
        known = f", {one.known} of them known" if one.known else ""
        between, basis = f"{one.low} to {one.high}", _basis(one.rule)
        between = f"about {one.low}" if one.low == one.high else between
        if basis == _FROM_STRANGERS:
            between += ", or far fewer, because photographs of one animal that match badly stay apart"
        grouped = "is grouped" if one.photographs == 1 else "are grouped"
        lines.append(
            f"{name}: {counted(one.photographs, noun)}{of} {grouped} as {counted(one.clusters, 'individual')}{known}, "
            f"{one.singletons:,} on one photograph alone. Their true number: {between} ({basis})."
        )
    return lines


def _basis(rule: Mapping[str, Any]) -> str:
    """Say what the rule rests on."""
    if "ari" in rule:
        return f"90% interval; pseudo-tests on the database: ARI {rule['ari']:.2f}, AMI {rule['ami']:.2f}"
    return {"other data sets": "90% interval; chosen on the other data sets", "settings": "as the settings say"}.get(
        str(rule.get("chosen_on")),
        _FROM_STRANGERS,
    )
