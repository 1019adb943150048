"""Local features from networks: where keypoints lie, how they are batched, and what odd images come to."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from animalclef.config import KeypointConfig, load_config
from animalclef.config.matching import FEATURES
from animalclef.errors import ConfigError, StaleArtefactError, WeightsError
from animalclef.features.local.entries import features_from_entry, load_extractor
from animalclef.features.local.keypoint_network import DETECTORS, Detected, Detector, NetworkExtractor, scaled_size
from animalclef.structures import DecodedImage, LocalFeatures

SPECKLED = KeypointConfig(extractor="aliked-n16", batch_size=2)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small images are quicker on one thread, and other tests may run beside these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def centre_of_light(batch: torch.Tensor) -> list[Detected]:
    """A detector with one keypoint: the centre of gravity of what is bright, exact to a fraction of a pixel."""
    grey = batch.mean(dim=1)
    y, x = torch.meshgrid(torch.arange(grey.shape[1]), torch.arange(grey.shape[2]), indexing="ij")
    found = []
    for one in grey:
        place = torch.stack([(x * one).sum(), (y * one).sum()]) / one.sum()
        found.append(Detected(place[None], torch.nn.functional.normalize(torch.ones(1, 128), dim=1), one.max()[None]))
    return found


def fake(config: KeypointConfig) -> NetworkExtractor:
    return NetworkExtractor(Detector(torch.nn.Linear(1, 1), centre_of_light), config, "cpu")


def spot(size_wh: tuple[int, int], centre: tuple[float, float]) -> DecodedImage:
    """One round bright spot on black."""
    x, y = np.meshgrid(np.arange(size_wh[0]), np.arange(size_wh[1]))
    radius = max(size_wh) / 30
    light = 250 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * radius**2))
    return DecodedImage(np.repeat(light.round().astype(np.uint8)[:, :, None], 3, axis=2), None, size_wh)


def described(extractor: NetworkExtractor, images: list[DecodedImage]) -> list[LocalFeatures]:
    with ThreadPoolExecutor(2) as pool:
        entries = extractor.extract_features(images, pool)
    return [features_from_entry(str(number), entry, extractor.name) for number, entry in enumerate(entries)]


@pytest.mark.parametrize("name", [name for name, one in FEATURES.items() if one.has_weights])
@pytest.mark.parametrize("size_wh", [(1000, 610), (611, 930), (200, 131), (512, 300)])
def test_a_place_is_told_in_pixels_of_the_photograph(name: str, size_wh: tuple[int, int]) -> None:
    centre = (size_wh[0] * 0.31 + 0.2, size_wh[1] * 0.58)
    found = described(fake(KeypointConfig(extractor=name)), [spot(size_wh, centre)])[0]
    np.testing.assert_allclose(found.keypoints_xy[0], centre, atol=0.06)  # without half-pixel care 0.15 to 0.5
    assert found.image_size_wh == size_wh
    assert found.extractor == name


def test_a_place_in_a_reduced_photograph_is_told_at_its_original_size() -> None:
    small = spot((300, 200), (100.0, 60.0))
    large = DecodedImage(small.pixels, None, (1200, 800))
    found = described(fake(SPECKLED), [large])[0]
    np.testing.assert_allclose(found.keypoints_xy[0], (100.5 * 4 - 0.5, 60.5 * 4 - 0.5), atol=0.2)
    assert found.scale[0] == pytest.approx(4)


def test_the_network_is_shown_whole_multiples() -> None:
    xfeat, aliked = KeypointConfig(extractor="xfeat"), KeypointConfig(extractor="aliked-t16")
    assert scaled_size((1024, 700), xfeat) == (640, 448)
    assert scaled_size((1024, 700), aliked) == (512, 350)
    assert scaled_size((16, 11), aliked) == (256, 176)
    assert scaled_size((1, 900), aliked) == (32, 512)
    assert scaled_size((300, 200), KeypointConfig(extractor="disk", long_side=64, least_long_side=32)) == (64, 48)


def test_photographs_of_one_shape_go_together_and_come_back_in_order() -> None:
    shapes: list[tuple[int, ...]] = []

    def watch(batch: torch.Tensor) -> list[Detected]:
        shapes.append(tuple(batch.shape))
        return centre_of_light(batch)

    extractor = NetworkExtractor(Detector(torch.nn.Linear(1, 1), watch), SPECKLED, "cpu")
    sizes = [(300, 200), (200, 300), (300, 200), (300, 200), (200, 300)]
    images = [spot(size, (50.0 + 10 * number, 80.0)) for number, size in enumerate(sizes)]
    found = described(extractor, images)
    assert shapes == [(2, 3, 200, 300), (1, 3, 200, 300), (2, 3, 300, 200)]
    for number, one in enumerate(found):
        np.testing.assert_allclose(one.keypoints_xy[0], (50 + 10 * number, 80), atol=0.05)


def test_out_of_memory_halves_the_batch_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    images = [spot((300, 200), (20.0 + 10 * place, 60.0)) for place in range(7)]
    config = KeypointConfig(extractor="aliked-n16", batch_size=4)
    sizes = []

    def narrow(room: int) -> NetworkExtractor:
        def detect(batch: torch.Tensor) -> list[Detected]:
            if len(batch) > room:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            sizes.append(len(batch))
            return centre_of_light(batch)

        return NetworkExtractor(Detector(torch.nn.Linear(1, 1), detect), config, "cpu")

    found = described(narrow(2), images)
    assert sizes == [2, 2, 2, 1]
    assert "Out of memory with 4 photographs a batch; going on with 2" in caplog.text
    for one, whole in zip(found, described(fake(config), images), strict=True):
        np.testing.assert_allclose(one.keypoints_xy, whole.keypoints_xy, atol=1e-3)
    with pytest.raises(
        ConfigError, match=r"not even one photograph at a time.*keypoints\.long_side, or use the device cpu"
    ):
        described(narrow(0), images)


def test_the_strongest_come_first_and_equal_ones_by_place() -> None:
    def four(batch: torch.Tensor) -> list[Detected]:
        xy = torch.tensor([[5.0, 9.0], [7.0, 2.0], [3.0, 2.0], [1.0, 1.0]])
        return [Detected(xy, torch.eye(4, 128), torch.tensor([0.5, 0.5, 0.5, 0.9]))] * len(batch)

    config = KeypointConfig(extractor="aliked-n16", long_side=64, least_long_side=32)
    found = described(NetworkExtractor(Detector(torch.nn.Linear(1, 1), four), config, "cpu"), [spot((64, 40), (9, 9))])
    assert found[0].keypoints_xy.tolist() == [[1, 1], [3, 2], [7, 2], [5, 9]]
    assert found[0].descriptors[:, :4].argmax(axis=1).tolist() == [3, 2, 1, 0]
    assert found[0].confidence is not None
    assert found[0].confidence.tolist() == pytest.approx([0.9, 0.5, 0.5, 0.5])


def test_keypoints_on_transparent_ground_are_dropped() -> None:
    image = spot((400, 260), (300.0, 100.0))
    for left, count in ((250, 1), (320, 0)):
        alpha = np.zeros((260, 400), np.uint8)
        alpha[60:140, left:] = 255
        found = described(fake(SPECKLED), [DecodedImage(image.pixels, alpha, (400, 260))])[0]
        assert len(found) == count


def test_descriptors_are_kept_in_half_precision() -> None:
    with ThreadPoolExecutor(1) as pool:
        entry = fake(SPECKLED).extract_features([spot((300, 200), (9, 9))], pool)[0]
    assert entry["descriptors"].dtype == np.float16
    features = features_from_entry("k", entry)
    assert features.descriptors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-3)


def test_features_of_another_extractor_are_refused() -> None:
    with ThreadPoolExecutor(1) as pool:
        entry = fake(SPECKLED).extract_features([spot((300, 200), (9, 9))], pool)[0]
    with pytest.raises(StaleArtefactError, match="made by aliked-n16, this run's extractor is sift"):
        features_from_entry("abc", entry, "sift")


def random_weights(name: str, folder: Path) -> Path:
    """A weight file as the authors' one is laid out, with other numbers in it."""
    torch.manual_seed(0)
    detector = DETECTORS[FEATURES[name].family](name, 8)
    state = {
        f"{detector.prefix}{key}": value
        for key, value in detector.learned.state_dict().items()
        if key not in detector.derived
    }
    torch.save(state, folder / f"{name}.pth")
    return folder / f"{name}.pth"


