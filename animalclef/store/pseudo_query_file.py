"""`validation.safetensors` of a run: the pseudo-queries that its decision was tuned on.

One file for all data sets: score columns as they were, the four marks of a pair in one byte, candidates as numbers into
a list of gallery photographs. Names and the digest of everything stand in the header as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.errors import StaleArtefactError
from animalclef.runtime.atomic_files import write_bytes
from animalclef.runtime.digests import json_object
from animalclef.store.run_folder import RunFolder
from animalclef.structures.arrays import text_array

__all__ = ["Stamp", "holds_pseudo_queries", "read_pseudo_queries", "write_pseudo_queries"]

_FORMAT = 1
_MARKS = ("same", "agrees", "as_known", "as_unknown", "one_more")  # bit 0, 1, 2, 3, 4
_DAMAGE = (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError, IndexError)

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Stamp:
    """What pseudo-queries belong to: all that they were made by, and what `finished.json` says of scores and data."""

    made_by: str = ""
    scores: str = ""
    data: str = ""


def write_pseudo_queries(run: RunFolder, pseudo: Mapping[str, PseudoQueries], stamp: Stamp) -> None:
    """Keep the pseudo-queries of every data set in the run folder, in place of earlier ones.

    Raises:
        OutputError: the file cannot be written.
    """
    arrays: Arrays = {}
    datasets = []
    for number, (name, part) in enumerate(sorted(pseudo.items())):
        packed, names = _packed(part)
        arrays |= {f"{number}/{key}": np.ascontiguousarray(array) for key, array in packed.items()}
        datasets.append({"name": name, **names})
    header: dict[str, Any] = {"format": _FORMAT, "stamp": vars(stamp), "datasets": datasets}
    header["sha256"] = _digest(header, arrays)
    write_bytes(run.pseudo_queries, save(arrays, metadata={"animalclef": json.dumps(header, ensure_ascii=False)}))


def read_pseudo_queries(run: RunFolder) -> dict[str, PseudoQueries]:
    """Return the pseudo-queries that the run's decision was tuned on, by data set.

    Raises:
        StaleArtefactError: there are none, the file is damaged, or it belongs to other settings than the run's results.
    """
    path = run.pseudo_queries
    again = (
        f"Run `animalclef predict --run {run.path}` again with the run's data and settings, without --decision; "
        "what is finished is kept."
    )
    if not path.is_file() and json_object(run.finished).get("made_by") == "cluster":
        raise StaleArtefactError(
            f"{run.path}: a run of `cluster` has no decision to tune or to fuse; use another folder for predict."
        )
    if not path.is_file():
        raise StaleArtefactError(f"{path}: this run has no stored pseudo-queries. {again}")
    try:
        header, arrays = _read(path)
        parts = {one["name"]: _unpacked(one, _of(arrays, number)) for number, one in enumerate(header["datasets"])}
    except _DAMAGE as error:
        raise StaleArtefactError(f"{path}: the file is damaged. {again}") from error
    stamp, finished = header["stamp"], json_object(run.finished)
    if stamp["scores"] and any(stamp[name] != finished.get(name, stamp[name]) for name in ("scores", "data")):
        raise StaleArtefactError(f"{path}: made with other settings or data than this run's results. {again}")
    return parts


def holds_pseudo_queries(run: RunFolder, made_by: str) -> bool:
    """Return whether whole pseudo-queries made by this are in the run folder."""
    try:
        header, _ = _read(run.pseudo_queries)
        return bool(header["stamp"]["made_by"] == made_by)
    except _DAMAGE:
        return False


def _read(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Header and arrays of a whole file; a ValueError where the digest is another."""
    with safe_open(path, framework="np") as file:
        header = json.loads((file.metadata() or {})["animalclef"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    if header["format"] != _FORMAT:
        raise ValueError(f"format {header['format']}, expected {_FORMAT}")
    if header.pop("sha256") != _digest(header, arrays):
        raise ValueError("the digest does not fit")
    return header, arrays


def _digest(header: Mapping[str, Any], arrays: Arrays) -> str:
    digest = hashlib.sha256(json.dumps(header, ensure_ascii=False).encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype.str}{arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _of(arrays: Arrays, number: int) -> Arrays:
    mine = f"{number}/"
    return {name.removeprefix(mine): array for name, array in arrays.items() if name.startswith(mine)}


def _packed(part: PseudoQueries) -> tuple[Arrays, dict[str, Any]]:
    """Arrays, and the names they speak of."""
    splits = part.splits
    given = [getattr(part, name) for name in _MARKS]
    marks = sum(mark.astype(np.uint8) << bit for bit, mark in enumerate(given) if mark is not None)
    arrays: Arrays = {"marks": np.asarray(marks, dtype=np.uint8)}
    arrays |= {f"column/{name}": values.astype(np.float32) for name, values in part.columns.items()}
    arrays |= {"is_known": splits.is_known.astype(np.uint8), "is_unknown": splits.is_unknown.astype(np.uint8)}
    names: dict[str, Any] = {"image_id": splits.image_id.tolist(), "identity": splits.identity.tolist()}
    if part.gallery_id is not None and part.identity is not None:
        pairs = zip(part.gallery_id.ravel(), part.identity.ravel(), strict=True)
        whose = dict(sorted((one, who) for one, who in pairs if one is not None))
        place = {None: -1} | {one: number for number, one in enumerate(whose)}
        candidate = np.array([place[one] for one in part.gallery_id.ravel()], dtype=np.int32)
        arrays["candidate"] = candidate.reshape(part.same.shape)
        names |= {"gallery_id": list(whose), "gallery_identity": list(whose.values())}
    return arrays, names


def _unpacked(names: Mapping[str, Any], arrays: Arrays) -> PseudoQueries:
    packed = np.asarray(arrays["marks"], dtype=np.uint8)
    marks = {name: (packed >> bit & 1).astype(bool) for bit, name in enumerate(_MARKS)}
    named = [(name.partition("/")[2], array) for name, array in arrays.items() if name.startswith("column/")]
    columns = {name: np.asarray(array, dtype=np.float32) for name, array in sorted(named)}
    is_known, is_unknown = (arrays[name].astype(bool) for name in ("is_known", "is_unknown"))
    splits = OpenSetSplits(text_array(names["image_id"]), text_array(names["identity"]), is_known, is_unknown)
    gallery_id = identity = None
    if "candidate" in arrays:
        place = np.asarray(arrays["candidate"], dtype=np.int64)
        gallery_id, identity = (text_array([*names[key], None])[place] for key in ("gallery_id", "gallery_identity"))
    return PseudoQueries(columns=columns, splits=splits, gallery_id=gallery_id, identity=identity, **marks)
