"""Embedding networks, loaded strictly and run in batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from animalclef.config import EmbedConfig
from animalclef.errors import ConfigError, WeightsError
from animalclef.features.embedding.acceleration import accelerate, choose_precision
from animalclef.features.embedding.embedder_registry import FAMILIES, EmbedderEntry, find_embedder, learnt_from
from animalclef.features.embedding.preprocessing import Preprocessing
from animalclef.features.embedding.vlad import unit
from animalclef.hub.cache import WEIGHTS, find_weights
from animalclef.hub.load import load_strictly, read_weights, weights_digest
from animalclef.runtime.memory import halved
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, FloatArray

if TYPE_CHECKING:
    import torch

__all__ = ["TimmExtractor", "build", "choose_device", "load_embedder", "preprocessing_of", "unwrapped"]

_CPU_PIXELS = 400_000  # in a batch: more do not stay in the caches of a CPU, and take up to twice the time each
_WRAPPERS = ("state_dict.", "model_state_dict.", "model.", "module.")  # where training scripts put the tensors


class TimmExtractor:
    """The embedding of a network built on timm, unit length."""

    in_batches = True

    def __init__(
        self,
        model: torch.nn.Module,
        preprocessing: Preprocessing,
        config: EmbedConfig,
        device: str,
        precision: str,
        digest: str,
    ) -> None:
        self.model, self.preprocessing, self.config, self.device = model, preprocessing, config, device
        self.precision, self.digest = precision, digest
        width, height = preprocessing.size_wh
        most = max(1, _CPU_PIXELS // (width * height)) if device == "cpu" else config.batch_size
        self._batch_size = min(config.batch_size, most)
        self.learnt: frozenset[str] = frozenset()  # keys of photographs that it was trained on, where that is known

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """`embedding`: (d,) float32.

        Raises:
            ConfigError: not even one image at a time fits into memory.
        """
        prepared = [pool.submit(self._prepare, image) for image in images]
        entries: list[Entry] = []
        while len(entries) < len(images):
            start = len(entries)
            batch = np.stack([one.result() for one in prepared[start : start + self._batch_size]])
            try:
                vectors = self._embed(batch)
            except (RuntimeError, MemoryError) as error:
                chosen, less = f"embed.model {self.config.model}", "Give a smaller embed.image_size"
                self._batch_size = halved(len(batch), error, chosen, self.device, less)
                continue
            entries += [{"embedding": row} for row in vectors]
        return entries

    def _prepare(self, image: DecodedImage) -> NDArray[Any]:
        """(crops, H, W, 3) bytes, to be normalised on the device; for plain arithmetic (crops, 3, H, W) float32."""
        views = self.preprocessing.views(image, self.config.crops)
        if self.precision != "plain":
            return views
        return np.stack([self.preprocessing.normalised(view) for view in views])

    def _embed(self, batch: NDArray[Any]) -> FloatArray:
        import torch

        sums: FloatArray | None = None
        with torch.inference_mode():
            for view in range(batch.shape[1]):
                inputs = self._on_device(batch[:, view])
                for flipped in (False, True)[: 2 if self.config.flip else 1]:
                    shown = inputs.flip(3) if flipped else inputs
                    vectors = unit(self.model(shown).float().cpu().numpy())
                    sums = vectors if sums is None else sums + vectors
        total = np.asarray(sums, dtype=np.float32)
        return total if batch.shape[1] == 1 and not self.config.flip else unit(total)

    def _on_device(self, batch: NDArray[Any]) -> torch.Tensor:
        import torch

        if self.precision == "plain":
            return torch.from_numpy(batch).to(self.device)
        pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device, non_blocking=True)
        mean = torch.tensor(self.preprocessing.mean, device=self.device) * 255
        std = torch.tensor(self.preprocessing.std, device=self.device) * 255
        values = (pixels.float() - mean) / std
        dtype = torch.float32 if self.device == "cpu" else getattr(torch, self.precision)
        return values.permute(0, 3, 1, 2).to(dtype)  # channels last without a copy


def load_embedder(config: EmbedConfig, device: str, folder: Path | None = None) -> TimmExtractor:
    """The network `config.model` names with its weights: `config.weights`, or the published ones.

    Published weights are looked for in `folder` (a bundle) and in this machine's caches; only `weights: hub` downloads.

    Raises:
        ConfigError: there is no such network, or no weights are named.
        WeightsError: the weights are absent or do not fit, key by key.
    """
    entry = find_embedder(config.model)
    if config.weights == "hub" and entry.weights is None and config.model not in WEIGHTS:
        model, learnt = _from_timm_hub(entry, config), frozenset[str]()
    else:
        path = _weights_file(entry, config, folder)
        model = build(entry, config)
        _load(model, path, entry)
        learnt = learnt_from(path)
    preprocessing = preprocessing_of(entry, model, config)
    wanted = config.precision or entry.precision
    precision = choose_precision(wanted, device)
    digest = weights_digest(model)
    model = model.eval().to(device) if precision == "plain" else accelerate(model, precision, device)
    if config.compile:
        import torch

        model = torch.compile(model)  # type: ignore[assignment]
    extractor = TimmExtractor(model, preprocessing, config, device, precision, digest)
    extractor.learnt = learnt
    _try_size(extractor)
    return extractor


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


def build(entry: EmbedderEntry, config: EmbedConfig) -> torch.nn.Module:
    """The network of an entry, without weights.

    Raises:
        ConfigError: timm cannot build it.
    """
    try:
        return FAMILIES[entry.family].build(entry.backbone, {**entry.options, **config.model_options})
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"embed.model {config.model}: timm cannot build it ({error}).") from error


def _weights_file(entry: EmbedderEntry, config: EmbedConfig, folder: Path | None) -> Path:
    if entry.weights is not None:
        return entry.weights
    if config.weights == "hub" and config.model in WEIGHTS:
        from animalclef.hub.download import pull

        return pull(WEIGHTS[config.model])
    if config.weights not in (None, "hub"):
        return Path(str(config.weights))
    if config.model in WEIGHTS:
        return find_weights(config.model, folder)
    hint = ", or `hub` to download" if config.model.startswith("timm:") else ""
    raise ConfigError(f"embed.model {config.model} needs embed.weights: a .safetensors or torch file{hint}.")


def _load(model: torch.nn.Module, path: Path, entry: EmbedderEntry) -> None:
    family, expected = FAMILIES[entry.family], set(model.state_dict())
    state = family.keys(unwrapped(read_weights(path), expected))
    kept = {name: value for name, value in state.items() if name in expected or not name.startswith(family.heads)}
    load_strictly(model, kept, path)


def unwrapped(state: dict[str, torch.Tensor], expected: set[str]) -> dict[str, torch.Tensor]:
    """The tensors below a wrapper that a training script put around them, where there is one."""
    for wrapper in _WRAPPERS:
        inside = {name.removeprefix(wrapper): value for name, value in state.items() if name.startswith(wrapper)}
        if not expected & set(state) and expected & set(inside):
            return inside
    return state


def preprocessing_of(entry: EmbedderEntry, model: torch.nn.Module, config: EmbedConfig) -> Preprocessing:
    """What the settings say, else what the embedder's entry says, else what timm says of the backbone."""
    import timm

    of_backbone = timm.data.resolve_model_data_config(getattr(model, "backbone", model))
    size = config.image_size or entry.size
    size_wh = (size, size) if size is not None else (of_backbone["input_size"][2], of_backbone["input_size"][1])
    mean, std = entry.mean_std or (of_backbone["mean"], of_backbone["std"])
    mean, std = config.mean or mean, config.std or std
    made = Preprocessing(size_wh, _three(mean), _three(std), entry.resize)
    return made if config.resize is None else replace(made, resize=config.resize)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _from_timm_hub(entry: EmbedderEntry, config: EmbedConfig) -> torch.nn.Module:
    import timm

    try:
        options = {"num_classes": 0, **config.model_options}
        model: torch.nn.Module = timm.create_model(entry.backbone, pretrained=True, **options)
        return model
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"embed.model {config.model}: timm cannot build it ({error}).") from error
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{config.model}: its weights are not on this machine and could not be downloaded "
            f"({type(error).__name__}). Run once with internet, or set embed.weights to a .safetensors file."
        ) from error


def _try_size(extractor: TimmExtractor) -> None:
    import torch

    config, (width, height) = extractor.config, extractor.preprocessing.size_wh
    try:
        with torch.inference_mode():
            blank = np.zeros((height, width, 3), np.uint8)
            given = extractor.preprocessing.normalised(blank) if extractor.precision == "plain" else blank
            features = extractor.model(extractor._on_device(given[None]))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"embed.model {config.model}: it cannot take images of {width} x {height} pixels ({reason}). "
            "Leave embed.image_size out, or give the model its size, as in embed.model_options={img_size: 384}."
        ) from error
    if features.ndim != 2:
        shape = " x ".join(str(side) for side in features.shape[1:])
        raise ConfigError(f"embed.model {config.model}: expected one vector per image, got {shape} numbers.")
