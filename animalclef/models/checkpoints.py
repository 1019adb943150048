"""The one door that weight files are read through: tensors come out, code never runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from animalclef.errors import WeightsError

if TYPE_CHECKING:
    import torch

__all__ = ["read_weights"]

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # where training scripts put the tensors


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a `.safetensors` file, or of a torch file (`.pth`, `.pt`, `.bin` ...), by name, on the CPU.

    A torch file may hold the tensors directly or below `state_dict`, `model_state_dict` or `model`.

    Raises:
        WeightsError: the file is absent or damaged, holds something else than tensors, or is a pickle with code in it.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file.")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    return _tensors(path, content)


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors ({_first_line(error)}).") from error


def _read_torch(path: Path) -> Any:
    import torch

    try:  # weights_only builds tensors and plain containers, whatever else the file asks for
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file can break its reader in any way
        raise WeightsError(
            f"{path}: refused ({type(error).__name__}): it holds Python code, or is damaged. Expected tensors alone; "
            "ask its authors for a .safetensors file."
        ) from error


def _tensors(path: Path, content: Any) -> dict[str, torch.Tensor]:
    import torch

    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: expected tensors by name, got {type(content).__name__}.")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise WeightsError(f"{path}: expected tensors by name, got {type(value).__name__} at {name!r}.")
    return dict(content)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
