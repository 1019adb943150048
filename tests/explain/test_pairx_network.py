"""What an embedding network agreed on, on networks small enough to reckon by hand."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

import numpy as np
import pytest

from animalclef.config import EmbedConfig
from animalclef.errors import ConfigError
from animalclef.explain.pairx import Agreement, agreeing_cells, cell_centres, heat_of, scaled
from animalclef.explain.pairx_network import agreement_of_network, layers_of, relevance_of
from animalclef.features.embedding.embedder_families import FAMILIES
from animalclef.features.embedding.preprocessing import Preprocessing
from animalclef.features.embedding.timm_embedder import TimmExtractor
from animalclef.structures import DecodedImage

if TYPE_CHECKING:
    import torch


def extractor_of(model: torch.nn.Module, size_wh: tuple[int, int]) -> TimmExtractor:
    preprocessing = Preprocessing(size_wh, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "opencv-adaptive")
    return TimmExtractor(model.eval(), preprocessing, EmbedConfig(model="timm:tiny"), "cpu", "plain", "none")


def linear_network() -> torch.nn.Module:
    """Three channels, averaged over the picture, then a linear layer: `0` has the map."""
    import torch
    from torch import nn

    torch.manual_seed(3)
    return nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4, bias=False))


def convolutions() -> torch.nn.Module:
    """Patches of 8 pixels, each seen alone; a patch of one grey excites nothing."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    first = nn.Conv2d(3, 32, 8, stride=8, bias=False)
    with torch.no_grad():
        first.weight -= first.weight.mean(dim=(1, 2, 3), keepdim=True)
    return nn.Sequential(first, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def tiled(rows: int, columns: int, seed: int) -> DecodedImage:
    """Noise, a different one in each patch of 8 pixels."""
    pixels = np.random.default_rng(seed).integers(90, 166, (rows * 8, columns * 8, 3)).astype(np.uint8)
    return DecodedImage(pixels, None, (columns * 8, rows * 8))


def test_relevance_is_what_differences_say() -> None:
    """d <e1, e2> / (|e1| |e2|), lengths fixed, by central differences in every number of the first map."""
    import torch

    model, inputs = linear_network(), torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 2, 3))).float()
    layers = layers_of(model, inputs)
    cosine, activation, relevance = relevance_of(model, inputs, "0", layers["0"])
    weights = model[3].weight.detach().numpy().astype(np.float64)  # type: ignore[index, union-attr]
    exact = inputs.numpy().astype(np.float64)
    vectors = exact.mean(axis=(2, 3)) @ weights.T
    lengths = np.linalg.norm(vectors, axis=1)
    assert cosine == pytest.approx(float(vectors[0] @ vectors[1] / lengths.prod()), abs=1e-5)
    np.testing.assert_allclose(activation, exact.transpose(0, 2, 3, 1), atol=1e-6)
    expected, step = np.zeros((2, 3)), 1e-4
    for channel, row, column in np.ndindex(3, 2, 3):
        change = np.zeros((3, 2, 3))
        change[channel, row, column] = step
        up, down = (((exact[0] + sign * change).mean(axis=(1, 2)) @ weights.T) @ vectors[1] for sign in (1, -1))
        expected[row, column] += (up - down) / (2 * step) / lengths.prod() * exact[0, channel, row, column]
    np.testing.assert_allclose(relevance[0], expected, atol=1e-5)


def test_relevance_adds_up_to_the_cosine_where_all_that_follows_is_linear() -> None:
    import torch

    model, inputs = linear_network(), torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(2))
    cosine, _, relevance = relevance_of(model, inputs, "0", layers_of(model, inputs)["0"])
    assert relevance.sum(axis=(1, 2)).tolist() == pytest.approx([cosine, cosine], abs=1e-5)


def test_photographs_that_are_alike_agree_all_over() -> None:
    image = tiled(4, 6, 5)
    agreed = agreement_of_network(extractor_of(convolutions(), (48, 32)), image, image, most=24)
    assert agreed.cosine == pytest.approx(1, abs=1e-5)
    assert (agreed.query_map > 0).all()
    np.testing.assert_array_equal(agreed.query_map, agreed.gallery_map)
    np.testing.assert_array_equal(agreed.query_xy, agreed.gallery_xy)
    assert len(agreed.weight) == 24


def test_the_map_peaks_at_the_one_patch_that_both_have() -> None:
    """Non-square: six patches wide, four high; the patch stands in column 4 of row 1, and in column 2 of row 3."""
    query, gallery = (DecodedImage(np.full((32, 48, 3), 120, np.uint8), None, (48, 32)) for _ in range(2))
    patch = np.random.default_rng(9).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    query.pixels[8:16, 32:40] = patch
    gallery.pixels[24:32, 16:24] = patch
    query.pixels[:8, :8] = tiled(1, 1, 3).pixels  # each has something of its own, too
    gallery.pixels[:8, 40:] = tiled(1, 1, 4).pixels
    agreed = agreement_of_network(extractor_of(convolutions(), (48, 32)), query, gallery)
    assert agreed.query_map.shape == (4, 6)
    assert np.unravel_index(agreed.query_map.argmax(), (4, 6)) == (1, 4)
    assert np.unravel_index(agreed.gallery_map.argmax(), (4, 6)) == (3, 2)
    assert agreed.query_xy[0].tolist() == pytest.approx([4.5 / 6, 1.5 / 4])
    assert agreed.gallery_xy[0].tolist() == pytest.approx([2.5 / 6, 3.5 / 4])
    assert agreed.weight[0] == 1


