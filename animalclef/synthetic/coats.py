"""Paint the skin of one animal: colour and relief on the coat sheet of its body."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from animalclef.structures.arrays import FloatArray
from animalclef.synthetic import newt, quadruped, turtle
from animalclef.synthetic.bodies import SHEETS, Sheet, individual_body
from animalclef.synthetic.fields import floats, fractal_noise, linear_light, smoothstep, voronoi_cells
from animalclef.synthetic.markings import Markings, draw_markings, individual_pattern
from animalclef.synthetic.species import BodyStyle, Palette, Rgb, Species
from animalclef.synthetic.strokes import shifted

__all__ = ["Animal", "Coat", "body_of", "coat_of"]


@dataclass(frozen=True)
class Animal:
    """One individual: its species and its seed."""

    species: Species
    seed: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Coat:
    """A skin laid flat."""

    colour: FloatArray  # (H, W, 3) linear RGB, 0-1
    relief: FloatArray  # (H, W) height, body units
    mark: FloatArray  # (H, W) main marking, 0-1
    sheet: Sheet

    def __post_init__(self) -> None:
        if self.colour.shape != (*self.sheet.shape_hw, 3) or self.relief.shape != self.sheet.shape_hw:
            raise ValueError(f"Expected a coat of {self.sheet.shape_hw} texels, got {self.colour.shape}.")


def body_of(animal: Animal) -> BodyStyle:
    """Return the animal's proportions."""
    return individual_body(animal.species.body, np.random.default_rng((*animal.seed, 1)))


@lru_cache(maxsize=12)
def coat_of(animal: Animal, side: str) -> Coat:
    """Return the skin seen from `side`, one of `animal.species.sides`; the two flanks are different textures.

    Raises:
        ValueError: the species has no such side.
    """
    sides = animal.species.sides
    if side not in sides:
        raise ValueError(f"{animal.species.name} has the sides {sides}, got {side!r}.")
    shared = np.random.default_rng((*animal.seed, 2))
    pattern = individual_pattern(animal.species.pattern, shared)
    palette = _individual_palette(animal.species.palette, shared)
    rng = np.random.default_rng((*animal.seed, 3, sides.index(side)))
    body = animal.species.body
    sheet = SHEETS[body.family]
    marks = draw_markings(rng, sheet, pattern)
    if body.family == "quadruped":
        colour, relief = _quadruped_coat(rng, sheet, marks, palette, body)
    elif body.family == "newt":
        colour, relief = _newt_coat(rng, sheet, marks, palette)
    else:
        colour, relief = _turtle_coat(rng, sheet, marks, palette, rays=pattern.family == "scutes")
    colour = np.clip(colour * _hair(rng, sheet, body.fur), 0.002, 1.0)
    return Coat(colour.astype(np.float32), relief, marks.mark, sheet)


def _hair(rng: np.random.Generator, sheet: Sheet, fur: float) -> FloatArray:
    """Return streaks along the body for fur, fine grain for bare skin, (H, W, 1)."""
    streaks = fractal_noise(rng, sheet.shape_hw, 2.2, octaves=1, stretch_xy=(3.5, 1.0))
    patches = fractal_noise(rng, sheet.shape_hw, 40.0, octaves=3)
    factor = np.exp((0.06 + 0.15 * fur) * streaks + 0.06 * patches)
    return floats(cv2.GaussianBlur(factor, (0, 0), 0.5))[..., None]


def _individual_palette(palette: Palette, rng: np.random.Generator) -> Palette:
    """Return the species' colours with the slight variation of one animal."""
    colours = (palette.base, palette.back, palette.pale, palette.mark, palette.accent)
    base, back, pale, mark, accent = (shifted(colour, rng, palette.drift, hue=0.3) for colour in colours)
    return Palette(base, back, pale, mark, accent, palette.drift)


