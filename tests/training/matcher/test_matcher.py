"""A whole training: its command, its resume, its stop at what is not a number, and what is measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from training_cases import TINY_RECIPE, drawn_photographs, tiny_recipe, view

from animalclef import cli
from animalclef.config import load_recipe, shipped_configs
from animalclef.config.training import MatcherLossConfig, TrainMatcherConfig
from animalclef.errors import ConfigError, DataError, RunInUseError, StaleArtefactError, TrainingError, WeightsError
from animalclef.training.matcher import matcher_training as running
from animalclef.training.matcher.assignment import true_assignment
from animalclef.training.matcher.matcher_training import train_matcher
from animalclef.training.matcher.matcher_validation import measure, nearest_neighbours
from animalclef.training.matcher.view_batches import Pair
from animalclef.training.training_loop import TrainingLoop
from animalclef.training.training_task import warmup_then_cosine


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_photographs(tmp_path_factory.mktemp("training") / "images", 8)


class Killed(BaseException):
    """What a kill looks like from inside."""


def test_a_resumed_training_ends_with_the_same_weights(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_recipe(optimiser={"accumulate": 2})
    whole = train_matcher(config, images, tmp_path / "whole", device="cpu")

    often = tiny_recipe(optimiser={"accumulate": 2}, checkpoint_every=2)
    step = TrainingLoop._step
    calls: list[int] = []

    def killed_at_the_fourth(self: object, *given: object) -> dict[str, float]:
        number = int(given[-1])  # type: ignore[call-overload]
        calls.append(number)
        if len(calls) == 4:
            raise Killed
        return step(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(TrainingLoop, "_step", killed_at_the_fourth)
    with pytest.raises(Killed):
        train_matcher(often, images, tmp_path / "parts", device="cpu")
    resumed = train_matcher(often, images, tmp_path / "parts", device="cpu")
    assert calls == [0, 1, 2, 3, 2, 3, 4, 5]
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert resumed.measured["network"] == pytest.approx(whole.measured["network"], nan_ok=True)
    lines = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    # A third time there is nothing to do.
    assert train_matcher(config, images, tmp_path / "parts", device="cpu").path.read_bytes() == whole.path.read_bytes()


def test_another_recipe_does_not_go_on_from_a_checkpoint(images: Path, tmp_path: Path) -> None:
    train_matcher(tiny_recipe(steps=1), images, tmp_path, device="cpu")
    with pytest.raises(StaleArtefactError, match="--overwrite"):
        train_matcher(tiny_recipe(steps=2), images, tmp_path, device="cpu")
    train_matcher(tiny_recipe(steps=2), images, tmp_path, device="cpu", overwrite=True)
    (tmp_path / "state.safetensors").write_bytes(b"damaged")
    with pytest.raises(StaleArtefactError, match="not a readable"):
        train_matcher(tiny_recipe(steps=2), images, tmp_path, device="cpu")


def test_a_start_learns_its_projection_first(images: Path, tmp_path: Path) -> None:
    first = train_matcher(tiny_recipe(steps=1), images, tmp_path / "start", device="cpu").path
    config = tiny_recipe(steps=2, frozen_steps=2)
    train_matcher(config, images, tmp_path / "next", device="cpu", start=first)
    bigger = tiny_recipe(network={"descriptor_dim": 16, "n_layers": 2})
    with pytest.raises(WeightsError, match="Give `network` the size"):
        train_matcher(bigger, images, tmp_path / "bigger", device="cpu", start=first)
    with pytest.raises(WeightsError, match=r"absent\.safetensors"):
        train_matcher(config, images, tmp_path / "absent", device="cpu", start=tmp_path / "absent.safetensors")


def test_a_loss_that_is_not_a_number_stops_with_the_photographs(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = running.batch_loss
    seen: list[tuple[str, ...]] = []

    def broken(network: torch.nn.Module, batch: object, weight: float) -> torch.Tensor:
        losses = right(network, batch, weight)  # type: ignore[arg-type]
        seen.append(batch.names)  # type: ignore[attr-defined]
        return losses * torch.tensor([1.0, float("nan")]) if len(seen) == 3 else losses

    monkeypatch.setattr(running, "batch_loss", broken)
    with pytest.raises(TrainingError) as error:
        train_matcher(tiny_recipe(), images, tmp_path, device="cpu")
    assert f"not a number at step 3, for {seen[-1][1]}." in str(error.value)


def test_two_trainings_do_not_share_a_folder(images: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"), pytest.raises(RunInUseError, match="another process is training there"):
        train_matcher(tiny_recipe(), images, tmp_path, device="cpu")


def test_a_device_that_is_not_there_is_told(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device nonsense"):
        train_matcher(tiny_recipe(), images, tmp_path, device="nonsense")


def test_rates_warm_up_and_decay_in_both_phases() -> None:
    rates = [warmup_then_cosine(step, 14, 4, 2) for step in range(14)]
    assert rates[:4] == [0.5, 1, 1, 1]
    assert rates[4:7] == [0.5, 1, 1]
    assert rates[10] == pytest.approx(0.5)  # half of the eight steps of decay
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert 0 < rates[-1] < 0.05


def test_what_is_measured_by_hand() -> None:
    first = view([(10, 10), (100, 50), (200, 50), (300, 60)])
    second = view([(10, 10), (100, 50), (200, 57), (60, 60)])
    truth = true_assignment(first, second, MatcherLossConfig(), same_subject=True, same_photo=True)
    assert truth.first.tolist() == [0, 1, -2, -1]
    pair = Pair(first, second, truth, "a and b", True, True)
    none = true_assignment(first, second, MatcherLossConfig(), same_subject=False, same_photo=False)
    strangers = Pair(first, second, none, "a and c", False, False)

    def match(one: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
        if one is strangers:
            return np.array([3]), np.array([3]), np.array([0.5], np.float32)
        return np.array([0, 2, 3]), np.array([0, 2, 3]), np.array([0.9, 0.5, 0.4], np.float32)

    found = measure(match, [pair, strangers], 4.0)
    assert found["precision"] == pytest.approx(1 / 2)  # (2, 2) is 7 px off and not counted, (3, 3) is wrong
    assert found["recall"] == pytest.approx(0.5)  # of (0, 0) and (1, 1) the first
    assert (found["separation"], found["false_matches"], found["auc_5px"]) == (1.0, 1.0, 0.0)
    nearest = measure(nearest_neighbours(0.9), [pair], 4.0)
    assert nearest["recall"] == 1.0  # one-hot descriptors: each is its own nearest


def test_the_command_trains_and_says_what_it_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump({**TINY_RECIPE, "steps": 2, "held_out": 0.5}))

    def said(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["animalclef", "train-matcher", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        told = capsys.readouterr()
        return int(stopped.value.code or 0), told.out, " ".join(told.err.split())

    options = ("--config", "tiny.yaml", "--out", "out", "--device", "cpu", "--workers", "1")
    status, out, err = said(*options, "--render", "13", "--json")
    assert status == 0, err
    result = json.loads(out)
    assert result["network"] == "out/tiny.safetensors"
    assert set(result["measured"]["network"]) >= {"precision", "recall", "auc_5px", "separation"}
    assert "mutual nearest 0.9" in result["measured"]
    assert Path("out/tiny.safetensors").is_file()
    assert len(list(Path("out/images").rglob("*.jpg"))) == 24  # whole species: 12 photographs each
    status, out, _ = said(*options)
    assert status == 0
    assert "mutual nearest 0.9" in " ".join(out.split())
    status, _, err = said("--out", "empty")
    assert (status, "empty/images: nothing to train on" in err) == (2, True)
    status, _, err = said(*options, "--set", "batchsize=3")
    assert (status, "did you mean batch_size?" in err) == (2, True)


def test_the_shipped_recipe_is_valid_and_far_too_few_photographs_are_told(tmp_path: Path) -> None:
    assert set(shipped_configs("training")) >= {"lightglue-sift"}
    recipe = load_recipe(TrainMatcherConfig, "lightglue-sift")
    assert (recipe.name, recipe.network.descriptor_dim) == ("lightglue-sift", 96)
    with pytest.raises(DataError, match="training needs two subjects"):
        train_matcher(recipe, drawn_photographs(tmp_path / "one", 1), tmp_path / "out", device="cpu")
