"""Draw the charts of one data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from animalclef.decision.decision_model import Reliability
from animalclef.metrics.threshold_sweep import Sweep
from animalclef.report.evidence import Evidence
from animalclef.report.svg import Plot

__all__ = ["Figure", "charts_of"]

Floats = NDArray[np.float64]

_RANKS = 25


@dataclass(frozen=True)
class Figure:
    """A chart with its caption."""

    title: str
    drawing: Markup
    caption: str


def charts_of(evidence: Evidence) -> list[Figure]:
    """Draw the distributions, the threshold sweep, the reliability and the rank curve, as far as there is data."""
    figures = [_distributions(evidence)]
    if evidence.sweep is not None:
        figures.append(_sweep(evidence, evidence.sweep))
    if evidence.reliability is not None and len(evidence.reliability.pairs):
        figures.append(_reliability(evidence, evidence.reliability))
    if evidence.ranks is not None and len(evidence.ranks):
        figures.append(_ranks(evidence, evidence.ranks))
    return figures


def _distributions(evidence: Evidence) -> Figure:
    has_truth = evidence.sweep is not None or len(evidence.known) > 0
    high = _top(np.concatenate([evidence.known, evidence.unknown, [evidence.threshold * 1.2]]))
    edges = np.linspace(0, high, 26)
    known, unknown = (_shares(values, edges) for values in (evidence.known, evidence.unknown))
    label = f"share of the {evidence.source.split(',')[0]}"
    plot = Plot((0, high), (0, max(known.max(), unknown.max()) * 1.05), "probability of the best individual", label)
    names = ("known individual", "unknown individual") if has_truth else ("", "query")
    if has_truth:
        plot.bars(edges.tolist(), known.tolist(), "known", names[0])
    plot.bars(edges.tolist(), unknown.tolist(), "unknown" if has_truth else "known", names[1])
    plot.mark(evidence.threshold, "threshold")
    both = [(names[0], evidence.known), (names[1], evidence.unknown)]
    parts = [_summary(name, values, evidence.threshold) for name, values in both if name and len(values)]
    caption = f"{'; '.join(parts)}. Threshold {evidence.threshold:.3f}."
    return Figure("Best individual", plot.render(f"{evidence.dataset}: {caption}"), caption)


def _summary(name: str, values: Floats, threshold: float) -> str:
    above = f"{np.mean(values >= threshold):.0%} reach the threshold"
    queries = "queries" if name == "query" else f"queries of {name}s"
    return f"{len(values):,} {queries}, median {np.median(values):.2f}, {above}"


def _sweep(evidence: Evidence, swept: Sweep) -> Figure:
    low, high = swept.plateau()
    interesting = np.concatenate([evidence.known, evidence.unknown, [evidence.threshold * 1.2, high]])
    plot = Plot((0, _top(interesting)), (0, 1), "threshold", "share right")
    plot.band(low, high, "plateau")
    plot.line(*_steps(swept.threshold, swept.baks), "known", "BAKS")
    plot.line(*_steps(swept.threshold, swept.baus), "unknown", "BAUS")
    plot.line(*_steps(swept.threshold, swept.score), "both", "geometric mean")
    plot.mark(evidence.threshold, "threshold")
    at = int(np.clip(np.searchsorted(swept.threshold, evidence.threshold), 0, len(swept.score) - 1))
    caption = (
        f"At the threshold {swept.score[at]:.3f} (BAKS {swept.baks[at]:.3f}, BAUS {swept.baus[at]:.3f}); the best is "
        f"{swept.score.max():.3f}, within 1 % of it from {low:.3f} to {high:.3f}."
    )
    return Figure("Score against the threshold", plot.render(f"{evidence.dataset}: {caption}"), caption)


def _reliability(evidence: Evidence, found: Reliability) -> Figure:
    plot = Plot((0, 1), (0, 1), "predicted probability of a pair", "share of matching pairs")
    plot.line([0, 1], [0, 1], "ideal", "perfectly calibrated")
    plot.line(list(found.said), list(found.seen), "known", "measured")
    sizes = 2 + 5 * np.log10(np.maximum(found.pairs, 1)) / max(np.log10(max(found.pairs)), 1)
    plot.points(list(found.said), list(found.seen), sizes.tolist(), "known")
    caption = f"{sum(found.pairs):,} pairs; expected calibration error {found.error:.3f}. Larger points: more pairs."
    return Figure("Reliability", plot.render(f"{evidence.dataset}: {caption}"), caption)


def _ranks(evidence: Evidence, ranks: Floats) -> Figure:
    counted = np.arange(1, _RANKS + 1)
    share = np.array([np.mean(ranks <= rank) for rank in counted])
    what = "individuals" if evidence.source == "queries" else "photographs"
    plot = Plot((1, _RANKS), (0, 1), f"first k {what}", "share found")
    plot.line(counted.tolist(), share.tolist(), "known", "")
    plot.points(counted.tolist(), share.tolist(), [2.0] * _RANKS, "known")
    figures = ", ".join(f"rank {rank}: {share[rank - 1]:.3f}" for rank in (1, 5, 20))
    caption = f"{len(ranks):,} known {evidence.source}; {figures}."
    return Figure("Rank curve", plot.render(f"{evidence.dataset}: {caption}"), caption)


def _shares(values: Floats, edges: Floats) -> Floats:
    """Return the share of the values in each bin."""
    counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    return np.asarray(counts / max(len(values), 1), dtype=np.float64)


def _top(values: Floats) -> float:
    """Return the upper end of an axis from 0 that holds the values: a round number, at most 1."""
    largest = float(values.max(initial=0.0))
    return next((top for top in (0.05, 0.1, 0.2, 0.5) if largest <= top), 1.0)


def _steps(threshold: Floats, values: Floats) -> tuple[list[float], list[float]]:
    """Return a sweep as a line of at most 400 points."""
    chosen = np.unique(np.linspace(0, len(threshold) - 1, min(len(threshold), 400)).round().astype(np.int64))
    return threshold[chosen].tolist(), values[chosen].tolist()
