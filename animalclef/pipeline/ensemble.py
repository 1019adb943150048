"""One decision over the scores of several finished runs."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from animalclef.config import Config, fingerprint
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.data.sources import Source
from animalclef.data.table import LoadedTable
from animalclef.decision.decide import decide
from animalclef.decision.fusion import fuse
from animalclef.decision.run_union import merged_pseudo_queries, merged_scores
from animalclef.decision.sanity_checks import sanity_warnings
from animalclef.decision.tune import tune, tuning_warnings
from animalclef.errors import DataError, StaleArtefactError
from animalclef.pipeline.image_contents import gallery_digest
from animalclef.pipeline.predict import Outcome
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.digests import with_digests
from animalclef.runtime.progress import Progress
from animalclef.store.finished_run import FinishedRun, load_run
from animalclef.store.pseudo_query_file import Stamp, write_pseudo_queries
from animalclef.store.run_folder import RunFolder

__all__ = ["Ensemble", "ensemble", "read_ensemble"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Runs over the same photographs, by a short name each."""

    runs: dict[str, FinishedRun]

    @property
    def first(self) -> FinishedRun:
        """Settings, splits and the order of the submission are this one's."""
        return next(iter(self.runs.values()))

    @property
    def scores(self) -> str:
        """Changes with the scores of any run, and with their names."""
        return fingerprint("ensemble", 1, [[name, run.scores] for name, run in self.runs.items()])

    @property
    def columns(self) -> dict[str, list[str]]:
        """The score columns of each run: those that its settings fuse, or all where it has none of them."""
        return {name: _columns(run) for name, run in self.runs.items()}

    def loaded(self) -> LoadedTable:
        """The table of the first run, as a submission is checked against."""
        return LoadedTable(Source(self.first.path, None), self.first.images, [], self.first.order, False)


def read_ensemble(paths: Sequence[Path]) -> Ensemble:
    """Runs that can be fused.

    Raises:
        RunError: a folder holds no finished run, or one of another version.
        StaleArtefactError: a run keeps no pseudo-queries.
        DataError: there are fewer than two runs, one twice, or they are over other data.
    """
    if len(paths) < 2:
        raise DataError(f"ensemble: {len(paths)} run given; expected two or more run folders over the same data.")
    twice = [path for path, count in Counter(path.resolve() for path in paths).items() if count > 1]
    if twice:
        raise DataError(f"{twice[0]}: given twice; a run can be in an ensemble once.")
    runs = dict(zip(_names(paths), (load_run(path).with_everything() for path in paths), strict=True))
    for run in runs.values():
        if run.is_clustering:
            raise DataError(f"{run.path}: a run of a clustering task; only names can be fused, not groups.")
    first, *others = runs.values()
    for other in others:
        if other.data != first.data:
            raise DataError(f"{other.path}: a run over other photographs or another table than {first.path}.")
        if other.encounters != first.encounters:
            raise DataError(f"{other.path}: other encounters than {first.path}; use the same encounters settings.")
    for scores, count in Counter(run.scores for run in runs.values()).items():
        if count > 1:
            same = [str(run.path) for run in runs.values() if run.scores == scores]
            raise DataError(f"{same[1]}: the same scores as {same[0]}; there is nothing to fuse.")
    return Ensemble(runs)


def ensemble(parts: Ensemble, config: Config, run: RunFolder, progress: Progress) -> Outcome:
    """Tune on the runs' stored pseudo-queries, fuse their candidates and decide; everything is kept in `run`.

    Raises:
        DataError: the runs share too few pseudo-queries of a data set.
    """
    start = time.perf_counter()
    images, used = parts.first.images, np.all([one.used for one in parts.runs.values()], axis=0)
    usable = images.select(used)
    pseudo = _pseudo_queries(parts)
    names = tuple(f"{name}:{column}" for name, columns in parts.columns.items() for column in columns)
    tuned_with = config.decide.model_copy(update={"scores": names})
    decision = tune(pseudo, tuned_with, config.seed, parts.scores, gallery_digest(usable), progress)
    scores = merged_scores({name: one.candidates for name, one in parts.runs.items()}, parts.columns)
    ranked = fuse(scores, images, decision)
    predictions = decide(ranked, images.queries, decision)
    run.finished.unlink(missing_ok=True)
    write_pseudo_queries(run, pseudo, Stamp("ensemble", parts.scores, parts.first.data))
    warned, surprises = (
        tuning_warnings(decision, pseudo, tuned_with),
        sanity_warnings(predictions, usable, pseudo, decision),
    )
    for sentence in warned:
        logger.warning("%s", sentence)
    write_text(run.decision, decision.text)
    write_text(run.path / "encounters.csv", parts.first.encounters)
    run.write_set_aside(images.skipped(row, "skipped in one of the runs") for row in np.flatnonzero(~used).tolist())
    run.write_table(images, usable)
    run.write_order(parts.first.order)
    run.write_candidates(ranked)
    run.write_answers(predictions)
    kept = config.model_copy(update={"decide": tuned_with})
    finished = {"scores": parts.scores, "data": parts.first.data, "config": kept.model_dump(mode="json")}
    finished |= {"made_by": "ensemble"}
    write_text(run.finished, json.dumps(with_digests(finished, run.path), indent=1) + "\n")
    seconds = {"ensemble": round(time.perf_counter() - start, 2)}
    return Outcome(
        predictions, ranked, decision, [], seconds, None, "cpu", warnings=tuple(surprises), data_warnings=tuple(warned)
    )


def _pseudo_queries(parts: Ensemble) -> dict[str, PseudoQueries]:
    merged = {}
    for run in parts.runs.values():
        if any(part.gallery_id is None for part in run.pseudo_queries.values()):
            raise StaleArtefactError(f"{run.path}: its pseudo-queries do not name their candidates. Run predict again.")
    for name, part in parts.first.pseudo_queries.items():
        of_runs = {label: run.pseudo_queries[name] for label, run in parts.runs.items() if name in run.pseudo_queries}
        found = merged_pseudo_queries(of_runs, parts.columns) if len(of_runs) == len(parts.runs) else None
        most = max(len(one) for one in of_runs.values())
        if len(part) and (found is None or 2 * len(found) < most):
            shared = 0 if found is None else len(found)
            raise DataError(
                f"{name}: the runs share {shared} of {most} pseudo-queries; "
                "make them with the same seed and decide.* settings. Photographs that trained an embedder are no "
                "pseudo-queries: make the other runs with decide.not_learnt_by=[its file]."
            )
        if found is not None:
            merged[name] = found
    return merged


def _columns(run: FinishedRun) -> list[str]:
    there = [str(name) for name in run.candidates.columns if name not in ("query_id", "gallery_id")]
    stored = [set(part.columns) for part in run.pseudo_queries.values()]
    there = [name for name in there if all(name in columns for columns in stored)]
    if not there:
        raise StaleArtefactError(f"{run.path}: no score column is both in candidates.csv and in the pseudo-queries.")
    return [name for name in there if name in run.config.decide.scores] or there


def _names(paths: Sequence[Path]) -> list[str]:
    """The folder's own name, with a number where two are called alike; a colon would end the name of a run."""
    plain = [path.resolve().name.replace(":", "_") for path in paths]
    count = Counter(plain)
    return [name if count[name] == 1 else f"{name}-{place + 1}" for place, name in enumerate(plain)]
