"""Candidates of several runs as one list: the union, with a floor where a run does not hold a candidate.

A column is named `run:column`. Scores are taken as sign(s) * log(1 + |s|), which leaves similarities and ratios nearly
as they are and evens out counts, so that one curve fits both. A candidate that a run did not shortlist gets the least
score that the run gave any candidate of that query: it would have stood below them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from animalclef.artefacts import PairScores
from animalclef.data.pseudo_queries import PseudoQueries

__all__ = ["merged_pseudo_queries", "merged_scores", "union"]

_PAIR = ["query_id", "gallery_id"]
_MARKS = ("same", "agrees", "as_known", "as_unknown")


def union(frames: Mapping[str, pd.DataFrame], columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """One row per pair that any run has; within a query the first run's order, then what others add, in theirs.

    Queries come in the order in which they are first met. `columns` are the score columns of each run.
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

    Raises:
        ValueError: a run's pseudo-queries do not name their candidates.
    """
    first = next(iter(parts.values()))
    common = set.intersection(*[set(part.splits.image_id) for part in parts.values()])
    if not common:
        return None
    rows = np.array([row for row, image_id in enumerate(first.splits.image_id) if image_id in common], dtype=np.int64)
    splits = first.splits.select(rows)
    frames = {label: _long(part, columns[label]) for label, part in parts.items()}
    frames = {label: frame[frame["query_id"].isin(common)] for label, frame in frames.items()}
    pairs = union(frames, columns)
    row_of = {image_id: row for row, image_id in enumerate(splits.image_id)}
    row = pairs["query_id"].map(row_of).to_numpy(dtype=np.int64)
    slot = pairs.groupby("query_id", sort=False).cumcount().to_numpy(dtype=np.int64)
    shape = (len(row_of), int(slot.max()) + 1 if len(slot) else 1)
    every = pd.concat(list(frames.values()))
    marks = {name: np.zeros(shape, dtype=bool) for name in _MARKS}
    for name, mark in marks.items():
        marked = every.groupby(_PAIR, sort=False)[name].any().reset_index()
        mark[row, slot] = pairs[_PAIR].merge(marked, on=_PAIR, how="left", sort=False)[name].to_numpy(dtype=bool)
    whose = dict(zip(every["gallery_id"], every["identity"], strict=True))
    gallery_id, identity = (np.full(shape, None, dtype=object) for _ in range(2))
    gallery_id[row, slot] = pairs["gallery_id"].to_numpy(dtype=object)
    identity[row, slot] = [whose[one] for one in pairs["gallery_id"]]
    scores = {name: np.full(shape, np.nan, dtype=np.float32) for name in _scores(pairs)}
    for name, array in scores.items():
        array[row, slot] = pairs[name].to_numpy(dtype=np.float32)
    return PseudoQueries(columns=scores, splits=splits, gallery_id=gallery_id, identity=identity, **marks)


def _scores(pairs: pd.DataFrame) -> list[str]:
    return [str(name) for name in pairs.columns if name not in _PAIR]


def _long(part: PseudoQueries, columns: Sequence[str]) -> pd.DataFrame:
    """One row per candidate, in slot order."""
    if part.gallery_id is None or part.identity is None:
        raise ValueError("these pseudo-queries do not name their candidates.")
    held: NDArray[np.bool_] = np.array([[one is not None for one in row] for row in part.gallery_id], dtype=bool)
    rows, slots = np.nonzero(held.reshape(part.same.shape))
    content = {"query_id": part.splits.image_id[rows], "gallery_id": part.gallery_id[rows, slots]}
    content |= {"identity": part.identity[rows, slots]}
    content |= {name: getattr(part, name)[rows, slots] for name in _MARKS}
    return pd.DataFrame(content | {name: part.columns[name][rows, slots] for name in columns})
