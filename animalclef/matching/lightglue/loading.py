"""Load LightGlue networks strictly from weight files: the authors' releases, LighterGlue, and our own.

Nothing is downloaded: kornia's network is built without its presets, which would fetch weights, override the arguments
and load with `strict=False`. `network_inputs` turns local features into what the network takes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError

from animalclef.config.matching import family
from animalclef.errors import ConfigError, StaleArtefactError, WeightsError
from animalclef.features.local.unit_descriptors import root_sift
from animalclef.hub.catalogue import lightglue_header, shipped_matcher
from animalclef.hub.load import load_strictly, read_weights, weights_digest
from animalclef.hub.needed_weights import matcher_file, published_lightglue
from animalclef.structures import FloatArray, LocalFeatures

__all__ = [
    "LightGlueConfig",
    "LightGlueModel",
    "find_lightglue",
    "keypoints_inside",
    "load_lightglue",
    "network_inputs",
    "new_network",
]

_DERIVED = "confidence_thresholds"  # computed from the number of layers; some releases carry it, others do not
_OFF = -1.0  # a confidence that is never reached

_SCALE_LONG_SIDE = 512  # the network gets a keypoint's diameter in pixels of the photograph at this long side


@dataclass(frozen=True)
class LightGlueConfig:
    """What a LightGlue network is built from, and when it stops, prunes and accepts a match.

    Names and defaults are those of the authors' class; -1 switches an adaptive part off.
    """

    features: str  # the local features it was trained on: aliked, disk, superpoint, sift, xfeat ...
    input_dim: int
    descriptor_dim: int = 256
    n_layers: int = 9
    num_heads: int = 4
    add_scale_ori: bool = False
    depth_confidence: float = 0.95  # share of confident keypoints at which a pair stops between layers
    width_confidence: float = 0.99  # confidence from which a keypoint without a match is pruned
    filter_threshold: float = 0.1  # confidence that a match must exceed
    signed_orientation: bool = True  # orientations in (-pi, pi], as the releases have them, or in [0, 2 pi)

    @property
    def architecture(self) -> dict[str, Any]:
        """Return the arguments of the network's class."""
        ours = ("features", "signed_orientation")
        return {name: value for name, value in asdict(self).items() if name not in ours}


@dataclass(frozen=True, eq=False)
class LightGlueModel:
    """A network with its weights, in evaluation mode."""

    network: Any  # kornia.feature.LightGlue
    config: LightGlueConfig
    digest: str  # SHA-256 over every weight
    path: Path

    def with_settings(self, given: Mapping[str, Any]) -> LightGlueModel:
        """Return the network with other confidences or another threshold."""
        return replace(self, config=replace(self.config, **given))


def find_lightglue(features: str, weights: str | None, folder: Path | None = None) -> tuple[Path, bool]:
    """Return the weight file for these features, and whether it is a release of known shape.

    `weights` is a file, or the name of published weights. Without it, weights that ship with the package come before
    those that the authors published.

    >>> path, released = find_lightglue("sift", None)
    >>> path.name, released
    ('lightglue-sift.safetensors', False)

    Raises:
        WeightsError: it is not on this machine.
    """
    shipped = shipped_matcher(features) if weights is None else None
    if shipped is not None:
        return shipped, False
    return matcher_file(weights, published_lightglue(features), folder)


def load_lightglue(path: Path, features: str, *, released: bool = False) -> LightGlueModel:
    """Return the network of a weight file, for features of the kind `features`.

    Its configuration comes from the file's header where it is one of ours, from the release where it is `released`, and
    otherwise from the tensors themselves. Every key must be there and none may be left over.

    >>> path, released = find_lightglue("sift", None)
    >>> config = load_lightglue(path, "sift", released=released).config
    >>> config.n_layers, config.num_heads, config.descriptor_dim
    (3, 1, 96)

    Raises:
        WeightsError: a key is missing or left over, or has another shape.
        ConfigError: the file is for other features, or there are no such features.
    """
    state = _kornia_names(read_weights(path))
    header = lightglue_header(path)
    if header:
        config = _config_from_header(path, header)
    else:
        config = _config_of_release(features) if released else _config_from_tensors(path, state, features)
    if config.features != features:
        raise ConfigError(f"{path}: a matcher for {config.features}; keypoints.extractor gives {features}.")
    network = new_network(**config.architecture)
    state.pop(_DERIVED, None)
    load_strictly(network, state, path, (_DERIVED,))
    network = network.eval().requires_grad_(False)
    return LightGlueModel(network, _without_untrained_heads(config, state), weights_digest(network), path)


def new_network(**architecture: Any) -> Any:
    """Build kornia's LightGlue without weights.

    Its constructor switches torch's fast attention for the whole process, and older versions print a line: the switch
    is put back, and the line does not reach the standard output, which may be JSON.
    """
    from kornia.feature import LightGlue

    switches: Any = torch.backends.cuda
    before = switches.flash_sdp_enabled()
    try:
        with redirect_stdout(sys.stderr):
            return LightGlue(features=None, flash=False, **architecture)
    finally:
        switches.enable_flash_sdp(before)


