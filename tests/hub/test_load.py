"""Weight files: what is read, and what is refused with which sentence."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from animalclef.errors import WeightsError
from animalclef.hub.load import load_strictly, read_weights, unwrapped, weights_digest

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}


class Code:
    """What a hostile file would run."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch ran",)


def saved(path: Path, content: Any) -> Path:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.pt"])
def test_tensors_come_as_they_were_stored(tmp_path: Path, name: str) -> None:
    state = read_weights(saved(tmp_path / name, STATE))
    assert sorted(state) == ["bias", "weight"]
    torch.testing.assert_close(state["weight"], STATE["weight"])


def test_nested_names_are_joined_and_what_is_no_tensor_is_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"extractor": STATE, "epoch": 3, "note": "fine"})
    assert sorted(read_weights(path)) == ["extractor.bias", "extractor.weight"]


@pytest.mark.parametrize("wrap", [lambda bad: bad, lambda bad: {"weight": torch.zeros(1), "x": bad}])
def test_a_file_with_code_is_not_opened(
    tmp_path: Path, wrap: Callable[[object], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path / "bad.pth", wrap(Code()))
    with pytest.raises(WeightsError, match=r"bad\.pth: this file holds code beside its tensors and is not opened"):
        read_weights(path)
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Code()))
    with pytest.raises(WeightsError, match=r"bare\.pth"):
        read_weights(tmp_path / "bare.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth"])
@pytest.mark.parametrize("damage", [lambda whole: whole[:-40], lambda whole: b"", lambda whole: b"nonsense" * 9])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    path = saved(tmp_path / name, STATE)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        read_weights(path)


def test_an_absent_file_and_one_without_tensors_are_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weight file"):
        read_weights(tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="expected named tensors, got dict"):
        read_weights(saved(tmp_path / "a.pth", {"epoch": 1}))


def test_a_model_takes_its_own_keys_and_no_others(tmp_path: Path) -> None:
    model, path = torch.nn.Linear(3, 2), Path("w.pth")
    load_strictly(model, STATE, path)
    torch.testing.assert_close(model.weight.detach(), STATE["weight"])
    with pytest.raises(WeightsError, match=r"1 missing and 0 surplus keys \(first: missing bias\)"):
        load_strictly(model, {"weight": STATE["weight"]}, path)
    with pytest.raises(WeightsError, match=r"0 missing and 1 surplus keys \(first: surplus more\)"):
        load_strictly(model, {**STATE, "more": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"weight: expected shape \(2, 3\), got \(3, 2\)"):
        load_strictly(model, {**STATE, "weight": torch.zeros(3, 2)}, path)
    with pytest.raises(WeightsError, match="missing bias"):
        load_strictly(model, {}, path)


def test_a_lightning_checkpoint_is_unwrapped_and_surplus_keys_are_named(tmp_path: Path) -> None:
    lightning = {
        "epoch": 3, "pytorch-lightning_version": "2.4.0", "optimizer_states": [{"state": {0: torch.ones(2)}}],
        "state_dict": {**{f"model.{name}": value for name, value in STATE.items()}, "loss.centres": torch.zeros(4)},
    }  # fmt: skip
    state = unwrapped(read_weights(saved(tmp_path / "last.ckpt", lightning)), {"weight", "bias"})
    assert sorted(state) == ["bias", "weight"]
    model = torch.nn.Linear(3, 2)
    load_strictly(model, state, Path("last.ckpt"))
    assert model.weight.tolist() == STATE["weight"].tolist()
    other = {"model.other": torch.zeros(1)}
    assert unwrapped(other, {"weight", "bias"}) == other
    with pytest.raises(WeightsError, match=r"2 missing and 1 surplus keys \(.*bias, surplus model\.other\)"):
        load_strictly(model, other, Path("last.ckpt"))


def test_a_derived_buffer_may_be_absent_and_keeps_its_value() -> None:
    model = torch.nn.BatchNorm1d(2)
    state = {name: value for name, value in model.state_dict().items() if name != "num_batches_tracked"}
    load_strictly(model, {**state, "weight": torch.tensor([3.0, 4.0])}, Path("w"), derived={"num_batches_tracked"})
    assert model.weight.tolist() == [3, 4]


def test_the_digest_changes_with_any_weight() -> None:
    model = torch.nn.Linear(3, 2)
    load_strictly(model, STATE, Path("w"))
    before = weights_digest(model)
    with torch.no_grad():
        model.bias[1] += 1e-6
    assert weights_digest(model) != before
