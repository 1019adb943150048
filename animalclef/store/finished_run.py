"""What a finished run left in its folder, read back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from animalclef.config import Config
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.errors import StaleArtefactError
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.store.run_folder import RunFolder
from animalclef.structures import ImageTable, StrArray

__all__ = ["FinishedRun", "read_finished"]

_NOT_SCORES = frozenset(
    {"query_id", "gallery_id", "identity", "dataset", "probability", "identity_probability", "lead"}
)
_TEXT = (
    "image_id",
    "identity",
    "path",
    "dataset",
    "split",
    "viewpoint",
    "date",
    "species",
    "key",
    "query_id",
    "gallery_id",
)


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """One run's settings, photographs, candidates of the queries and pseudo-queries."""

    path: Path
    scores: str  # fingerprint of what made the raw scores
    data: str  # digest of table and photographs
    config: Config
    images: ImageTable  # without boxes and the encounter column
    used: np.ndarray[tuple[int], np.dtype[np.bool_]]  # (n,) photographs that were not set aside
    order: list[str]  # queries as the submission has them
    encounters: str  # the text of encounters.csv
    candidates: pd.DataFrame  # query_id, gallery_id and the score columns, best first within a query
    pseudo: dict[str, PseudoQueries]


def read_finished(path: Path) -> FinishedRun:
    """Everything that later work needs of a run.

    Raises:
        StaleArtefactError: the folder holds no finished run, a file is damaged, or another version wrote it.
    """
    run = RunFolder(path)
    if not run.finished.is_file():
        raise StaleArtefactError(
            f"{path}: no finished run (finished.json is not there). Run predict --run {path} first."
        )
    try:
        before = run.finished.read_bytes()
        settings = json.loads(before)
        table = _read(run.table)
        candidates = _read(run.candidates)
        order = _read(path / "order.csv")["image_id"].tolist()
        encounters = (path / "encounters.csv").read_text(encoding="utf-8")
        config = Config.model_validate(settings["config"])
        kept = candidates[[name for name in candidates.columns if _is_kept(str(name))]]
        found = FinishedRun(
            path, settings["scores"], settings["data"], config, _images(table), table["used"].to_numpy() == 1,
            order, encounters, kept, read_pseudo_queries(run),
        )  # fmt: skip
        after = run.finished.read_bytes()
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StaleArtefactError(
            f"{path}: cannot be read as a run of this version ({what}). Run predict again."
        ) from error
    if before != after:
        raise StaleArtefactError(f"{path}: another process has just changed this run. Run the same command again.")
    return found


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values={"used": [""]})


def _is_kept(name: str) -> bool:
    return name in ("query_id", "gallery_id") or name not in _NOT_SCORES


def _images(table: pd.DataFrame) -> ImageTable:
    columns: dict[str, StrArray] = {
        name: table[name].to_numpy(dtype=object)
        for name in ("image_id", "path", "dataset", "date", "viewpoint", "species", "key")
    }
    is_query = (table["split"] == "query").to_numpy()
    identity = np.array([who or None for who in table["identity"]], dtype=object)
    absent = np.array([""] * len(table), dtype=object)
    boxes = np.full((len(table), 5), np.nan, dtype=np.float32)
    return ImageTable(
        root=Path(), is_query=is_query, identity=identity, encounter=absent, bbox_xywhr=boxes, **columns
    )  # fmt: skip
