"""Networks from timm: built small, with weights made up here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from animalclef.config import EmbedConfig
from animalclef.errors import ConfigError, WeightsError
from animalclef.features.embedding.timm_embedder import load_embedder
from animalclef.runtime.devices import choose_device
from animalclef.structures import DecodedImage

MODEL = "test_resnet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model(MODEL, pretrained=False, num_classes=0).state_dict(), path)
    return path


def settings(path: Path | str | None, **more: object) -> EmbedConfig:
    return EmbedConfig(model=f"timm:{MODEL}", weights=None if path is None else str(path), **more)


def changed(path: Path, target: Path, **tensors: torch.Tensor | None) -> Path:
    """A copy with some tensors added, replaced or (None) removed."""
    state = load_file(path) | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file({name: tensor for name, tensor in state.items() if tensor is not None}, target)
    return target


def photographs(count: int) -> list[DecodedImage]:
    rng = np.random.default_rng(0)
    sizes = [(int(rng.integers(40, 200)), int(rng.integers(201, 300))) for _ in range(count)]
    return [DecodedImage(rng.integers(0, 256, (h, w, 3), dtype=np.uint8), None, (w, h)) for h, w in sizes]


def test_an_embedding_is_timms_own_forward(weights: Path) -> None:
    images = photographs(5)
    with ThreadPoolExecutor(2) as pool:
        entries = load_embedder(settings(weights, batch_size=2, image_size=96), "cpu").extract_features(images, pool)
    model = timm.create_model(MODEL, pretrained=False, num_classes=0).eval()
    model.load_state_dict(load_file(weights))
    data = timm.data.resolve_model_data_config(model)
    mean, std = (torch.tensor(data[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    for image, entry in zip(images, entries, strict=True):
        large = image.pixels.shape[0] * image.pixels.shape[1] > 96 * 96
        pixels = cv2.resize(image.pixels, (96, 96), interpolation=cv2.INTER_AREA if large else cv2.INTER_CUBIC)
        values = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            expected = torch.nn.functional.normalize(model((values - mean) / std))[0].numpy()
        assert entry["embedding"].dtype == np.float32
        np.testing.assert_allclose(entry["embedding"], expected, atol=1e-5)
        assert np.linalg.norm(entry["embedding"]) == pytest.approx(1, abs=1e-5)


def test_mean_and_deviation_can_be_given(weights: Path) -> None:
    extractor = load_embedder(settings(weights, image_size=64, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 1.0)), "cpu")
    prepared = extractor._prepare(DecodedImage(np.full((30, 50, 3), 255, np.uint8), None, (50, 30)))[0]
    np.testing.assert_allclose(prepared[:, 0, 0], [1.8, 1.6, 0.7], rtol=1e-6)
    assert prepared.shape == (3, 64, 64)


def test_missing_keys_are_counted_and_named(weights: Path, tmp_path: Path) -> None:
    path = changed(weights, tmp_path / "less.safetensors", conv1__0__weight=None, bn1__weight=None)
    with pytest.raises(WeightsError, match=r"2 missing and 0 surplus keys \(first: missing bn1.weight\)"):
        load_embedder(settings(path), "cpu")


def test_surplus_keys_are_counted_and_named_but_a_classifier_is_left_out(weights: Path, tmp_path: Path) -> None:
    head = changed(weights, tmp_path / "head.safetensors", fc__weight=torch.zeros(3, 4), fc__bias=torch.zeros(3))
    load_embedder(settings(head, image_size=64), "cpu")
    path = changed(weights, tmp_path / "more.safetensors", neck__weight=torch.zeros(2))
    with pytest.raises(WeightsError, match=r"0 missing and 1 surplus keys \(first: surplus neck.weight\)"):
        load_embedder(settings(path), "cpu")


def test_a_tensor_of_another_shape_is_named(weights: Path, tmp_path: Path) -> None:
    path = changed(weights, tmp_path / "shape.safetensors", bn1__weight=torch.zeros(3))
    with pytest.raises(WeightsError, match=r"bn1.weight.*\(3,\)"):
        load_embedder(settings(path), "cpu")


def test_a_pickle_and_a_broken_file_are_refused(weights: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "model.pth"
    torch.save({}, pickled)
    with pytest.raises(WeightsError, match=r"model.pth: expected named tensors"):
        load_embedder(settings(pickled), "cpu")
    torch.save({}, tmp_path / "renamed.safetensors")
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        load_embedder(settings(tmp_path / "renamed.safetensors"), "cpu")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        load_embedder(settings(cut), "cpu")


def test_absent_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent.safetensors"):
        load_embedder(settings(tmp_path / "absent.safetensors"), "cpu")
    with pytest.raises(ConfigError, match=r"needs embed.weights"):
        load_embedder(settings(None), "cpu")


def test_an_unknown_model_or_option_is_a_configuration_error(weights: Path) -> None:
    with pytest.raises(ConfigError, match=r"timm:no_such_model.*Unknown model"):
        load_embedder(EmbedConfig(model="timm:no_such_model", weights=str(weights)), "cpu")
    with pytest.raises(ConfigError, match=r"nonsense"):
        load_embedder(settings(weights, model_options={"nonsense": 3}), "cpu")


def test_a_size_the_model_cannot_take_is_told_before_the_work(tmp_path: Path) -> None:
    path = tmp_path / "vit.safetensors"
    save_file(timm.create_model("test_vit", pretrained=False, num_classes=0).state_dict(), path)
    with pytest.raises(ConfigError, match=r"cannot take images of 100 x 100 pixels.*img_size"):
        load_embedder(EmbedConfig(model="timm:test_vit", weights=str(path), image_size=100), "cpu")


def test_a_model_without_pooling_is_refused(weights: Path) -> None:
    with pytest.raises(ConfigError, match="expected one vector per image"):
        load_embedder(settings(weights, model_options={"global_pool": ""}), "cpu")


def test_the_digest_is_of_the_weights_wherever_they_lie(weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    digest = load_embedder(settings(weights), "cpu").digest
    assert load_embedder(settings(copy), "cpu").digest == digest
    assert load_embedder(settings(changed(weights, copy, bn1__bias=torch.ones(32))), "cpu").digest != digest


def test_a_device_that_is_not_there() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda")
    for name, what in (("cuda:99", "not available"), ("toaster", "no such device. Use auto, cpu")):
        with pytest.raises(ConfigError, match=rf"device {name}: {what}"):
            choose_device(name)
