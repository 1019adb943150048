"""One decision over the scores of several finished runs."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from animalclef.config import Config, fingerprint
from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.data.sources import Source
from animalclef.data.table import LoadedTable
from animalclef.decision.aggregation import CandidateTable
from animalclef.decision.decide import decide
from animalclef.decision.fusion import fuse
from animalclef.decision.pseudo_query_scores import joined
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
from animalclef.structures import PairScores

__all__ = ["Ensemble", "ensemble", "merged_pseudo_queries", "merged_scores", "read_ensemble", "union"]

logger = logging.getLogger(__name__)

_PAIR = ["query_id", "gallery_id"]


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
    reasons = {one.image_id: one.reason for member in parts.runs.values() for one in member.skipped}
    set_aside = [
        images.skipped(row, reasons.get(images.image_id[row], "skipped in one of the runs"))
        for row in np.flatnonzero(~used).tolist()
    ]
    run.write_set_aside(set_aside)
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
        predictions, ranked, decision, set_aside, seconds, None, "cpu",
        warnings=tuple(surprises), data_warnings=tuple(warned),
    )  # fmt: skip


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


def union(frames: Mapping[str, pd.DataFrame], columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """One row per pair that any run has; within a query the first run's order, then what others add, in theirs.

    Queries come in the order in which they are first met. `columns` are the score columns of each run; here a column is
    named `run:column`. Scores are taken as sign(s) * log(1 + |s|), which leaves similarities and ratios nearly as they
    are and evens out counts, so that one curve fits both. A candidate that a run did not shortlist gets the least score
    that the run gave any candidate of that query: it would have stood below them.
    """
    pairs = pd.concat([frame[_PAIR] for frame in frames.values()]).drop_duplicates(ignore_index=True)
    query, _ = pd.factorize(pairs["query_id"])
    pairs = pairs.iloc[np.argsort(query, kind="stable")].reset_index(drop=True)
    for label, frame in frames.items():
        names = list(columns[label])
        mine = pairs.merge(frame[[*_PAIR, *names]].assign(held=True), on=_PAIR, how="left", sort=False)
        absent = mine["held"].isna().to_numpy()
        for name in names:
            values = mine[name].astype("float64")
            least = values.groupby(mine["query_id"]).transform("min")
            filled = np.where(absent, least, values)
            pairs[f"{label}:{name}"] = (np.sign(filled) * np.log1p(np.abs(filled))).astype("float32")
    return pairs


def merged_scores(frames: Mapping[str, pd.DataFrame], columns: Mapping[str, Sequence[str]]) -> PairScores:
    """The queries' candidates in all runs."""
    pairs = union(frames, columns)
    values = {name: pairs[name].to_numpy(dtype=np.float32) for name in _scores(pairs)}
    return PairScores(pairs["query_id"].to_numpy(dtype=object), pairs["gallery_id"].to_numpy(dtype=object), values)


def merged_pseudo_queries(
    parts: Mapping[str, PseudoQueries], columns: Mapping[str, Sequence[str]]
) -> PseudoQueries | None:
    """Pseudo-queries that all runs have, with the first run's splits; `None` where there is none.

    What they see with their individual in the gallery stands before what they see without, each with floors of its own.

    Raises:
        ValueError: a run's pseudo-queries do not name their candidates.
    """
    first = next(iter(parts.values()))
    common = set.intersection(*[set(part.splits.image_id) for part in parts.values()])
    if not common:
        return None
    rows = np.array([row for row, image_id in enumerate(first.splits.image_id) if image_id in common], dtype=np.int64)
    splits = first.splits.select(rows)
    known, unknown = (_in_role(role, parts, columns, splits) for role in ("as_known", "as_unknown"))
    return joined(known, unknown)


def _in_role(
    role: str, parts: Mapping[str, PseudoQueries], columns: Mapping[str, Sequence[str]], splits: OpenSetSplits
) -> PseudoQueries:
    """The union of what pseudo-queries see in one role."""
    row_of = {image_id: row for row, image_id in enumerate(splits.image_id)}
    frames = {label: _long(part, getattr(part, role), columns[label]) for label, part in parts.items()}
    frames = {label: frame[frame["query_id"].isin(row_of.keys())] for label, frame in frames.items()}
    pairs = union(frames, columns)
    table = CandidateTable(pairs["query_id"].map(row_of).to_numpy(dtype=np.int64), len(row_of))
    facts = pd.concat([frame[[*_PAIR, "same", "agrees", "identity", "one_more"]] for frame in frames.values()])
    known = pairs[_PAIR].merge(facts.drop_duplicates(_PAIR), on=_PAIR, how="left", sort=False)
    seen = table.lay_out(np.ones(len(pairs), dtype=bool), False)
    marks = {name: table.lay_out(known[name].to_numpy(dtype=bool), False) for name in ("same", "agrees", "one_more")}
    named = {name: table.lay_out(known[name].to_numpy(dtype=object), None) for name in ("gallery_id", "identity")}
    scores = {name: table.lay_out(pairs[name].to_numpy(dtype=np.float32), np.nan) for name in _scores(pairs)}
    return PseudoQueries(scores, as_known=seen, as_unknown=seen, splits=splits, **marks, **named)


def _scores(pairs: pd.DataFrame) -> list[str]:
    return [str(name) for name in pairs.columns if name not in _PAIR]


def _long(part: PseudoQueries, seen: NDArray[np.bool_], columns: Sequence[str]) -> pd.DataFrame:
    """One row per candidate that is seen, in slot order."""
    if part.gallery_id is None or part.identity is None:
        raise ValueError("these pseudo-queries do not name their candidates.")
    rows, slots = np.nonzero(seen)
    part = replace(part, one_more=np.zeros_like(part.same)) if part.one_more is None else part
    tables = {name: getattr(part, name) for name in ("gallery_id", "same", "agrees", "identity", "one_more")}
    tables |= {name: part.columns[name] for name in columns}
    content = {name: table[rows, slots] for name, table in tables.items()}
    return pd.DataFrame({"query_id": part.splits.image_id[rows], **content})
