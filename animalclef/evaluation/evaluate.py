"""Score a run against its truth file.

The truth is read here and nowhere else, after every choice has been made.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from animalclef.data.columns import NEW_INDIVIDUAL
from animalclef.data.names import one_spelling, spelled_as
from animalclef.data.submission import Truth, read_submission, read_truth
from animalclef.errors import DataError, SubmissionError
from animalclef.metrics.bootstrap import wilson_interval
from animalclef.metrics.competition import Score, ScoreKernel, average_precision, identity_rank
from animalclef.runtime.wording import counted
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import ImageTable
from animalclef.structures.arrays import Floats, Integers

__all__ = [
    "Group",
    "Interval",
    "RetrievalReport",
    "SourceRecall",
    "evaluate_run",
    "recall_of_sources",
    "right_answers",
    "score_answers",
    "score_files",
    "truth_of_file",
    "truth_of_run",
]

logger = logging.getLogger(__name__)

RANKS = (1, 5, 20, 25)

RECALLS = (1, 10, 25, 100)


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% bootstrap interval over individuals."""

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
    recall: list[SourceRecall] = field(default_factory=list)  # empty for a run of an earlier version


def score_files(truth_path: Path, submission_path: Path, *, merge_case: bool = True) -> Score:
    """Compute the competition's score of a submission.

    With `merge_case` names that differ by case or spaces alone are the same, as where a table is read.

    Raises:
        SubmissionError: a file is not right, or a query of the truth has no answer.
    """
    truth, answers = read_truth(truth_path, merge_case=merge_case), read_submission(submission_path)
    return score_answers(truth, answers, str(submission_path), str(truth_path), merge_case=merge_case)


def _tell_oddities(answers: Mapping[str, str | None], truth: Truth, path: str) -> None:
    """Warn of rows that Kaggle refuses, and of the word for a new individual in another spelling."""
    further = sorted(set(answers) - set(truth.image_id))
    if further:
        told = "%s: %s no query of the truth (first: %s); Kaggle refuses such a file."
        logger.warning(told, path, "1 row is" if len(further) == 1 else f"{len(further)} rows are", further[0])
    odd = sorted({one for one in answers.values() if one and _letters(one) == _letters(NEW_INDIVIDUAL)})
    if odd:
        logger.warning("%s: taken for a name: %s. An unknown animal is %s.", path, ", ".join(odd), NEW_INDIVIDUAL)


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name.lower()))


def score_answers(
    truth: Truth, answers: Mapping[str, str | None], submission: str, truth_name: str, *, merge_case: bool = True
) -> Score:
    """Compute the competition's score of answers by image_id; `submission` and `truth_name` name them in an error.

    Raises:
        SubmissionError: the truth is empty, or a query of it has no answer.
    """
    if not len(truth.image_id):
        raise SubmissionError(f"{truth_name}: no rows; expected one for every query.")
    _tell_oddities(answers, truth, submission)
    missing = [image_id for image_id in truth.image_id if image_id not in answers]
    if missing:
        raise SubmissionError(
            f"{submission}: no row for {counted(len(missing), 'query')} of {truth_name} (first: {missing[0]})."
        )
    given = [answers[image_id] for image_id in truth.image_id]
    dataset: list[str] = truth.dataset.tolist()
    identity = one_spelling(truth.identity.tolist(), dataset, merge=merge_case).names
    if merge_case:
        given = spelled_as(given, dataset, zip(dataset, identity, strict=True))
    kernel = ScoreKernel(np.array(identity, dtype=np.object_), truth.dataset, truth.known)
    scored = kernel.score(kernel.encode(np.array(given, dtype=object)))
    for name, part in scored.datasets.items():
        for absent, kind, measure in ((not part.unknown, "new", "BAUS"), (not part.known, "known", "BAKS")):
            if absent:
                told = "%s has no %s individual in %s: %s is undefined, and the score is 0 by the organisers' rule."
                logger.warning(told, name, kind, truth_name, measure)
    return scored


def truth_of_file(path: Path, *, merge_case: bool = True) -> Truth:
    """Read a truth file as `score_files` does.

    Raises:
        SubmissionError: the file is not right.
    """
    return read_truth(path, merge_case=merge_case)


def right_answers(truth_path: Path, images: ImageTable | None = None) -> dict[str, str | None]:
    """Return the right answer of every query in a truth file, `None` for a new individual.

    Names are spelled as in the table of `images`, where it is given.

    Raises:
        SubmissionError: the file is not right.
    """
    truth = read_truth(truth_path)
    truth = truth if images is None else _spelled_as_table(truth, images)
    answers = zip(truth.image_id, truth.identity, truth.known, strict=True)
    return {image_id: identity if known else None for image_id, identity, known in answers}


def _spelled_as_table(truth: Truth, images: ImageTable) -> Truth:
    gallery = images.gallery
    known = zip(gallery.dataset, gallery.identity, strict=True)
    identity = spelled_as(truth.identity.tolist(), truth.dataset.tolist(), known)
    return replace(truth, identity=np.array(identity, dtype=np.object_))


