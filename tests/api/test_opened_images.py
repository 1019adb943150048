"""Images and settings as users give them to the Python API: the same picture in every form, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import animalclef as ac
from animalclef.api.datasets import path_or_none
from animalclef.api.matches import Matches
from animalclef.api.open_images import open_image, open_images
from animalclef.errors import ConfigError, WeightsError

WIDE, HIGH = 2100, 1500


@pytest.fixture(scope="module")
def large() -> NDArray[np.uint8]:
    """A drawn picture of 2,100 x 1,500 pixels."""
    small = np.random.default_rng(0).integers(0, 255, (30, 42, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (WIDE, HIGH), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def test_a_large_picture_is_the_same_as_file_array_and_opened(tmp_path: Path, large: NDArray[np.uint8]) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(large).save(path)
    of_file, of_array, of_picture = (open_image(one) for one in (path, large, Image.open(path)))
    for one in (of_file, of_array, of_picture):
        assert one.pixels.shape == (731, 1024, 3)
        assert one.original_size_wh == (WIDE, HIGH)
        np.testing.assert_array_equal(one.pixels, of_file.pixels)


def test_transparency_is_reduced_with_its_picture(large: NDArray[np.uint8]) -> None:
    picture = Image.fromarray(large)
    picture.putalpha(Image.new("L", picture.size, 40))
    alpha = open_image(picture).alpha
    assert alpha is not None
    assert alpha.shape == (731, 1024)
    assert set(np.unique(alpha)) == {40}


def test_a_mask_has_the_size_of_its_large_picture(large: NDArray[np.uint8]) -> None:
    [mask] = ac.segment(large, model="grabcut").masks
    assert (mask.shape, mask.dtype) == ((HIGH, WIDE), bool)


def test_a_match_on_large_pictures_is_drawn_where_it_is() -> None:
    black = np.zeros((HIGH, WIDE, 3), np.uint8)
    ends = np.array([[WIDE - 50, 750], [50, 750]], np.float32)
    scores, one = {"matches": 1.0}, np.ones(1, np.float32)
    drawn = np.asarray(Matches(ends[:1], ends[1:], one, np.ones(1, bool), scores, (black, black)).draw())
    assert drawn.shape == (360, 2 * 504, 3)
    columns = np.flatnonzero(drawn.any(axis=(0, 2)))
    assert 504 - 14 < columns.min() < 504 < columns.max() < 504 + 14  # 50 pixels are 12 here


@pytest.mark.parametrize(
    "image",
    [np.zeros((0, 0, 3), np.uint8), np.zeros((0, 5, 3), np.uint8), np.zeros((4, 4), np.uint8),
     np.zeros((4, 4, 3)), [np.zeros((5, 0, 3), np.uint8)]],
    ids=["no row or column", "no row", "grey", "float", "in a list"],
)  # fmt: skip
def test_an_array_that_is_none_of_an_image(image: Any) -> None:
    with pytest.raises(ValueError, match=r"images: expected filled arrays \(h, w, 3\) of uint8, got \("):
        ac.Embedder("rootsift-vlad").embed(image)


def test_what_is_no_image() -> None:
    with pytest.raises(ValueError, match="images: expected pictures with pixels, got one of 5 x 0"):
        open_image(Image.new("RGB", (5, 0)))
    for nothing in (None, 5, [5]):
        with pytest.raises(TypeError, match="images: expected the path of a photograph, a PIL image, an array"):
            list(open_images(nothing, print))  # type: ignore[arg-type]


def test_settings_begin_with_a_name_as_a_path() -> None:
    assert ac.load_config(Path("offline")).name == "offline"


def test_a_change_in_place_of_a_file() -> None:
    with pytest.raises(ConfigError, match=r'expected a file or a name, got .*load_config\(None, "a.b=c"\)'):
        ac.load_config("retrieve.top_k=5")


@pytest.mark.parametrize("weights", ["absent/folder", "absent.safetensors"])
def test_weights_that_are_not_there_are_told_where_none_are_needed(weights: str) -> None:
    for made in (ac.Embedder, ac.LocalFeatureExtractor, ac.Matcher):
        with pytest.raises(WeightsError, match=f"weights {weights}: no such file or folder."):
            made(*(["embedder-lite"] if made is ac.Embedder else []), weights=weights)


def test_an_empty_text_is_no_path() -> None:
    assert path_or_none(".", "path") == Path()
    with pytest.raises(ValueError, match=r"expected a path, got an empty text. Write '.' for the current folder."):
        ac.load_dataset("")


@pytest.mark.parametrize(("fully", "shape"), [(True, (HIGH, WIDE, 3)), (False, (731, 1024, 3))])
def test_an_embedder_sees_as_many_pixels_as_in_a_run(
    tmp_path: Path, large: NDArray[np.uint8], fully: bool, shape: tuple[int, int, int]
) -> None:
    seen = []

    class Network:
        """Stands in for a network that resizes from the full size, as MiewID does, or not."""

        decodes_fully = fully

        def extract_features(self, images: Any, pool: Any) -> list[dict[str, NDArray[np.float32]]]:
            seen.extend(image.pixels.shape for image in images)
            return [{"embedding": np.array([1, 0], np.float32)} for _ in images]

    path = tmp_path / "large.jpg"
    Image.fromarray(large).save(path)
    embedder = ac.Embedder("rootsift-vlad")
    embedder._network = Network()  # type: ignore[assignment]
    embedder.embed([path, large])
    assert seen == [shape, shape]