def _quadruped_coat(
    rng: np.random.Generator, sheet: Sheet, marks: Markings, palette: Palette, body: BodyStyle
) -> tuple[FloatArray, FloatArray]:
    """Return colour (H, W, 3) and relief (H, W) of one flank."""
    x, y = np.moveaxis(sheet.grid_xy(), -1, 0)
    soft = 0.03 * fractal_noise(rng, sheet.shape_hw, 0.2 * sheet.px_per_unit, octaves=3)
    colour = _fill(sheet, palette.base)
    colour = _mix(colour, palette.back, 0.75 * smoothstep(-0.02, -0.2, y + soft) * smoothstep(1.5, 1.2, x))
    belly = smoothstep(0.13, 0.27, y + soft) * smoothstep(0.84, 0.66, x) * smoothstep(0.14, 0.36, x)
    throat = smoothstep(-0.16, -0.1, y + 0.5 * soft) * smoothstep(1.16, 1.38, x)
    pale = np.maximum(0.8 * belly, np.maximum(throat, 0.3 * smoothstep(0.3, 0.75, y)))
    tail = smoothstep(quadruped.TAIL_ROOT_XY[0] - 0.06, quadruped.TAIL_ROOT_XY[0] - 0.16, x)
    colour = _mix(colour, palette.pale, pale * (1.0 - tail))
    fade = (1.0 - 0.35 * belly) * (1.0 - 0.8 * smoothstep(1.18, 1.3, x)) * (1.0 - tail)
    colour = _mix(colour, palette.accent, 0.8 * marks.accent * fade)
    colour = _mix(colour, palette.mark, 0.94 * marks.mark * fade)
    colour = _mix(colour, palette.mark, 0.9 * tail * _tail_rings(rng, x, body))
    relief = 0.0007 * body.fur * fractal_noise(rng, sheet.shape_hw, 3.0, octaves=2, stretch_xy=(3.0, 1.0))
    return _cat_face(colour, x, y, palette, rng), relief


def _tail_rings(rng: np.random.Generator, x: FloatArray, body: BodyStyle) -> FloatArray:
    """Paint uneven dark rings and a dark tip."""
    length = 0.85 * body.tail
    share = (quadruped.TAIL_ROOT_XY[0] - x) / length
    rings = np.zeros_like(x)
    for centre in np.arange(0.12, 0.85, rng.uniform(0.13, 0.19)):
        middle, wide = centre + rng.normal(0, 0.012), rng.uniform(0.018, 0.036)
        rings = np.maximum(rings, smoothstep(wide * 1.5, wide * 0.7, np.abs(share - np.float32(middle))))
    return np.maximum(rings, smoothstep(0.86, 0.92, share))


def _cat_face(
    colour: FloatArray, x: FloatArray, y: FloatArray, palette: Palette, rng: np.random.Generator
) -> FloatArray:
    """Paint eye, nose, mouth, whisker spots and the back of the ear."""
    eye = _disc(x, y, quadruped.EYE_XY, 1.25)
    colour = _mix(colour, palette.pale, 0.5 * smoothstep(0.058, 0.04, eye))
    colour = _mix(colour, (22, 17, 14), smoothstep(0.038, 0.031, eye))
    colour = _mix(colour, (196, 158, 62), smoothstep(0.027, 0.021, eye))
    colour = _mix(colour, (8, 8, 8), smoothstep(0.015, 0.01, eye))
    colour = _mix(colour, (46, 30, 27), smoothstep(0.042, 0.03, _disc(x, y, quadruped.NOSE_XY, 1.0)))
    mouth = np.abs(y - (-0.1 - 0.22 * (x - 1.45)))
    colour = _mix(colour, (52, 36, 30), 0.8 * smoothstep(0.010, 0.004, mouth) * smoothstep(1.36, 1.39, x))
    for _ in range(5):
        centre = (rng.uniform(1.38, 1.46), rng.uniform(-0.155, -0.115))
        colour = _mix(colour, palette.mark, 0.7 * smoothstep(0.010, 0.005, _disc(x, y, centre, 1.0)))
    streak = np.abs(y + 0.235 - 0.45 * (1.31 - x)) + 10.0 * np.maximum(np.abs(x - 1.25) - 0.06, 0.0)
    colour = _mix(colour, palette.mark, 0.75 * smoothstep(0.016, 0.008, streak))
    ear = smoothstep(-0.36, -0.42, y) * smoothstep(1.0, 1.08, x)
    colour = _mix(colour, palette.mark, 0.85 * ear)
    return _mix(colour, palette.pale, 0.5 * smoothstep(0.035, 0.015, _disc(x, y, (1.205, -0.405), 1.0)))


