"""What a finished run left in its folder, read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from animalclef.config import Config
from animalclef.data.sources import find_source
from animalclef.decision.decide import decide
from animalclef.decision.decision_model import Decision, load_decision
from animalclef.errors import DataError, StaleArtefactError
from animalclef.store.run_folder import RunFolder
from animalclef.structures import ImageTable, Predictions, RankedCandidates, Skipped, StrArray

__all__ = ["FinishedRun", "load_run"]

_TABLE = ("image_id", "identity", "path", "dataset", "split", "viewpoint", "date", "species", "key")
_SCORED = ("query_id", "gallery_id", "identity", "dataset", "probability")  # of candidates.csv
_NO_SCORES = (*_SCORED, "identity_probability", "lead")  # the rest are raw scores


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run's results, with the table they are about; `images` holds the photographs that were set aside, too."""

    folder: RunFolder
    config: Config
    settings: Mapping[str, Any]  # of finished.json
    images: ImageTable
    ranked: RankedCandidates
    decision: Decision
    predictions: Predictions  # as they were submitted
    set_aside: list[Skipped]
    timings: Mapping[str, Mapping[str, float]]  # seconds and counts; empty where the run did not note them

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.folder.path.resolve().name

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """Row number of each image_id in `images`."""
        return self.images.row_of

    @cached_property
    def rows_of(self) -> Mapping[str, slice]:
        """Where each query's candidates stand in `ranked`; a query without candidates is not there."""
        query_id = self.ranked.query_id
        if not len(query_id):
            return {}
        starts = np.flatnonzero(np.r_[True, query_id[1:] != query_id[:-1]])
        ends = np.r_[starts[1:], len(query_id)]
        return {query_id[start]: slice(int(start), int(end)) for start, end in zip(starts, ends, strict=True)}


def load_run(path: Path, data: Path | None = None) -> FinishedRun:
    """Read a run folder; `data` says where the photographs are now, if not where they were.

    Raises:
        DataError: the folder holds no finished run, or a file of it is not what it was.
        StaleArtefactError: the run was made by another version.
    """
    folder = RunFolder(path)
    settings = _finished(folder)
    try:
        config = Config.model_validate(settings["config"])
    except (KeyError, ValidationError) as error:
        raise StaleArtefactError(
            f"{folder.finished}: settings of another version. Run predict with --run {path} again."
        ) from error
    images = _images(folder.table, _root(settings, data))
    ranked = _ranked(folder.candidates)
    if not set(ranked.query_id) | set(ranked.gallery_id) <= set(images.image_id):
        raise _not_of_a_run(folder.candidates)
    decision = load_decision(folder.decision)
    return FinishedRun(
        folder=folder,
        config=config,
        settings=settings,
        images=images,
        ranked=ranked,
        decision=decision,
        predictions=_predictions(folder.answers, images, ranked, decision),
        set_aside=_set_aside(folder.path / "set_aside.csv"),
        timings=_timings(folder),
    )


def _finished(folder: RunFolder) -> dict[str, Any]:
    path = folder.path
    if not path.is_dir():
        raise DataError(f"{path}: no such folder. Give --run the folder that predict kept its work in.")
    if not folder.finished.is_file():
        raise DataError(
            f"{path}: no finished run (finished.json is not there). Run predict with --run {path} again; it goes on "
            "where it was."
        )
    try:
        settings = json.loads(folder.finished.read_bytes())
    except ValueError as error:
        raise DataError(f"{folder.finished}: not a JSON file. Run predict with --run {path} again.") from error
    return settings if isinstance(settings, dict) else {}


def _root(settings: Mapping[str, Any], data: Path | None) -> Path:
    """Where the photographs are: as given, or as noted by the run."""
    if data is None:
        return Path(settings.get("root", "."))
    try:
        return find_source(data).root
    except DataError:
        if not data.is_dir():
            raise
        return data


def _images(path: Path, root: Path) -> ImageTable:
    frame = _read(path, _TABLE)
    boxes = frame["bbox_xywhr"] if "bbox_xywhr" in frame else [""] * len(frame)
    as_they_are = [name for name in _TABLE if name not in ("identity", "split")]
    try:
        return ImageTable(
            root=root,
            is_query=(frame["split"] == "query").to_numpy(dtype=bool),
            identity=_texts([who or None for who in frame["identity"]]),
            encounter=_texts([""] * len(frame)),
            bbox_xywhr=np.array([json.loads(box) if box else [np.nan] * 5 for box in boxes], np.float32).reshape(-1, 5),
            **{name: _texts(frame[name]) for name in as_they_are},
        )
    except ValueError as error:
        raise _not_of_a_run(path) from error


def _ranked(path: Path) -> RankedCandidates:
    frame = _read(path, _SCORED)
    columns = {str(name): _numbers(frame[name]) for name in frame.columns if name not in _NO_SCORES}
    texts = {name: _texts(frame[name]) for name in _SCORED[:-1]}
    try:
        return RankedCandidates(
            query_id=texts["query_id"],
            gallery_id=texts["gallery_id"],
            identity=texts["identity"],
            dataset=texts["dataset"],
            probability=frame["probability"].to_numpy(dtype=np.float64),
            columns=columns,
            identity_probability=frame.get("identity_probability", frame["probability"]).to_numpy(dtype=np.float64),
        )
    except ValueError as error:
        raise _not_of_a_run(path) from error


def _predictions(path: Path, images: ImageTable, ranked: RankedCandidates, decision: Decision) -> Predictions:
    """As the run noted them; of a run that noted none, decided again."""
    if not path.is_file():
        return decide(ranked, images.queries, decision)
    frame = _read(path, ("image_id", "identity", "probability")).set_index("image_id")
    try:
        frame = frame.loc[list(images.queries.image_id)]
        probability = frame["probability"].to_numpy(dtype=np.float64)
    except (KeyError, ValueError) as error:
        raise _not_of_a_run(path) from error
    return Predictions(images.queries.image_id, _texts([who or None for who in frame["identity"]]), probability)


def _set_aside(path: Path) -> list[Skipped]:
    columns = ["image_id", "path", "split", "reason"]
    return [Skipped(*row) for row in _read(path, columns)[columns].itertuples(index=False)]


def _timings(folder: RunFolder) -> Mapping[str, Mapping[str, float]]:
    try:
        timings = json.loads(folder.timings.read_bytes())
    except (OSError, ValueError):
        return {}
    return timings if isinstance(timings, dict) else {}


def _read(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """A table of a run, as text."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        run = path.parent
        raise DataError(f"{path}: cannot be read. Run predict with --run {run} again; it makes it anew.") from error
    if not set(columns) <= set(frame.columns):
        raise _not_of_a_run(path)
    return frame


def _not_of_a_run(path: Path) -> DataError:
    return DataError(f"{path}: not a table of a run. Run predict with --run {path.parent} again; it makes it anew.")


def _texts(values: Any) -> StrArray:
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array


def _numbers(values: pd.Series) -> Any:
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float32)
