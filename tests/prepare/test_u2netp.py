"""U2-Net-P: its shape, its weight files, and the steps from a map to a mask."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from animalclef.errors import WeightsError
from animalclef.hub.catalogue import WEIGHTS, shipped_segmenter
from animalclef.prepare import u2net_segmenter
from animalclef.prepare.segmenters import open_segmenter
from animalclef.prepare.u2net_segmenter import SIDE, U2NetSegmenter, mask_from_map, network_input
from animalclef.prepare.u2netp import U2NetP, load_u2netp, read_onnx_convolutions
from animalclef.runtime import devices


@pytest.fixture(scope="module")
def network() -> U2NetP:
    torch.manual_seed(0)
    return U2NetP().eval()


def onnx_bytes(network: nn.Module, kind: int = 1) -> bytes:
    """The convolutions of a network as an ONNX file: field, wire type and length by hand."""

    def varint(value: int) -> bytes:
        rest, low = value >> 7, value & 0x7F
        return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])

    def field(number: int, content: bytes | int) -> bytes:
        if isinstance(content, int):
            return varint(number << 3) + varint(content)
        return varint(number << 3 | 2) + varint(len(content)) + content

    graph = b""
    for place, module in enumerate(one for one in network.modules() if isinstance(one, nn.Conv2d)):
        inputs = b"".join(field(1, name.encode()) for name in ("x", f"w{place}", f"b{place}"))
        graph += field(1, inputs + field(4, b"Conv"))
        for name, tensor in ((f"w{place}", module.weight), (f"b{place}", module.bias)):
            sides = b"".join(field(1, side) for side in tensor.shape)
            values = tensor.detach().numpy().astype("<f4").tobytes()
            graph += field(5, sides + field(2, kind) + field(8, name.encode()) + field(9, values))
    return field(1, 6) + field(2, b"pytorch") + field(7, graph)


def test_the_network_has_its_published_size(network: U2NetP) -> None:
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 119
    # published: 1,131,181, with scale and shift of batch normalisation for each of 2,848 channels
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_131_181 - 2 * 2_848


@pytest.mark.parametrize("size_hw", [(64, 64), (33, 70)])
def test_maps_have_the_size_of_the_image(network: U2NetP, size_hw: tuple[int, int]) -> None:
    with torch.inference_mode():
        maps = network.all_maps(torch.randn(2, 3, *size_hw))
    assert [tuple(one.shape) for one in maps] == [(2, 1, *size_hw)] * 7


def test_the_input_is_divided_by_its_maximum_and_normalised() -> None:
    pixels = np.full((10, 30, 3), (100, 50, 0), np.uint8)
    values = network_input(pixels)
    assert values.shape == (3, SIDE, SIDE)
    assert values[:, 5, 5] == pytest.approx([(1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, -0.406 / 0.225], rel=1e-5)
    assert network_input(np.zeros((4, 4, 3), np.uint8))[0, 0, 0] == pytest.approx(-0.485 / 0.229)


def test_weights_come_from_onnx_and_from_safetensors(network: U2NetP, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(onnx_bytes(network))
    save_file({name: value.half() for name, value in network.state_dict().items()}, tmp_path / "net.safetensors")
    whole, half = load_u2netp(tmp_path / "net.onnx").state_dict(), load_u2netp(tmp_path / "net.safetensors")
    for name, value in network.state_dict().items():
        assert torch.equal(whole[name], value)
        assert torch.equal(half.state_dict()[name], value.half().float())


def test_a_file_that_is_damaged_or_of_another_network_is_refused(network: U2NetP, tmp_path: Path) -> None:
    content = onnx_bytes(network)
    for name, held in (
        ("cut.onnx", content[: len(content) // 2]), ("text.onnx", b"not a network"), ("empty.onnx", b""),
        ("half.onnx", onnx_bytes(network, kind=10)), ("long.onnx", b"\xff" * 40), ("other.onnx", struct.pack("<f", 1)),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(held)
        with pytest.raises(WeightsError, match=f"{name}.*not a whole ONNX file"):
            load_u2netp(tmp_path / name)
    (tmp_path / "small.onnx").write_bytes(onnx_bytes(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 1, 1))))
    assert [weight.shape for weight, _ in read_onnx_convolutions(tmp_path / "small.onnx")] == [
        (4, 3, 3, 3),
        (1, 4, 1, 1),
    ]
    with pytest.raises(WeightsError, match=r"expected the 119 convolutions of U2-Net-P, got 2 of another network"):
        load_u2netp(tmp_path / "small.onnx")
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        open_segmenter(str(tmp_path / "other.safetensors"))
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "other.safetensors").read_bytes()[:30])
    with pytest.raises(WeightsError, match="cannot be read as safetensors"):
        open_segmenter(str(tmp_path / "cut.safetensors"))
    with pytest.raises(WeightsError, match="no such weight file"):
        open_segmenter(str(tmp_path / "absent.safetensors"))


def test_weights_that_were_not_pulled_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="animalclef weights pull u2netp"):
        open_segmenter("u2netp")


def test_the_map_of_a_photograph_does_not_depend_on_those_beside_it(network: U2NetP) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (40, 60, 3), dtype=np.uint8) for _ in range(3)]
    together = U2NetSegmenter(network, "cpu", 2).maps(images)
    assert [one.shape for one in together] == [(SIDE, SIDE)] * 3
    alone = U2NetSegmenter(network, "cpu", 1).maps(images[1:])
    np.testing.assert_array_equal(together[1:], alone)


@pytest.mark.parametrize(("fast", "format_"), [(True, torch.float16), (False, torch.float32)])
def test_maps_are_never_computed_in_bfloat16(
    network: U2NetP, monkeypatch: pytest.MonkeyPatch, fast: bool, format_: torch.dtype
) -> None:
    monkeypatch.setattr(devices, "has_bfloat16_units", lambda device: True)
    monkeypatch.setattr(u2net_segmenter, "has_float16_units", lambda device: fast)
    assert U2NetSegmenter(network, "cpu").format == format_


def test_the_batches_of_a_gpu_have_the_maps_of_their_photographs(
    network: U2NetP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(u2net_segmenter, "_GPU_BATCH", 2)
    rng = np.random.default_rng(4)
    images = [rng.integers(0, 255, (40 + n, 60, 3), dtype=np.uint8) for n in range(3)]  # two batches
    reader = U2NetSegmenter(network, "cpu", workers=2)
    alone, together = reader.maps(images), reader._on_gpu(images)
    assert len(together) == len(images)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_map_becomes_a_mask_by_hand() -> None:
    values = np.full((10, 10), 0.1, np.float32)
    values[2:8, 2:8] = 0.9
    values[3, 3] = 0.1  # a hole of 1 in 31: filled
    values[5:7, 5:7] = 0.1  # one of 4 in 31: not
    values[0, 9] = 0.9  # 1 of 31: too small a part
    expected = np.zeros((10, 10), dtype=bool)
    expected[2:8, 2:8] = True
    expected[5:7, 5:7] = False
    np.testing.assert_array_equal(mask_from_map(values, (10, 10)), expected)
    assert mask_from_map(values, (30, 20)).shape == (20, 30)


def test_three_animals_are_all_kept() -> None:
    values = np.zeros((20, 20), np.float32)
    for left in (1, 8, 15):
        values[5:10, left : left + 4] = 1
    assert mask_from_map(values, (20, 20)).sum() == 3 * 20


@pytest.mark.parametrize(("level", "share"), [(0.0, 0), (0.3, 0), (0.49, 0), (0.9, 1)])
def test_a_photograph_without_an_animal_and_one_that_it_fills(level: float, share: float) -> None:
    assert mask_from_map(np.full((10, 10), level, np.float32), (40, 30)).mean() == share


def test_a_speck_is_no_animal() -> None:
    values = np.zeros((100, 100), np.float32)
    values[0:5, 0:5] = 1
    assert not mask_from_map(values, (100, 100)).any()


class Bright(nn.Module):
    """Takes what is bright for the animal."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 20 * images.mean(dim=1, keepdim=True)


