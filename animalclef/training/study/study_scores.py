"""Measure how well the networks of a study retrieve individuals, and write the figures as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from animalclef.config.training import StudyConfig
from animalclef.metrics.retrieval_metrics import Candidates, one_against_all, query_against_gallery
from animalclef.structures import StrArray
from animalclef.structures.arrays import Integers

__all__ = ["MEASURES", "Asked", "DatasetFigures", "Line", "score_dataset", "study_markdown", "study_rows", "thinned"]

MEASURES = ("rank-1", "rank-5", "mAP")


@dataclass(frozen=True)
class DatasetFigures:
    """Figures of one data set; NaN where no query has a match."""

    dataset: str
    queries: int
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Line:
    """Figures of one arm, with one seed, on one data set."""

    arm: str
    seed: int
    figures: DatasetFigures
    told_apart: float | None = None  # share of the queries that a router sent to the right data set


@dataclass(frozen=True, eq=False)
class Asked:
    """The gallery and the queries of a study; photographs of a query's own event are hidden from it."""

    identity: StrArray  # (n,)
    dataset: StrArray  # (n,)
    event: NDArray[np.generic]  # (n,)
    gallery: Integers  # empty: every query is compared with all others
    query: Integers


def score_dataset(
    asked: Asked, name: str, embeddings: NDArray[np.float32], routed: NDArray[np.bool_] | None = None
) -> DatasetFigures:
    """Return figures of one data set; `embeddings` (n, d) has a row for every photograph of the study.

    `routed` (n,) says which queries were sent to this data set; the others count as not found.
    """
    queries, gallery = (rows[asked.dataset[rows] == name] for rows in (asked.query, asked.gallery))
    gallery = gallery[embeddings[gallery].any(axis=1)]  # what cannot be read is no candidate
    everyone = _figures(asked, name, queries, gallery, embeddings)
    if routed is None or not everyone.queries:
        return everyone
    found = _figures(asked, name, queries[routed[queries]], gallery, embeddings)
    share = found.queries / everyone.queries
    measures = {one: share * value if found.queries else 0.0 for one, value in found.measures.items()}
    return replace(everyone, measures=measures)


def _figures(
    asked: Asked, name: str, queries: Integers, gallery: Integers, embeddings: NDArray[np.float32]
) -> DatasetFigures:
    photographs = Candidates(embeddings, asked.identity, asked.dataset, event=asked.event)
    if not len(queries):
        return DatasetFigures(name, 0, dict.fromkeys(MEASURES, float("nan")))
    if not len(asked.gallery):
        figures = one_against_all(photographs.select(queries))
    else:
        figures = query_against_gallery(photographs.select(queries), photographs.select(gallery))
    one = figures.species[0]
    return DatasetFigures(name, one.queries, {measure: one.measures[measure] for measure in MEASURES})


def thinned(asked: Asked, most: int, seed: int) -> Asked:
    """Return the study with at most `most` random gallery photographs of each individual; the queries stay.

    Fewer photographs are a part of more.
    """
    order = np.random.default_rng((seed, 31)).permutation(asked.gallery)
    seen: dict[tuple[str, str], int] = {}
    kept = []
    for row in order.tolist():
        who = (asked.dataset[row], asked.identity[row])
        seen[who] = seen.get(who, 0) + 1
        if seen[who] <= most:
            kept.append(row)
    return replace(asked, gallery=np.sort(np.array(kept, dtype=np.int64)))


def study_rows(lines: Sequence[Line]) -> list[dict[str, object]]:
    """Return a row per arm and data set, and one per arm for the mean over data sets, with mean and spread over seeds.

    The spread is the standard deviation (of the sample); None with one seed.
    """
    rows: list[dict[str, object]] = []
    datasets = sorted({line.figures.dataset for line in lines})
    for arm in dict.fromkeys(line.arm for line in lines):
        mine = [line for line in lines if line.arm == arm]
        for dataset in datasets:
            here = [line for line in mine if line.figures.dataset == dataset]
            measures = {name: [line.figures.measures[name] for line in here] for name in MEASURES}
            rows.append({"arm": arm, "dataset": dataset, **_summary(measures)})
        by_seed = {seed: [line for line in mine if line.seed == seed] for seed in sorted({line.seed for line in mine})}
        means = {
            name: [_mean([line.figures.measures[name] for line in part]) for part in by_seed.values()]
            for name in MEASURES
        }
        rows.append({"arm": arm, "dataset": "mean", **_summary(means)})
    return rows


def study_markdown(config: StudyConfig, lines: Sequence[Line], *, queries: bool) -> str:
    """Return a Markdown table with the rank-1 of every arm on every data set."""
    rows = study_rows(lines)
    datasets = [*sorted({line.figures.dataset for line in lines}), "mean"]
    asked = "the known queries" if queries else f"queries of a {config.split.kind} split of the database"
    head = [f"{config.question} Rank-1 over {asked}, {len(config.seeds)} seed(s).".strip(), ""]
    head += ["| | " + " | ".join(datasets) + " |", "| --- |" + " --- |" * len(datasets)]
    for arm in dict.fromkeys(str(row["arm"]) for row in rows):
        of = {str(row["dataset"]): row for row in rows if row["arm"] == arm}
        head.append(f"| {arm} | " + " | ".join(_cell(of[name]) for name in datasets) + " |")
    for arm in dict.fromkeys(line.arm for line in lines if line.told_apart is not None):
        mine = [line for line in lines if line.arm == arm and line.told_apart is not None and line.figures.queries]
        if mine:
            told = np.average([line.told_apart for line in mine], weights=[line.figures.queries for line in mine])
            head += ["", f"{arm}: {told:.1%} of the queries were sent to the correct data set."]
    return "\n".join(head) + "\n"


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the numbers; data sets without a match have none."""
    counted = [value for value in values if value == value]
    return float(np.mean(counted)) if counted else float("nan")


def _summary(measures: dict[str, list[float]]) -> dict[str, float | None]:
    summary: dict[str, float | None] = {}
    for name, values in measures.items():
        summary[name] = float(np.mean(values)) if values else float("nan")
        summary[f"{name} spread"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return summary


def _cell(row: dict[str, object]) -> str:
    mean, spread = row["rank-1"], row["rank-1 spread"]
    return f"{mean:.3f}" if spread is None else f"{mean:.3f} ± {spread:.3f}"
