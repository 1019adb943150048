"""Local naive Bayes votes, on descriptors small enough to work out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from rows import Row, image_table

from animalclef.config import RetrieveConfig, VoteConfig
from animalclef.engine.work import Engine
from animalclef.retrieval import descriptor_votes
from animalclef.retrieval.descriptor_index import Codebook, DescriptorIndex, build_block, train_codebook
from animalclef.retrieval.descriptor_votes import Asked, Voting, VotingGallery, local_votes
from animalclef.retrieval.knn import candidate_groups
from animalclef.retrieval.lnbnn import LnbnnScorer
from animalclef.runtime.progress import Silent
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable, LocalFeatures, MatchKey

NOBODY = np.zeros(3, dtype=bool)


def features(key: str, angles: Sequence[float]) -> LocalFeatures:
    """Unit vectors in the plane; two of them are 2 sin(half their angle) apart."""
    radians = np.radians(np.array(angles, dtype=np.float32))
    descriptors = np.stack([np.cos(radians), np.sin(radians)], axis=1).reshape(-1, 2)
    empty = np.zeros(len(radians), np.float32)
    return LocalFeatures(key, np.zeros((len(radians), 2), np.float32), descriptors, empty, empty, (3, 2))


def chord(degrees: float) -> float:
    return float(2 * np.sin(np.radians(degrees) / 2))


def votes_of(
    images: ImageTable,
    angles: Mapping[str, Sequence[float]],
    folder: Path,
    views: Sequence[Mapping[str, frozenset[str]]] = ({},),
    queries: ImageTable | None = None,
    memory_gb: float = 1.0,
    engine: Engine | None = None,
    **settings: object,
) -> list[np.ndarray]:
    """The votes of each view, (queries, gallery)."""
    of_key = dict(zip(images.key, images.image_id, strict=True))
    queries = images.queries if queries is None else queries
    groups = candidate_groups(queries, images.gallery, RetrieveConfig(same_viewpoint=False))
    read = lambda key: features(key, angles[of_key[key]])  # noqa: E731
    keep = lambda kind, of: ShardStore(folder / kind / of)  # noqa: E731
    scorer = LnbnnScorer(read, keep, VoteConfig(**settings), 0, Silent(), memory_gb, 2, engine)
    every = np.arange(len(images.gallery))
    found = np.zeros((len(views), len(queries), len(every)), np.float32)
    for row, votes in scorer.vote(queries, images.gallery, groups, views):
        found[:, row] = [one.of(every) for one in votes]
    return list(found)


def test_each_neighbour_votes_with_the_background_minus_its_own_distance() -> None:
    distance = np.array([[1, 3, 4, 9], [2, 2.5, 7, 8]], dtype=np.float32)
    image = np.array([[0, 1, 0, 2], [2, 2, 1, 0]])
    # 2 neighbours: background 4 and 7; image 0 gets 4-1, image 1 gets 4-3, image 2 gets 7-2 + 7-2.5
    assert local_votes(distance, image, NOBODY, 2).tolist() == [3, 1, 9.5]


def test_barred_images_are_passed_over_as_votes_and_as_background() -> None:
    distance = np.array([[1, 3, 4, 9]], dtype=np.float32)
    image = np.array([[0, 1, 0, 2]])
    barred = np.array([True, False, False])
    assert local_votes(distance, image, barred, 1).tolist() == [0, 6, 0]  # 9 - 3


@pytest.mark.parametrize(("found", "expected"), [([5.0], [0, 0, 0]), ([5.0, 7.0], [2, 0, 0])])
def test_with_too_few_neighbours_the_last_is_the_background(found: list[float], expected: list[float]) -> None:
    distance = np.array([found + [np.inf] * (4 - len(found))], dtype=np.float32)
    image = np.array([[0, 1, -1, -1][: len(found)] + [-1] * (4 - len(found))])
    assert local_votes(distance, image, NOBODY, 3).tolist() == expected


def test_equal_distances_at_the_end_make_no_difference() -> None:
    for tied in ([0, 1, 2], [0, 2, 1]):
        assert local_votes(np.array([[1, 3, 3]], np.float32), np.array([tied]), NOBODY, 1).tolist() == [2, 0, 0]


def test_no_descriptors_no_votes() -> None:
    assert local_votes(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64), NOBODY, 2).tolist() == [0, 0, 0]


def test_votes_of_a_query_by_hand(tmp_path: Path) -> None:
    images = image_table([Row("q"), Row("g0", "a"), Row("g1", "b"), Row("g2", "c")])
    [votes] = votes_of(images, {"q": [0], "g0": [10], "g1": [30, 180], "g2": []}, tmp_path, neighbours=1)
    np.testing.assert_allclose(votes, [[chord(30) - chord(10), 0, 0]], rtol=5e-3)
    [votes] = votes_of(images, {"q": [0], "g0": [10], "g1": [30, 180], "g2": []}, tmp_path, neighbours=2)
    np.testing.assert_allclose(votes, [[2 - chord(10), 2 - chord(30), 0]], rtol=5e-3)


def test_hidden_photographs_and_the_query_itself_do_not_vote(tmp_path: Path) -> None:
    images = image_table([Row(f"g{row}", "a") for row in range(4)])
    angles = {"g0": [0], "g1": [5], "g2": [20], "g3": [60]}
    views = [{}, {"g0": frozenset({"g1", "elsewhere"})}]
    seen, without = votes_of(images, angles, tmp_path, views, queries=images, neighbours=1)
    np.testing.assert_allclose(seen[0], [0, chord(20) - chord(5), 0, 0], rtol=5e-3)
    np.testing.assert_allclose(without[0], [0, 0, chord(60) - chord(20), 0], rtol=5e-3)
    assert not np.diagonal(seen).any()


def test_many_hidden_neighbours_are_searched_past(tmp_path: Path) -> None:
    images = image_table([Row("q"), Row("own", "a"), Row("g1", "b"), Row("g2", "c")])
    angles = {"q": [0], "own": np.linspace(0, 5, 60).tolist(), "g1": [20], "g2": [50]}
    [votes] = votes_of(images, angles, tmp_path, [{"q": frozenset({"own"})}], neighbours=1)
    np.testing.assert_allclose(votes, [[0, chord(50) - chord(20), 0]], rtol=5e-3)


def test_a_descriptor_with_many_hidden_neighbours_does_not_widen_those_of_the_others() -> None:
    """All 500 descriptors of image 0 lie nearest to the first of two; only the second view sees them."""
    angles = {0: np.linspace(0, 5, 500).tolist(), 1: [20.0, 30.0], 2: [50.0], 3: np.linspace(170, 190, 40).tolist()}
    units = {image: features("", some).descriptors for image, some in angles.items()}
    codebook = train_codebook(units.__getitem__, 4, VoteConfig(neighbours=1), 0)
    block = build_block(units.__getitem__, range(4), codebook)
    index = DescriptorIndex(codebook, lambda: [block], probes=1)
    hidden, nobody = np.array([0]), np.array([], np.int64)
    for views, wanted in (((hidden,), [1, 1]), ((hidden, nobody), [0, 0, 1, 1])):
        asked = [Asked("q", MatchKey("q"), views)]
        [(distance, image)] = descriptor_votes._enough(index, [features("", [0, 180]).descriptors], asked, 2, map)
        assert image.shape == distance.shape == (2, 2 + 16)
        assert image[0].tolist() == wanted + [-1] * (18 - len(wanted))
        np.testing.assert_allclose(distance[0][[len(wanted) - 2, len(wanted) - 1]], [chord(20), chord(30)], rtol=1e-3)
        assert np.isinf(distance[0, len(wanted) :]).all()
        assert image[1].tolist() == [3] * 18


@pytest.mark.parametrize(("blocks", "seconds"), [(False, 1800.0), (True, 3 * 1800.0)])
def test_a_cluster_waits_longer_for_votes_that_read_blocks(blocks: bool, seconds: float, tmp_path: Path) -> None:
    keys, store = [MatchKey(str(row)) for row in range(70)], ShardStore(tmp_path)
    codebook = Codebook(1, *[np.zeros((0, 0), np.float32)] * 3)
    gallery = VotingGallery(features, keys, codebook, VoteConfig(), store if blocks else None, 32)  # type: ignore[arg-type]
    assert Voting(gallery, store, workers=1).patience_s == seconds


@pytest.mark.parametrize("gallery", [{}, {"g0": []}])
def test_an_empty_gallery_and_empty_photographs(gallery: dict[str, list[float]], tmp_path: Path) -> None:
    images = image_table([Row("q"), *[Row(name, "a") for name in gallery]])
    [votes] = votes_of(images, {"q": [0, 90], **gallery}, tmp_path)
    assert votes.shape == (1, len(gallery))
    assert not votes.any()


def test_a_query_without_descriptors_in_a_large_gallery(tmp_path: Path) -> None:
    images = image_table([Row("q"), Row("g0", "a"), Row("g1", "b")])
    [votes] = votes_of(images, {"q": [], "g0": np.linspace(0, 90, 50).tolist(), "g1": [9]}, tmp_path)
    assert votes.tolist() == [[0, 0]]


def test_only_the_own_data_set_is_asked(tmp_path: Path) -> None:
    rows = [Row("q"), Row("g0", "a"), Row("g1", "a"), Row("n0", "b", dataset="newt"), Row("n1", "b", dataset="newt")]
    [votes] = votes_of(image_table(rows), {"q": [0], "g0": [3], "g1": [9], "n0": [0], "n1": [1]}, tmp_path)
    assert votes[0, 0] > 0
    assert not votes[0, 2:].any()


def test_only_the_strongest_keypoints_count(tmp_path: Path) -> None:
    images = image_table([Row("q"), Row("g0", "a"), Row("g1", "b")])
    angles = {"q": [0, 90], "g0": [2, 91], "g1": [10, 95]}
    [votes] = votes_of(images, angles, tmp_path, neighbours=1, max_keypoints=1)
    np.testing.assert_allclose(votes, [[chord(10) - chord(2), 0]], rtol=5e-3)


def test_kept_votes_are_not_counted_again(tmp_path: Path) -> None:
    images = image_table([Row("q"), Row("g0", "a"), Row("g1", "b")])
    angles = {"q": [0], "g0": [2], "g1": [10]}
    [first] = votes_of(images, angles, tmp_path)
    [again] = votes_of(images, {}, tmp_path)  # no descriptor can be read any more
    np.testing.assert_array_equal(first, again)
    with pytest.raises(KeyError):
        votes_of(images, {}, tmp_path, neighbours=2)


def circle(photographs: int, each: int) -> tuple[ImageTable, dict[str, list[float]]]:
    """Photographs with descriptors in random directions; the first five are queries."""
    angles = np.random.default_rng(3).uniform(0, 360, (photographs, each))
    rows = [Row(f"g{number}", None if number < 5 else f"a{number % 7}") for number in range(photographs)]
    return image_table(rows), {row.image_id: some.tolist() for row, some in zip(rows, angles, strict=True)}


def test_an_index_in_blocks_on_disk_gives_the_votes_of_the_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, angles = circle(90, 12)
    settings = {"exact_descriptors": 100, "dimensions": 2, "probes": 4}
    views = [{}, {"g0": frozenset(f"g{number}" for number in range(5, 60))}]
    one, barred = votes_of(images, angles, tmp_path / "memory", views, **settings)
    assert not (tmp_path / "memory" / "descriptors").exists()
    monkeypatch.setattr(LnbnnScorer, "block", 32)
    blocks = votes_of(images, angles, tmp_path / "blocks", views, memory_gb=1e-9, **settings)
    files = {path.name for path in (tmp_path / "blocks" / "descriptors").rglob("*.safetensors")}
    assert len(files) == 4  # the codebook, and rows 0 to 31, 32 to 63 and 64 to 84
    np.testing.assert_array_equal(blocks, [one, barred])
    assert one.any()
    assert not barred[0, :55].any()
    assert barred[0, 55:].any()
    for path in (tmp_path / "blocks" / "votes").rglob("*.safetensors"):
        path.unlink()
    read_again = votes_of(images, angles, tmp_path / "blocks", views, memory_gb=1e-9, **settings)
    np.testing.assert_array_equal(read_again, blocks)
    assert {path.name for path in (tmp_path / "blocks" / "descriptors").rglob("*.safetensors")} == files
