"""Averages, states and logs that every training shares."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from animalclef.config.training import AveragingConfig
from animalclef.errors import ConfigError, StaleArtefactError
from animalclef.training.fabric import open_fabric, skips_overflow
from animalclef.training.training_state import TrainingLog, averaged_model, load_state, save_state


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def test_averages_by_hand() -> None:
    model = network()
    averaged = {kind: averaged_model(model, AveragingConfig(kind=kind, decay=0.5)) for kind in ("ema", "swa", "none")}  # type: ignore[arg-type]
    first = model[0].bias.detach().clone()  # type: ignore[index]
    expected = {"ema": 8 * 9 / 11, "swa": 8, "none": 8}  # of the first step the moving average keeps 2 / 11
    for one in (1, 2):
        with torch.no_grad():
            model[0].bias += 8  # type: ignore[index]
            model[1].num_batches_tracked += 3  # type: ignore[index]
        for kind, average in averaged.items():
            average.update_parameters(model)
            assert torch.allclose(average.module[0].bias, first + expected[kind])
            assert int(average.module[1].num_batches_tracked) == 3 * one
        moved = 8 * 9 / 11 + (16 - 8 * 9 / 11) * 9 / 12  # the second keeps 3 / 12
        expected = {"ema": moved, "swa": 12, "none": 16}
    for _ in range(20):
        averaged["ema"].update_parameters(model)
    before = averaged["ema"].module[0].bias.detach().clone()
    with torch.no_grad():
        model[0].bias += 8  # type: ignore[index]
    averaged["ema"].update_parameters(model)
    assert torch.allclose(averaged["ema"].module[0].bias, (before + model[0].bias) / 2)  # type: ignore[index]


@pytest.mark.parametrize("kind", ["adam", "sgd", "plain"])
def test_a_state_holds_whatever_the_optimiser_does(kind: str, tmp_path: Path) -> None:
    def started() -> tuple[nn.Module, AveragedModel, torch.optim.Optimizer]:
        model = network()
        makers = {"adam": lambda: torch.optim.AdamW(model.parameters(), lr=0.1),
                  "sgd": lambda: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
                  "plain": lambda: torch.optim.SGD(model.parameters(), lr=0.1)}  # fmt: skip
        return model, averaged_model(model, AveragingConfig(decay=0.9)), makers[kind]()

    def step(model: nn.Module, averaged: AveragedModel, optimiser: torch.optim.Optimizer, number: int) -> None:
        model(torch.arange(8.0).reshape(4, 2) * number).square().sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        averaged.update_parameters(model)

    whole = started()
    for number in (1, 2):
        step(*whole, number)
    path = tmp_path / "state.safetensors"
    save_state(path, *whole, 2, "recipe", kept={"best.weight": torch.ones(2)}, notes={"course": "{}"})
    step(*whole, 3)

    resumed = started()
    state = load_state(path, *resumed, "recipe")
    assert (state.step, state.notes["course"], state.kept["best.weight"].tolist()) == (2, "{}", [1, 1])
    step(*resumed, 3)
    assert all(torch.equal(one, other) for one, other in zip(whole[0].state_dict().values(),
               resumed[0].state_dict().values(), strict=True))  # fmt: skip
    assert all(torch.equal(one, other) for one, other in zip(whole[1].state_dict().values(),
               resumed[1].state_dict().values(), strict=True))  # fmt: skip
    with pytest.raises(StaleArtefactError, match="--overwrite"):
        load_state(path, *started(), "another")
    save_file({"network.0.bias": torch.ones(3)}, path, {"step": "2", "recipe": "recipe"})  # as version 0.1 wrote it
    with pytest.raises(StaleArtefactError, match="a checkpoint of another version of animalclef"):
        load_state(path, *started(), "recipe")


def test_a_log_goes_on_after_the_checkpoint(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "log.jsonl", 0)
    for step in range(4):
        log.add(step, loss=step / 3, rank=float("nan"), norm=float("inf"))
    log.write()
    again = TrainingLog(tmp_path / "log.jsonl", 2)
    again.add(3, loss=9.0)
    assert [(line["step"], line["loss"]) for line in again.lines] == [(0, 0), (1, 0.333333), (2, 0.666667), (3, 9)]
    assert again.lines[0]["rank"] is again.lines[0]["norm"] is None


def test_without_tensorboard_one_warning_is_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with caplog.at_level(logging.WARNING):
        log = TrainingLog(tmp_path / "log.jsonl", 0, tmp_path / "events")
    log.add(1, loss=1.0)
    log.write()
    log.close()
    assert caplog.text.count("TensorBoard's events are not written") == 1
    assert (tmp_path / "log.jsonl").read_text().startswith('{"step": 1, ')
    assert not (tmp_path / "events").exists()


def test_a_processor_trains_in_float32_unless_asked() -> None:
    before = torch.get_num_threads()
    try:
        assert open_fabric("auto", "cpu", 1, 1).strategy.precision.precision == "32-true"
        mixed = open_fabric("bf16-mixed", "cpu", 1, 1)
        assert mixed.strategy.precision.precision == "bf16-mixed"
        assert not skips_overflow(mixed)
        with pytest.raises(ConfigError, match=r"one device, not 2\. Use --device cuda, or --devices 1"):
            open_fabric("auto", "cuda:1", 2, 1)
        with pytest.raises(ConfigError, match="device nonsense"):
            open_fabric("auto", "nonsense", 1, 1)
    finally:
        torch.set_num_threads(before)
