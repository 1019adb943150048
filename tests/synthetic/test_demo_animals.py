"""Coats, bodies and photographs: individual patterns, geometry, and species drawn at random."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from animalclef.synthetic import (
    DEMO_SPECIES,
    Animal,
    Palette,
    PatternStyle,
    Species,
    coat_of,
    draw_visit,
    photograph,
    random_species,
)
from animalclef.synthetic.bodies import SHEETS
from animalclef.synthetic.fields import FloatArray, fractal_noise, turing_field, voronoi_cells, wide_blur
from animalclef.synthetic.ribbons import Camera, draw_body, ribbon

CAT = DEMO_SPECIES[0]


def _likeness(a: FloatArray, b: FloatArray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _shell_or_flank(species: Species, seed: int, side: str) -> FloatArray:
    """Brightness of the part of the coat that carries the individual pattern, low frequencies taken out."""
    colour = coat_of(Animal(species, (seed,)), side).colour.mean(axis=2)
    height, width = colour.shape
    middle = colour[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5]
    return np.asarray(middle - cv2.GaussianBlur(middle, (0, 0), 20.0), dtype=np.float32)


@pytest.mark.parametrize("species", DEMO_SPECIES, ids=lambda species: species.name)
def test_a_coat_belongs_to_one_animal(species: Species) -> None:
    side = species.sides[0]
    mine, mine_again = _shell_or_flank(species, 1, side), _shell_or_flank(species, 1, side)
    assert _likeness(mine, mine_again) == pytest.approx(1.0)
    others = [_likeness(mine, _shell_or_flank(species, seed, side)) for seed in (2, 3, 4)]
    assert max(abs(value) for value in others) < 0.4


def test_the_two_flanks_are_different_textures() -> None:
    assert abs(_likeness(_shell_or_flank(CAT, 1, "left"), _shell_or_flank(CAT, 1, "right"))) < 0.4


@pytest.mark.parametrize("species", DEMO_SPECIES, ids=lambda species: species.name)
def test_colour_alone_hardly_tells_animals_apart(species: Species) -> None:
    means = np.array([coat_of(Animal(species, (s,)), species.sides[0]).colour.mean(axis=(0, 1)) for s in range(1, 5)])
    assert np.all(means.std(axis=0) / means.mean(axis=0) < 0.2)


def test_two_photographs_show_one_texture() -> None:
    """Skin brought back from two poses to the flat sheet agrees, and disagrees with another animal's."""
    camera = Camera(np.array([[180.0, 20.0], [-20.0, 180.0]]), np.array([20.0, 140.0]), (260, 230))
    straight = ribbon([(0, 0), (0.5, 0), (1, 0)], [(0, 0), (0.5, 0), (1, 0)], [0.2, 0.25, 0.2])
    bent = ribbon([(0, 0), (0.5, 0), (1, 0)], [(0, 0), (0.5, 0.1), (1, 0)], [0.2, 0.25, 0.2])
    seen = []
    for part in (straight, bent):
        body = draw_body([part], camera)
        u, v = np.moveaxis(SHEETS["quadruped"].texel(body.sheet_xy), -1, 0)
        skin = [cv2.remap(coat_of(Animal(CAT, (s,)), "left").mark, u, v, cv2.INTER_LINEAR) for s in (1, 2)]
        inside = body.alpha > 0.9
        grid = np.round(body.sheet_xy[inside] * 60).astype(int)
        seen.append([dict(zip(map(tuple, grid), values[inside], strict=True)) for values in skin])
    shared = sorted(seen[0][0].keys() & seen[1][0].keys())
    first, second, other = ([d[key] for key in shared] for d in (seen[0][0], seen[1][0], seen[1][1]))
    assert len(shared) > 500
    assert np.corrcoef(first, second)[0, 1] > 0.8
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.3


def test_an_unknown_side_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'left', 'right'.*got 'top'"):
        coat_of(Animal(CAT, (1,)), "top")


def test_a_left_flank_looks_left() -> None:
    """The head end is where the tail is not: a left flank is the mirror image in its mask's long thin end."""
    visit = draw_visit(CAT, (1, 1), "2020-01-01", np.random.default_rng(0))
    masks = [photograph(Animal(CAT, (1,)), visit, side, np.random.default_rng(5)).mask for side in ("left", "right")]
    assert masks[0].shape == masks[1].shape
    shift = masks[0].astype(float)[:, ::-1] - masks[1]
    assert np.abs(shift).mean() < np.abs(masks[0].astype(float) - masks[1]).mean()


