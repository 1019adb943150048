"""Write the lines of a study as a table: mean and spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from animalclef.config.study import StudyConfig
from animalclef.training.study.run_study import Line
from animalclef.training.study.study_scores import MEASURES

__all__ = ["study_markdown", "study_rows"]


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