ODD = {
    "black": np.zeros((40, 60, 3), np.uint8),
    "white": np.full((60, 40, 3), 255, np.uint8),
    "16x11": np.random.default_rng(0).integers(0, 255, (11, 16, 3), dtype=np.uint8),
    "one pixel": np.full((1, 1, 3), 7, np.uint8),
    "one line": np.random.default_rng(1).integers(0, 255, (1, 90, 3), dtype=np.uint8),
}


@pytest.mark.parametrize("name", ["aliked-n16", "aliked-n32", "aliked-t16", "xfeat", "disk", "superpoint"])
def test_every_network_takes_odd_images_and_never_changes_its_mind(name: str, tmp_path: Path) -> None:
    if name == "superpoint":
        pytest.importorskip("transformers", reason="SuperPoint comes with the extra `noncommercial`")
    config = KeypointConfig(
        extractor=name, weights=str(random_weights(name, tmp_path)), long_side=64, least_long_side=32, max_keypoints=8
    )
    extractor = load_extractor(config, "cpu")
    assert isinstance(extractor, NetworkExtractor)
    images = {what: DecodedImage(pixels, None, (pixels.shape[1], pixels.shape[0])) for what, pixels in ODD.items()}
    found = dict(zip(images, described(extractor, list(images.values())), strict=True))
    for what, one in found.items():
        assert one.descriptors.shape == (len(one), FEATURES[name].dimensions)
        assert one.image_size_wh == images[what].original_size_wh
        assert np.isfinite(one.keypoints_xy).all()
    assert [len(found[what]) for what in ("black", "white", "one pixel")] == [0, 0, 0]
    again = described(extractor, list(images.values()))[list(images).index("16x11")]
    for part in ("keypoints_xy", "descriptors", "confidence"):
        np.testing.assert_array_equal(getattr(found["16x11"], part), getattr(again, part))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    wrong = random_weights("aliked-t16", tmp_path)
    with pytest.raises(WeightsError, match=r"aliked-t16\.pth: block1\.conv1\.weight: expected shape"):
        load_extractor(KeypointConfig(extractor="aliked-n16", weights=str(wrong)), "cpu")
    with pytest.raises(WeightsError, match=r"122 missing and 76 surplus keys \(first: missing block1"):
        load_extractor(KeypointConfig(extractor="xfeat", weights=str(wrong)), "cpu")


