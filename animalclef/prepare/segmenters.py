"""Find the animals of photographs: U2-Net-P, GrabCut, or Segment Anything, behind one door."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.config.loading import fingerprint
from animalclef.data.decode import resize_long_side
from animalclef.errors import ConfigError, WeightsError, suggestion
from animalclef.hub.cache import find_weights
from animalclef.hub.catalogue import shipped_segmenter
from animalclef.hub.load import weights_digest
from animalclef.prepare.body_box import disc, large_patches
from animalclef.runtime.threads import cores, one_thread_each, worker_threads
from animalclef.structures.arrays import BoolArray

if TYPE_CHECKING:
    import torch

__all__ = ["GrabCut", "SamSegmenter", "Segmenter", "open_segmenter", "with_workers"]

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
AnySegmenter = TypeVar("AnySegmenter")
Boxes = Sequence[Box | None] | None  # one for each photograph, or none at all

_INSET = 0.04  # of a side: this near to the edge of a photograph without a box is taken for background
_LEAST_SHARE, _MOST_SHARE = 0.08, 0.97  # of the box: a mask outside these is no animal
_NAMES = ("animal", "u2netp", "grabcut")
_WEIGHT_FILES = (".safetensors", ".onnx", ".pt", ".pth", ".bin")


class Segmenter(Protocol):
    """Finds animals on photographs."""

    @property
    def fingerprint(self) -> str:
        """Changes with whatever changes a mask: method, settings and weights."""
        ...

    def segment(self, images: Sequence[NDArray[np.uint8]], boxes: Boxes = None) -> list[BoolArray]:
        """Return a mask (h, w) for each photograph (h, w, 3) in RGB, true on the animals; empty where none was found.

        Where a photograph has a box, only the animal in the box is looked for.
        """
        ...


def open_segmenter(
    name: str, device: str = "cpu", weights: Path | None = None, workers: int | None = None
) -> Segmenter:
    """Return a segmenter by its name.

    `animal` ships with the package. `u2netp` is the network it was trained from (`animalclef weights pull u2netp`, or
    a bundle in the folder `weights`). `grabcut` needs no weights. Any other name is a file with weights of U2-Net-P,
    or a Segment Anything model: a folder, or its name on the hub where its files are on this machine. `workers` is the
    number of processor cores to use; by default all.

    Raises:
        ConfigError: there is no such segmenter, or transformers is absent.
        WeightsError: the weights are not on this machine, damaged, or of another network.
    """
    count = cores(workers)
    if name == "grabcut":
        return GrabCut(workers=count)
    if name in _NAMES[:2] or Path(name).suffix in _WEIGHT_FILES:
        from animalclef.prepare.u2net_segmenter import U2NetSegmenter
        from animalclef.prepare.u2netp import load_u2netp

        published = find_weights(name, weights) if name == "u2netp" else Path(name)
        return U2NetSegmenter(load_u2netp(shipped_segmenter() if name == "animal" else published), device, count)
    if not Path(name).exists() and (near := suggestion(name, _NAMES)):
        raise ConfigError(f"segmenter {name}: no such segmenter.{near}")
    return _open_sam(name, device)


def with_workers(segmenter: AnySegmenter, workers: int) -> AnySegmenter:
    """Return the segmenter, with its network, on so many processor cores; its masks are the same."""
    changed = copy(segmenter)
    if hasattr(changed, "workers"):
        changed.workers = workers
    return changed


class GrabCut:
    """GrabCut (Rother et al. 2004) started from the box; small patches go, holes are filled, the outline is kept."""

    def __init__(self, long_side: int = 256, iterations: int = 5, workers: int = 1) -> None:
        self.long_side, self.iterations, self.workers = long_side, iterations, workers
        self.fingerprint = fingerprint("grabcut", 1, long_side, iterations, cv2.__version__)

    def segment(self, images: Sequence[NDArray[np.uint8]], boxes: Boxes = None) -> list[BoolArray]:
        """Return a mask for each photograph; it is the same for the same pixels, whatever was segmented before."""
        with one_thread_each(), worker_threads(self.workers) as pool:
            return list(pool.map(self._segment, images, boxes or [None] * len(images)))

    def _segment(self, pixels: NDArray[np.uint8], box: Box | None) -> BoolArray:
        nothing = np.zeros(pixels.shape[:2], dtype=bool)
        small = resize_long_side(pixels, self.long_side, enlarge=False)
        height, width = small.shape[:2]
        left, top, right, bottom = _inner_box(box, pixels.shape, (width, height))
        if right - left < 4 or bottom - top < 4 or (right - left) * (bottom - top) >= width * height:
            return nothing
        labels = np.full((height, width), cv2.GC_BGD, np.uint8)
        labels[top:bottom, left:right] = cv2.GC_PR_FGD
        background, animal = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        try:
            cv2.grabCut(np.ascontiguousarray(small[:, :, ::-1]), labels, None, background, animal, self.iterations,
                        cv2.GC_INIT_WITH_MASK)  # fmt: skip
        except cv2.error:  # of one colour only
            return nothing
        found = _tidied((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
        share = found[top:bottom, left:right].mean()
        if not _LEAST_SHARE <= share <= _MOST_SHARE:
            return nothing
        full = cv2.resize(found.astype(np.float32), pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(full > 0.5)


class SamSegmenter:
    """Segment Anything (Kirillov et al. 2023) as transformers carries it, asked for what is in the box."""

    def __init__(self, model: torch.nn.Module, processor: Any, device: str) -> None:
        self.model, self.processor, self.device = model, processor, device
        self.fingerprint = fingerprint("sam", 1, weights_digest(model))

    def segment(self, images: Sequence[NDArray[np.uint8]], boxes: Boxes = None) -> list[BoolArray]:
        """Return for each photograph the one mask that the model is surest of."""
        return [self._segment(*one) for one in zip(images, boxes or [None] * len(images), strict=True)]

    def _segment(self, pixels: NDArray[np.uint8], box: Box | None) -> BoolArray:
        import torch

        height, width = pixels.shape[:2]
        asked = box or (_INSET * width, _INSET * height, (1 - _INSET) * width, (1 - _INSET) * height)
        inputs = self.processor(images=pixels, input_boxes=[[list(asked)]], return_tensors="pt").to(self.device)
        with torch.inference_mode():
            raw = self.model(**inputs, multimask_output=False).pred_masks.cpu()
        sizes = inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu()
        mask = np.asarray(self.processor.image_processor.post_process_masks(raw, *sizes)[0][0, 0].numpy(), dtype=bool)
        return mask if mask.mean() >= _LEAST_SHARE else np.zeros_like(mask)


def _open_sam(name: str, device: str) -> SamSegmenter:
    try:
        from transformers import SamModel, SamProcessor
    except ImportError as error:
        raise ConfigError(
            f"segmenter {name}: needs transformers: pip install 'animalclef[segmentation]'. `animal` needs nothing."
        ) from error
    local = not Path(name).is_dir()
    try:
        model = SamModel.from_pretrained(name, local_files_only=local).eval().to(device)
        processor = SamProcessor.from_pretrained(name, local_files_only=local)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"segmenter {name}: its files are not on this machine. Give a folder that holds them, or run once "
            f"`hf download {name}` with internet; facebook/sam-vit-base is one that fits."
        ) from error
    return SamSegmenter(model, processor, device)


def _inner_box(box: Box | None, shape: tuple[int, ...], small_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the box in whole pixels of the reduced photograph; without one, all but its edges."""
    width, height = small_wh
    if box is None:
        margin_x, margin_y = max(1, round(_INSET * width)), max(1, round(_INSET * height))
        return margin_x, margin_y, width - margin_x, height - margin_y
    ratio_x, ratio_y = width / shape[1], height / shape[0]
    left, right = (int(np.clip(round(side * ratio_x), 0, width)) for side in (box[0], box[2]))
    top, bottom = (int(np.clip(round(side * ratio_y), 0, height)) for side in (box[1], box[3]))
    return left, top, right, bottom


def _tidied(mask: BoolArray) -> BoolArray:
    """Return the mask without patches below a tenth of the largest, holes filled, grown by a hundredth of its side."""
    kept = large_patches(mask, 0.1).astype(np.uint8)
    outlines, _ = cv2.findContours(kept, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED)
    return np.asarray(cv2.dilate(filled, disc(0.01 * max(mask.shape))) > 0)
