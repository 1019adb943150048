"""Read a finished run folder for every command: settings, table, candidates, answers and decision."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from animalclef.config import Config
from animalclef.data.columns import leaves_folder
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.data.segmentation_cells import is_segmentation
from animalclef.decision.decide import decide
from animalclef.decision.decision_model import Decision, load_decision
from animalclef.errors import RunError, StaleArtefactError
from animalclef.runtime.digests import check_digests
from animalclef.runtime.wording import first_line
from animalclef.store.photograph_root import photograph_root
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.store.remote_run import local_run
from animalclef.store.run_folder import RunFolder
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable, Predictions, RankedCandidates, Skipped
from animalclef.structures.arrays import BoolArray, text_array
from animalclef.structures.images import boxes_of_texts

__all__ = ["FinishedRun", "load_run"]

_TABLE = ("image_id", "identity", "path", "dataset", "split", "viewpoint", "date", "species", "key")
_PAIR = ("query_id", "gallery_id", "identity", "dataset")
_NO_SCORES = (*_PAIR, "probability", "identity_probability", "lead")  # the other columns of candidates.csv are scores
_TEXT = frozenset({*_TABLE, *_PAIR, "bbox_xywhr", "mask", "reason", "reviewed"})


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """One run's results; their table `images` holds the skipped photographs, too, and no encounters."""

    folder: RunFolder
    settings: Mapping[str, Any]  # the content of finished.json
    config: Config
    images: ImageTable
    ranked: RankedCandidates
    decision: Decision
    predictions: Predictions  # as they were submitted
    skipped: list[Skipped]

    def __repr__(self) -> str:
        return f"FinishedRun({self.path}, {self.predictions!r})"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def name(self) -> str:
        """The name of the run folder."""
        return self.path.resolve().name

    @property
    def scores(self) -> str:
        """Fingerprint of everything that shaped the raw scores."""
        return str(self.settings["scores"])

    @property
    def data(self) -> str:
        """Digest of the table and the photographs."""
        return str(self.settings["data"])

    @property
    def is_clustering(self) -> bool:
        """Whether the submission holds clusters instead of names."""
        return self.settings.get("task") == "clustering"

    @property
    def used(self) -> BoolArray:
        """Which rows of `images` were not skipped, (n,)."""
        return np.asarray(self.images.key != "", dtype=bool)

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """Row number of each image_id in `images`."""
        return self.images.row_of

    @cached_property
    def rows_of(self) -> Mapping[str, slice]:
        """Rows of each query in `ranked`; a query without candidates has no entry."""
        query_id = self.ranked.query_id
        if not len(query_id):
            return {}
        starts = np.flatnonzero(np.r_[True, query_id[1:] != query_id[:-1]])
        ends = np.r_[starts[1:], len(query_id)]
        return {query_id[start]: slice(int(start), int(end)) for start, end in zip(starts, ends, strict=True)}

    @property
    def _unchanged(self) -> RunFolder:  # for what is read later than the rest
        self.check_unchanged()
        return self.folder

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """query_id, gallery_id and the raw scores, best first within a query."""
        frame = _read(self._unchanged.candidates, _PAIR)
        return frame[["query_id", "gallery_id", *_scores(frame)]]

    @cached_property
    def sources(self) -> pd.DataFrame | None:
        """Rank of every candidate in each candidate source, from 1; `None` for a run of an earlier version."""
        return _read(self.folder.sources, _PAIR[:3]) if self._unchanged.sources.is_file() else None

    @cached_property
    def order(self) -> list[str]:
        """Queries in the order of the submission."""
        return [str(image_id) for image_id in _read(self._unchanged.order, ("image_id",))["image_id"]]

    @cached_property
    def encounters(self) -> str:
        """The text of encounters.csv."""
        with _reading(self._unchanged.encounters):
            return self.folder.encounters.read_text(encoding="utf-8")

    @cached_property
    def pseudo_queries(self) -> dict[str, PseudoQueries]:
        """The pseudo-queries that the decision was tuned on, by data set.

        Raises:
            StaleArtefactError: the run keeps none, or they were made with other settings.
        """
        return read_pseudo_queries(self._unchanged)

    @cached_property
    def keypoint_stores(self) -> Mapping[str, ShardStore]:
        """The store of each data set's local features; none where it is gone or empty, or lies outside the run."""
        is_upright, noted = self.config.keypoints.is_upright, str(self.settings.get("keypoints") or "..")
        home = self.folder.home
        folders = {name: home / f"{noted}{'-upright' * is_upright(name)}" for name in self.images.datasets}
        inside = {one for one in folders.values() if one.resolve().is_relative_to(home.resolve())}
        stores = {one: ShardStore(one, one.name) for one in inside}
        return {name: stores[one] for name, one in folders.items() if stores.get(one)}

    @cached_property
    def timings(self) -> Mapping[str, Mapping[str, float]]:
        """`seconds` and `counts` of every stage; empty where the run did not note them."""
        try:
            return TypeAdapter(dict[str, dict[str, float]]).validate_json(self.folder.timings.read_bytes())
        except (OSError, ValueError):
            return {}

    def with_everything(self) -> FinishedRun:
        """Read what is otherwise read on demand, and check that the run was not replaced meanwhile.

        Raises:
            RunError: another process has replaced its results.
            StaleArtefactError: the run keeps no pseudo-queries, or they were made with other settings.
        """
        _ = self.pseudo_queries, self.candidates, self.order, self.encounters
        self.check_unchanged()
        return self

    def check_unchanged(self) -> None:
        """Check that the run is still the one that was read.

        Raises:
            RunError: another process has replaced its results.
        """
        if _finished(self.folder) != self.settings:
            raise RunError(f"{self.path}: this run was changed meanwhile. Run the command again (in Python: load_run).")


