"""Local features from a network, all with the same interface: scaled, batched by shape, in the photograph's pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from animalclef.config import KeypointConfig, fingerprint
from animalclef.errors import ConfigError
from animalclef.features.embedding.preprocessing import RESIZERS
from animalclef.hub.load import load_strictly, read_weights, weights_digest
from animalclef.runtime.devices import Batches
from animalclef.store.shard_store import Entry
from animalclef.structures import DecodedImage, FloatArray

__all__ = ["DETECTORS", "Detected", "Detector", "NetworkExtractor", "load_extractor_network", "scaled_size"]

_LEAST_SIDE = 32  # pixels: below it the networks' windows do not fit


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


class NetworkExtractor:
    """Keypoints of a network, the strongest first; descriptors are unit vectors, kept in half precision."""

    in_batches = True
    decodes_fully = False

    def __init__(self, detector: Detector, config: KeypointConfig, device: str) -> None:
        import kornia

        self.name, self.config, self.device, self._detector = config.extractor, config, device, detector
        chosen, less = f"keypoints.extractor {self.name}", "Give a smaller keypoints.long_side"
        self._batches = Batches(config.batch_size, chosen, device, less)
        self.weights: str | None = weights_digest(detector.learned)
        wanted = {"extractor", "long_side", "least_long_side", "max_keypoints", "batch_size"}
        settings = config.resolved().model_dump(mode="json", include=wanted)
        versions = [torch.__version__, kornia.__version__, cv2.__version__, device.split(":")[0]]
        self.fingerprint = fingerprint(1, settings, self.weights, versions)

    def extract_features(self, images: Sequence[DecodedImage], pool: Executor) -> list[Entry]:
        """Return an entry for each image, in their order; `entries.features_from_entry` reads it back."""
        scaled = list(pool.map(self._scaled, images))
        rows_of: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for row, pixels in enumerate(scaled):
            rows_of[pixels.shape].append(row)
        entries: dict[int, Entry] = {}
        for rows in rows_of.values():
            for row, found in zip(rows, self._batches.run(self._detect, [scaled[row] for row in rows]), strict=True):
                entries[row] = self._entry(images[row], scaled[row], found)
        return [entries[row] for row in range(len(images))]

    def _scaled(self, image: DecodedImage) -> NDArray[np.uint8]:
        size = scaled_size((image.pixels.shape[1], image.pixels.shape[0]), self.config)
        return image.pixels if size == image.pixels.shape[1::-1] else RESIZERS["opencv-adaptive"](image.pixels, size)

    def _detect(self, pixels: Sequence[NDArray[np.uint8]]) -> list[Detected]:
        batch = torch.from_numpy(np.stack(pixels)).to(self.device).permute(0, 3, 1, 2).float().div(255)
        with torch.inference_mode():
            return self._detector.detect(batch)

    def _entry(self, image: DecodedImage, pixels: NDArray[np.uint8], found: Detected) -> Entry:
        xy, descriptors, confidence = (np.asarray(part.float().cpu().numpy(), dtype=np.float32) for part in found)
        kept = np.zeros(0, np.int64) if pixels.min() == pixels.max() else np.lexsort((xy[:, 0], xy[:, 1], -confidence))
        if image.alpha is not None:
            kept = kept[_is_visible(xy[kept], image.alpha, pixels.shape)]
        seen_wh = np.array(pixels.shape[1::-1], dtype=np.float32)
        ratio_xy = np.array(image.original_size_wh, dtype=np.float32) / seen_wh
        return {
            "keypoints_xy": np.asarray((xy[kept] + 0.5) * ratio_xy - 0.5, dtype=np.float32),
            "descriptors": descriptors[kept].astype(np.float16),
            "confidence": confidence[kept],
            "scale": np.full(len(kept), ratio_xy.mean(), np.float32),  # one pixel as the network saw it
            "orientation_rad": np.zeros(len(kept), np.float32),
            "size_wh": np.array(image.original_size_wh, dtype=np.int32),
            "extractor": np.frombuffer(self.name.encode(), np.uint8),
        }


def load_extractor_network(config: KeypointConfig, path: Path, device: str) -> NetworkExtractor:
    """Return the network that `config.extractor` names, with the weights in `path`.

    Raises:
        ConfigError: a package that the network needs is not installed.
        WeightsError: the weights are absent or do not fit, key by key.
    """
    detector = DETECTORS[config.feature.family](config.extractor, config.sizes[1])
    state, prefix = read_weights(path), detector.prefix
    inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    load_strictly(detector.learned, inside or state, path, detector.derived)
    detector.learned.to(device)
    return NetworkExtractor(detector, config, device)


def scaled_size(size_wh: tuple[int, int], config: KeypointConfig) -> tuple[int, int]:
    """Return the width and height that the network gets: whole multiples of what it needs, by a slight stretch.

    >>> scaled_size((1024, 700), KeypointConfig(extractor="aliked-n16")), scaled_size((1024, 700), KeypointConfig(
    ...     extractor="xfeat"))
    ((512, 350), (640, 448))
    """
    largest, multiple = config.sizes[0], config.feature.multiple
    scale = min(max(*size_wh, config.least_long_side), largest) / max(size_wh)
    width, height = (max(_LEAST_SIDE, round(side * scale / multiple) * multiple) for side in size_wh)
    return width, height


def _is_visible(xy: FloatArray, alpha: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    seen = cv2.resize(alpha, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    column, row = np.clip(np.round(xy).astype(np.int64), 0, (shape[1] - 1, shape[0] - 1)).T
    return np.asarray(seen[row, column] > 127)
