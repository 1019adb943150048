"""`Matcher`, `Matches`: the keypoints that two images share."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from animalclef.api.datasets import PathLike
from animalclef.api.extractors import LocalFeatureExtractor, settings_with, weights_of
from animalclef.api.open_images import Image, open_image
from animalclef.matching.nearest_neighbour import distinct_places
from animalclef.pipeline.models import open_matcher
from animalclef.structures import Correspondences, FloatArray, LocalFeatures

__all__ = ["Matcher", "Matches"]

_HEIGHT = 360  # pixels of a drawing
_INLIER, _OTHER = (53, 208, 186), (150, 156, 164)  # RGB


@dataclass(frozen=True, eq=False)
class Matches:
    """The matched keypoints of two images, and the scores of the pair.

    Example:
        >>> matches = Matcher("mutual-nearest", features="sift").match(photographs[0], photographs[1])
        >>> matches.a_xy.shape == matches.b_xy.shape == (len(matches), 2)
        True
        >>> matches.inliers <= len(matches)
        True
    """

    a_xy: FloatArray  # (n, 2) pixels of the first image
    b_xy: FloatArray  # (n, 2) pixels of the second image
    confidence: FloatArray  # (n,) in [0, 1]
    is_inlier: NDArray[np.bool_]  # (n,) agrees with the one transform that most matches follow
    scores: Mapping[str, float]  # of the pair, as a run has them: matches, inliers ...
    images: tuple[Image, Image] | None = None  # where images were matched, not features

    def __len__(self) -> int:
        return len(self.a_xy)

    @property
    def inliers(self) -> int:
        """The number of inliers at distinct places."""
        return len(distinct_places(Correspondences(self.a_xy, self.b_xy, self.confidence, self.is_inlier)))

    def draw(self, a: Image | None = None, b: Image | None = None) -> PilImage.Image:
        """Draw both images side by side, with a line for each match: inliers in colour, the others grey.

        Raises:
            ValueError: features were matched, and the images are not given.

        Example:
            >>> Matcher("mutual-nearest").match(photographs[0], photographs[1]).draw().mode
            'RGB'
        """
        pair = self.images if a is None or b is None else (a, b)
        if pair is None:
            raise ValueError("draw: features were matched, so give both images: matches.draw(a, b).")
        sides = [open_image(one) for one in pair]
        scales = [_HEIGHT / side.original_size_wh[1] for side in sides]
        small = [
            cv2.resize(
                side.pixels,
                (max(1, round(side.original_size_wh[0] * scale)), _HEIGHT),
                interpolation=cv2.INTER_AREA,
            )
            for side, scale in zip(sides, scales, strict=True)
        ]
        canvas = np.ascontiguousarray(np.hstack(small))
        left = np.rint((self.a_xy + 0.5) * scales[0]).astype(int)
        right = np.rint((self.b_xy + 0.5) * scales[1] + [small[0].shape[1], 0]).astype(int)
        for row in np.argsort(self.is_inlier, kind="stable"):
            colour = _INLIER if self.is_inlier[row] else _OTHER
            cv2.line(canvas, left[row].tolist(), right[row].tolist(), colour, 1, cv2.LINE_AA)
        return PilImage.fromarray(canvas)

    def __repr__(self) -> str:
        return f"Matches({len(self)} matches, {self.inliers} inliers)"

    def _repr_html_(self) -> str:
        if self.images is None:
            return f"<p>{self!r}</p>"
        file = BytesIO()
        self.draw().save(file, "PNG")
        picture = base64.b64encode(file.getvalue()).decode()
        return f'<p>{self!r}</p><img src="data:image/png;base64,{picture}" alt="{self!r}">'


class Matcher:
    """A matcher of local features: mutual-nearest (needs no weights), lightglue, or superglue.

    `features` names the extractor whose features are matched. `weights` is a weight file of the matcher, or the folder
    of a bundle in which extractor and matcher are looked for. Further settings are those of the group `rerank`.

    Raises:
        ConfigError: there is no such matcher, extractor, setting or device.
        WeightsError: weights are not on this machine, or do not fit.

    Example:
        >>> matcher = Matcher("mutual-nearest", features="sift", ratio=0.85)
        >>> matcher.match(photographs[0], photographs[1]).scores.keys() >= {"matches", "inliers"}
        True
    """

    def __init__(
        self,
        name: str = "mutual-nearest",
        *,
        features: str = "sift",
        weights: PathLike | None = None,
        device: str = "auto",
        **settings: Any,
    ) -> None:
        file, folder = weights_of(weights)
        config = settings_with("rerank", matcher=name, weights=file, **settings)
        keypoints = settings_with("keypoints", extractor=features).keypoints
        matcher = open_matcher(config.model_copy(update={"keypoints": keypoints}), device, folder)
        if matcher is None:
            raise ValueError("Matcher: expected the name of a matcher, got 'none'.")
        self.name, self.features, self._matcher = name, features, matcher
        self._folder, self._device = folder, device

    @cached_property
    def _extractor(self) -> LocalFeatureExtractor:
        return LocalFeatureExtractor(self.features, weights=self._folder, device=self._device)

    def match(self, a: Image | LocalFeatures, b: Image | LocalFeatures) -> Matches:
        """Match two images, or two sets of local features of the same extractor.

        Raises:
            DataError: an image cannot be read.
            StaleArtefactError: the features are of different extractors.
        """
        first, second = self._features(a), self._features(b)
        found = self._matcher.correspondences(first, second)
        values = self._matcher.match(first, [second])[0]
        scores = {name: float(value) for name, value in zip(self._matcher.columns, values, strict=True)}
        images = None if isinstance(a, LocalFeatures) or isinstance(b, LocalFeatures) else (a, b)
        return Matches(found.query_xy, found.gallery_xy, found.confidence, found.is_inlier, scores, images)

    def _features(self, image: Image | LocalFeatures) -> LocalFeatures:
        if isinstance(image, LocalFeatures):
            return image
        [features] = self._extractor.extract([image])
        return features