def _kornia_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename tensors of releases (`self_attn.3`) and of LighterGlue (under `matcher.`) to kornia's names."""
    if any(key.startswith("matcher.") for key in state):  # beside it lies the extractor of the same checkpoint
        state = {
            key.removeprefix("matcher."): value for key, value in state.items() if not key.startswith("extractor.")
        }
    return {re.sub(r"^(self|cross)_attn\.(\d+)\.", r"transformers.\2.\1_attn.", key): value
            for key, value in state.items()}  # fmt: skip


def _config_from_header(path: Path, header: Mapping[str, Any]) -> LightGlueConfig:
    """Return what the header of our own file says; adaptive parts are off unless it says that they were trained."""
    try:
        given = {"depth_confidence": _OFF, "width_confidence": _OFF, "signed_orientation": False, **header}
        return TypeAdapter(LightGlueConfig).validate_python(asdict(LightGlueConfig(**given)))
    except (TypeError, ValidationError) as error:
        raise WeightsError(f"{path}: its `lightglue` header does not fit ({error}).") from error


def _config_of_release(features: str) -> LightGlueConfig:
    """Return the configuration of the authors' weights for some features, as kornia lists them."""
    from kornia.feature import LightGlue

    preset = LightGlue.features.get(features)
    if preset is None or preset.get("add_laf"):
        names = ", ".join(name for name, one in LightGlue.features.items() if not one.get("add_laf"))
        raise ConfigError(f"{features}: LightGlue has no weights for these features. It has: {names}.")
    known = {name: value for name, value in preset.items() if name in LightGlueConfig.__dataclass_fields__}
    return LightGlueConfig(features, **known)


def _config_from_tensors(path: Path, state: Mapping[str, torch.Tensor], features: str) -> LightGlueConfig:
    """Return the configuration that the shapes of the tensors show."""
    try:
        width = state["transformers.0.self_attn.out_proj.weight"].shape[0]
        positions = state["posenc.Wr.weight"].shape  # (head size / 2, coordinates)
    except KeyError as error:
        raise WeightsError(f"{path}: not LightGlue weights (no {error}).") from error
    layers = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("transformers."))
    projection = state.get("input_proj.weight")
    incoming = width if projection is None else projection.shape[1]
    config = LightGlueConfig(features, incoming, width, layers, width // (2 * positions[0]), positions[1] == 4)
    return replace(config, depth_confidence=_OFF) if features == "xfeat" else config


def _without_untrained_heads(config: LightGlueConfig, state: Mapping[str, torch.Tensor]) -> LightGlueConfig:
    """Switch off what needs a head between the layers that was never trained: such a head holds zeros."""
    between = range(config.n_layers - 1)
    if not any(state[f"token_confidence.{number}.token.0.weight"].any() for number in between):
        config = replace(config, depth_confidence=_OFF)
    if not any(state[f"log_assignment.{number}.matchability.weight"].any() for number in between):
        config = replace(config, depth_confidence=_OFF, width_confidence=_OFF)
    return config


def network_inputs(features: LocalFeatures, config: LightGlueConfig) -> tuple[FloatArray, FloatArray]:
    """Return normalised keypoints (m, 2), or (m, 4) with scale and orientation, and descriptors (m, d).

    Keypoints: 0 in the middle of the image, 1 at the end of its longer side. The released SIFT weights were trained on
    COLMAP's scale (sigma, half of OpenCV's diameter) in photographs of 1,024 px and on orientations in (-pi, pi].

    Raises:
        StaleArtefactError: the features are of another kind than the matcher.
    """
    if family(features.extractor) != config.features or features.descriptors.shape[1] != config.input_dim:
        have = f"{features.extractor} features with {features.descriptors.shape[1]} numbers a descriptor"
        raise StaleArtefactError(
            f"rerank.weights: the matcher is for {config.features} with {config.input_dim} numbers a descriptor, got "
            f"{have}. Set keypoints.extractor or rerank.weights so that they fit."
        )
    size = np.array(features.image_size_wh, dtype=np.float32)
    points = (keypoints_inside(features) - size / 2) / (size.max() / 2)
    if config.add_scale_ori:
        scale = features.scale * (_SCALE_LONG_SIDE / size.max())
        turn = features.orientation_rad
        if config.signed_orientation:
            turn = np.pi - np.mod(np.pi - turn, 2 * np.pi)
        points = np.column_stack([points, scale, turn])
    is_sift = config.features == "sift"
    descriptors = root_sift(features.descriptors) if is_sift else features.descriptors.astype(np.float32)
    return np.ascontiguousarray(points, dtype=np.float32), np.ascontiguousarray(descriptors)


def keypoints_inside(features: LocalFeatures) -> FloatArray:
    """Return keypoints in pixels; one on the outer half of a border pixel is moved onto the border."""
    return np.clip(features.keypoints_xy, 0, np.array(features.image_size_wh, dtype=np.float32))
