"""Where the animal is on a photograph: GrabCut without weights, or Segment Anything where its weights are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from animalclef.data.decode import resize_long_side
from animalclef.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    import torch

__all__ = ["GrabCut", "SamSegmenter", "Segmenter", "load_segmenter"]

BoolArray = NDArray[np.bool_]
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

_INSET = 0.04  # of a side: this near to the edge of a photograph without a box is taken for background
_LEAST_SHARE, _MOST_SHARE = 0.08, 0.97  # of the box: a mask outside these tells nothing


class Segmenter(Protocol):
    """Finds the animal in a box."""

    def segment(self, pixels: NDArray[np.uint8], box: Box | None) -> BoolArray | None:
        """(H, W), true on the animal; `None` where it cannot be told from the ground. No box: the whole photograph."""
        ...


class GrabCut:
    """GrabCut (Rother et al. 2004) started from the box; small patches go, holes are filled, the outline is kept."""

    def __init__(self, long_side: int = 256, iterations: int = 5) -> None:
        self.long_side, self.iterations = long_side, iterations

    def segment(self, pixels: NDArray[np.uint8], box: Box | None) -> BoolArray | None:
        """The same for the same pixels, whatever was segmented before."""
        small = resize_long_side(pixels, self.long_side, enlarge=False)
        height, width = small.shape[:2]
        left, top, right, bottom = _inner_box(box, pixels.shape, (width, height))
        if right - left < 4 or bottom - top < 4 or (right - left) * (bottom - top) >= width * height:
            return None
        labels = np.full((height, width), cv2.GC_BGD, np.uint8)
        labels[top:bottom, left:right] = cv2.GC_PR_FGD
        ground, animal = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        try:
            cv2.grabCut(np.ascontiguousarray(small[:, :, ::-1]), labels, None, ground, animal, self.iterations,
                        cv2.GC_INIT_WITH_MASK)  # fmt: skip
        except cv2.error:  # one colour only: nothing to tell apart
            return None
        found = _tidied((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
        share = found[top:bottom, left:right].mean()
        if not _LEAST_SHARE <= share <= _MOST_SHARE:
            return None
        full = cv2.resize(found.astype(np.float32), pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(full > 0.5)


class SamSegmenter:
    """Segment Anything (Kirillov et al. 2023) as transformers carries it, asked for what is in the box."""

    def __init__(self, model: torch.nn.Module, processor: Any, device: str) -> None:
        self.model, self.processor, self.device = model, processor, device

    def segment(self, pixels: NDArray[np.uint8], box: Box | None) -> BoolArray | None:
        """The one mask that the model is surest of."""
        import torch

        height, width = pixels.shape[:2]
        asked = box or (_INSET * width, _INSET * height, (1 - _INSET) * width, (1 - _INSET) * height)
        inputs = self.processor(images=pixels, input_boxes=[[list(asked)]], return_tensors="pt").to(self.device)
        with torch.inference_mode():
            raw = self.model(**inputs, multimask_output=False).pred_masks.cpu()
        sizes = inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu()
        mask = np.asarray(self.processor.image_processor.post_process_masks(raw, *sizes)[0][0, 0].numpy(), dtype=bool)
        return mask if mask.mean() >= _LEAST_SHARE else None


def load_segmenter(name: str, device: str) -> Segmenter:
    """`grabcut`, or a SAM model: a folder with its files, or its name on the hub where the files are on this machine.

    Raises:
        ConfigError: transformers is absent.
        WeightsError: the model is not on this machine.
    """
    if name == "grabcut":
        return GrabCut()
    try:
        from transformers import SamModel, SamProcessor
    except ImportError as error:
        raise ConfigError(
            f"--model {name} needs transformers: pip install 'animalclef[segmentation]'. --model grabcut needs nothing."
        ) from error
    local = not Path(name).is_dir()
    try:
        model = SamModel.from_pretrained(name, local_files_only=local).eval().to(device)
        processor = SamProcessor.from_pretrained(name, local_files_only=local)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"--model {name}: its files are not on this machine. Give a folder that holds them, or run once "
            f"`hf download {name}` with internet; facebook/sam-vit-base is one that fits."
        ) from error
    return SamSegmenter(model, processor, device)


def _inner_box(box: Box | None, shape: tuple[int, ...], small_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box in whole pixels of the reduced photograph; never its whole."""
    width, height = small_wh
    if box is None:
        margin_x, margin_y = max(1, round(_INSET * width)), max(1, round(_INSET * height))
        return margin_x, margin_y, width - margin_x, height - margin_y
    ratio_x, ratio_y = width / shape[1], height / shape[0]
    left, right = (int(np.clip(round(side * ratio_x), 0, width)) for side in (box[0], box[2]))
    top, bottom = (int(np.clip(round(side * ratio_y), 0, height)) for side in (box[1], box[3]))
    return left, top, right, bottom


def _tidied(mask: BoolArray) -> BoolArray:
    """Without patches below a tenth of the largest, holes filled, grown by a hundredth of the long side."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return mask
    area = statistics[:, cv2.CC_STAT_AREA].astype(np.int64)
    area[0] = 0
    kept = (area >= 0.1 * area.max())[labels]
    outlines, _ = cv2.findContours(kept.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED)
    reach = 2 * max(1, round(0.01 * max(mask.shape))) + 1
    return np.asarray(cv2.dilate(filled, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0)
