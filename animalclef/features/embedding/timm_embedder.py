"""Load embedding networks strictly, and run them in batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray

from animalclef.config import EmbedConfig
from animalclef.errors import ConfigError, WeightsError
from animalclef.features.embedding.acceleration import accelerate
from animalclef.features.embedding.embedder_families import FAMILIES
from animalclef.features.embedding.embedder_registry import EmbedderEntry, find_embedder, trained_on_keys
from animalclef.features.embedding.preprocessing import RESIZERS, Preprocessing
from animalclef.features.embedding.principal_components import unit
from animalclef.hub.cache import find_weights
from animalclef.hub.catalogue import WEIGHTS
from animalclef.hub.load import load_strictly, read_weights, unwrapped, weights_digest
from animalclef.runtime.devices import Batches, choose_precision
from animalclef.runtime.wording import first_line
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, FloatArray

__all__ = ["TimmExtractor", "build", "load_embedder", "preprocessing_of"]

_CPU_PIXELS = 400_000  # in a batch: more do not stay in the caches of a CPU, and take up to twice the time each


class TimmExtractor:
    """An embedding network built on timm. `dtype` is `None` for timm's own arithmetic, without any acceleration."""

    in_batches = True

    def __init__(
        self,
        model: torch.nn.Module,
        preprocessing: Preprocessing,
        config: EmbedConfig,
        device: str,
        dtype: torch.dtype | None,
        digest: str,
    ) -> None:
        self.model, self.preprocessing, self.config, self.device = model, preprocessing, config, device
        self.dtype, self.digest = dtype, digest
        width, height = preprocessing.size_wh
        most = max(1, _CPU_PIXELS // (width * height)) if device == "cpu" else config.batch_size
        chosen, less = f"embed.model {config.model}", "Give a smaller embed.image_size"
        self._batches = Batches(min(config.batch_size, most), chosen, device, less)
        # OpenCV's linear resizing skips pixels: a photograph that was reduced before would get another embedding than
        # from MiewID's plugin.
        self.decodes_fully = preprocessing.resize == "opencv-linear"
        self.trained_on: frozenset[str] = frozenset()  # keys of photographs, where they are known

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return `embedding`, (d,) float32 of unit length, of every photograph.

        Raises:
            ConfigError: not even one image at a time fits into memory.
        """
        prepared = [pool.submit(self._prepare, image) for image in images]

        def embed(some: Sequence[Future[NDArray[Any]]]) -> FloatArray:
            return self._embed(np.stack([one.result() for one in some]))

        return [{"embedding": row} for row in self._batches.run(embed, prepared)]

    def _prepare(self, image: DecodedImage) -> NDArray[Any]:
        """Return (crops, H, W, 3) bytes, to be normalised on the device; without a `dtype` (crops, 3, H, W) float32."""
        views = self.preprocessing.views(image, self.config.crops)
        if self.dtype is not None:
            return views
        return np.stack([self.preprocessing.normalised(view) for view in views])

    def _embed(self, batch: NDArray[Any]) -> FloatArray:
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
        if self.dtype is None:
            return torch.from_numpy(batch).to(self.device)
        dtype = torch.float32 if self.device == "cpu" else self.dtype
        return self.preprocessing.normalise(torch.from_numpy(np.ascontiguousarray(batch)), self.device, dtype)


def load_embedder(config: EmbedConfig, device: str, folder: Path | None = None) -> TimmExtractor:
    """Load the network that `config.model` names with its weights: `config.weights`, or the published ones.

    Published weights are looked for in `folder` (a bundle) and in this machine's caches; only `weights: hub` downloads.

    Raises:
        ConfigError: there is no such network, or no weights are named.
        WeightsError: the weights are absent or do not fit, key by key.
    """
    entry = find_embedder(config.model)
    if config.weights == "hub" and entry.weights is None and config.model not in WEIGHTS:
        model, known = _from_timm_hub(entry, config), frozenset[str]()
    else:
        path = _weights_file(entry, config, folder)
        model = build(entry, config)
        _load(model, path, entry)
        known = trained_on_keys(path)
    preprocessing = preprocessing_of(entry, model, config)
    wanted = config.precision or entry.precision
    if wanted == "float16" and device == "cpu":
        raise ConfigError("embed.precision float16: processors are slow at it. Use auto, bfloat16 or float32.")
    dtype = None if wanted == "plain" else choose_precision(wanted, device)
    digest = weights_digest(model)
    model = model.eval().to(device) if dtype is None else accelerate(model, dtype, device)
    if config.compile:
        model = torch.compile(model)  # type: ignore[assignment]
    extractor = TimmExtractor(model, preprocessing, config, device, dtype, digest)
    extractor.trained_on = known
    _try_size(extractor)
    return extractor


def build(entry: EmbedderEntry, config: EmbedConfig) -> torch.nn.Module:
    """Build the network of an entry, without weights.

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


def preprocessing_of(entry: EmbedderEntry, model: torch.nn.Module, config: EmbedConfig) -> Preprocessing:
    """Return the preprocessing: from the settings, else the embedder's entry, else timm's for the backbone."""
    of_backbone = timm.data.resolve_model_data_config(getattr(model, "backbone", model))
    size = config.image_size or entry.size
    size_wh = (size, size) if size is not None else (of_backbone["input_size"][2], of_backbone["input_size"][1])
    mean, std = entry.mean_std or (of_backbone["mean"], of_backbone["std"])
    mean, std = config.mean or mean, config.std or std
    if entry.resize not in RESIZERS:
        raise WeightsError(f"{entry.weights}: its resize method {entry.resize!r} is not known here.")
    return Preprocessing(size_wh, _three(mean), _three(std), config.resize or entry.resize)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _from_timm_hub(entry: EmbedderEntry, config: EmbedConfig) -> torch.nn.Module:
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
    config, (width, height) = extractor.config, extractor.preprocessing.size_wh
    try:
        with torch.inference_mode():
            blank = np.zeros((height, width, 3), np.uint8)
            given = extractor.preprocessing.normalised(blank) if extractor.dtype is None else blank
            features = extractor.model(extractor._on_device(given[None]))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"embed.model {config.model}: it cannot take images of {width} x {height} pixels ({first_line(error)}). "
            "Leave embed.image_size out, or give the model its size, as in embed.model_options={img_size: 384}."
        ) from error
    if features.ndim != 2:
        shape = " x ".join(str(side) for side in features.shape[1:])
        raise ConfigError(f"embed.model {config.model}: expected one vector per image, got {shape} numbers.")
