"""Collect the queries of a report with their candidates and matches, as the page's script reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from animalclef.evaluation.outcomes import Answers
from animalclef.report.best_photographs import BestPhotograph, best_photographs
from animalclef.report.explanations import Explanations, packed_agreement
from animalclef.report.match_view import Matches
from animalclef.report.thumbnails import Copy
from animalclef.runtime.progress import Progress
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.store.cluster_file import read_clusters
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import Correspondences, FloatArray, LocalFeatures

__all__ = [
    "Shown",
    "explained_pairs",
    "matches_of",
    "packed_matches",
    "photograph_table",
    "photographs_of",
    "queries_of",
    "shown_candidates",
]

_MOST_MATCHES = 150  # drawn for one pair: inliers first, in the order of their confidence
_MATCH_BYTES = 22  # size of one match as text


@dataclass(frozen=True)
class Shown:
    """A query and the photographs that are shown beside it, one of each individual."""

    query_id: str
    best: Sequence[BestPhotograph]

    @property
    def rows(self) -> list[int]:
        """The rows of the run's ranked candidates."""
        return [one.row for one in self.best]


def shown_candidates(run: FinishedRun, answers: Answers | None, most: int) -> list[Shown]:
    """Return the best photograph of each of a query's `most` best individuals, and of the true one after them."""
    truth = {} if answers is None else dict(zip(answers.image_id, answers.truth, strict=True))
    shown = []
    for query_id in run.images.queries.image_id:
        best = best_photographs(run, query_id)
        right = [one for one in best[most:] if run.ranked.identity[one.row] == truth.get(query_id)]
        shown.append(Shown(query_id, best[:most] + right))
    return shown


def photographs_of(run: FinishedRun, shown: Sequence[Shown]) -> list[str]:
    """Return every photograph that is shown, once."""
    ids = dict.fromkeys(one.query_id for one in shown)
    ids |= dict.fromkeys(run.ranked.gallery_id[row] for one in shown for row in one.rows)
    return list(ids)


def queries_of(run: FinishedRun, answers: Answers | None, shown: Sequence[Shown], numbers: Mapping[str, int]) -> Any:
    """Return the script's data of each query; `numbers` are those of the photographs."""
    predictions, clusters = run.predictions, read_clusters(run)
    groups = {} if clusters is None else clusters.new_names
    row_of = {image_id: row for row, image_id in enumerate(predictions.image_id)}
    judged = {} if answers is None else {image_id: row for row, image_id in enumerate(answers.image_id)}
    queries = []
    for one in shown:
        row = row_of[one.query_id]
        dataset = str(run.images.dataset[run.row_of[one.query_id]])
        query = {
            "photo": numbers[one.query_id],
            "dataset": dataset,
            "threshold": _short(run.decision.of(dataset).threshold),
            "answer": predictions.identity[row],
            "probability": _short(predictions.probability[row]),
            "candidates": [_candidate(run, best, numbers) for best in one.best],
        }
        if predictions.identity[row] is None and one.query_id in groups:
            query["group"] = groups[one.query_id]
        if predictions.reviewed is not None and predictions.reviewed[row]:
            query["reviewed"] = predictions.reviewed[row]
        if answers is not None and one.query_id in judged:
            at = judged[one.query_id]
            rank = answers.rank[at]
            query["truth"], query["known"] = answers.truth[at], bool(answers.known[at])
            query["outcome"], query["rank"] = answers.outcome[at], int(rank) if math.isfinite(rank) else None
        queries.append(query)
    return queries


def photograph_table(
    run: FinishedRun, image_ids: Sequence[str], copies: Mapping[str, Copy | None], sources: Mapping[str, str]
) -> Any:
    """Return the script's data of each photograph; one without a source is drawn as a placeholder."""
    images, rows = run.images, [run.row_of[image_id] for image_id in image_ids]
    return [
        {
            "id": image_id,
            "identity": images.identity[row],
            "viewpoint": images.viewpoint[row],
            "date": images.date[row],
            "size": list(copy.size_wh) if (copy := copies.get(image_id)) else None,
            "source": sources.get(image_id),
        }
        for image_id, row in zip(image_ids, rows, strict=True)
    ]