def _newt_coat(
    rng: np.random.Generator, sheet: Sheet, marks: Markings, palette: Palette
) -> tuple[FloatArray, FloatArray]:
    """Return colour (H, W, 3) and relief (H, W) of a back."""
    x, y = np.moveaxis(sheet.grid_xy(), -1, 0)
    colour = _mix(_fill(sheet, palette.base), palette.back, 0.7 * smoothstep(0.06, 0.0, np.abs(y)))
    colour = _mix(colour, palette.accent, 0.5 * marks.accent)
    limbs = smoothstep(0.19, 0.26, np.abs(y))
    colour = _mix(colour, palette.mark, marks.mark * (1.0 - 0.75 * limbs * smoothstep(0.3, 0.42, np.abs(y))))
    colour = _mix(colour, palette.pale, 0.35 * limbs * (1.0 - marks.mark))
    grain = fractal_noise(rng, sheet.shape_hw, 4.0, octaves=2)
    relief = 0.0022 * grain
    for side in (-1, 1):
        eye = _disc(x, y, (newt.EYE_XY[0], side * newt.EYE_XY[1]), 1.2)
        colour = _mix(colour, (9, 8, 8), smoothstep(0.036, 0.028, eye))
        relief = relief + 0.03 * np.sqrt(np.maximum(1.0 - (eye / 0.038) ** 2, 0.0)).astype(np.float32)
    furrow = smoothstep(0.018, 0.0, np.abs(y)) * smoothstep(1.6, 1.45, x) * smoothstep(0.4, 0.6, x)
    return colour, (relief - 0.008 * furrow).astype(np.float32)


def _turtle_coat(
    rng: np.random.Generator, sheet: Sheet, marks: Markings, palette: Palette, *, rays: bool
) -> tuple[FloatArray, FloatArray]:
    """Return colour (H, W, 3) and relief (H, W) of a shell with head and flippers."""
    grid = sheet.grid_xy()
    shell = _on_shell(grid)
    shell_colour, shell_relief = _shell(rng, sheet, marks, palette, rays=rays)
    skin_colour, skin_relief = _scaly_skin(rng, sheet, palette)
    colour = skin_colour + shell[..., None] * (shell_colour - skin_colour)
    for side in (-1, 1):
        eye = _disc(grid[..., 0], grid[..., 1], (turtle.EYE_XY[0], side * turtle.EYE_XY[1]), 1.2)
        colour = _mix(colour, (14, 12, 10), smoothstep(0.036, 0.026, eye))
    return colour, floats(skin_relief + shell * (shell_relief - skin_relief))


def _on_shell(grid_xy: FloatArray) -> FloatArray:
    """Return 1 on the carapace, 0 on head and limbs (H, W); generous, as the shell ribbon lies on top."""
    x, y = grid_xy[..., 0], grid_xy[..., 1]
    inside = smoothstep(0.47, 0.45, np.abs(y)) * smoothstep(0.62, 0.6, x)
    reach = np.abs(y) - 1.25 * turtle.carapace_half_width(x)
    return floats(inside * smoothstep(0.02, 0.0, reach) * smoothstep(-0.66, -0.64, x))


