"""Networks that find and describe keypoints, all with the same interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import torch

from animalclef.errors import ConfigError

__all__ = ["DETECTORS", "Detected", "Detector"]


class Detected(NamedTuple):
    """Keypoints of one image, in no order; pixel centres stand at whole numbers."""

    xy: torch.Tensor  # (n, 2)
    descriptors: torch.Tensor  # (n, d) unit length
    confidence: torch.Tensor  # (n,)


@dataclass(frozen=True, eq=False)
class Detector:
    """A network without its weights yet. `detect` takes (B, 3, H, W) RGB in [0, 1]."""

    learned: torch.nn.Module  # what the weight file fills
    detect: Callable[[torch.Tensor], list[Detected]]
    derived: frozenset[str] = frozenset()  # buffers that are computed and need not be in the file
    prefix: str = ""  # what the names in the authors' file begin with


def _aliked(name: str, most: int) -> Detector:
    """Return ALIKED (Zhao et al. 2023), which finds the `most` strongest maxima of its score map."""
    from kornia.feature import ALIKED

    model = ALIKED(name, max_num_keypoints=most, detection_threshold=0.0).eval()

    def detect(batch: torch.Tensor) -> list[Detected]:
        return [Detected(one.keypoints, one.descriptors, one.keypoint_scores) for one in model(batch)]

    return Detector(model, detect, derived=frozenset({"dkd.hw_grid"}))


def _xfeat(name: str, most: int) -> Detector:
    """Return XFeat (Potje et al. 2024), which finds the `most` best sparse keypoints."""
    from kornia.feature import XFeat

    model = XFeat(top_k=most).eval()

    def detect(batch: torch.Tensor) -> list[Detected]:
        found = model.detectAndCompute(batch)
        return [Detected(one["keypoints"].float(), one["descriptors"], one["scores"]) for one in found]

    return Detector(model.net, detect)


def _disk(name: str, most: int) -> Detector:
    """Return DISK (Tyszkiewicz et al. 2020), which finds the `most` strongest maxima; confidence is a logit."""
    from kornia.feature import DISK

    model = DISK().eval()

    def detect(batch: torch.Tensor) -> list[Detected]:
        found = model(batch, n=most)
        return [Detected(one.keypoints, one.descriptors, one.detection_scores) for one in found]

    return Detector(model, detect, prefix="extractor.")


def _superpoint(name: str, most: int) -> Detector:
    """Return SuperPoint (DeTone et al. 2018) of transformers; its weights may not be used commercially."""
    try:
        from transformers import SuperPointConfig, SuperPointForKeypointDetection
    except ImportError as error:
        raise ConfigError(
            "keypoints.extractor superpoint needs transformers, and its weights may not be used commercially. "
            "Where that is right: pip install 'animalclef[noncommercial]'."
        ) from error
    model = SuperPointForKeypointDetection(SuperPointConfig(max_keypoints=most)).eval()

    def detect(batch: torch.Tensor) -> list[Detected]:
        weights = batch.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        out = model((batch * weights).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1))
        size_wh = torch.tensor([batch.shape[3], batch.shape[2]], device=batch.device)
        rows = zip(out.mask.bool(), out.keypoints, out.descriptors, out.scores, strict=True)
        return [Detected(xy[real] * size_wh, values[real], scores[real]) for real, xy, values, scores in rows]

    return Detector(model, detect)


DETECTORS: Mapping[str, Callable[[str, int], Detector]] = MappingProxyType(
    {"aliked": _aliked, "xfeat": _xfeat, "disk": _disk, "superpoint": _superpoint}
)
