"""Draw the charts of one data set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from animalclef.decision.decision_model import Reliability
from animalclef.metrics.threshold_sweep import Sweep
from animalclef.report.evidence import Evidence
from animalclef.structures.arrays import Floats

__all__ = ["Figure", "Plot", "charts_of"]

_WIDTH, _HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 12, 38

_RANKS = 25


class Plot:
    """A chart with two axes; what is added last lies on top."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float], x_label: str, y_label: str) -> None:
        self.x_range, self.y_range = _with_width(x_range), _with_width(y_range)
        self._parts = [_axes(self, x_label, y_label)]
        self._legend: list[tuple[str, str]] = []  # a small drawing in the same style, and its text

    def x(self, value: float) -> float:
        """Return the position of a value, in units of the drawing."""
        low, high = self.x_range
        return _LEFT + (min(max(value, low), high) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Return the position of a value, in units of the drawing."""
        low, high = self.y_range
        return _HEIGHT - _BOTTOM - (min(max(value, low), high) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def line(self, xs: Iterable[float], ys: Iterable[float], style: str, legend: str = "") -> None:
        """Draw straight lines from point to point."""
        points = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        self._add(f'<polyline class="line {style}" points="{points}"/>', _line_sample(f"line {style}"), legend)

    def bars(self, edges: Sequence[float], heights: Iterable[float], style: str, legend: str = "") -> None:
        """Draw one bar between each edge and the next."""
        bars = []
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
            if height > 0:
                x, y = self.x(left), self.y(height)
                size = f'width="{max(self.x(right) - x - 0.6, 0.4):.1f}" height="{self.y(0) - y:.1f}"'
                bars.append(f'<rect class="bar {style}" x="{x:.1f}" y="{y:.1f}" {size}/>')
        self._add("".join(bars), _box_sample(f"bar {style}"), legend)

    def points(self, xs: Iterable[float], ys: Iterable[float], sizes: Iterable[float], style: str) -> None:
        """Draw discs; sizes are radii in units of the drawing."""
        discs = zip(xs, ys, sizes, strict=True)
        drawn = [f'<circle class="point {style}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{r:.1f}"/>'
                 for x, y, r in discs]  # fmt: skip
        self._parts += drawn

    def mark(self, value: float, legend: str = "") -> None:
        """Draw a vertical line."""
        x = self.x(value)
        ends = f'x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"'
        self._add(f'<line class="mark" {ends}/>', _line_sample("mark"), legend)

    def band(self, low: float, high: float, legend: str = "") -> None:
        """Shade a stretch of the x axis."""
        left, right = self.x(low), self.x(high)
        size = f'width="{max(right - left, 1):.1f}" height="{_HEIGHT - _TOP - _BOTTOM}"'
        self._add(f'<rect class="band" x="{left:.1f}" y="{_TOP}" {size}/>', _box_sample("band"), legend)

    def render(self, description: str) -> Markup:
        """Return the chart; `description` is its text for screen readers."""
        legend = "".join(f'<span class="key">{sample}{escape(text)}</span>' for sample, text in self._legend)
        head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(description)}">'
        return Markup(f'{head}{"".join(self._parts)}</svg><div class="legend">{legend}</div>')

    def _add(self, drawn: str, sample: str, legend: str) -> None:
        self._parts.append(drawn)
        if legend:
            self._legend.append((sample, legend))


def _line_sample(style: str) -> str:
    return f'<svg class="swatch" aria-hidden="true"><line class="{style}" x1="0" x2="28" y1="5" y2="5"/></svg>'


def _box_sample(style: str) -> str:
    return f'<svg class="swatch" aria-hidden="true"><rect class="{style}" width="28" height="10"/></svg>'


def _axes(plot: Plot, x_label: str, y_label: str) -> str:
    parts = []
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    for value in _ticks(*plot.y_range):
        y = plot.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{value:g}</text>')
    for value in _ticks(*plot.x_range):
        x = plot.x(value)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{value:g}</text>')
    middle_x, middle_y = (_LEFT + right) / 2, (_TOP + bottom) / 2
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(
        f'<text class="label" x="{middle_x:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    turned = f'transform="rotate(-90 11 {middle_y:.0f})"'
    parts.append(
        f'<text class="label" x="11" y="{middle_y:.0f}" {turned} text-anchor="middle">{escape(y_label)}</text>'
    )
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Return four to eight round values.

    >>> _ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _with_width(ends: tuple[float, float]) -> tuple[float, float]:
    low, high = float(ends[0]), float(ends[1])
    return (low, high) if high > low else (low, low + 1.0)


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
    measured = f"score {swept.score[at]:.3f} (BAKS {swept.baks[at]:.3f}, BAUS {swept.baus[at]:.3f})"
    caption = (
        f"Threshold {evidence.threshold:.3f}: {measured}. Best score: {swept.score.max():.3f}; thresholds from "
        f"{low:.3f} to {high:.3f} come within 1% of it."
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
