"""Cut animals out with U2-Net-P: from the network's map of probabilities to a mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from itertools import islice

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from animalclef.config.loading import fingerprint
from animalclef.hub.load import weights_digest
from animalclef.prepare.body_box import large_patches
from animalclef.runtime.devices import has_float16_units
from animalclef.runtime.threads import cores
from animalclef.structures.arrays import BoolArray

__all__ = ["SIDE", "U2NetSegmenter", "mask_from_map", "network_input"]

SIDE = 320  # pixels: the network sees every photograph at SIDE x SIDE, whatever its shape
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet
_STD = np.array([0.229, 0.224, 0.225], np.float32)
_GPU_BATCH = 32

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
_VERSION = 1  # of the steps from a map to a mask
_SURE = 0.5  # the map's highest probability below this: no animal was found
_THRESHOLD = 0.5  # of a map's probabilities, at most
_LEAST_PART = 0.1  # of the largest part's area: smaller parts are left out
_MOST_HOLE = 0.05  # of the mask's area: smaller holes are filled
_LEAST_SHARE = 0.005  # of the photograph: a smaller mask is no animal
_BOX_MARGIN = 0.1  # of a box's sides: this much around it is shown to the network


def network_input(pixels: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.float32]:
    """Return a photograph (h, w, 3) as the network was trained on it: (3, side, side), divided by its maximum."""
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    small /= max(float(small.max()), 1.0)
    return np.ascontiguousarray(((small - _MEAN) / _STD).transpose(2, 0, 1))


class U2NetSegmenter:
    """Finds the animals of photographs with one U2-Net-P.

    On a processor each photograph is one forward pass on one thread, and as many run at once as there are cores: the
    map of a photograph never depends on the photographs beside it. On a GPU they run in batches and in half precision.
    """

    def __init__(self, network: nn.Module, device: str = "cpu", workers: int | None = None) -> None:
        self.device = torch.device(device)
        # As the weights are stored, where it is fast. bfloat16 never: masks move, and some vanish.
        self.format = torch.float16 if has_float16_units(self.device) else torch.float32
        last_bits = [str(self.format), self.device.type, torch.__version__]  # of a map depend on these
        self.fingerprint = fingerprint("u2netp", _VERSION, weights_digest(network), last_bits)
        self.workers = cores(workers)
        own = deepcopy(network).eval()  # the caller's keeps its format
        self.network = own.to(self.device, self.format).to(memory_format=torch.channels_last)

    def segment(
        self, images: Sequence[NDArray[np.uint8]], boxes: Sequence[Box | None] | None = None
    ) -> list[BoolArray]:
        """Return a mask (h, w) for each photograph (h, w, 3) in RGB, true on the animals; empty where none was found.

        Where a photograph has a box (left, top, right, bottom in pixels), the mask holds what lies inside it.
        """
        bounds = [_bounds(image, box) for image, box in zip(images, boxes or [None] * len(images), strict=True)]
        shown = [image[_slices(_widened(box, image))] for image, box in zip(images, bounds, strict=True)]
        maps = self.maps(shown)
        with ThreadPoolExecutor(self.workers) as pool:  # beside a GPU this takes longer than the network
            return list(pool.map(_mask_in_box, images, bounds, maps))

    def maps(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return a map of probabilities for each photograph (h, w, 3), SIDE or half of it on each side."""
        if self.device.type != "cpu":
            return self._on_gpu(images)
        if self.workers == 1 or len(images) == 1:
            with _one_torch_thread():
                return [self._alone(image) for image in images]
        with _one_torch_thread(), ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self._alone, images))

    def _alone(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(self._batch([network_input(image)])[0])

    def _on_gpu(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """The maps in batches; threads prepare the next batches meanwhile, which takes longer than the network."""
        with ThreadPoolExecutor(self.workers) as pool:
            inputs = pool.map(network_input, images)
            batches = iter(lambda: list(islice(inputs, _GPU_BATCH)), [])
            return [one for batch in batches for one in self._batch(batch)]

    def _batch(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        stacked = torch.from_numpy(np.stack(inputs))
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


def mask_from_map(values: NDArray[np.float32], size_wh: tuple[int, int]) -> BoolArray:
    """Return the mask (h, w) of a map of probabilities, at the size of its photograph.

    The map is enlarged and cut half-way between its lowest and its highest value, at 0.5 at most. Parts smaller than a
    tenth of the largest are left out, and small holes are filled. Nothing is found where the network is nowhere surer
    than 0.5, or the mask is tiny.
    """
    empty = np.zeros((size_wh[1], size_wh[0]), dtype=bool)
    low, high = float(values.min()), float(values.max())
    if high < _SURE:
        return empty
    full = cv2.resize(values, size_wh, interpolation=cv2.INTER_LINEAR) > min(_THRESHOLD, (low + high) / 2)
    kept = large_patches(full, _LEAST_PART, connectivity=8)
    return _without_small_holes(kept) if kept.mean() >= _LEAST_SHARE else empty


def _without_small_holes(mask: BoolArray) -> BoolArray:
    """The mask with its small holes filled; a large one, as inside a curled tail, is background."""
    labels, statistics = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)[1:3]
    left, top, width, height, area = statistics[:, :5].T
    inside = (left > 0) & (top > 0) & (left + width < mask.shape[1]) & (top + height < mask.shape[0])
    small = inside & (area < _MOST_HOLE * mask.sum())
    small[0] = False
    return np.asarray(mask | small[labels])


def _mask_in_box(image: NDArray[np.uint8], box: Box, values: NDArray[np.float32]) -> BoolArray:
    """The mask at the size of the photograph, cut from the map of the widened box and empty outside the box."""
    mask = np.zeros(image.shape[:2], dtype=bool)
    wide = mask[_slices(_widened(box, image))]
    wide[:] = mask_from_map(values, (wide.shape[1], wide.shape[0]))
    inside = np.zeros_like(mask)
    inside[_slices(box)] = mask[_slices(box)]
    return inside


def _bounds(image: NDArray[np.uint8], box: Box | None) -> Box:
    """The box in whole pixels inside the photograph; the whole photograph without one."""
    height, width = image.shape[:2]
    if box is None:
        return 0, 0, width, height
    left, right = (float(np.clip(round(side), 0, width)) for side in (box[0], box[2]))
    top, bottom = (float(np.clip(round(side), 0, height)) for side in (box[1], box[3]))
    return left, top, max(right, left), max(bottom, top)


def _widened(box: Box, image: NDArray[np.uint8]) -> Box:
    left, top, right, bottom = box
    margin_x, margin_y = _BOX_MARGIN * (right - left), _BOX_MARGIN * (bottom - top)
    wide = _bounds(image, (left - margin_x, top - margin_y, right + margin_x, bottom + margin_y))
    return wide if wide[2] > wide[0] and wide[3] > wide[1] else (0, 0, image.shape[1], image.shape[0])


def _slices(box: Box) -> tuple[slice, slice]:
    left, top, right, bottom = (int(side) for side in box)
    return slice(top, bottom), slice(left, right)