def matches_of(
    run: FinishedRun,
    matches: Matches,
    shown: Sequence[Shown],
    workers: int,
    progress: Progress,
    most_bytes: int | None = None,
    candidates: int | None = None,
) -> list[list[list[int] | None]]:
    """Match every query with the candidates shown; return each match as six whole numbers.

    These are x and y in the query and in the candidate in thousandths of their sides, the confidence in hundredths, and
    a sum of 1 for an inlier and 2 for an end outside the animal's mask. `most_bytes` limits the size of all matches as
    text, but at least four of each pair are kept; `candidates` limits the pairs of a query that are matched.
    """
    pairs = sum(len(one.rows) for one in shown)
    most = (
        _MOST_MATCHES
        if most_bytes is None
        else max(4, min(_MOST_MATCHES, most_bytes // (_MATCH_BYTES * max(pairs, 1))))
    )

    def work(one: Shown) -> list[list[int] | None]:
        query = matches.features(one.query_id)
        chosen = one.rows[:candidates]
        found = [packed_matches(matches, query, matches.features(run.ranked.gallery_id[row]), most) for row in chosen]
        return [*found, *[None] * (len(one.rows) - len(found))]

    if not matches.are_there:
        return [[None] * len(one.rows) for one in shown]
    found: list[list[list[int] | None]] = []
    with (
        one_thread_each(),
        worker_threads(workers) as pool,
        progress.task("finding matches", len(shown), "queries") as advance,
    ):
        for packed in pool.map(work, shown):
            found.append(packed)
            advance(1)
    return found


def explained_pairs(
    run: FinishedRun, shown: Sequence[Shown], explanations: Explanations, progress: Progress
) -> dict[str, Any]:
    """Explain the embedding's similarity of each query and its best candidate, by the query's number in `shown`."""
    found: dict[str, Any] = {}
    if not explanations.are_there:
        return found
    with progress.task("explaining the embedding", len(shown), "queries") as advance:
        for number, one in enumerate(shown):
            best = run.ranked.gallery_id[one.rows[0]] if one.rows else None
            agreed = None if best is None else explanations.of(one.query_id, best)
            if agreed is not None:
                found[str(number)] = packed_agreement(agreed)
            advance(1)
    return found


def packed_matches(
    matches: Matches, query: LocalFeatures | None, candidate: LocalFeatures | None, most: int
) -> list[int] | None:
    """Return up to `most` matches of a pair, six numbers each; see `matches_of`."""
    found = matches.between(query, candidate)
    if found is None or query is None or candidate is None:
        return None
    order = np.lexsort((-found.confidence, ~found.is_inlier))[:most]
    columns = np.concatenate(
        [
            _thousandths(found.query_xy[order], query.image_size_wh),
            _thousandths(found.gallery_xy[order], candidate.image_size_wh),
            np.round(100 * found.confidence[order]).astype(np.int64)[:, None],
            _flags(found)[order][:, None],
        ],
        axis=1,
    )
    return [int(value) for value in columns.ravel()]


def _flags(found: Correspondences) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    flags = found.is_inlier.astype(np.int64)
    return flags if found.is_outside is None else flags + 2 * found.is_outside.astype(np.int64)


def _thousandths(points_xy: FloatArray, size_wh: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return points in thousandths of a photograph's sides; pixel centres are at whole numbers."""
    size = np.array(size_wh, dtype=np.float64)
    return np.clip(np.round((points_xy + 0.5) / size * 1000), 0, 1000).astype(np.int64)


def _candidate(run: FinishedRun, best: BestPhotograph, numbers: Mapping[str, int]) -> list[Any]:
    """Return the candidate as the script reads it.

    These are the photograph, the individual's rank, the photograph's place among all candidates, the number of further
    photographs of the individual, the probabilities of the individual and of the photograph, and the raw scores.
    """
    ranked, row = run.ranked, best.row
    probabilities = [_short(ranked.identity_probability[row]), _short(ranked.probability[row])]
    scores = [_short(values[row]) for values in ranked.columns.values()]
    return [numbers[ranked.gallery_id[row]], best.rank, best.place, best.further, *probabilities, *scores]


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
