"""Write what lies beside a submission: its settings, versions and digests, decision and validation score."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import animalclef
from animalclef.config import Config
from animalclef.data.answers import ANSWERS_COLUMNS, answer_rows, answers_path
from animalclef.decision.decision_model import Decision
from animalclef.decision.reviewed_answers import ReviewedAnimals
from animalclef.errors import OutputError
from animalclef.pipeline.budget import Spent
from animalclef.pipeline.predict import Outcome
from animalclef.runtime.atomic_files import check_writable, write_csv, write_text
from animalclef.runtime.digests import file_digest
from animalclef.runtime.machine import version_of
from animalclef.runtime.output_guard import check_output, protect_inputs, refuse_run_file
from animalclef.runtime.wording import now
from animalclef.store.cluster_file import read_clusters
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import ImageTable, Predictions
from animalclef.structures.arrays import select_rows
from animalclef.structures.clusters import Clusters

__all__ = ["check_target", "read_outcome", "summary_of", "target_file", "write_results"]

_KINDS = {  # of the files beside a submission, by what stands in place of its suffix
    ".config.yaml": "settings file",
    ".metrics.json": "metrics file",
    ".decision.json": "decision",
    ".manifest.json": "manifest",
}
_SETTLED = ("named", "excluded")  # queries of which people may have excluded an individual
_RANKED = ("query_id", "gallery_id", "identity", "dataset", "probability", "identity_probability", "lead")
_LIBRARIES = ("numpy", "opencv-python-headless", "faiss-cpu", "torch", "timm", "scikit-learn", "optuna", "pillow")


def write_results(
    submission: Path, outcome: Outcome, config: Config, run: Path, digest: str, *, images: ImageTable, **more: Any
) -> None:
    """Write NAME.config.yaml, NAME.metrics.json, NAME.decision.json and NAME.manifest.json beside NAME.csv.

    `answers.csv` (NAME.answers.csv where the submission has a name of its own) lists the answers for people; `images`
    are all photographs of the table. Further arguments are written into the manifest. Of an outcome that was read from
    a run folder (`device` is `None`), the warnings and the digests of weights are not known, and left out.
    """
    settings_file, metrics_file, decision_file, manifest_file = map(submission.with_suffix, _KINDS)
    write_text(settings_file, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    warnings = (*outcome.data_warnings, *outcome.warnings)
    figures = summary_of(outcome.decision, outcome.predictions, warnings, outcome.clusters, outcome.spent)
    is_known = outcome.device is not None
    write_text(metrics_file, _json({name: one for name, one in figures.items() if is_known or name != "warnings"}))
    write_text(decision_file, outcome.decision.text)
    thresholds = {name: outcome.decision.of(name).threshold for name in images.datasets}
    rows = answer_rows(
        images, outcome.predictions, outcome.ranked, thresholds, outcome.set_aside, outcome.clusters,
        ReviewedAnimals(outcome.reviewed, images).barred,
    )  # fmt: skip
    answers, was_reviewed = answers_path(submission, run), outcome.predictions.reviewed is not None
    write_csv(answers, (*ANSWERS_COLUMNS, "reviewed") if was_reviewed else ANSWERS_COLUMNS, rows)
    made_with = {
        "weights_sha256": outcome.weights,
        "matcher_weights_sha256": outcome.matcher_weights,
        "device": outcome.device,
    }
    manifest = {
        "animalclef": animalclef.__version__,
        "written": now(),
        "submission_sha256": file_digest(submission),
        "answers": answers.name,
        "answers_sha256": file_digest(answers),
        "data_digest": digest,
        "scores_digest": outcome.decision.scores,
        "decision_sha256": file_digest(decision_file),
        **(made_with if is_known else {}),
        "run": str(run),
        "seed": config.seed,
        "seconds": outcome.seconds,
        "set_aside": len(outcome.set_aside),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "libraries": {name: version_of(name) for name in _LIBRARIES},
        **more,
    }
    write_text(manifest_file, _json(manifest))


def read_outcome(run: FinishedRun) -> Outcome:
    """Return what the folder of a run holds of its outcome.

    It does not hold which individuals people excluded, so a query that they named or excluded somebody for has no
    candidates here.
    """
    answers, ranked = run.predictions, replace(run.ranked, columns={})
    if answers.reviewed is not None:
        settled = {one for one, said in zip(answers.image_id, answers.reviewed, strict=True) if said in _SETTLED}
        kept = np.array([one not in settled for one in ranked.query_id], dtype=bool)
        ranked = select_rows(ranked, kept, *_RANKED)
    seconds, clusters = dict(run.timings.get("seconds", {})), read_clusters(run)
    return Outcome(answers, ranked, run.decision, run.skipped, seconds, None, None, clusters=clusters)


def target_file(out: Path | None, name: str, settings_file: str | None, run: Path | None = None) -> Path:
    """Return where the submission goes, `submissions/<date>-<name>/submission.csv` unless `out` says otherwise.

    Raises:
        OutputError: the place cannot be written to, or a file given or of another kind would be overwritten there.
    """
    today = now()[:10]
    target = out or Path("submissions") / f"{today}-{name}" / "submission.csv"
    protect_inputs([] if settings_file is None else [Path(settings_file)])
    check_target(target, run)
    return target


def check_target(target: Path, run: Path | None) -> None:
    """Check, before the work, the submission and the files beside it that will be written; `run` is the run folder.

    Raises:
        OutputError: the place cannot be written to, or a file given or of another kind would be overwritten.
    """
    if target.is_dir():
        raise OutputError(f"{target}: this is a folder; give a file, such as {target / 'submission.csv'}.")
    answers = answers_path(target, run)
    written = {target: "submission", answers: "list of answers"}
    written |= {target.with_suffix(ending): kind for ending, kind in _KINDS.items()}
    for path, kind in written.items():
        refuse_run_file(path, run)
        check_output(path, kind)
    check_writable(target.parent)


def summary_of(
    decision: Decision,
    predictions: Predictions,
    warnings: Sequence[str],
    clusters: Clusters | None = None,
    spent: Spent | None = None,
) -> dict[str, Any]:
    """Return the validation score per data set, made from the gallery alone, and counts of the answers."""
    datasets = {}
    for name, part in sorted(decision.datasets.items()):
        datasets[name] = {"threshold": part.threshold, "weights": part.weights}
        if part.validation is not None:
            datasets[name]["validation"] = part.validation.model_dump()
    nested = [part.validation.nested for part in decision.datasets.values() if part.validation is not None]
    return {
        "validation_score": float(np.mean(nested)) if nested else None,
        "validation": None if decision.summary is None else decision.summary.model_dump(),
        "datasets": datasets,
        "queries": len(predictions.identity),
        "new_individuals": sum(who is None for who in predictions.identity),
        "individuals_named": len(set(predictions.named())),
        "warnings": list(warnings),
        **({} if predictions.reviewed is None else {"reviewed": Counter(filter(None, predictions.reviewed))}),
        **({} if spent is None else {"budget": asdict(spent)}),
        **({} if clusters is None else {"clusters": {name: asdict(one) for name, one in clusters.counts.items()}}),
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
