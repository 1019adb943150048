"""Draw the markings of one animal: where the coat is dark, and where it has the second pigment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic.bodies import Sheet
from animalclef.synthetic.fields import floats, fractal_noise, smoothstep, turing_field, voronoi_cells, warp_field
from animalclef.synthetic.species import PatternFamily, PatternStyle

__all__ = ["Markings", "draw_markings", "individual_pattern"]


@dataclass(frozen=True, eq=False)
class Markings:
    """Pigment maps on the coat sheet."""

    mark: FloatArray  # (H, W) 0-1, the main marking
    accent: FloatArray  # (H, W) 0-1, the second pigment


def individual_pattern(style: PatternStyle, rng: np.random.Generator) -> PatternStyle:
    """Return the species' pattern with the slight variation of one animal."""
    finer, denser, longer = np.exp(rng.normal(0.0, style.jitter, 3))
    return replace(
        style,
        wavelength=float(np.clip(style.wavelength * finer, 0.02, 1.0)),
        coverage=float(np.clip(style.coverage * denser, 0.02, 0.95)),
        stretch=float(style.stretch * longer),
    )


def draw_markings(rng: np.random.Generator, sheet: Sheet, style: PatternStyle) -> Markings:
    """Draw the markings of one skin (one flank, or one back) on its sheet."""
    return _PAINTERS[style.family](rng, sheet, style)


def _turing(rng: np.random.Generator, sheet: Sheet, style: PatternStyle, bias: float) -> FloatArray:
    """Return a slightly warped Turing field, so that neighbouring markings differ."""
    wavelength = style.wavelength * sheet.px_per_unit
    field = turing_field(rng, sheet.shape_hw, wavelength, stretch=style.stretch, bias=bias)
    field = warp_field(rng, field, 0.16 * wavelength, 1.6 * wavelength)
    return field + np.float32(0.22) * fractal_noise(rng, sheet.shape_hw, 2.5 * wavelength, octaves=4, gain=0.6)


def _above(field: FloatArray, share: float, softness: float) -> FloatArray:
    """Return a soft mask of the highest `share` of a field."""
    level = float(np.quantile(field[::4, ::4], 1.0 - share))
    return smoothstep(level - softness, level + softness, field)


def _spots(rng: np.random.Generator, sheet: Sheet, style: PatternStyle) -> Markings:
    field = _turing(rng, sheet, style, bias=-1.1)
    mark = _above(field, style.coverage, style.softness)
    return Markings(mark, _above(field, min(1.8 * style.coverage, 0.9), 3.0 * style.softness))


def _rosettes(rng: np.random.Generator, sheet: Sheet, style: PatternStyle) -> Markings:
    """Draw broken rings with a darker inside."""
    field = _turing(rng, sheet, style, bias=-1.0)
    outer = _above(field, style.coverage, style.softness)
    inner = _above(field, 0.36 * style.coverage, style.softness)
    gaps = fractal_noise(rng, sheet.shape_hw, 0.45 * style.wavelength * sheet.px_per_unit, octaves=2)
    ring = outer * (1.0 - inner) * smoothstep(-1.0, -0.45, gaps)
    return Markings(ring, inner)


def _stripes(rng: np.random.Generator, sheet: Sheet, style: PatternStyle) -> Markings:
    field = _turing(rng, sheet, replace(style, stretch=3.2 * style.stretch), bias=-0.08)
    field = warp_field(rng, field, 0.3 * style.wavelength * sheet.px_per_unit, 3.0 * style.wavelength * 190.0)
    mark = _above(field, style.coverage, style.softness)
    return Markings(mark, _above(field, min(1.5 * style.coverage, 0.9), 2.0 * style.softness))


def _blotches(rng: np.random.Generator, sheet: Sheet, style: PatternStyle) -> Markings:
    """Draw large uneven patches in two rows along the body."""
    field = _turing(rng, sheet, style, bias=-0.3)
    wavelength = style.wavelength * sheet.px_per_unit
    field = field + np.float32(0.45) * fractal_noise(rng, sheet.shape_hw, wavelength, octaves=3)
    rows = np.abs(sheet.grid_xy()[..., 1])
    field = field + np.float32(0.5) * np.exp(-(((rows - 0.085) / 0.05) ** 2)).astype(np.float32)
    specks = turing_field(rng, sheet.shape_hw, 0.4 * wavelength, bias=-1.2, iterations=5)
    mark = np.maximum(_above(floats(field), style.coverage, style.softness), _above(specks, 0.055, 0.3))
    ground = fractal_noise(rng, sheet.shape_hw, 0.5 * wavelength, octaves=3)
    return Markings(mark, floats(smoothstep(0.9, 2.2, ground) * (1.0 - mark)))


def _reticulated(rng: np.random.Generator, sheet: Sheet, style: PatternStyle) -> Markings:
    """Draw large dark cells between pale seams."""
    grid = sheet.grid_xy()
    cells = voronoi_cells(_jittered_grid(rng, sheet, style.wavelength), grid)
    wobble = 0.07 * style.wavelength * fractal_noise(rng, sheet.shape_hw, 0.5 * style.wavelength * sheet.px_per_unit)
    seam = 0.5 * style.wavelength * (1.0 - style.coverage) * 0.75
    mark = smoothstep(seam * 0.7, seam * 1.3, floats(cells.edge + wobble))
    return Markings(mark, smoothstep(0.55 * style.wavelength, 0.1 * style.wavelength, cells.radius) * mark)


def _scutes(rng: np.random.Generator, sheet: Sheet, style: PatternStyle) -> Markings:
    """Draw cloudy pigment for a shell; the coat adds the shell's plates and rays."""
    wavelength = style.wavelength * sheet.px_per_unit
    clouds = fractal_noise(rng, sheet.shape_hw, 1.6 * wavelength, octaves=5, gain=0.65)
    flecks = fractal_noise(rng, sheet.shape_hw, 0.5 * wavelength, octaves=3)
    return Markings(_above(clouds, style.coverage, 0.45), smoothstep(0.9, 1.9, flecks))


def _jittered_grid(rng: np.random.Generator, sheet: Sheet, spacing: float) -> FloatArray:
    """Return roughly even random points (n, 2) over the sheet, body units."""
    x = np.arange(0.0, sheet.extent_wh[0] + spacing, spacing)
    y = np.arange(0.0, sheet.extent_wh[1] + spacing, 0.87 * spacing)
    grid = np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32)
    grid[1::2, :, 0] += 0.5 * spacing
    grid += rng.normal(0.0, 0.17 * spacing, grid.shape).astype(np.float32)
    return floats(grid.reshape(-1, 2) + floats(sheet.left_top_xy))


_PAINTERS: dict[PatternFamily, Callable[[np.random.Generator, Sheet, PatternStyle], Markings]] = {
    "spots": _spots,
    "rosettes": _rosettes,
    "stripes": _stripes,
    "blotches": _blotches,
    "reticulated": _reticulated,
    "scutes": _scutes,
}
