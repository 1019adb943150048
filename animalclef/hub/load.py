"""Read weight files, tensors and nothing else, and load them strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from animalclef.errors import WeightsError
from animalclef.runtime.wording import first_line

__all__ = ["load_strictly", "read_weights", "unwrapped", "weights_digest"]

_WRAPPERS = ("state_dict.", "model_state_dict.", "model.", "module.")  # prefixes of training scripts and Lightning


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file, or of a file of torch.save that holds nothing but tensors.

    Nested names are joined by dots (`extractor.unet.weight`); numbers and texts beside the tensors are skipped.

    Raises:
        WeightsError: the file is absent, damaged, or holds code.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file.")
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise WeightsError(f"{path}: cannot be read as safetensors ({first_line(error)}).") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights_only" in str(error).lower() or "unsupported" in str(error).lower():
            raise WeightsError(
                f"{path}: this file holds code beside its tensors and is not opened. "
                "Convert it to .safetensors where you trust it, and give that file."
            ) from error
        raise WeightsError(f"{path}: not a readable weight file ({first_line(error)}).") from error
    try:
        tensors = _flat(content, "")
    except RecursionError as error:
        raise WeightsError(f"{path}: its names are nested too deeply for a weight file.") from error
    if not tensors:
        raise WeightsError(f"{path}: expected named tensors, got {type(content).__name__}.")
    return tensors


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], path: Path, derived: Collection[str] = ()) -> None:
    """Load weights into a model; every key must be there, in its shape, and no other. `derived` buffers may be absent.

    Raises:
        WeightsError: keys are missing, surplus or of another shape; the first of each kind is named.
    """
    own = model.state_dict()
    missing, surplus = sorted(set(own) - set(state) - set(derived)), sorted(set(state) - set(own))
    if missing or surplus:
        first = ", ".join(f"{kind} {names[0]}" for kind, names in (("missing", missing), ("surplus", surplus)) if names)
        raise WeightsError(f"{path}: {len(missing)} missing and {len(surplus)} surplus keys (first: {first}).")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            want, have = tuple(own[name].shape), tuple(tensor.shape)
            raise WeightsError(f"{path}: {name}: expected shape {want}, got {have}.")
    try:
        model.load_state_dict({**own, **state}, strict=True)
    except (RuntimeError, TypeError) as error:
        raise WeightsError(f"{path}: its tensors do not fit the model ({first_line(error)}).") from error


def unwrapped(state: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Return the tensors without the prefixes that a training script put before their names.

    A PyTorch Lightning checkpoint has two (`state_dict.model.`). Where no prefix leads to an expected name, the tensors
    come back as they are.
    """
    if not set(expected) & set(state):
        for wrapper in _WRAPPERS:
            inside = {name.removeprefix(wrapper): value for name, value in state.items() if name.startswith(wrapper)}
            found = unwrapped(inside, expected) if inside else {}
            if set(expected) & set(found):
                return found
    return dict(state)


def weights_digest(model: nn.Module) -> str:
    """Return the SHA-256 over the names and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _flat(content: object, prefix: str) -> dict[str, Tensor]:
    if isinstance(content, Tensor):
        return {prefix.removesuffix("."): content} if prefix else {}
    found: dict[str, Tensor] = {}
    if isinstance(content, Mapping):
        for name, value in content.items():
            found |= _flat(value, f"{prefix}{name}.")
    return found
