"""Views of a query: turned pixels, places brought back, and the best view of each pair."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from rows import Row, image_table, strings

from animalclef.config import KeypointConfig
from animalclef.features.local.entries import features_from_entry
from animalclef.features.local.query_views import ViewExtractor, best_of_views, upright_xy, view_key, with_views
from animalclef.features.local.sift import SiftExtractor
from animalclef.structures import DecodedImage, PairScores, Shortlist

VIEWS = ("rot90", "rot180", "rot270", "flip")


def photograph(size_wh: tuple[int, int], at: tuple[float, float]) -> DecodedImage:
    """A bright blob on grey."""
    x, y = np.meshgrid(np.arange(size_wh[0]), np.arange(size_wh[1]))
    grey = 60 + 180 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * 6.0**2))
    pixels = np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    alpha = np.full(size_wh[::-1], 255, np.uint8)
    alpha[:, : size_wh[0] // 4] = 0
    return DecodedImage(pixels, alpha, size_wh)


def test_places_by_hand() -> None:
    """A photograph of 4 x 3 pixels; its pixel (1, 0) goes clockwise to (2, 1) in a view of 3 x 4."""
    for view, size_wh, place in (
        ("rot90", (3, 4), (2, 1)), ("rot180", (4, 3), (2, 2)), ("rot270", (3, 4), (0, 2)), ("flip", (4, 3), (2, 0)),
        ("", (4, 3), (1, 0)),
    ):  # fmt: skip
        assert upright_xy(np.array([place], np.float32), size_wh, view).tolist() == [[1, 0]], view


@pytest.mark.parametrize("view", VIEWS)
def test_a_blob_in_a_view_is_brought_back_to_its_place(view: str) -> None:
    image = photograph((400, 260), (270.0, 90.0))
    with ThreadPoolExecutor(1) as pool:
        entry = ViewExtractor(SiftExtractor(KeypointConfig(equalise=False)), view).extract_features([image], pool)[0]
    features = features_from_entry("k", entry)
    assert features.image_size_wh == ((260, 400) if view in ("rot90", "rot270") else (400, 260))
    places = upright_xy(features.keypoints_xy, features.image_size_wh, view)
    assert np.linalg.norm(places - (270, 90), axis=1).min() < 0.3
    assert (places[:, 0] > 95).all()  # the transparent ground turned with it


def test_views_are_further_queries_with_the_same_candidates() -> None:
    images = image_table(
        [Row("q", None, dataset="newt"), Row("p", None, dataset="cat"), Row("g", "Luna", dataset="newt")]
    )
    index = np.array([[0], [-1]], np.int32)
    shortlist = Shortlist(strings("q", "p"), strings("g"), index, np.array([[0.5], [np.nan]], np.float32))
    wider, table = with_views(shortlist, images, {"newt": ("rot90", "flip"), "owl": ("flip",)})
    assert len(wider.query_id) == 4
    assert wider.query_id[:2].tolist() == ["q", "p"]
    assert wider.index.tolist() == [[0], [-1], [0], [0]]
    key_of = dict(zip(table.image_id, table.key, strict=True))
    keys = [key_of[image_id] for image_id in wider.query_id[2:]]
    assert keys == [view_key(images.key[0], "rot90"), view_key(images.key[0], "flip")]
    assert len({one[:16] for one in (*keys, *images.key)}) == 5  # what the pair log tells them apart by
    assert with_views(shortlist, images, {}) == (shortlist, images)


def test_the_best_view_of_each_pair_is_kept_whole() -> None:
    images = image_table([Row("q"), Row("g", "Luna"), Row("h", "Tara"), Row("i", "Mia")])
    index = np.array([[0, 1, 2]], np.int32)
    shortlist = Shortlist(strings("q"), strings("g", "h", "i"), index, np.array([[0.9, 0.8, 0.7]], np.float32))
    wider, _ = with_views(shortlist, images, {"lynx": ("rot90", "rot180")})
    columns = {
        "inliers": np.array([5, 2, np.nan, 4, 9, 3, 5, 9, np.nan], np.float32),
        "matches": np.array([10, 11, 12, 40, 41, 42, 70, 71, 72], np.float32),
    }
    scores = PairScores(np.repeat(wider.query_id, 3), strings(*"ghighighi"), columns)
    best = best_of_views(scores, "inliers")
    assert best.query_id.tolist() == ["q", "q", "q"]
    assert best.gallery_id.tolist() == ["g", "h", "i"]
    assert best.columns["inliers"].tolist() == [5, 9, 3]
    assert best.columns["matches"].tolist() == [10, 41, 42]  # a tie goes to the photograph as it is, then to the first


def test_nothing_to_choose_from_is_nothing() -> None:
    nothing = PairScores(strings(), strings(), {"inliers": np.zeros(0, np.float32)})
    assert len(best_of_views(nothing, "inliers")) == 0
