"""Use the original `lightglue` package as an engine, where a user has installed it from its repository.

It is not on the package index. Its class takes the same arguments as kornia's and the same weight files fit it, so its
scores are the same but for the last bits (on a GPU its attention is in half precision); it matches one pair at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from animalclef.errors import ConfigError
from animalclef.hub.load import load_strictly
from animalclef.matching.lightglue.loading import LightGlueModel, keypoints_inside, network_inputs
from animalclef.matching.pair_matches import PairMatches
from animalclef.structures import FloatArray, LocalFeatures

__all__ = ["PackageLightGlue"]


@dataclass(frozen=True, eq=False)
class _Image:
    """The input of the package's network for one image."""

    data: dict[str, torch.Tensor]

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.data.values())


class PackageLightGlue:
    """`lightglue.LightGlue` with the weights of `model`, in float32.

    Raises:
        ConfigError: the package is not installed, or takes other arguments.
    """

    def __init__(self, model: LightGlueModel, device: torch.device) -> None:
        try:
            import lightglue
        except ImportError as error:
            raise ConfigError(
                "rerank.backend lightglue: the package is not installed, and it is not on the package index. Install "
                "it with `pip install git+https://github.com/cvg/LightGlue`, or set rerank.backend=kornia."
            ) from error
        self.config, self.device = model.config, device
        try:
            network = lightglue.LightGlue(features=None, **model.config.architecture)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"rerank.backend lightglue: this version of the package does not fit ({error})."
            ) from error
        own = {key: value for key, value in model.network.state_dict().items() if key in network.state_dict()}
        load_strictly(network, own, model.path, ())
        self.network = network.eval().to(device)

    def prepare(self, features: LocalFeatures) -> _Image:
        """Return keypoints in pixels, descriptors and the image's size; for SIFT scale and orientation as well."""
        points, descriptors = network_inputs(features, self.config)
        parts: dict[str, FloatArray] = {"keypoints": keypoints_inside(features), "descriptors": descriptors}
        if self.config.add_scale_ori:
            parts |= {"scales": points[:, 2].copy(), "oris": points[:, 3].copy()}
        data = {name: torch.from_numpy(part)[None].to(self.device) for name, part in parts.items()}
        size = torch.tensor([features.image_size_wh], dtype=torch.float32, device=self.device)
        return _Image({**data, "image_size": size})

    def match(self, pairs: Sequence[tuple[Any, Any]], *, counts_only: bool = False) -> list[PairMatches]:
        """Return the matches of every pair, one after another."""
        with torch.inference_mode():
            found = [self.network({"image0": left.data, "image1": right.data}) for left, right in pairs]
        return [_sorted(one["matches"][0].cpu().numpy(), one["scores"][0].float().cpu().numpy()) for one in found]


def _sorted(matches: NDArray[np.generic], confidence: FloatArray) -> PairMatches:
    """Return matches, (n, 2) of keypoints' rows, in the order of the left image's keypoints."""
    order = np.argsort(matches[:, 0], kind="stable")
    left, right = matches[order].astype(np.int64).T
    return PairMatches.of(left, right, confidence[order])