def test_weights_that_are_nowhere_are_asked_for_by_name() -> None:
    with pytest.raises(WeightsError, match="aliked-n32"):
        load_extractor(KeypointConfig(extractor="aliked-n32"), "cpu", Path("/nowhere"))


def test_superpoint_names_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"not be used commercially.*animalclef\[noncommercial\]"):
        load_extractor(KeypointConfig(extractor="superpoint", weights=str(tmp_path / "a.pth")), "cpu")


def test_an_unknown_extractor_is_told_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"keypoints\.extractor: .*sift, aliked-n16.*superpoint.*got 'surf'"):
        load_config(None, ["keypoints.extractor=surf"])


def test_what_is_made_is_named_by_settings_and_weights() -> None:
    one = fake(SPECKLED)
    torch.manual_seed(1)
    other = fake(SPECKLED)
    assert one.fingerprint != other.fingerprint  # other weights
    same = NetworkExtractor(one._detector, SPECKLED.model_copy(update={"max_keypoints": 512}), "cpu")
    assert same.fingerprint == one.fingerprint  # the feature's own number, written out
    masked = SPECKLED.model_copy(update={"border": 0.1, "masks": "there"})
    assert NetworkExtractor(one._detector, masked, "cpu").fingerprint == one.fingerprint  # these apply on reading
    smaller = SPECKLED.model_copy(update={"long_side": 256})
    assert NetworkExtractor(one._detector, smaller, "cpu").fingerprint != one.fingerprint


