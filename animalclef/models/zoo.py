"""Embedding networks from timm, loaded strictly and run in batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from animalclef.artefacts import DecodedImage, FloatArray
from animalclef.config import EmbedConfig
from animalclef.errors import ConfigError, WeightsError
from animalclef.models.vlad import unit
from animalclef.store.shards import Entry

if TYPE_CHECKING:
    import torch

__all__ = ["TimmExtractor", "choose_device", "load_timm"]

logger = logging.getLogger(__name__)


class TimmExtractor:
    """The pooled features of a timm network, unit length."""

    in_batches = True

    def __init__(self, model: torch.nn.Module, preprocessing: dict[str, Any], config: EmbedConfig, device: str) -> None:
        self.model, self.preprocessing, self.config, self.device = model, preprocessing, config, device
        self.digest = _digest(model)

    def describe(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """`embedding`: (d,) float32."""
        import torch

        entries: list[Entry] = []
        for start in range(0, len(images), self.config.batch_size):
            batch = np.stack(list(pool.map(self._prepare, images[start : start + self.config.batch_size])))
            with torch.inference_mode():
                features = self.model(torch.from_numpy(batch).to(self.device)).float().cpu().numpy()
            entries += [{"embedding": row} for row in unit(features)]
        return entries

    def _prepare(self, image: DecodedImage) -> FloatArray:
        """(3, H, W), resized without keeping the aspect ratio, normalised by the model's mean and deviation."""
        _, height, width = self.preprocessing["input_size"]
        shrinks = image.pixels.shape[0] * image.pixels.shape[1] > height * width
        pixels = cv2.resize(image.pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        mean, std = (np.array(self.preprocessing[name], np.float32) for name in ("mean", "std"))
        values = (pixels.astype(np.float32) / 255 - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)


def load_timm(config: EmbedConfig, device: str) -> TimmExtractor:
    """The network `config.model` names (`timm:NAME`) with the weights `config.weights` names.

    Raises:
        ConfigError: timm has no such network, or no weights are named.
        WeightsError: the weights are absent or do not fit, key by key.
    """
    import timm

    name = config.model.removeprefix("timm:")
    if config.weights is None:
        raise ConfigError(f"embed.model {config.model} needs embed.weights: a .safetensors file, or `hub` to download.")
    options = {"num_classes": 0, **config.model_options}
    try:
        if config.weights == "hub":
            model = _from_hub(name, options)
        else:
            model = timm.create_model(name, pretrained=False, **options)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"embed.model {config.model}: timm cannot build it ({error}).") from error
    if config.weights != "hub":
        _load_strictly(model, Path(config.weights))
    preprocessing = dict(timm.data.resolve_model_data_config(model))
    if config.image_size is not None:
        preprocessing["input_size"] = (3, config.image_size, config.image_size)
    for side, values in (("mean", config.mean), ("std", config.std)):
        preprocessing[side] = values or preprocessing[side]
    model = model.eval().to(device)
    _try_size(model, preprocessing["input_size"], config, device)
    return TimmExtractor(model, preprocessing, config, device)


def choose_device(wanted: str) -> str:
    """`auto` is the GPU where there is one.

    Raises:
        ConfigError: torch knows no such device, or it is not there.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"--device {wanted}: not available ({reason}). Use cpu, or auto.") from error
    return wanted


def _digest(model: torch.nn.Module) -> str:
    """SHA-256 over every weight, wherever it came from."""
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _from_hub(name: str, options: dict[str, Any]) -> torch.nn.Module:
    import timm

    try:
        model: torch.nn.Module = timm.create_model(name, pretrained=True, **options)
        return model
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"timm:{name}: its weights are not on this machine and could not be downloaded ({type(error).__name__}). "
            "Run once with internet, or set embed.weights to a .safetensors file."
        ) from error


def _try_size(model: torch.nn.Module, size: Sequence[int], config: EmbedConfig, device: str) -> None:
    import torch

    try:
        with torch.inference_mode():
            features = model(torch.zeros(1, *size, device=device))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"embed.model {config.model}: it cannot take images of {size[2]} x {size[1]} pixels ({reason}). "
            "Leave embed.image_size out, or give the model its size, as in embed.model_options={img_size: 384}."
        ) from error
    if features.ndim != 2:
        shape = " x ".join(str(side) for side in features.shape[1:])
        raise ConfigError(f"embed.model {config.model}: expected one vector per image, got {shape} numbers.")


def _load_strictly(model: torch.nn.Module, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix != ".safetensors":
        raise WeightsError(f"{path}: expected a .safetensors file.")
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors ({error}).") from error
    expected = set(model.state_dict())
    state = {key: value for key, value in state.items() if key in expected or not key.startswith(_HEADS)}
    missing, surplus = sorted(expected - set(state)), sorted(set(state) - expected)
    if missing or surplus:
        first = f"missing {missing[0]}" if missing else f"surplus {surplus[0]}"
        raise WeightsError(f"{path}: {len(missing)} missing and {len(surplus)} surplus keys ({first}).")
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{path}: {str(error).splitlines()[-1].strip()}") from error


_HEADS = ("classifier.", "head.fc.", "fc.", "head.")  # a classifier's last layer is not part of the embedding
