"""Compute the tables and figures of a report for its template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import yaml
from pydantic import ValidationError

from animalclef.decision.strangers import confidence_sentences
from animalclef.evaluation.evaluate import Interval, RetrievalReport
from animalclef.evaluation.outcomes import OUTCOMES, Answers, Confused, most_confused, score_intervals
from animalclef.metrics.competition import ScoreKernel
from animalclef.pipeline.preparation_table import DatasetPreparation, PreparationRecord
from animalclef.prepare.contact_sheet import CELL, contact_sheet, spread_rows
from animalclef.report.charts import Figure, charts_of
from animalclef.report.evidence import Evidence
from animalclef.report.individual_sheets import DatasetIndividuals, individual_sheets
from animalclef.report.thumbnails import data_address, outlined, read_photograph
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import Skipped

__all__ = ["DatasetRow", "Page", "PreparedSheet", "Stage", "prepared_sheets", "summarise"]

_WORK_OF = {"describe": "photographs", "match": "query pairs", "validate": "", "tune": ""}

_SHOWN, _ACROSS = 24, 8  # photographs of a data set, in a line


@dataclass(frozen=True)
class DatasetRow:
    """One line of the summary; `None` where a figure is not known."""

    name: str
    queries: int
    named: int
    new: int
    threshold: float
    fitted_on: str
    weights: str
    validated: float | None
    score: Interval | None = None
    baks: float | None = None
    baus: float | None = None
    measures: Mapping[str, Interval] | None = None
    outcomes: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Stage:
    """One line of the table of times."""

    name: str
    seconds: float
    work: str
    rate: float | None


@dataclass(frozen=True)
class Page:
    """Everything in a report except its queries."""

    name: str
    judged: int | None  # queries in the truth file, None without one
    overall: Interval | None
    rows: Sequence[DatasetRow]
    is_named: bool  # the database has a named photograph, so that queries can be named
    charts: Mapping[str, Sequence[Figure]]
    sources: Mapping[str, str]
    confused: Sequence[Confused]
    stages: Sequence[Stage]
    counts: Mapping[str, int]
    skipped: Sequence[Skipped]
    notes: Sequence[str]
    settings: str
    viewpoints: Sequence[str]
    outcomes: Sequence[str]
    prepared: Sequence[PreparedSheet]
    individuals: Sequence[DatasetIndividuals]


def summarise(
    run: FinishedRun,
    answers: Answers | None,
    retrieval: RetrievalReport | None,
    evidence: Sequence[Evidence],
    shown: Sequence[str],
) -> Page:
    """Compute every part of the page; `shown` are the image_ids of its photographs."""
    intervals = {} if answers is None else score_intervals(answers)
    config = run.config.model_dump(mode="json")
    return Page(
        name=run.name,
        judged=None if answers is None else len(answers),
        overall=intervals.get(None),
        rows=[_row(name, run, answers, retrieval, intervals) for name in run.images.queries.datasets],
        is_named=bool(len(run.images.gallery)),
        charts={one.dataset: charts_of(one) for one in evidence},
        sources={one.dataset: one.source for one in evidence},
        confused=_confused(answers),
        stages=_stages(run),
        counts={name: int(count) for name, count in run.timings.get("counts", {}).items()},
        skipped=run.skipped,
        notes=confidence_sentences(run.decision),
        settings=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        viewpoints=sorted(set(run.images.queries.viewpoint)),
        outcomes=[] if answers is None else OUTCOMES,
        prepared=prepared_sheets(run),
        individuals=individual_sheets(run, shown),
    )


def _row(
    name: str,
    run: FinishedRun,
    answers: Answers | None,
    retrieval: RetrievalReport | None,
    intervals: Mapping[str | None, Interval],
) -> DatasetRow:
    decision = run.decision.of(name)
    given = run.predictions.identity[run.images.queries.dataset == name]
    named = sum(who is not None for who in given)
    weights = ", ".join(f"{column} {weight:.2f}" for column, weight in decision.weights.items() if weight >= 0.005)
    row = DatasetRow(
        name=name,
        queries=len(given),
        named=named,
        new=len(given) - named,
        threshold=decision.threshold,
        fitted_on=decision.fitted_on,
        weights=weights + (", same viewpoint" if decision.same_viewpoint else ""),
        validated=None if decision.validation is None else decision.validation.nested,
    )
    if answers is None or name not in answers.datasets:
        return row
    part = answers.of(name)
    kernel = ScoreKernel(part.truth, part.dataset, part.known)
    score = kernel.score(kernel.encode(part.answer)).datasets[name]
    groups = [] if retrieval is None else retrieval.groups
    measures = next((one.measures for one in groups if one.dataset == name and one.viewpoint is None), None)
    return replace(
        row,
        score=intervals[name],
        baks=score.baks,
        baus=score.baus,
        measures=measures,
        outcomes={outcome: int((part.outcome == outcome).sum()) for outcome in OUTCOMES},
    )


def _confused(answers: Answers | None, most: int = 16) -> list[Confused]:
    """Return the individuals with the most wrong answers, as many of every data set."""
    names = [] if answers is None else answers.datasets
    parts = [most_confused(answers.of(name), max(3, most // len(names))) for name in names if answers is not None]
    return [one for part in parts for one in part]


def _stages(run: FinishedRun) -> list[Stage]:
    counts = run.timings.get("counts", {})
    stages = []
    for name, seconds in run.timings.get("seconds", {}).items():
        unit = _WORK_OF.get(name, "")
        count = counts.get(unit)
        work = f"{int(count):,} {unit}" if count is not None else ""
        stages.append(Stage(name, float(seconds), work, count / seconds if count is not None and seconds > 0 else None))
    return stages


@dataclass(frozen=True)
class PreparedSheet:
    """One data set's preparation; `picture` is a data address of a JPEG, empty where photographs stay whole."""

    name: str
    preparation: DatasetPreparation
    picture: str


def prepared_sheets(run: FinishedRun) -> Sequence[PreparedSheet]:
    """Return one for each data set; none where the run recorded no preparation."""
    try:
        record = PreparationRecord.model_validate_json((run.path / "prepare.json").read_bytes())
    except (OSError, ValidationError):
        return ()
    return [
        PreparedSheet(name, one, "" if one.mode == "whole" else _sheet(run, name))
        for name, one in sorted(record.datasets.items())
        if name in run.images.datasets
    ]


def _sheet(run: FinishedRun, dataset: str) -> str:
    ids = run.images.image_id[run.images.dataset == dataset]
    chosen = [str(ids[row]) for row in spread_rows(len(ids), _SHOWN)]
    read = [(image_id, read_photograph(run, image_id, 2 * CELL)) for image_id in chosen]
    cells = [(None if image is None else outlined(run, image_id, image).pixels, image_id) for image_id, image in read]
    return data_address("image/jpeg", contact_sheet(cells, _ACROSS))