@pytest.mark.parametrize("species", DEMO_SPECIES, ids=lambda species: species.name)
def test_a_photograph_is_plausible_and_repeatable(species: Species) -> None:
    visit = draw_visit(species, (1, 2), "2020-01-01", np.random.default_rng(0))
    first, second = (
        photograph(Animal(species, (1,)), visit, species.sides[0], np.random.default_rng(7)) for _ in range(2)
    )
    assert np.array_equal(first.pixels, second.pixels)
    assert first.pixels.dtype == np.uint8
    assert 0.04 < (first.mask > 127).mean() < 0.8
    assert 30 < first.pixels.mean() < 220


def test_random_species_differ_and_can_be_photographed() -> None:
    rng = np.random.default_rng(11)
    drawn = [random_species(rng) for _ in range(7)]
    assert len(set(drawn)) == 7
    assert {species.body.family for species in drawn} == {"quadruped", "newt", "turtle"}
    for index, species in enumerate(drawn):
        visit = draw_visit(species, (index,), "2020-01-01", rng)
        photo = photograph(Animal(species, (index,)), visit, species.sides[-1], rng)
        assert photo.pixels.std() > 8
        assert (photo.mask > 127).any()


def test_a_species_is_drawn_from_the_generator_alone() -> None:
    assert random_species(np.random.default_rng(4)) == random_species(np.random.default_rng(4))


def test_a_straight_ribbon_covers_its_rectangle() -> None:
    """100 px per unit: one unit long, 0.2 to each side, round caps of 0.2 at both ends."""
    camera = Camera(np.diag([100.0, 100.0]), np.array([50.0, 40.0]), (200, 80))
    line = [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0)]
    body = draw_body([ribbon(line, line, [0.2, 0.2], wrap=0.0)], camera)
    assert body.alpha.shape == (80, 200)
    assert body.alpha.sum() == pytest.approx(100 * 40 + np.pi * 20**2, rel=0.02)
    assert body.sheet_xy[40, 100] == pytest.approx([0.5, 0.0], abs=0.02)
    assert body.sheet_xy[30, 100] == pytest.approx([0.5, -0.1], abs=0.02)
    assert body.sheet_xy[40, 165] == pytest.approx([1.15, 0.0], abs=0.02)
    assert body.height[40, 100] == pytest.approx(20.0, abs=0.5)


def test_a_body_outside_the_picture_leaves_it_empty() -> None:
    camera = Camera(np.diag([100.0, 100.0]), np.array([900.0, 900.0]), (60, 40))
    line = [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0)]
    assert draw_body([ribbon(line, line, [0.2, 0.2])], camera).alpha.max() == 0.0


def test_noise_is_standardised_and_turing_fields_have_their_wavelength() -> None:
    noise = fractal_noise(np.random.default_rng(0), (90, 140), 20.0)
    assert noise.shape == (90, 140)
    assert float(noise.mean()) == pytest.approx(0.0, abs=1e-3)
    assert float(noise.std()) == pytest.approx(1.0, abs=1e-3)
    field = turing_field(np.random.default_rng(0), (256, 256), 16.0)
    power = np.abs(np.fft.fft2(field)) ** 2
    y, x = np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256), indexing="ij")
    frequency = np.hypot(x, y)
    assert 1.0 / float((power * frequency).sum() / power.sum()) == pytest.approx(16.0, rel=0.25)


def test_voronoi_cells_by_hand() -> None:
    seeds = np.array([[0.0, 0.0], [4.0, 0.0]], dtype=np.float32)
    cells = voronoi_cells(seeds, np.array([[[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]]], dtype=np.float32))
    assert cells.label[0, 0] == 0
    assert cells.label[0, 2] == 1
    assert cells.edge[0] == pytest.approx([1.0, 0.0, 2.0])
    assert cells.radius[0] == pytest.approx([1.0, 2.0, 0.0])


def test_a_wide_blur_agrees_with_the_plain_one() -> None:
    field = fractal_noise(np.random.default_rng(2), (120, 170), 30.0, octaves=2)
    gap = np.abs(wide_blur(field, 12.0) - cv2.GaussianBlur(field, (0, 0), 12.0))
    assert gap[16:-16, 16:-16].max() < 0.06


def test_wrong_palettes_and_patterns_are_refused() -> None:
    grey = (100, 100, 100)
    with pytest.raises(ValueError, match=r"Palette\.mark"):
        Palette(grey, grey, grey, (300, 0, 0), grey)
    with pytest.raises(ValueError, match="coverage 0-1"):
        PatternStyle("spots", wavelength=0.1, coverage=1.5)