def corners_drawn(size_wh: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Bright rectangles on dark ground, and their corners in (x, y): edges run between pixels, at halves."""
    width, height = size_wh
    canvas, corners = np.full((height, width, 3), 40, np.uint8), []
    rng = np.random.default_rng(4)
    for left in range(width // 12, width - width // 6, width // 5):
        for top in range(height // 10, height - height // 5, height // 3):
            right, bottom = left + width // 10 + int(rng.integers(9)), top + height // 6 + int(rng.integers(9))
            canvas[top:bottom, left:right] = int(rng.integers(150, 250))
            corners += [(x - 0.5, y - 0.5) for x in (left, right) for y in (top, bottom)]
    return canvas, np.array(corners)


REAL = {"aliked-n16": "aliked-n16.pth", "aliked-t16": "aliked-t16.pth", "xfeat": "xfeat.safetensors"}


@pytest.fixture(scope="module")
def real() -> dict[str, NetworkExtractor]:
    return {}


def real_extractor(name: str, shared: Path, held: dict[str, NetworkExtractor]) -> NetworkExtractor:
    if name not in held:
        config = KeypointConfig(extractor=name, weights=str(shared / "weights" / REAL[name]), long_side=448)
        loaded = load_extractor(config, "cpu")
        assert isinstance(loaded, NetworkExtractor)
        held[name] = loaded
    return held[name]


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("size_wh", [(900, 620), (430, 600)])
def test_drawn_corners_are_found_where_they_are(
    name: str, size_wh: tuple[int, int], shared: Path, real: dict[str, NetworkExtractor]
) -> None:
    """The networks have a lean of a pixel or two of their own; a swapped axis or a wrong scale lies far outside it."""
    pixels, corners = corners_drawn(size_wh)
    found = described(real_extractor(name, shared, real), [DecodedImage(pixels, None, size_wh)])[0].select(
        np.arange(150)
    )
    distance = np.linalg.norm(found.keypoints_xy[:, None] - corners[None], axis=2).min(axis=0)
    pixel = max(size_wh) / 448
    assert np.median(distance) < 5 * pixel  # 150 points anywhere: 17
    elsewhere = (found.keypoints_xy * size_wh[::-1] / np.array(size_wh))[:, ::-1]
    assert np.median(distance) < 0.5 * np.median(np.linalg.norm(elsewhere[:, None] - corners[None], axis=2).min(axis=0))


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_a_photograph_of_twice_the_size_has_its_keypoints_at_twice_the_place(
    name: str, shared: Path, real: dict[str, NetworkExtractor]
) -> None:
    """A slip of half a pixel on the way back would show as half a pixel of the larger one."""
    path = sorted((shared / "data" / "wild" / "images" / "NyalaID").rglob("*.jpg"))[3]
    small = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)[:416]
    large = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    images = [DecodedImage(one, None, (one.shape[1], one.shape[0])) for one in (small, large)]
    one, other = described(real_extractor(name, shared, real), images)
    offset = (one.keypoints_xy[:, None] + 0.5) * 2 - 0.5 - other.keypoints_xy[None]
    distance = np.linalg.norm(offset, axis=2)
    near = offset[np.arange(len(one)), distance.argmin(axis=1)][distance.min(axis=1) < 2]
    assert len(near) > 0.5 * len(one)
    assert np.abs(np.median(near, axis=0)).max() < 0.15


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_company_in_a_batch_changes_next_to_nothing(name: str, shared: Path, real: dict[str, NetworkExtractor]) -> None:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(3):
        noise = cv2.GaussianBlur(rng.normal(size=(200, 300, 3)), (0, 0), 3)
        pixels = np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)
        images.append(DecodedImage(pixels, None, (300, 200)))
    extractor = real_extractor(name, shared, real)
    together, alone = described(extractor, images), described(extractor, images[:1])[0]
    assert len(alone) > 20
    same = {tuple(place) for place in np.round(together[0].keypoints_xy, 2).tolist()}
    shared_places = [tuple(place) in same for place in np.round(alone.keypoints_xy, 2).tolist()]
    assert np.mean(shared_places) > 0.95
