"""Boxes around drawn animals: what they hold, and that the head is up, whichever way the animal lies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from animalclef.data.decode import crop
from animalclef.prepare.body_box import body_box, cut_out_box, is_whole, outline_box, plain_ground

GROUND, SKIN, HEAD, TAIL, LEG = (128, 128, 128), (90, 150, 60), (250, 0, 0), (0, 0, 250), (0, 250, 0)
WIDTH, HEIGHT = 640, 480


def newt(turn_deg: float, *, curled: bool = False, scale: float = 1.0) -> NDArray[np.uint8]:
    """(480, 640, 3) RGB: body 160 x 60, head 44, a tapering tail, four legs; at 0 degrees the head is on the right."""
    picture = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
    turn = np.radians(turn_deg)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def place(x: float, y: float) -> tuple[int, int]:
        left, top = matrix @ (x, y) + (WIDTH / 2, HEIGHT / 2)
        return round(float(left)), round(float(top))

    def line(points: list[tuple[float, float]], widths: list[float], colour: tuple[int, int, int]) -> None:
        for one, other, width in zip(points, points[1:], widths, strict=False):
            cv2.line(picture, place(*one), place(*other), colour, max(1, round(width * scale)))

    for x, y in ((50, 60), (50, -60), (-50, 60), (-50, -60)):
        line([(x, 0), (x, y)], [12], LEG)
    if curled:  # back along the flank, up to the head
        bends = [(-70 - 50 * np.sin(a), -60 + 60 * np.cos(a)) for a in np.linspace(0, np.pi, 12)]
        points = [*bends, (-20, -120), (60, -118), (120, -100)]
    else:
        points = [(x, 6 * np.sin(x / 30)) for x in np.linspace(-70, -230, 16)]
    line(points, [float(width) for width in np.linspace(22, 4, len(points))], TAIL)
    axes = (round(80 * scale), round(30 * scale))
    cv2.ellipse(picture, place(0, 0), axes, turn_deg, 0, 360, SKIN, cv2.FILLED)
    cv2.circle(picture, place(88, 0), round(22 * scale), HEAD, cv2.FILLED)
    return picture


def rows_of(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.int64]:
    near = np.abs(pixels.astype(int) - colour).max(axis=2) < 60
    return np.flatnonzero(near.any(axis=1))


@pytest.mark.parametrize("curled", [False, True])
@pytest.mark.parametrize("turn_deg", [0, 35, 90, 135, 180, 250, 300])
def test_the_head_is_up_and_tail_and_limbs_are_left_out(turn_deg: float, curled: bool) -> None:
    picture = newt(turn_deg, curled=curled)
    mask = plain_ground(picture)
    assert mask is not None
    x, y, width, height, rotation = body_box(mask)
    assert height == pytest.approx(1.06 * 190, abs=24)  # body and head
    assert width == pytest.approx(1.06 * 60, abs=12)
    up = np.array([np.sin(rotation), -np.cos(rotation)])
    assert up @ (np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))) > np.cos(np.radians(8))
    cut = crop(picture, None, np.array((x, y, width, height, rotation), np.float32))[0]
    head, tail = rows_of(cut, HEAD), rows_of(cut, TAIL)
    assert head.max() < 0.35 * len(cut)
    assert len(head) > 30
    assert len(tail) == 0 or curled or tail.min() > 0.8 * len(cut)
    assert (rows_of(cut, SKIN).max() - rows_of(cut, SKIN).min()) > 120


def test_the_size_of_the_photograph_does_not_matter() -> None:
    large = body_box(plain_ground(newt(35)))  # type: ignore[arg-type]
    small = body_box(plain_ground(newt(35, scale=0.4)))  # type: ignore[arg-type]
    assert small[4] == pytest.approx(large[4], abs=0.05)
    assert small[3] == pytest.approx(0.4 * large[3], rel=0.1)


def test_an_upright_box_holds_the_whole_animal() -> None:
    mask = np.zeros((60, 100), dtype=bool)
    mask[20:40, 10:60] = True
    mask[50:52, 90:92] = True  # a speck
    assert outline_box(mask) == pytest.approx((10 - 1.5, 20 - 0.6, 53, 21.2, 0))


def test_a_twig_before_the_animal_does_not_halve_its_box() -> None:
    mask = np.zeros((100, 200), dtype=bool)
    mask[20:80, 20:100] = mask[20:80, 103:180] = True
    assert outline_box(mask) == pytest.approx((20 - 4.8, 20 - 1.8, 169.6, 63.6, 0))
    assert not is_whole(mask)
    mask[20:80, 100:103] = True
    assert is_whole(mask)


def test_an_animal_without_a_tail_is_turned_the_least() -> None:
    mask = np.zeros((200, 100), dtype=bool)
    mask[20:180, 40:60] = True
    x, y, width, height, rotation = body_box(mask)
    assert (width, height) == (pytest.approx(21.2, abs=3), pytest.approx(169.6, abs=6))
    assert abs(rotation) < 0.01
    assert (x + width / 2, y + height / 2) == (pytest.approx(50, abs=1), pytest.approx(100, abs=1))


@pytest.mark.parametrize("box", [outline_box, body_box])
def test_an_empty_mask_is_refused(box) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="the mask is empty"):
        box(np.zeros((10, 20), dtype=bool))


def test_one_pixel_has_a_box() -> None:
    mask = np.zeros((10, 20), dtype=bool)
    mask[4, 7] = True
    for x, y, width, height, _ in (outline_box(mask), body_box(mask)):
        assert x <= 7.5 <= x + width
        assert y <= 4.5 <= y + height
        assert min(width, height) >= 1  # a box that a table can hold


def test_a_ground_that_is_not_plain_tells_nothing() -> None:
    rng = np.random.default_rng(0)
    busy = rng.integers(0, 256, (60, 100, 3), dtype=np.uint8)
    assert plain_ground(busy) is None
    plain = np.full((60, 100, 3), 200, np.uint8)
    assert plain_ground(plain) is None  # nobody there
    plain[20:40, 30:60] = 40
    found = plain_ground(plain)
    assert found is not None
    assert found.sum() == 20 * 30
    plain[5:15, 70:90] = 40  # two patches of much the same size: not one animal
    assert plain_ground(plain) is None


def test_noise_and_the_traces_of_jpeg_are_ground() -> None:
    picture = newt(35)
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 2, picture.shape), 0, 255).astype(np.uint8)
    stored = cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)
    clean, found = plain_ground(picture), plain_ground(np.asarray(stored, dtype=np.uint8))
    assert clean is not None
    assert found is not None
    assert (clean ^ found).mean() < 0.02


def rectangle(left: int, top: int, right: int, bottom: int, width: int = 60, height: int = 40) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_box_is_in_pixels_of_the_photograph_with_a_margin() -> None:
    # 20 x 10 pixels of the mask from (30, 10), a tenth wider: from 29 to 51 and from 9.5 to 20.5, twice as large
    box = cut_out_box(rectangle(30, 10, 50, 20), (120, 80), 0.1)
    assert box.tolist() == [58.0, 19.0, 44.0, 22.0, 0.0]


def test_the_box_stays_inside_the_photograph() -> None:
    box = cut_out_box(rectangle(0, 0, 20, 20), (60, 40), 0.5)
    assert box.tolist() == [0.0, 0.0, 25.0, 25.0, 0.0]


@pytest.mark.parametrize(
    "mask", [np.zeros((40, 60), dtype=bool), np.ones((40, 60), dtype=bool), rectangle(1, 1, 59, 39)]
)
def test_nothing_or_nearly_all_is_no_box(mask: np.ndarray) -> None:
    assert np.isnan(cut_out_box(mask, (60, 40))).all()


def test_three_animals_share_one_box() -> None:
    mask = rectangle(10, 10, 14, 14) | rectangle(20, 20, 24, 24) | rectangle(30, 10, 34, 14)
    assert cut_out_box(mask, (60, 40), 0.0).tolist() == [10.0, 10.0, 24.0, 14.0, 0.0]


def test_along_the_body_the_box_is_turned() -> None:
    canvas = np.zeros((100, 160), np.uint8)
    cv2.ellipse(canvas, (80, 50), (50, 12), 30, 0, 360, 1, -1)
    x, y, width, height, rotation_rad = cut_out_box(canvas > 0, (320, 200), along_body=True).tolist()
    assert height > 3 * width
    assert (x + width / 2, y + height / 2) == pytest.approx((160, 100), abs=4)
    assert abs(np.degrees(rotation_rad)) % 180 == pytest.approx(60, abs=4)  # from upright to 30 degrees below level
