"""How good a run was, once somebody says what the queries really show.

The truth is read here and nowhere else, after every choice has been made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from animalclef.data.submission import Truth, read_submission, read_truth
from animalclef.errors import DataError, SubmissionError
from animalclef.evaluation.source_recall import SourceRecall, recall_of_sources
from animalclef.metrics.competition import Score, ScoreKernel, average_precision, identity_rank
from animalclef.structures import StrArray

__all__ = ["Group", "Interval", "RetrievalReport", "evaluate_run", "right_answers", "score_files", "truth_of_run"]

RANKS = (1, 5, 20, 25)


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval over individuals."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Group:
    """Retrieval measures of the known queries of one data set, or of one viewpoint in it."""

    dataset: str
    viewpoint: str | None  # None: all viewpoints
    queries: int
    individuals: int
    measures: Mapping[str, Interval]  # rank-1, rank-5, rank-20, rank-25, mAP


@dataclass(frozen=True)
class RetrievalReport:
    """One group per data set, and one per viewpoint where there are several."""

    groups: list[Group]
    recall: list[SourceRecall] = field(default_factory=list)  # empty for a run that did not note its sources


def score_files(truth_path: Path, submission_path: Path) -> Score:
    """The official score of a submission.

    Raises:
        SubmissionError: a file is not right, or a query of the truth has no answer.
    """
    truth, answers = read_truth(truth_path), read_submission(submission_path)
    missing = [image_id for image_id in truth.image_id if image_id not in answers]
    if missing:
        first = f"{len(missing)} queries of {truth_path} have no row (first: {missing[0]})"
        raise SubmissionError(f"{submission_path}: {first}.")
    kernel = ScoreKernel(truth.identity, truth.dataset, truth.known)
    predicted = np.array([answers[image_id] for image_id in truth.image_id], dtype=object)
    return kernel.score(kernel.encode(predicted))


def right_answers(truth_path: Path) -> dict[str, str | None]:
    """The answer of every query in a truth file, `None` for a new individual.

    Raises:
        SubmissionError: the file is not right.
    """
    truth = read_truth(truth_path)
    answers = zip(truth.image_id, truth.identity, truth.known, strict=True)
    return {image_id: identity if known else None for image_id, identity, known in answers}


def evaluate_run(run: Path, truth_path: Path, draws: int = 1000, seed: int = 0) -> RetrievalReport:
    """Rank-k over distinct individuals and mAP over images, from a run's ranked candidates.

    Only known queries count. A relevant gallery image that was not on the shortlist counts as missed.

    Raises:
        DataError: the folder holds no finished run.
    """
    candidates, table = run / "candidates.csv", run / "table.csv"
    if not (run / "finished.json").is_file():
        raise DataError(f"{run}: no finished run (finished.json is not there). Run predict with --run {run} first.")
    rows = _read(table)
    truth = truth_of_run(run, rows["image_id"], truth_path)
    per_query = _per_query(truth, _read(candidates), rows)
    rng = np.random.default_rng(seed)
    groups = []
    for dataset, rows in per_query.groupby("dataset", sort=True):
        groups.append(_group(str(dataset), None, rows, rng, draws))
        viewpoints = sorted(set(rows["viewpoint"]))
        if len(viewpoints) > 1:
            groups += [
                _group(str(dataset), str(name), rows[rows["viewpoint"] == name], rng, draws) for name in viewpoints
            ]
    sources = run / "sources.csv"
    return RetrievalReport(groups, recall_of_sources(_read(sources), truth) if sources.is_file() else [])


def truth_of_run(run: Path, image_ids: Iterable[str], truth_path: Path) -> Truth:
    """What the queries of a run really show, for reports.

    Raises:
        DataError: the truth is of other data.
        SubmissionError: the file is not right.
    """
    truth = read_truth(truth_path)
    strangers = set(truth.image_id) - set(image_ids)
    if strangers:
        raise DataError(f"{truth_path}: {len(strangers)} of its queries are not in {run} (one: {min(strangers)}).")
    return truth


def _read(path: Path) -> pd.DataFrame:
    text = dict.fromkeys(("query_id", "gallery_id", "identity", "dataset", "image_id", "viewpoint", "date"), str)
    return pd.read_csv(path, dtype=text, keep_default_na=False)


def _per_query(truth: Truth, candidates: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """One row per known query: its measures, individual and viewpoint."""
    by_query = candidates.groupby("query_id", sort=False)
    ranked: dict[str, StrArray] = {str(one): rows["identity"].to_numpy(dtype=object) for one, rows in by_query}
    gallery = table[(table["split"] == "gallery") & (table["used"] == 1)]
    images_of = gallery.groupby(["dataset", "identity"]).size().to_dict()
    viewpoint = dict(zip(table["image_id"], table["viewpoint"], strict=True))
    nothing = np.zeros(0, dtype=object)
    rows = []
    for image_id, identity, dataset in zip(
        truth.image_id[truth.known], truth.identity[truth.known], truth.dataset[truth.known], strict=True
    ):
        list_of = ranked.get(image_id, nothing)
        rank = identity_rank(list_of, identity)
        row = {f"rank-{k}": float(rank <= k) for k in RANKS}
        row["mAP"] = np.nan_to_num(average_precision(list_of == identity, int(images_of.get((dataset, identity), 0))))
        rows.append({"dataset": dataset, "identity": identity, "viewpoint": viewpoint.get(image_id, ""), **row})
    return pd.DataFrame(rows, columns=["dataset", "identity", "viewpoint", *[f"rank-{k}" for k in RANKS], "mAP"])


def _group(dataset: str, viewpoint: str | None, rows: pd.DataFrame, rng: np.random.Generator, draws: int) -> Group:
    names = [f"rank-{k}" for k in RANKS] + ["mAP"]
    _, who = np.unique(rows["identity"].to_numpy(dtype=str), return_inverse=True)
    measures = {name: bootstrap(rows[name].to_numpy(dtype=float), who, np.mean, rng, draws) for name in names}
    return Group(dataset, viewpoint, len(rows), len(set(who)), measures)


def bootstrap(
    values: NDArray[np.float64],
    individual: NDArray[np.int64],
    statistic: Callable[[NDArray[np.float64]], np.floating],
    rng: np.random.Generator,
    draws: int,
) -> Interval:
    """The statistic with the middle 95 % of what it is when individuals are drawn with replacement."""
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    rows_of = [np.flatnonzero(individual == who) for who in range(individual.max() + 1)]
    drawn = [
        float(statistic(values[np.concatenate([rows_of[who] for who in rng.integers(0, len(rows_of), len(rows_of))])]))
        for _ in range(draws)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(statistic(values)), float(low), float(high))
