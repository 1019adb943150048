"""The matcher: windows and batches, the images' cache, verified inliers, memory that runs out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from lightglue_cases import SMALL, features, random_model

from animalclef.config import RerankConfig
from animalclef.errors import ConfigError
from animalclef.matching.jobs import Job
from animalclef.matching.lightglue.batched import BatchedLightGlue
from animalclef.matching.lightglue.matcher import DeviceWorker, LightGlueMatcher
from animalclef.matching.pair_matches import PairMatches
from animalclef.runtime.devices import choose_precision
from animalclef.structures import LocalFeatures

CPU = torch.device("cpu")


class Planted:
    """Matches keypoint i with keypoint i, as far as both images go.

    Runs out of memory past `room` keypoints, and at the images with the numbers `refused`.
    """

    def __init__(self, room: int = 10**9, refused: Sequence[int] = ()) -> None:
        self.room, self.refused, self.prepared = room, refused, 0
        self.portions: list[int] = []

    def prepare(self, image: LocalFeatures) -> Any:
        self.prepared += 1
        if self.prepared in self.refused:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return np.zeros(len(image), np.float32)

    def match(self, pairs: Sequence[tuple[Any, Any]], *, counts_only: bool = False) -> list[PairMatches]:
        tokens = sum(len(one) + len(other) for one, other in pairs)
        if tokens > self.room:
            raise torch.OutOfMemoryError("not enough")
        self.portions.append(tokens)
        found = []
        for one, other in pairs:
            every = np.arange(min(len(one), len(other)))
            counts = np.array([len(every), len(every) / 2, len(every), 0, 0], np.float32)
            found.append(PairMatches(counts, every, every, np.full(len(every), 0.5, np.float32)))
        return found


def matcher_of(
    engine: Any, cache: int = 1 << 30, tokens: int = 1 << 20, kind: str = "cpu", **settings: Any
) -> LightGlueMatcher:
    return LightGlueMatcher(RerankConfig(matcher="lightglue", **settings), [DeviceWorker(engine, cache, tokens, kind)])


def collection(counts: Sequence[int]) -> dict[str, LocalFeatures]:
    images = [features(count, seed) for seed, count in enumerate(counts)]
    return {image.key: image for image in images}


def all_jobs(images: dict[str, LocalFeatures]) -> list[Job]:
    keys = list(images)
    return [Job(key, tuple(keys[at + 1 :])) for at, key in enumerate(keys[:-1])]


def run(matcher: LightGlueMatcher, images: dict[str, LocalFeatures], done: set[Any] = frozenset()) -> dict[Any, Any]:  # type: ignore[assignment]
    scores = {}
    for matched in matcher.match_jobs(all_jobs(images), done.__contains__, images.__getitem__, 2):
        assert len(matched.pairs) <= matcher.config.batch_size
        scores |= {pair: row.tolist() for pair, row in zip(matched.pairs, matched.scores, strict=True)}
    return scores


def test_scores_by_hand() -> None:
    images = collection((4, 0, 6))
    first, empty, last = images.values()
    moved = type(last)(last.key, last.keypoints_xy * 0, last.descriptors, last.scale, last.orientation_rad, (640, 400))
    moved.keypoints_xy[:4] = first.keypoints_xy / 2 + 10  # the four matches follow one transform
    matcher = matcher_of(Planted())
    assert matcher.columns == (
        "matches", "confidence_sum", "matches_0.2", "matches_0.5", "matches_0.8", "inliers", "inlier_ratio",
    )  # fmt: skip
    assert matcher.match(first, [moved, empty]).tolist() == [[4, 2, 4, 0, 0, 4, 1], [0] * 7]
    assert matcher.match(moved, [first]).tolist() == [[4, 2, 4, 0, 0, 4, 1]]
    assert matcher.match(first, []).shape == (0, 7)
    plain = matcher_of(Planted(), verify=False)
    assert plain.match(first, [moved]).tolist() == [[4, 2, 4, 0, 0]]
    assert plain.columns == matcher.columns[:5]


def test_both_orders_of_a_pair_are_one_computation() -> None:
    images = list(collection((40, 90, 40, 1, 0)).values())
    matcher = matcher_of(BatchedLightGlue(random_model(), CPU, torch.float32))
    for one in images:
        for other in images:
            assert matcher.match(one, [other]).tolist() == matcher.match(other, [one]).tolist()
            there, back = matcher.correspondences(one, other), matcher.correspondences(other, one)
            np.testing.assert_array_equal(there.query_xy, back.gallery_xy)
            np.testing.assert_array_equal(there.is_inlier, back.is_inlier)
            counts = matcher.match(one, [other])[0]
            assert (len(there), there.is_inlier.sum()) == (counts[0], counts[5])


def test_jobs_are_cut_into_batches_of_like_lengths_and_every_pair_is_scored_once() -> None:
    images = collection((5, 80, 5, 0, 80, 5, 30))
    engine = BatchedLightGlue(random_model(), CPU, torch.float32)
    scores = run(matcher_of(engine, batch_size=4), images)
    assert len(scores) == 21
    for (left, right), row in scores.items():
        assert len(images[left]) >= len(images[right])
        alone = matcher_of(engine).match(images[left], [images[right]])[0]
        assert row == pytest.approx(alone.tolist(), abs=1e-3)


def test_batches_do_not_depend_on_what_is_done() -> None:
    images = collection(range(10, 30))
    engine = BatchedLightGlue(random_model(), CPU, torch.float32)
    whole = run(matcher_of(engine, batch_size=8), images)
    for kept in (1, 8, 100):
        done = set(list(whole)[:kept])
        again = run(matcher_of(engine, batch_size=8), images, done)
        assert {pair: whole[pair] for pair in again} == again  # to the last bit
        assert set(whole) - done <= set(again)
    assert run(matcher_of(engine, batch_size=8), images, set(whole)) == {}


def test_each_image_is_prepared_once_and_the_cache_is_bounded() -> None:
    images = collection((50,) * 12)
    roomy, narrow = Planted(), Planted()
    scores = run(matcher_of(roomy, batch_size=4), images)
    assert roomy.prepared == 12
    matcher = matcher_of(narrow, cache=5 * 50 * 12, batch_size=4)
    assert run(matcher, images) == scores
    assert narrow.prepared > 12
    assert sum(key in matcher.device_workers[0] for key in images) == 5


def test_out_of_memory_halves_the_portion_and_goes_on() -> None:
    images = collection((100,) * 8)
    narrow = Planted(room=500)
    assert run(matcher_of(narrow, batch_size=16), images) == run(matcher_of(Planted(), batch_size=16), images)
    assert max(narrow.portions) == 400
    with pytest.raises(ConfigError, match=r"The GPU has no room for one pair of 100 and 100 keypoints.*the device cpu"):
        run(matcher_of(Planted(room=150), kind="cuda"), images)
    with pytest.raises(ConfigError, match=r"memory has no room for one pair.*close what else takes its memory\.$"):
        run(matcher_of(Planted(room=150)), images)


def test_where_there_is_no_room_for_an_image_half_of_the_others_go() -> None:
    images = collection((50,) * 12)
    narrow = matcher_of(crowded := Planted(refused=[8]), cache=12 * 50 * 12, batch_size=4)
    assert run(narrow, images) == run(matcher_of(Planted(), batch_size=4), images)
    assert crowded.prepared > 13
    assert sum(key in narrow.device_workers[0] for key in images) == 6  # of seven four went; half of the limit is kept
    with pytest.raises(ConfigError, match=r"The GPU has no room for one image of 50 keypoints.*the device cpu"):
        run(matcher_of(Planted(refused=range(3, 99)), kind="cuda"), images)


def test_another_error_of_the_device_is_not_taken_for_a_lack_of_memory() -> None:
    class Broken(Planted):
        def match(self, pairs: Sequence[tuple[Any, Any]], *, counts_only: bool = False) -> list[PairMatches]:
            raise RuntimeError("device-side assert triggered")

    with pytest.raises(RuntimeError, match="device-side assert"):
        run(matcher_of(Broken()), collection((10, 20)))


def test_several_devices_share_the_windows_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("animalclef.matching.lightglue.matcher._WINDOW", 2)
    images = collection((20,) * 9)
    engines = [Planted() for _ in range(3)]
    config = RerankConfig(matcher="lightglue", batch_size=3)
    several = LightGlueMatcher(config, [DeviceWorker(engine, 1 << 30, 1 << 20) for engine in engines])
    one = LightGlueMatcher(config, [DeviceWorker(Planted(), 1 << 30, 1 << 20)])
    jobs = all_jobs(images)
    nothing: set[Any] = set()
    runs = [
        [(list(found.pairs), found.scores.tolist())
         for found in matcher.match_jobs(jobs, nothing.__contains__, images.__getitem__, 2)]
        for matcher in (several, one)
    ]  # fmt: skip
    assert runs[0] == runs[1]
    assert all(engine.portions for engine in engines)
    assert several.at_once(8) == 3


def test_the_precision_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_precision("float16", CPU) is torch.float16
    monkeypatch.setattr("animalclef.runtime.devices.has_bfloat16_units", lambda device: False)
    assert choose_precision("auto", CPU) is torch.float32
    assert choose_precision("auto", torch.device("cuda")) is torch.float16
    monkeypatch.setattr("animalclef.runtime.devices.has_bfloat16_units", lambda device: True)
    assert choose_precision("auto", CPU) is torch.bfloat16


def test_the_network_has_the_configuration_of_its_model() -> None:
    assert BatchedLightGlue(random_model(), CPU, torch.float32).config == SMALL
