"""Candidates of several runs as one list: the union, with a floor where a run does not hold a candidate.

A column is named `run:column`. Scores are taken as sign(s) * log(1 + |s|), which leaves similarities and ratios nearly
as they are and evens out counts, so that one curve fits both. A candidate that a run did not shortlist gets the least
score that the run gave any candidate of that query: it would have stood below them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.decision.aggregation import CandidateTable
from animalclef.decision.pseudo_query_scores import joined
from animalclef.structures import PairScores

__all__ = ["merged_pseudo_queries", "merged_scores", "union"]

_PAIR = ["query_id", "gallery_id"]


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
