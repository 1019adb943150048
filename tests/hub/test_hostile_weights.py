"""Weight files come in as tensors; a pickle with code in it never runs."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from animalclef.errors import WeightsError
from animalclef.hub.load import read_weights

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2])}


class Hostile:
    """Unpickled in the ordinary way, it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def same(loaded: dict[str, torch.Tensor]) -> bool:
    return set(loaded) == set(TENSORS) and all(torch.equal(loaded[name], TENSORS[name]) for name in TENSORS)


def test_both_kinds_of_file_give_their_tensors(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "weights.safetensors")
    torch.save(TENSORS, tmp_path / "weights.pth")
    torch.save(TENSORS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("weights.safetensors", "weights.pth", "old.pt"):
        assert same(read_weights(tmp_path / name)), name


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_a_training_script_s_wrapper_becomes_part_of_the_names(tmp_path: Path, wrapper: str) -> None:
    torch.save({"epoch": 3, wrapper: TENSORS}, tmp_path / "checkpoint.pth")
    assert set(read_weights(tmp_path / "checkpoint.pth")) == {f"{wrapper}.{name}" for name in TENSORS}


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_pickle_with_code_in_it_is_refused_and_does_not_run(tmp_path: Path, as_zip: bool) -> None:
    trace, path = tmp_path / "it-ran", tmp_path / "model.pth"
    hostile = {"weight": torch.zeros(2), "more": Hostile(trace)}
    torch.save(hostile, path, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(WeightsError, match=r"model\.pth: this file holds code.*\.safetensors"):
        read_weights(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # the same file, read carelessly
    assert trace.exists()


def test_a_plain_pickle_with_code_in_it_is_refused_too(tmp_path: Path) -> None:
    trace, path = tmp_path / "it-ran", tmp_path / "model.bin"
    path.write_bytes(pickle.dumps(Hostile(trace)))
    with pytest.raises(WeightsError, match="holds code"):
        read_weights(path)
    assert not trace.exists()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"absent\.pth: no such weight file"):
        read_weights(tmp_path / "absent.pth")
    save_file(TENSORS, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-3])
    with pytest.raises(WeightsError, match=r"cut\.safetensors: cannot be read as safetensors"):
        read_weights(tmp_path / "cut.safetensors")
    torch.save(TENSORS, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-40])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "page.pth").write_bytes(b"<!doctype html><html>404</html>")
    for name in ("cut.pth", "empty.pth", "page.pth"):
        with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
            read_weights(tmp_path / name)


def test_something_else_than_tensors_is_named(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="expected named tensors, got list"):
        read_weights(tmp_path / "list.pth")
