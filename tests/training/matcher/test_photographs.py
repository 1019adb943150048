"""The folder to train on, rendered subjects, and views whose surface is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from training_cases import drawn_photographs, tiny_recipe

from animalclef.config import KeypointConfig
from animalclef.config.training import WarpConfig
from animalclef.errors import DataError, OutputError
from animalclef.features.local.sift import extract_sift
from animalclef.features.local.unit_descriptors import root_sift
from animalclef.runtime.progress import Silent
from animalclef.runtime.threads import prefetch
from animalclef.structures import DecodedImage, LocalFeatures
from animalclef.training.matcher.photograph_views import Source, View, make_views
from animalclef.training.matcher.rendered_subjects import read_surface, render_subjects
from animalclef.training.matcher.training_folder import fill_store, find_photographs, subjects_of
from animalclef.training.matcher.view_batches import PairSource, held_out


def test_a_folder_that_cannot_be_trained_on_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_photographs(tmp_path / "absent")
    with pytest.raises(DataError, match="0 photographs; training needs two subjects or more"):
        find_photographs(tmp_path)
    (tmp_path / "notes.txt").write_text("no photograph")
    (tmp_path / "one.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 photograph"):
        find_photographs(tmp_path)


def test_unreadable_photographs_are_named_and_flat_ones_give_no_subject(tmp_path: Path) -> None:
    folder = drawn_photographs(tmp_path / "images", 3)
    (folder / "broken.jpg").write_bytes(b"not a photograph")
    cv2.imwrite(str(folder / "flat.png"), np.full((90, 120, 3), 127, np.uint8))
    config = tiny_recipe()
    photos = find_photographs(folder)
    store, key_of, bad = fill_store(photos, tmp_path / "views", config, 1, Silent())
    assert bad == ["broken.jpg"]
    assert [one.name for one in subjects_of(photos, key_of, store, 2, 8)] == ["0.png", "1.png", "2.png"]
    # Nothing is made again, and a changed photograph is.
    files = {path.name for path in (tmp_path / "views").rglob("*.safetensors")}
    again, keys, _ = fill_store(photos, tmp_path / "views", config, 1, Silent())
    assert {path.name for path in (tmp_path / "views").rglob("*.safetensors")} == files
    assert (len(again), keys) == (len(store), key_of)
    (folder / "flat.png").write_bytes((folder / "0.png").read_bytes())
    assert len(fill_store(photos, tmp_path / "views", config, 1, Silent())[0]) == len(store) + 2


def test_groups_are_held_out_whole() -> None:
    from animalclef.training.matcher.training_folder import Subject

    subjects = [Subject(f"{group}/{n}", group, (("a", "1"), ("b", "2"))) for group in "abcde" for n in range(3)]
    learnt, apart = held_out(subjects, 0.2, seed=0)
    assert len(learnt) == 12
    assert len({one.group for one in apart}) == 1
    assert not {one.group for one in apart} & {one.group for one in learnt}
    with pytest.raises(DataError, match="1 subjects with two usable views"):
        held_out(subjects[:1], 0.2, seed=0)


def test_keypoints_of_warped_views_lie_at_their_places_of_the_source() -> None:
    """A textured picture of 300 x 200: most true matches have like descriptors."""
    rng = np.random.default_rng(5)
    noise = cv2.GaussianBlur(rng.random((200, 300, 3)).astype(np.float32), (0, 0), 3)
    pixels = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)

    def sift(pixels: np.ndarray) -> LocalFeatures:
        return extract_sift(DecodedImage(pixels, None, (300, 200)), KeypointConfig(max_keypoints=300))

    config = WarpConfig(views=3, thin_plate=1.0, light=0, noise=0, blur=0, occlusion=0, most_zoom=1.2)
    first, *others = make_views(Source.flat(pixels), sift, config, rng)
    assert np.abs(first.surface_xy - first.keypoints_xy).max() < 1e-3
    assert np.allclose(first.surface_turn_rad % (2 * np.pi), first.orientation_rad % (2 * np.pi), atol=1e-3)
    assert np.allclose(first.px_per_unit, 512 / 300)
    for other in others:
        from animalclef.config.training import MatcherLossConfig
        from animalclef.training.matcher.assignment import true_assignment

        truth = true_assignment(first, other, MatcherLossConfig(), same_subject=True, same_photo=True)
        rows = np.flatnonzero(truth.first >= 0)
        assert len(rows) > 30
        near, far = root_sift(first.descriptors), root_sift(other.descriptors)
        nearest = (near[rows] @ far.T).argmax(axis=1)
        assert (truth.error_px[rows, nearest] < 6).mean() > 0.7


def test_rendered_photographs_of_one_animal_share_its_coat(tmp_path: Path) -> None:
    assert render_subjects(tmp_path / "images", 1, seed=3) == 12
    photos = find_photographs_of_one_group(tmp_path / "images")
    assert [len({photo.subject for photo in photos}), len({photo.group for photo in photos})] == [3, 1]
    picture = cv2.imread(str(photos[0].path))
    height, width = picture.shape[:2]
    assert height != width
    surface, shown = read_surface(tmp_path / "images" / "species00000" / "animal0" / "0.surface.png", (width, height))
    assert surface.shape == (height, width, 2)
    assert 0.05 < shown.mean() < 0.9
    assert np.abs(surface[shown]).max() < 2.0  # body units
    before = {path: path.read_bytes() for path in (tmp_path / "images").rglob("*.jpg")}
    (tmp_path / "images" / "species00000" / "whole").unlink()  # as after a kill
    render_subjects(tmp_path / "images", 1, seed=3)
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(OutputError, match="another seed"):
        render_subjects(tmp_path / "images", 1, seed=4)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.jpg").write_bytes(b"a photograph")
    with pytest.raises(OutputError, match="not rendered here"):
        render_subjects(tmp_path / "mine", 1, seed=3)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["a.jpg"]


def find_photographs_of_one_group(folder: Path) -> list:  # type: ignore[type-arg]
    from animalclef.training.matcher import training_folder as photographs

    (folder / "other.png").write_bytes(b"a second group")
    found = photographs.find_photographs(folder)
    return [photo for photo in found if photo.group != "other.png"]


def test_a_pair_depends_on_its_numbers_alone(tmp_path: Path) -> None:
    config = tiny_recipe(others=0.5)
    photos = find_photographs(drawn_photographs(tmp_path / "images", 4))
    store, key_of, _ = fill_store(photos, tmp_path / "views", config, 1, Silent())
    source = PairSource(subjects_of(photos, key_of, store, 2, 8), store, config)
    first, again, other = source.batch(7, 3), source.batch(7, 3), source.batch(7, 4)
    assert first.names == again.names
    assert bool((first.descriptors[0] == again.descriptors[0]).all())
    assert first.names != other.names or first.descriptors[0].shape != other.descriptors[0].shape
    inline, threaded = ([one.names for one in prefetch(source.batch, range(9), workers)] for workers in (1, 2))
    assert inline == threaded == [source.batch(n).names for n in range(9)]
    pairs = source.pairs(40, 1)
    assert {pair.same_subject for pair in pairs} == {True, False}
    for pair in pairs:
        named = pair.name.split(" and ")
        assert (named[0] == named[1]) == pair.same_subject == pair.same_photo
        assert isinstance(pair.first, View)
    assert max(len(pair.first) for pair in source.pairs(10, 1, points=5)) == 5


def test_places_scales_and_orientations_are_told_as_the_matcher_reads_them() -> None:
    from training_cases import view

    from animalclef.training.matcher.assignment import true_assignment
    from animalclef.training.matcher.view_batches import Pair, collate

    one, other = view([(256, 128), (512, 0)]), view([(0, 64)])  # 512 x 256 pixels
    config = tiny_recipe(network={"descriptor_dim": 8, "n_layers": 1, "add_scale_ori": True})
    truth = true_assignment(one, other, config.loss, same_subject=False, same_photo=False)
    pair = Pair(one, other, truth, "one and other", False, False)
    batch = collate([pair], config)
    assert batch.places[0].tolist() == [[[0, 0, 1, 0], [1, -0.5, 1, 0]]]
    assert batch.places[1].tolist() == [[[-1, -0.25, 1, 0]]]
    assert batch.descriptors[0].shape == (1, 2, 128)
    assert batch.descriptors[0][0, 1].argmax() == 1
    assert batch.truth[0].tolist() == [[-1, -1]]