def test_a_layer_can_be_named_and_a_wrong_one_is_told() -> None:
    extractor, images = extractor_of(convolutions(), (48, 32)), (tiled(4, 6, 1), tiled(4, 6, 2))
    named, default = (agreement_of_network(extractor, *images, layer) for layer in ("1", None))
    np.testing.assert_array_equal(named.query_map, default.query_map)
    before = agreement_of_network(extractor, *images, "0")
    np.testing.assert_allclose(before.query_map, named.query_map, atol=1e-6)  # a ReLU passes relevance on as it is
    assert not np.array_equal(before.weight, named.weight)  # but its cells are others
    with pytest.raises(ConfigError, match=r"--layer 2: no layer of this network with a map. The last ones: 0, 1"):
        agreement_of_network(extractor, *images, "2")


@pytest.mark.parametrize(
    ("name", "options", "grid"),
    [
        ("mobilenetv3_small_050", {}, (2, 2)),
        ("test_vit", {"img_size": 64}, (4, 4)),  # only the class token of its last block counts: the block before
        ("swin_tiny_patch4_window7_224", {"img_size": 64, "window_size": 2, "depths": (1, 1, 1, 1)}, (2, 2)),
        ("test_efficientnet", {}, (2, 2)),
    ],
)
def test_networks_of_every_make_have_a_map(name: str, options: dict[str, object], grid: tuple[int, int]) -> None:
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=0, **options)
    agreed = agreement_of_network(extractor_of(model, (64, 64)), tiled(8, 8, 1), tiled(8, 8, 2))
    assert agreed.query_map.shape == grid
    assert agreed.query_map.max() == 1
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(("family", "layer"), [("miewid", "backbone.bn2"), ("arcface", "backbone.bn2")])
def test_networks_with_a_neck_are_explained_in_their_backbone(family: str, layer: str) -> None:
    import torch

    torch.manual_seed(0)
    extractor = extractor_of(FAMILIES[family].build("test_efficientnet", {}), (96, 64))
    images = tiled(8, 12, 1), tiled(12, 8, 2)
    default, named = (agreement_of_network(extractor, *images, name) for name in (None, layer))
    assert default.query_map.shape == (2, 3)
    np.testing.assert_array_equal(default.query_map, named.query_map)
    vectors = [entry["embedding"] for entry in extractor.extract_features(images, _AtOnce())]  # type: ignore[arg-type]
    assert default.cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)


class _AtOnce:
    """A pool that works at once."""

    def submit(self, work: Callable[..., object], *arguments: object) -> Future[object]:
        done: Future[object] = Future()
        done.set_result(work(*arguments))
        return done


def test_cells_that_agree_are_each_others_nearest() -> None:
    """One line of three cells against one of two: first and second, second and first; the third alone."""
    query = np.array([[[1, 0], [0.28, 0.96], [-1, 0]]], np.float32)
    gallery = np.array([[[0, 1], [1, 0.1]]], np.float32)
    ends = agreeing_cells(query, gallery, np.full((1, 3), 0.5, np.float32), np.ones((1, 2), np.float32), 5)
    places = [one.tolist() for one in ends[:2]]
    assert places[0] == [pytest.approx([1 / 6, 0.5]), pytest.approx([0.5, 0.5])]
    assert places[1] == [pytest.approx([0.75, 0.5]), pytest.approx([0.25, 0.5])]
    assert ends[2].tolist() == pytest.approx([1, 0.96 * np.sqrt(1.01)], rel=1e-5)


def test_places_on_a_wide_photograph() -> None:
    assert cell_centres(np.array([0, 5]), (2, 4)).tolist() == [[0.125, 0.25], [0.375, 0.75]]
    cells = np.zeros((2, 4), np.float32)
    cells[1, 3] = 1
    heat = heat_of(cells, (80, 40))
    assert heat.shape == (40, 80)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert (x >= 69, y >= 29) == (True, True)  # from the centre of the last cell outwards
    assert heat[:20, :40].max() < 0.6


def test_a_map_without_anything_positive_is_zero() -> None:
    assert scaled(np.array([[-1.0, -2.0]])).tolist() == [[0, 0]]
    assert scaled(np.array([[-1.0, 2.0, 4.0]])).tolist() == [[0, 0.5, 1]]


def test_agreement_checks_its_shapes() -> None:
    nothing, blank = np.zeros((0, 2), np.float32), np.zeros((2, 2), np.float32)
    with pytest.raises(ValueError, match="1 weights need as many places"):
        Agreement(0.5, blank, blank, nothing, nothing, np.ones(1, np.float32))
    with pytest.raises(ValueError, match="expected two maps"):
        Agreement(0.5, blank, np.zeros(4, np.float32), nothing, nothing, np.zeros(0, np.float32))