def evaluate_run(run: FinishedRun, truth: Path | Truth, draws: int = 1000, seed: int = 0) -> RetrievalReport:
    """Compute rank-k over distinct individuals and mAP over images from a run's ranked candidates.

    `truth` is a truth file, or what was read from one. Only known queries count; one whose photograph could not be
    read counts as not found, with a warning. A relevant gallery image that was not on the shortlist counts as missed.

    Raises:
        DataError: the truth is of other data.
        SubmissionError: the truth file is not right.
    """
    truth = truth_of_run(run, truth)
    if unread := sorted({one.image_id for one in run.skipped} & set(truth.image_id[truth.known])):
        told = "%s: the photographs of %s could not be read (one: %s); they count as not found."
        logger.warning(told, run.path, counted(len(unread), "known query"), unread[0])
    per_query = _per_query(truth, run)
    rng = np.random.default_rng(seed)
    groups = []
    for dataset, rows in per_query.groupby("dataset", sort=True):
        groups.append(_group(str(dataset), None, rows, rng, draws))
        viewpoints = sorted(set(rows["viewpoint"]))
        if len(viewpoints) > 1:
            groups += [
                _group(str(dataset), str(name), rows[rows["viewpoint"] == name], rng, draws) for name in viewpoints
            ]
    return RetrievalReport(groups, [] if run.sources is None else recall_of_sources(run.sources, truth))


def truth_of_run(run: FinishedRun, given: Path | Truth) -> Truth:
    """Return the true identities of a run's queries, from a truth file or as they were given.

    Raises:
        DataError: the truth is of other data.
        SubmissionError: the file is not right.
    """
    if isinstance(given, Truth):
        truth, name = given, "truth"
    else:
        truth, name = read_truth(given, merge_case=run.config.data.merge_case), str(given)
    if run.config.data.merge_case:
        truth = _spelled_as_table(truth, run.images)
    strangers = set(truth.image_id) - set(run.images.image_id)
    if strangers:
        raise DataError(f"{name}: {len(strangers)} of its queries are not in {run.path} (one: {min(strangers)}).")
    home = dict(zip(run.images.image_id, run.images.dataset, strict=True))
    for image_id, dataset in zip(truth.image_id, truth.dataset, strict=True):
        if home[image_id] != dataset:
            raise DataError(f"{name}: {image_id} is of {dataset} there and of {home[image_id]} in {run.path}.")
    if missing := sorted(set(run.images.queries.image_id) - set(truth.image_id)):
        logger.warning("%s: %s not in it (one: %s).", name, counted(len(missing), "query", "is"), missing[0])
    return truth


def _per_query(truth: Truth, run: FinishedRun) -> pd.DataFrame:
    """Return one row per known query: its measures, individual and viewpoint."""
    gallery = run.images.select(run.used).gallery
    images_of = Counter(zip(gallery.dataset, gallery.identity, strict=True))
    rows = []
    for image_id, identity, dataset in zip(
        truth.image_id[truth.known], truth.identity[truth.known], truth.dataset[truth.known], strict=True
    ):
        ranked = run.ranked.identity[run.rows_of.get(image_id, slice(0, 0))]
        rank = identity_rank(ranked, identity)
        row = {f"rank-{k}": float(rank <= k) for k in RANKS}
        row["mAP"] = np.nan_to_num(average_precision(ranked == identity, images_of[dataset, identity]))
        viewpoint = run.images.viewpoint[run.row_of[image_id]]
        rows.append({"dataset": dataset, "identity": identity, "viewpoint": viewpoint, **row})
    return pd.DataFrame(rows, columns=["dataset", "identity", "viewpoint", *[f"rank-{k}" for k in RANKS], "mAP"])


def _group(dataset: str, viewpoint: str | None, rows: pd.DataFrame, rng: np.random.Generator, draws: int) -> Group:
    names = [f"rank-{k}" for k in RANKS] + ["mAP"]
    _, who = np.unique(rows["identity"].to_numpy(dtype=str), return_inverse=True)
    measures = {name: bootstrap(rows[name].to_numpy(dtype=float), who, rng, draws) for name in names}
    return Group(dataset, viewpoint, len(rows), len(set(who)), measures)


def bootstrap(values: Floats, individual: Integers, rng: np.random.Generator, draws: int) -> Interval:
    """Return the mean with the middle 95% of what it is when individuals are drawn with replacement.

    Where every draw is the same (all found, or one individual), the ends are Wilson's for as many individuals.
    """
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    rows_of = [np.flatnonzero(individual == who) for who in range(individual.max() + 1)]
    drawn = [
        float(values[np.concatenate([rows_of[who] for who in rng.integers(0, len(rows_of), len(rows_of))])].mean())
        for _ in range(draws)
    ]
    mean = float(values.mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    if low == high:
        low, high = wilson_interval(mean, len(rows_of))
    return Interval(mean, float(low), float(high))


@dataclass(frozen=True)
class SourceRecall:
    """The share of known queries with a photograph of the right individual among the first k candidates."""

    dataset: str
    source: str  # embedding, vote, or shortlist (the candidates that were matched)
    queries: int
    recall: Mapping[str, float]  # recall@1, recall@10, recall@25, recall@100


def recall_of_sources(sources: pd.DataFrame, truth: Truth) -> list[SourceRecall]:
    """Compute the recall of every source in every data set.

    `sources` has one row per candidate: query_id, identity and one column of ranks (from 1) per source, NaN where the
    source does not have the candidate.
    """
    whose = dict(zip(truth.image_id, truth.identity, strict=True))
    right = sources[sources["identity"].to_numpy() == sources["query_id"].map(whose).to_numpy()]
    names = [name for name in sources.columns if name not in ("query_id", "gallery_id", "identity")]
    best = right[names].groupby(right["query_id"]).min()
    found = []
    for dataset in sorted(set(truth.dataset[truth.known])):
        queries = truth.image_id[truth.known & (truth.dataset == dataset)]
        for source in best.columns:
            rank = best[source].reindex(queries).to_numpy(dtype=float)
            recall = {f"recall@{k}": float(np.mean(np.nan_to_num(rank, nan=np.inf) <= k)) for k in RECALLS}
            found.append(SourceRecall(dataset, source, len(queries), recall))
    return found
