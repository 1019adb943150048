"""Accuracy against pairs matched, on pseudo-queries whose candidates were all matched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from animalclef.decision.early_exit import Trace, learn_rule
from animalclef.metrics.competition import ScoreKernel
from animalclef.runtime.atomic_files import write_text, write_with
from animalclef.structures.arrays import Floats

__all__ = ["TradeOff", "held_out_chances", "limit_for", "trade_off", "write_trade_off"]


LIMITS = (0.0, *(float(f"{limit:.6f}") for limit in np.geomspace(0.0005, 0.5, 40)), 1.0)


@dataclass(frozen=True)
class TradeOff:
    """One point of the curve; shares are of what matching every candidate takes and gives."""

    rule: str  # `settled`: queries stop when their answer is; `first`: all stop after as many candidates
    limit: float  # the chance of a change at which a query stops, or the number of candidates
    pairs: float  # per query
    pair_share: float
    score: float  # mean over data sets of sqrt(BAKS * BAUS), by the provisional decision
    agreement: float  # share of answers that are those of all candidates


def held_out_chances(roles: Sequence[Trace], folds: int = 4) -> list[Floats]:
    """(steps, n) for each role: chances by curves that were learned on other individuals."""
    names = sorted({f"{a}/{b}" for role in roles for a, b in zip(role.dataset, role.identity, strict=True)})
    fold_of_name = {name: number % folds for number, name in enumerate(names)}
    fold_of = [
        np.array([fold_of_name[f"{a}/{b}"] for a, b in zip(role.dataset, role.identity, strict=True)], dtype=np.int64)
        for role in roles
    ]
    chances = [np.zeros(role.pairs.shape) for role in roles]
    for fold in range(folds):
        curves = learn_rule([role.select(of != fold) for role, of in zip(roles, fold_of, strict=True)])
        for chance, role, of in zip(chances, roles, fold_of, strict=True):
            if (of == fold).any():
                chance[:, of == fold] = role.select(of == fold).chances(curves)
    return chances


def limit_for(known: Trace, unknown: Trace, chances: Sequence[Floats], share: float, unknown_share: float) -> float:
    """The smallest limit at which queries take at most `share` of their pairs, unknown ones counted by their share."""
    for limit in LIMITS:
        spent = [_spent(role, chance, limit) for role, chance in zip((known, unknown), chances, strict=True)]
        if (1 - unknown_share) * spent[0] + unknown_share * spent[1] <= share:
            return limit
    return LIMITS[-1]


def trade_off(known: Trace, unknown: Trace, chances: Sequence[Floats], findable: Collection[str]) -> list[TradeOff]:
    """The curve of stopping when settled, and of giving every query its first few candidates.

    Of `known` those count that are `findable`: there is a photograph to find them by.
    """
    counted = np.array([one in findable for one in known.image_id], dtype=bool)
    roles, chances = (known.select(counted), unknown), (chances[0][:, counted], chances[1])
    points = []
    for limit in LIMITS:
        stops = [role.stopped_at(chance, limit) for role, chance in zip(roles, chances, strict=True)]
        points.append(_point("settled", limit, roles, stops))
    for number in range(min(len(role.pairs) for role in roles)):
        stops = [np.full(role.pairs.shape[1], number) for role in roles]
        points.append(_point("first", float(unknown.pairs[number].max(initial=0)), roles, stops))
    return points


def write_trade_off(points: Sequence[TradeOff], table: Path, picture: Path) -> None:
    """The curve as CSV and as PNG."""
    header = ",".join(field.name for field in fields(TradeOff))
    lines = [",".join(one if isinstance(one, str) else f"{one:.6g}" for one in astuple(point)) for point in points]
    write_text(table, "\n".join([header, *lines]) + "\n")
    write_with(picture, lambda path: _draw(points, path))


def _spent(role: Trace, chance: Floats, limit: float) -> float:
    stop = role.stopped_at(chance, limit)
    taken = role.pairs[stop, np.arange(len(stop))]
    return float(taken.sum() / max(role.pairs[-1].sum(), 1))


def _point(rule: str, limit: float, roles: Sequence[Trace], stops: Sequence[NDArray[np.int64]]) -> TradeOff:
    places = [(stop, np.arange(len(stop))) for stop in stops]
    answers = np.concatenate([role.answer[place] for role, place in zip(roles, places, strict=True)])
    final = np.concatenate([role.answer[-1] for role in roles])
    pairs = np.concatenate([role.pairs[place] for role, place in zip(roles, places, strict=True)])
    every = np.concatenate([role.pairs[-1] for role in roles])
    known = np.concatenate([np.full(len(stop), number == 0) for number, stop in enumerate(stops)])
    identity = np.concatenate([role.identity for role in roles])
    kernel = ScoreKernel(identity, np.concatenate([role.dataset for role in roles]), known)
    return TradeOff(
        rule, limit, float(pairs.mean()), float(pairs.sum() / max(every.sum(), 1)),
        kernel.overall(kernel.encode(answers)), float(np.mean(answers == final)),
    )  # fmt: skip


def _draw(points: Sequence[TradeOff], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for rule, label in (("settled", "stop when settled"), ("first", "the first few for all")):
        mine = sorted((point.pair_share, point.score) for point in points if point.rule == rule)
        axes.plot([one for one, _ in mine], [score for _, score in mine], marker="o", markersize=3, label=label)
    axes.axhline(max(points, key=lambda point: point.pair_share).score, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xlabel("share of the pairs matched")
    axes.set_ylabel("score on pseudo-queries")
    axes.set_xlim(0, 1.02)
    axes.legend(loc="lower right")
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