def _shell(
    rng: np.random.Generator, sheet: Sheet, marks: Markings, palette: Palette, *, rays: bool
) -> tuple[FloatArray, FloatArray]:
    grid = sheet.grid_xy()
    seeds, large = turtle.scute_seeds(rng)
    wobble = np.stack([fractal_noise(rng, sheet.shape_hw, 14.0, octaves=2) for _ in range(2)], axis=-1)
    cells = voronoi_cells(seeds, grid + 0.008 * wobble)
    tone = rng.normal(0.0, 0.14, len(seeds)).astype(np.float32)[cells.label][..., None]
    colour = _mix(_fill(sheet, palette.base), palette.back, 0.55 * smoothstep(0.03, 0.11, cells.edge))
    if rays:
        streak, other = _rays(rng, cells.label, grid - seeds[cells.label], len(seeds), large)
        colour = _mix(colour, palette.accent, 0.75 * other)
        colour = _mix(colour, palette.mark, 0.9 * streak)
        colour = _mix(colour, palette.mark, 0.3 * marks.mark)
    else:
        colour = _mix(colour, palette.accent, 0.7 * marks.accent)
        colour = _mix(colour, palette.mark, 0.9 * marks.mark)
    colour = _mix(colour * np.exp(tone), palette.pale, 0.55 * smoothstep(0.011, 0.004, cells.edge))
    relief = 0.02 * smoothstep(0.0, 0.03, cells.edge) + 0.003 * fractal_noise(rng, sheet.shape_hw, 10.0)
    return colour, relief.astype(np.float32)


def _rays(
    rng: np.random.Generator, label: np.ndarray, offset_xy: FloatArray, n: int, large: int
) -> tuple[FloatArray, FloatArray]:
    """Return streaks that fan out from one corner of every scute: two pigments, (H, W) each."""
    corner = rng.normal(0.0, 0.03, (n, 2)).astype(np.float32) - np.array([0.07, 0.0], dtype=np.float32)
    corner[large:] *= 0.3
    delta = offset_xy - corner[label]
    angle = np.arctan2(delta[..., 1], delta[..., 0])
    total = np.zeros(label.shape, dtype=np.float32)
    for frequency in (3, 5, 8, 13):
        phase = rng.uniform(0, 2 * np.pi, n).astype(np.float32)[label]
        weight = rng.normal(0.0, 1.0, n).astype(np.float32)[label]
        total += weight * np.sin(frequency * angle + phase)
    total += 0.5 * fractal_noise(rng, label.shape, 12.0, octaves=3)
    return smoothstep(0.55, 1.25, total), smoothstep(-0.5, -1.2, total)


def _scaly_skin(rng: np.random.Generator, sheet: Sheet, palette: Palette) -> tuple[FloatArray, FloatArray]:
    """Paint dark scales between pale seams on head and flippers."""
    count = int(sheet.extent_wh[1] * sheet.extent_wh[0] / 0.0052)
    seeds = floats(rng.random((count, 2)) * sheet.extent_wh + sheet.left_top_xy)
    cells = voronoi_cells(seeds, sheet.grid_xy())
    dark = np.exp(rng.normal(0.0, 0.3, count)).astype(np.float32)[cells.label][..., None]
    scale = _mix(_fill(sheet, palette.mark), palette.base, floats(0.45)) * dark
    colour = _mix(scale, palette.pale, 0.6 * smoothstep(0.011, 0.003, cells.edge))
    return colour, (0.008 * smoothstep(0.0, 0.015, cells.edge)).astype(np.float32)


def _fill(sheet: Sheet, colour: Rgb) -> FloatArray:
    return np.tile(linear_light(colour), (*sheet.shape_hw, 1))


def _mix(colour: FloatArray, other: Rgb, share: FloatArray) -> FloatArray:
    """Move `colour` (H, W, 3) towards `other` by `share` (H, W)."""
    return floats(colour + share[..., None] * (linear_light(other) - colour))


def _disc(x: FloatArray, y: FloatArray, centre_xy: tuple[float, float], slender: float) -> FloatArray:
    """Return the distance to a centre (H, W), body units, the y axis counted `slender` times."""
    return floats(np.hypot(x - np.float32(centre_xy[0]), slender * (y - np.float32(centre_xy[1]))))
