"""Turn an image's keypoints into the input of a LightGlue network."""

from __future__ import annotations

import numpy as np

from animalclef.config.feature_presets import family
from animalclef.errors import StaleArtefactError
from animalclef.features.local.unit_descriptors import root_sift
from animalclef.matching.lightglue.loading import Shape
from animalclef.structures import FloatArray, LocalFeatures

__all__ = ["SCALE_LONG_SIDE", "NetworkInputs", "keypoints_inside", "network_inputs"]

SCALE_LONG_SIDE = 512  # a keypoint's scale is told as its diameter in pixels of the photograph at this long side

NetworkInputs = tuple[FloatArray, FloatArray]


def network_inputs(features: LocalFeatures, shape: Shape) -> NetworkInputs:
    """Return normalised keypoints (m, 2), or (m, 4) with scale and orientation, and descriptors (m, d).

    Keypoints: 0 in the middle of the image, 1 at the end of its longer side. The released SIFT weights were trained on
    COLMAP's scale (sigma, half of OpenCV's diameter) in photographs of 1,024 px and on orientations in (-pi, pi].

    Raises:
        StaleArtefactError: the features are of another kind than the matcher.
    """
    if family(features.extractor) != shape.features or features.descriptors.shape[1] != shape.input_dim:
        have = f"{features.extractor} features with {features.descriptors.shape[1]} numbers a descriptor"
        raise StaleArtefactError(
            f"rerank.weights: the matcher is for {shape.features} with {shape.input_dim} numbers a descriptor, got "
            f"{have}. Set keypoints.extractor or rerank.weights so that they fit."
        )
    size = np.array(features.image_size_wh, dtype=np.float32)
    points = (keypoints_inside(features) - size / 2) / (size.max() / 2)
    if shape.add_scale_ori:
        scale = features.scale * (SCALE_LONG_SIDE / size.max())
        turn = features.orientation_rad
        if shape.signed_orientation:
            turn = np.pi - np.mod(np.pi - turn, 2 * np.pi)
        points = np.column_stack([points, scale, turn])
    is_sift = shape.features == "sift"
    descriptors = root_sift(features.descriptors) if is_sift else features.descriptors.astype(np.float32)
    return np.ascontiguousarray(points, dtype=np.float32), np.ascontiguousarray(descriptors)


def keypoints_inside(features: LocalFeatures) -> FloatArray:
    """Return keypoints in pixels; one on the outer half of a border pixel is moved onto the border."""
    return np.clip(features.keypoints_xy, 0, np.array(features.image_size_wh, dtype=np.float32))
