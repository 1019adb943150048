"""Open LightGlue on the devices of this machine: choose devices, precision and memory."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import torch

from animalclef.config import RerankConfig
from animalclef.config.matching import family
from animalclef.matching.lightglue.batched import BatchedLightGlue
from animalclef.matching.lightglue.loading import LightGlueModel, find_lightglue, load_lightglue
from animalclef.matching.lightglue.matcher import DeviceWorker, Engine, LightGlueMatcher
from animalclef.matching.lightglue.package_backend import PackageLightGlue
from animalclef.runtime.devices import choose_precision

__all__ = ["devices_of", "memory_budget", "open_lightglue"]

_CPU_CACHE = 2 << 30  # bytes of image states
_CPU_TOKENS, _GPU_TOKENS = 2048, 65536  # keypoints at a time: what stays in a CPU's cache, what fills a GPU


def open_lightglue(config: RerankConfig, extractor: str, device: str, folder: Path | None = None) -> LightGlueMatcher:
    """Return the matcher for the local features of `extractor` on `device`; plain `cuda` is every GPU.

    `folder` is the bundle of weights given with `--weights`.

    Raises:
        WeightsError: the weights are not on this machine, or do not fit.
        ConfigError: they are for other features, or the backend is not installed.
    """
    features = family(extractor)
    path, released = find_lightglue(features, config.weights, folder)
    given = config.model_dump(include={"depth_confidence", "width_confidence", "filter_threshold"}, exclude_none=True)
    model = load_lightglue(path, features, released=released).with_settings(given)
    devices = devices_of(device)
    dtype = choose_precision("float32" if config.backend == "lightglue" else config.precision, devices[0])
    workers = [DeviceWorker(_engine(config, model, one, dtype), *memory_budget(one), one.type) for one in devices]
    versions = [metadata.version(config.backend), metadata.version("torch")]
    return LightGlueMatcher(config, workers, [model.digest, *versions, str(dtype), devices[0].type])


def devices_of(name: str) -> list[torch.device]:
    """Return every GPU for `cuda`; anything else as it is."""
    count = torch.cuda.device_count() if name == "cuda" else 0
    return [torch.device("cuda", number) for number in range(count)] if count > 1 else [torch.device(name)]


def _engine(config: RerankConfig, model: LightGlueModel, device: torch.device, dtype: torch.dtype) -> Engine:
    if config.backend == "lightglue":
        return PackageLightGlue(model, device)
    return BatchedLightGlue(model, device, dtype, compiles=config.compile)


def memory_budget(device: torch.device) -> tuple[int, int]:
    """Return the bytes that image states and keypoints may take at a time."""
    if device.type != "cuda":
        return _CPU_CACHE, _CPU_TOKENS
    free, _ = torch.cuda.mem_get_info(device)
    return free // 2, _GPU_TOKENS
