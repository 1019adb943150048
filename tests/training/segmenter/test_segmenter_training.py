"""The segmenter's training: its loss by hand, its examples, and a training that was interrupted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rows import Row, image_table, strings
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.config.training import TrainSegmenterConfig
from animalclef.data.masks import find_masks
from animalclef.errors import DataError, OutputError, StaleArtefactError
from animalclef.prepare.u2netp import U2NetP, load_u2netp
from animalclef.training.segmenter.segmenter_training import (
    Example,
    ExampleSource,
    SegmenterTask,
    as_batch,
    mask_loss,
    overlap,
    render_example,
    train_segmenter,
)
from animalclef.training.training_loop import TrainingLoop

SMALL = TrainSegmenterConfig(
    steps=4,
    batch_size=2,
    side=64,
    held_out=2,
    validate_every=2,
    checkpoint_every=1,
    warmup_steps=1,
    precision="32-true",
)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    save_file(U2NetP().state_dict(), path)
    return path


def test_the_loss_by_hand() -> None:
    masks = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 1.0]]]])
    zero, sure = torch.zeros(2, 1, 1, 2), torch.tensor([[[[9.0, -9.0]]], [[[9.0, 9.0]]]])
    half = float(np.log(2))  # the cross-entropy of probability 0.5
    assert mask_loss([zero, zero], masks, 0.5).tolist() == pytest.approx([1.5 * half] * 2)
    assert mask_loss([sure, zero, sure], masks, 1.0).tolist() == pytest.approx([half / 2] * 2, abs=1e-3)


def test_masks_of_other_size_than_the_map_are_averaged() -> None:
    masks = torch.zeros(1, 1, 4, 4)
    masks[..., :2] = 1
    logits = torch.full((1, 1, 1, 1), 2.0)  # against a mask of 0.5: log(1 + e^2) - 0.5 * 2
    assert float(mask_loss([logits, logits], masks, 0)) == pytest.approx(np.log1p(np.exp(2)) - 1, rel=1e-5)


def test_overlap_by_hand() -> None:
    one, other = np.array([1, 1, 0, 0], dtype=bool), np.array([0, 1, 1, 0], dtype=bool)
    assert overlap(one, other) == pytest.approx(1 / 3)
    assert overlap(one & ~one, other & ~other) == 1


def test_a_rendered_example_has_its_own_mask() -> None:
    first, again = render_example(0, 3), render_example(0, 3)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert 0.02 < first.mask.mean() < 0.9
    assert first.mask.max() <= 1
    assert not np.array_equal(render_example(0, 4).pixels.mean(), first.pixels.mean())
    with pytest.raises(ValueError, match="Expected a mask"):
        Example("odd", first.pixels, first.mask[1:])


def test_given_photographs_keep_their_masks(tmp_path: Path) -> None:
    for name in "ab":
        picture = np.zeros((40, 80, 3), np.uint8)
        picture[:, :40] = 200
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    square = json.dumps([[0, 0, 40, 0, 40, 40, 0, 40]])
    table = image_table([Row("a", "Luna"), Row("b", "Luna")])
    table = replace(
        table, root=tmp_path, path=strings("a.png", "b.png"), mask=strings(square, square), key=strings("", "")
    )
    config = SMALL.model_copy(update={"given": 1.0, "close": 0.0})
    source = ExampleSource(config, 0, table, find_masks(table, None))
    example = source.example(0)
    assert example.name in ("a.png", "b.png")
    assert ((example.mask > 0.5) != (example.pixels[..., 0] > 100)).mean() < 0.02  # mirrored together, or not at all
    close = ExampleSource(config.model_copy(update={"close": 1.0}), 0, table, find_masks(table, None)).example(0)
    assert close.mask.shape[0] == 40
    assert 40 <= close.mask.shape[1] <= 47
    batch = as_batch([example, close], 32)
    assert batch.images.shape == (2, 3, 32, 32)
    assert batch.masks.mean(dim=(1, 2, 3)).tolist() == pytest.approx([0.5, 40 / close.mask.shape[1]], abs=0.03)
    odd = replace(table, mask=strings(*['{"size":[80,40],"counts":[0,3200]}'] * 2))  # turned: rendered ones instead
    assert ExampleSource(config, 0, odd, find_masks(odd, None)).example(0).name == "rendered 0"


def test_an_interrupted_training_ends_with_the_same_bytes(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_segmenter(SMALL, start, tmp_path / "whole", device="cpu")
    assert set(whole.measured) == {"start", "network"}
    losses = SegmenterTask.losses
    calls = []

    def fails(self: SegmenterTask, batch: object) -> torch.Tensor:
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return losses(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(SegmenterTask, "losses", fails)
    with pytest.raises(KeyboardInterrupt):
        train_segmenter(SMALL, start, tmp_path / "cut", device="cpu")
    resumed = train_segmenter(SMALL, start, tmp_path / "cut", device="cpu")
    assert len(calls) == 3 + 2
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    other = SMALL.model_copy(update={"seed": 1})
    with pytest.raises(StaleArtefactError, match="overwrite"):
        train_segmenter(other, start, tmp_path / "cut", device="cpu")


def test_the_start_and_files_of_others_are_never_replaced(start: Path, tmp_path: Path) -> None:
    content = start.read_bytes()
    mine = tmp_path / "animal-segmenter.safetensors"
    mine.write_bytes(content)
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="starts from this file"):
            train_segmenter(SMALL, mine, tmp_path / "." / ".." / tmp_path.name, device="cpu", overwrite=overwrite)
    assert mine.read_bytes() == content
    for name in ("log.jsonl", "measured.json", "animal-segmenter.safetensors"):
        other = tmp_path / f"with {name}"
        other.mkdir()
        (other / name).write_text("of somebody else")
        with pytest.raises(OutputError, match="no checkpoint of a training"):
            train_segmenter(SMALL, start, other, device="cpu")
        assert (other / name).read_text() == "of somebody else"
    train_segmenter(SMALL.model_copy(update={"steps": 1}), start, other, device="cpu", overwrite=True)
    load_u2netp(other / "animal-segmenter.safetensors")


def test_the_recipe_changes_with_the_photographs_and_not_with_names(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes: list[str] = []

    def stopped(loop: TrainingLoop[object], *, overwrite: bool) -> None:
        recipes.append(loop.recipe)
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLoop, "run", stopped)
    square = json.dumps([[0, 0, 8, 0, 8, 8, 0, 8]])
    table = image_table([Row("a", "Luna"), Row("b", "Luna")])
    table = replace(table, root=tmp_path, path=strings("a.png", "b.png"), mask=strings(square, square))
    table = replace(table, key=strings("", ""))

    def recipe_of(shade: int, **changed: object) -> str:
        for name in "ab":
            cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((16, 16, 3), shade, np.uint8))
        config = SMALL.model_copy(update=changed)
        with pytest.raises(KeyboardInterrupt):
            train_segmenter(config, start, tmp_path / "out", images=table, masks=find_masks(table, None), device="cpu")
        return recipes[-1]

    before = recipe_of(10)
    assert recipe_of(10, name="other", checkpoint_every=3) == before
    assert recipe_of(11) != before


def test_what_was_trained_is_a_half_precision_segmenter_without_its_finest_block(start: Path, tmp_path: Path) -> None:
    done = train_segmenter(SMALL, start, tmp_path / "out", device="cpu")
    network = load_u2netp(done.path)
    assert not network.fine
    assert done.path.stat().st_size < 2 * sum(one.numel() for one in network.parameters()) + 20_000
    before = load_u2netp(start).without_fine().state_dict()
    moved = [float((value - before[name]).abs().max()) for name, value in network.state_dict().items()]
    assert 0 < max(moved) < 4 * SMALL.learning_rate + 1e-3  # AdamW moves by no more than the rate; and rounding


def test_without_the_finest_block_the_map_is_that_of_the_next_side() -> None:
    torch.manual_seed(1)
    network = U2NetP().eval()
    with torch.no_grad():  # the finest side repeats the next one: then nothing is lost
        network.fuse.weight[0, 0] = 0
    coarse = network.without_fine().eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        maps, small = network.all_maps(images), coarse.all_maps(images)
    assert [tuple(one.shape[-2:]) for one in small] == [(32, 32)] * 6
    up = nn.functional.interpolate(small[0], (64, 64), mode="bilinear", align_corners=False)
    assert torch.allclose(up, maps[0], atol=0.05)


def test_too_few_masks_are_refused(start: Path, tmp_path: Path) -> None:
    table = image_table([Row("a", "Luna"), Row("b", "Luna")])
    with pytest.raises(DataError, match="two photographs with masks or more"):
        train_segmenter(SMALL, start, tmp_path, images=table, masks=find_masks(table, None), device="cpu")


def test_the_command_names_what_it_measured(start: Path, tmp_path: Path) -> None:
    settings = [f"{name}={getattr(SMALL, name)}" for name in ("batch_size", "side", "held_out", "checkpoint_every")]
    arguments = [word for one in [*settings, "steps=1"] for word in ("--set", one)]
    command = ["train-segmenter", "--start", str(start), "--out", str(tmp_path / "out"), "--device", "cpu", *arguments]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["steps"] == 1
    assert Path(told["network"]).is_file()
    assert 0 <= told["measured"]["network"]["mean_iou"] <= 1
