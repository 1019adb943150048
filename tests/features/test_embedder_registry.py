"""The registry of embedding networks: every entry builds, loads strictly, and prepares photographs its own way."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from animalclef.config import Config, EmbedConfig, load_config
from animalclef.errors import ConfigError, WeightsError
from animalclef.features.embedding import embedder_registry as embedders
from animalclef.features.embedding import timm_embedder as zoo
from animalclef.features.embedding.acceleration import fold_batch_norms
from animalclef.features.embedding.embedder_families import FAMILIES
from animalclef.features.embedding.embedder_registry import EMBEDDERS, find_embedder
from animalclef.features.embedding.preprocessing import RESIZERS, Preprocessing
from animalclef.features.embedding.timm_embedder import TimmExtractor, load_embedder
from animalclef.hub.catalogue import WEIGHTS
from animalclef.pipeline.models import Models, scores_fingerprint
from animalclef.runtime import devices
from animalclef.structures import DecodedImage

SIZES = {
    "miewid-msv3": (440, 2152), "megadescriptor-t": (224, 768), "megadescriptor-b": (224, 1024),
    "dinov2-s": (518, 384), "dinov3-s": (256, 384), "resnet50-arcface": (224, 512),
    "efficientnet-b3-arcface": (300, 512),
}  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_every_entry_names_what_there_is() -> None:
    for name, entry in EMBEDDERS.items():
        assert timm.is_model(entry.backbone)
        assert entry.resize in RESIZERS
        assert (name in WEIGHTS) == (entry.family != "arcface")  # the ArcFace ones are trained by the user


@pytest.mark.parametrize("name", sorted(SIZES))
def test_entries_build_and_give_the_published_number_of_numbers(name: str) -> None:
    entry, (size, dimensions) = find_embedder(name), SIZES[name]
    with torch.device("meta"):  # shapes alone
        model = FAMILIES[entry.family].build(entry.backbone, entry.options).eval()
        vectors = model(torch.zeros(2, 3, size, size))
    assert (entry.size, tuple(vectors.shape)) == (size, (2, dimensions))


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(
        ConfigError,
        match=r"embed.model miewid: no such embedder. Did you mean miewid-msv3\? Known: rootsift-vlad, .*mie.*file:",
    ):
        find_embedder("miewid")


@pytest.fixture
def small_arcface(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    entry = replace(EMBEDDERS["resnet50-arcface"], backbone="test_resnet", size=64)
    monkeypatch.setattr(embedders, "EMBEDDERS", {**EMBEDDERS, "resnet50-arcface": entry})
    torch.manual_seed(1)
    return FAMILIES["arcface"].build("test_resnet", {}).eval()


def test_a_neck_gives_512_numbers_and_the_training_head_is_dropped(small_arcface: nn.Module, tmp_path: Path) -> None:
    wrapped = {"epoch": 4, "model": {**small_arcface.state_dict(), "head.weight": torch.zeros(7, 512)}}
    torch.save(wrapped, tmp_path / "checkpoint.pth")
    extractor = load_embedder(EmbedConfig(model="resnet50-arcface", weights=str(tmp_path / "checkpoint.pth")), "cpu")
    with ThreadPoolExecutor(1) as pool:
        entry = extractor.extract_features([photograph(80, 60)], pool)[0]
    assert entry["embedding"].shape == (512,)
    torch.save(
        {"neck.weight": torch.zeros(1), **dict(list(small_arcface.state_dict().items())[3:])}, tmp_path / "x.pth"
    )
    with pytest.raises(WeightsError, match=r"3 missing and 0 surplus keys \(first: missing backbone\.conv1\.0\.weight"):
        load_embedder(EmbedConfig(model="resnet50-arcface", weights=str(tmp_path / "x.pth")), "cpu")


def test_any_backbone_takes_a_neck() -> None:
    entry = find_embedder("arcface:test_resnet")
    shapes = {}
    for options in ({}, {"neck_dimensions": 7, "neck_pool": "gem"}, {"neck_dimensions": 0}):
        network = FAMILIES[entry.family].build(entry.backbone, options).eval()
        shapes[len(options)] = (network(torch.zeros(2, 3, 64, 64)).shape[1], "pooling.p" in network.state_dict())
    width = timm.create_model("test_resnet").num_features
    assert shapes == {0: (512, False), 2: (7, True), 1: (width, False)}
    with pytest.raises(ValueError, match="neck_pool is avg or gem, not max"):
        FAMILIES[entry.family].build(entry.backbone, {"neck_pool": "max"})


def test_without_weights_an_arcface_model_says_what_to_give() -> None:
    with pytest.raises(ConfigError, match=r"resnet50-arcface needs embed\.weights: a \.safetensors or torch file\."):
        load_embedder(EmbedConfig(model="resnet50-arcface"), "cpu")


def test_both_ways_of_counting_swin_layers_are_read() -> None:
    with torch.device("meta"):
        model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0)
    new = dict(model.state_dict())
    old = {name.replace("layers.1.down", "layers.0.down").replace("layers.2.down", "layers.1.down")
           .replace("layers.3.down", "layers.2.down"): value for name, value in new.items()}  # fmt: skip
    old["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49)
    old["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    keys = FAMILIES["swin"].keys
    assert set(keys(old)) == set(keys(new)) == set(new)
    assert keys(old)["layers.1.downsample.reduction.weight"].shape == new["layers.1.downsample.reduction.weight"].shape


def test_a_file_of_one_s_own_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    about = {"model": "timm:test_resnet", "size": 48, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    save_file(state, path, metadata={"animalclef.embedder": json.dumps(about)})
    extractor = load_embedder(EmbedConfig(model=f"file:{path}"), "cpu")
    assert extractor.preprocessing == Preprocessing((48, 48), (0.5,) * 3, (0.25,) * 3, "opencv-adaptive")
    save_file(state, path)
    with pytest.raises(ConfigError, match=r"whose metadata names its network.*embed\.weights"):
        load_embedder(EmbedConfig(model=f"file:{path}"), "cpu")


def photograph(width: int, height: int, seed: int = 0) -> DecodedImage:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return DecodedImage(pixels, None, (width, height))


class Counting(nn.Module):
    """Mean colour of the left and of the right half; too little memory for more than `most` at a time."""

    def __init__(self, most: int = 99) -> None:
        super().__init__()
        self.most, self.batches = most, []  # type: ignore[var-annotated]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        self.batches.append(len(x))
        middle = x.shape[3] // 2
        return torch.cat([x[..., :middle].mean((2, 3)), x[..., middle:].mean((2, 3))], 1)


def extractor(model: nn.Module, precision: str = "float32", **settings: object) -> TimmExtractor:
    way = Preprocessing((8, 4), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "opencv-linear")
    return TimmExtractor(model, way, EmbedConfig(model="timm:x", **settings), "cpu", precision, "digest")


def vectors(one: TimmExtractor, images: list[DecodedImage]) -> np.ndarray:
    with ThreadPoolExecutor(2) as pool:
        return np.stack([entry["embedding"] for entry in one.extract_features(images, pool)])


def halves(left: int, right: int) -> DecodedImage:
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4, 0], pixels[:, 4:, 0] = left, right
    return DecodedImage(pixels, None, (8, 4))


@pytest.mark.parametrize("precision", ["plain", "float32"])
def test_flipping_averages_the_unit_vectors_of_both_views(precision: str) -> None:
    # left 51 = 0.2, right 153 = 0.6: (1, 3) / sqrt(10); its mirror image (3, 1) / sqrt(10); their mean points to (1, 1)
    plain = vectors(extractor(Counting(), precision), [halves(51, 153)])[0]
    np.testing.assert_allclose(plain[[0, 3]], np.array([1, 3]) / np.sqrt(10), atol=1e-6)
    both = vectors(extractor(Counting(), precision, flip=True), [halves(51, 153)])[0]
    np.testing.assert_allclose(both, [np.sqrt(0.5), 0, 0, np.sqrt(0.5), 0, 0], atol=1e-6)


def test_five_crops_are_the_photograph_and_its_corners() -> None:
    image = photograph(100, 50)
    views = extractor(Counting(), crops=5).preprocessing.views(image, 5)
    assert views.shape == (5, 4, 8, 3)
    resize = RESIZERS["opencv-linear"]
    np.testing.assert_array_equal(views[0], resize(image.pixels, (8, 4)))
    np.testing.assert_array_equal(views[1], resize(image.pixels[:40, :80].copy(), (8, 4)))
    np.testing.assert_array_equal(views[4], resize(image.pixels[10:, 20:].copy(), (8, 4)))
    got = vectors(extractor(Counting(), crops=5), [image])[0]
    assert np.linalg.norm(got) == pytest.approx(1, abs=1e-6)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(caplog: pytest.LogCaptureFixture) -> None:
    model, images = Counting(most=3), [photograph(20, 10, seed) for seed in range(10)]
    got = vectors(extractor(model, batch_size=10), images)
    assert model.batches == [2, 2, 2, 2, 2]  # 10 and 5 were too many
    np.testing.assert_allclose(got, vectors(extractor(Counting()), images), atol=1e-6)
    assert "going on with 2" in caplog.text
    with pytest.raises(ConfigError, match="not even one photograph at a time fits"):
        vectors(extractor(Counting(most=0)), images)


def test_a_photograph_that_finds_no_memory_is_not_told_as_a_full_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    network = extractor(Counting())
    monkeypatch.setattr(network, "_prepare", no_memory)
    with pytest.raises(MemoryError):
        vectors(network, [photograph(20, 10, seed) for seed in range(3)])


def test_a_cpu_gets_no_more_pixels_at_once_than_its_caches_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [photograph(20, 10, seed) for seed in range(7)]
    whole = vectors(extractor(Counting()), images)
    monkeypatch.setattr(zoo, "_CPU_PIXELS", 3 * 8 * 4 + 1)
    model = Counting()
    np.testing.assert_allclose(vectors(extractor(model, batch_size=32), images), whole, atol=1e-6)
    assert model.batches == [3, 3, 1]
    small = Counting()
    vectors(extractor(small, batch_size=2), images)
    assert small.batches == [2, 2, 2, 1]  # what the settings allow
    monkeypatch.setattr(zoo, "_CPU_PIXELS", 1)
    vectors(extractor(large := Counting()), images[:2])
    assert large.batches == [1, 1]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_photographs_give_the_same_bytes(tmp_path: Path, precision: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), path)
    settings = EmbedConfig(
        model="timm:test_resnet", weights=str(path), image_size=64, precision=precision, batch_size=3
    )
    images = [photograph(70, 50, seed) for seed in range(5)]
    first, second = (vectors(load_embedder(settings, "cpu"), images).tobytes() for _ in range(2))
    assert first == second


def test_an_error_that_is_not_of_memory_is_not_swallowed() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        vectors(extractor(Broken()), [photograph(9, 5)])


def test_auto_is_the_number_format_that_the_device_computes_fast_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, chosen in (((8, 0), torch.bfloat16), ((7, 5), torch.float16)):  # a T4 has no bfloat16
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, capability=capability: capability)
        assert devices.choose_precision("auto", "cuda:1") == chosen
    for has, chosen in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(devices, "has_bfloat16_units", lambda device, has=has: has)
        assert devices.choose_precision("auto", "cpu") == chosen
    assert devices.choose_precision("float32", "cpu") == torch.float32
    with pytest.raises(ConfigError, match=r"embed\.precision float16: processors are slow at it"):
        load_embedder(EmbedConfig(model="embedder-lite", precision="float16"), "cpu")


def test_folded_batch_norms_change_nothing_and_are_gone() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.one = nn.Conv2d(3, 4, 3, bias=True), nn.BatchNorm2d(4)
            self.second, self.two = nn.Conv2d(4, 5, 1, bias=False), nn.BatchNorm2d(5)
            self.three = nn.BatchNorm2d(4)  # follows what others look at too: stays

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.one(self.first(x)))
            return torch.cat([self.two(self.second(x)), self.three(x)], 1)

    torch.manual_seed(0)
    net, x = Net(), torch.randn(2, 3, 9, 7)
    net.train()(x)
    expected = net.eval()(x)
    folded = fold_batch_norms(net)
    assert [name for name, module in folded.named_modules() if isinstance(module, nn.BatchNorm2d)] == ["three"]
    torch.testing.assert_close(folded(x), expected, atol=1e-5, rtol=1e-5)


def test_what_shapes_a_network_s_embedding_is_in_the_fingerprint_and_leaves_the_weight_free_one_alone() -> None:
    network = extractor(Counting())
    changes = ("resize=opencv-linear", "precision=plain", "flip=true", "crops=5", "image_size=99", "compile=true")
    configs = [
        load_config(None, ["embed.model=miewid-msv3", *given]) for given in ([], *([f"embed.{c}"] for c in changes))
    ]
    assert len({scores_fingerprint(config, Models(network, None, None)) for config in configs}) == 1 + len(changes)
    settled = [
        Config(embed=EmbedConfig()),
        Config(embed=EmbedConfig(flip=True, precision="auto", resize="pil-bicubic")),
    ]
    assert len({scores_fingerprint(config, Models(None, None, None)) for config in settled}) == 1