def test_only_the_box_is_searched() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    cv2.circle(pixels, (50, 50), 20, (255, 255, 255), -1)
    cv2.circle(pixels, (150, 50), 20, (255, 255, 255), -1)
    segmenter = U2NetSegmenter(Bright())
    both, left, outside = segmenter.segment([pixels] * 3, [None, (10.0, 10.0, 90.0, 90.0), (300.0, 10.0, 400.0, 90.0)])
    assert both[50, 50]
    assert both[50, 150]
    assert left[50, 50]
    assert not left[:, 100:].any()
    assert not outside.any()
    assert segmenter.segment([]) == []


def test_the_fingerprint_names_the_weights(network: U2NetP) -> None:
    other = U2NetP()
    other.load_state_dict(network.state_dict())
    assert U2NetSegmenter(other).fingerprint == U2NetSegmenter(network).fingerprint
    with torch.no_grad():
        next(other.parameters()).add_(1)
    assert U2NetSegmenter(other).fingerprint != U2NetSegmenter(network).fingerprint


def test_the_segmenter_that_ships_opens_and_its_card_names_its_origin() -> None:
    path = shipped_segmenter()
    assert load_u2netp(path).fine is False
    assert path.stat().st_size < 2_400_000
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    for word in (WEIGHTS["u2netp"].sha256, "Apache-2.0", "Qin et al. 2020", "animalclef train-segmenter", "IoU"):
        assert str(word) in card
    assert open_segmenter("animal").fingerprint != open_segmenter("grabcut").fingerprint


@pytest.mark.shared
def test_the_published_file_gives_the_same_maps_as_opencv(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(u2net_segmenter, "has_float16_units", lambda device: False)
    path = shared / "weights" / "u2netp.onnx"
    photographs = sorted((shared / "data" / "wild2" / "images").rglob("*.jpg"))[::400]
    reference = cv2.dnn.readNetFromONNX(str(path))
    output = reference.getUnconnectedOutLayersNames()[0]
    reader = U2NetSegmenter(load_u2netp(path), "cpu")
    images = [cv2.cvtColor(cv2.imread(str(one)), cv2.COLOR_BGR2RGB) for one in photographs]
    assert len(images) >= 2
    for image, values in zip(images, reader.maps(images), strict=True):
        reference.setInput(network_input(image)[None])
        np.testing.assert_allclose(values, reference.forward(output)[0, 0], atol=1e-4)
