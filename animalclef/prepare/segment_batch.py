"""Run a segmentation network over photographs: one photograph per core on a processor, batches on a GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from animalclef.runtime.precision import choose_precision

__all__ = ["SIDE", "MapReader", "network_input"]

SIDE = 320  # pixels: the network sees every photograph at SIDE x SIDE, whatever its shape
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_GPU_BATCH = 32


def network_input(pixels: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.float32]:
    """Return a photograph (h, w, 3) as the network was trained on it: (3, side, side), divided by its maximum."""
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    small /= max(float(small.max()), 1.0)
    return np.ascontiguousarray(((small - _MEAN) / _STD).transpose(2, 0, 1))


class MapReader:
    """Probability maps of photographs by one network.

    On a processor each photograph is one forward pass on one thread, and as many run at once as there are cores: the
    map of a photograph never depends on the photographs beside it. On a GPU they run in batches and in half precision.
    """

    def __init__(self, network: nn.Module, device: str, workers: int | None = None) -> None:
        self.device = torch.device(device)
        self.format = choose_precision("auto", self.device)
        self.made_by = [str(self.format), self.device.type, torch.__version__]  # what the last bits of a map depend on
        self.workers = workers or os.cpu_count() or 1
        self.network = network.eval().to(self.device, self.format).to(memory_format=torch.channels_last)

    def read(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return a map of probabilities for each photograph (h, w, 3), SIDE or half of it on each side."""
        if self.device.type != "cpu":
            starts = range(0, len(images), _GPU_BATCH)
            return [one for start in starts for one in self._batch(images[start : start + _GPU_BATCH])]
        if self.workers == 1 or len(images) == 1:
            with _one_torch_thread():
                return [self._batch([image])[0] for image in images]
        with _one_torch_thread(), ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(lambda image: self._batch([image])[0], images))

    def _batch(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        stacked = torch.from_numpy(np.stack([network_input(image) for image in images]))
        with torch.inference_mode():
            moved = stacked.to(self.device, self.format).contiguous(memory_format=torch.channels_last)
            logits: Tensor = self.network(moved)[:, 0].float()
            return np.asarray(torch.sigmoid(logits).cpu().numpy())


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