def load_run(path: Path, data: Path | None = None) -> FinishedRun:
    """Read a run folder (of one in a bucket its copy); `data` is the folder of the photographs if they have moved.

    Photographs in a bucket come from the address that the run was given, when they are read.

    Raises:
        RunError: the folder holds no finished run, a file is not what the run wrote, or another version wrote it.
    """
    folder = RunFolder(path := local_run(path))
    settings = _finished(folder)
    try:
        check_digests(path, settings)
    except StaleArtefactError as error:
        raise RunError(str(error)) from error
    try:
        config, _ = Config.model_validate(settings["config"]), (settings["scores"], settings["data"])
    except (KeyError, ValidationError) as error:
        raise RunError(f"{folder.finished}: settings of another version. {folder.again}") from error
    root = photograph_root(folder, settings, config.data.cache_gb, data)
    images, ranked = _images(folder.table, root), _ranked(folder.candidates)
    if not set(ranked.query_id) | set(ranked.gallery_id) <= set(images.image_id):
        raise RunError(_not_of_a_run(folder.candidates))
    predictions = _predictions(folder.answers, images, ranked, decision := load_decision(folder.decision))
    run = FinishedRun(folder, settings, config, images, ranked, decision, predictions, _skipped(folder.skipped))
    run.check_unchanged()
    return run


def _finished(folder: RunFolder) -> dict[str, Any]:
    if not folder.path.is_dir():
        raise RunError(f"{folder.path}: no such folder. Give the run folder of a finished predict.")
    if not folder.finished.is_file():
        raise RunError(f"{folder.path}: no finished run (finished.json is not there). {folder.advice}")
    with _reading(folder.finished):
        settings = dict(json.loads(folder.finished.read_bytes()))
        if not all(isinstance(settings.get(name, ""), str) for name in ("scores", "data", "root", "address")):
            raise TypeError("scores, data, root or address is no text")
        return settings


def _images(path: Path, root: Path) -> ImageTable:
    frame = _read(path, _TABLE)
    masks = [one for one in frame.get("mask", ()) if one and not is_segmentation(one)]
    for name in (*frame["path"], *masks):
        if not name or leaves_folder(name):
            raise RunError(f"{path}: the path {name!r} leaves the data folder, so this run is not opened.")
    with _reading(path):
        return ImageTable.of_lists(
            root,
            (frame["split"] == "query").tolist(),
            boxes_of_texts(frame.get("bbox_xywhr", [""] * len(frame))),
            mask=frame["mask"].tolist() if "mask" in frame else None,
            identity=[identity or None for identity in frame["identity"]],
            **{name: frame[name].tolist() for name in _TABLE if name not in ("identity", "split")},
        )


def _ranked(path: Path) -> RankedCandidates:
    frame = _read(path, (*_PAIR, "probability"))
    with _reading(path):
        texts: dict[str, Any] = {name: text_array(frame[name].tolist()) for name in _PAIR}
        return RankedCandidates(
            **texts,
            probability=frame["probability"].to_numpy(dtype=np.float64),
            columns={name: frame[name].to_numpy(dtype=np.float32) for name in _scores(frame)},
            identity_probability=frame.get("identity_probability", frame["probability"]).to_numpy(dtype=np.float64),
        )


def _scores(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame.columns if name not in _NO_SCORES]


def _predictions(path: Path, images: ImageTable, ranked: RankedCandidates, decision: Decision) -> Predictions:
    """Return the answers that the run noted; a run of an earlier version noted none and is decided again."""
    if not path.is_file():
        return decide(ranked, images.queries, decision)
    frame = _read(path, ("image_id", "identity", "probability")).set_index("image_id")
    with _reading(path):
        frame = frame.loc[list(images.queries.image_id)]
        probability = frame["probability"].to_numpy(dtype=np.float64)
        identity = text_array([one or None for one in frame["identity"]])
        reviewed = text_array(frame["reviewed"].tolist()) if "reviewed" in frame else None
        return Predictions(images.queries.image_id, identity, probability, reviewed)


def _skipped(path: Path) -> list[Skipped]:
    columns = ["image_id", "path", "split", "reason"]
    return [Skipped(*row) for row in _read(path, columns)[columns].itertuples(index=False)]


def _read(path: Path, columns: Iterable[str]) -> pd.DataFrame:
    """Read a table of a run: names as text, an empty number as NaN."""
    with _reading(path):
        header = pd.read_csv(path, nrows=0).columns
        if not set(columns) <= set(header):
            raise ValueError(f"columns {', '.join(sorted(set(columns) - set(header)))} are missing")
        text = {name: str for name in header if name in _TEXT}
        empty = {name: [""] for name in header if name not in _TEXT}
        return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=empty)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file causes into one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise RunError(f"{_not_of_a_run(path)} ({first_line(error)})") from error


def _not_of_a_run(path: Path) -> str:
    return f"{path}: not a file of a finished run of this version. {RunFolder(path.parent).again}"
