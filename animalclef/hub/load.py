"""The one door that weight files come in by: tensors and nothing else, and loaded strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from animalclef.errors import WeightsError

if TYPE_CHECKING:
    import torch

__all__ = ["load_strictly", "read_weights", "weights_digest"]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file, or of a file of torch.save that holds nothing but tensors.

    Nested names are joined by dots (`extractor.unet.weight`); numbers and texts beside the tensors are left out.

    Raises:
        WeightsError: the file is absent, damaged, or holds code.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights_only" in str(error).lower() or "unsupported" in str(error).lower():
            raise WeightsError(
                f"{path}: this file holds code beside its tensors and is not opened. "
                "Convert it to .safetensors where you trust it, and give that file."
            ) from error
        raise WeightsError(f"{path}: not a readable weight file ({_first_line(error)}).") from error
    try:
        tensors = _flat(content, "")
    except RecursionError as error:
        raise WeightsError(f"{path}: its names are nested too deeply for a weight file.") from error
    if not tensors:
        raise WeightsError(f"{path}: expected named tensors, got {type(content).__name__}.")
    return tensors


def load_strictly(
    model: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path, derived: Collection[str] = ()
) -> None:
    """Fill a model; every key must be there, in its shape, and no other. `derived` buffers need not be in the file.

    Raises:
        WeightsError: the first key that is missing, surplus or of another shape, and how many there are.
    """
    own = model.state_dict()
    missing, surplus = sorted(set(own) - set(state) - set(derived)), sorted(set(state) - set(own))
    if missing or surplus:
        first = f"missing {missing[0]}" if missing else f"surplus {surplus[0]}"
        raise WeightsError(f"{path}: {len(missing)} missing and {len(surplus)} surplus keys (first: {first}).")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            want, have = tuple(own[name].shape), tuple(tensor.shape)
            raise WeightsError(f"{path}: {name}: expected shape {want}, got {have}.")
    try:
        model.load_state_dict({**own, **state}, strict=True)
    except (RuntimeError, TypeError) as error:
        raise WeightsError(f"{path}: its tensors do not fit the model ({_first_line(error)}).") from error


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 over every weight, wherever it came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors ({_first_line(error)}).") from error


def _flat(content: object, prefix: str) -> dict[str, torch.Tensor]:
    import torch

    if isinstance(content, torch.Tensor):
        return {prefix.removesuffix("."): content} if prefix else {}
    found: dict[str, torch.Tensor] = {}
    if isinstance(content, Mapping):
        for name, value in content.items():
            found |= _flat(value, f"{prefix}{name}.")
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
