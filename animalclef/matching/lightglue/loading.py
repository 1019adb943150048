"""Load LightGlue networks strictly from weight files: the authors' releases, LighterGlue, and our own.

Nothing is downloaded: kornia's network is built without its presets, which would fetch weights, override the arguments
and load with `strict=False`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from animalclef.errors import ConfigError, WeightsError
from animalclef.hub.load import load_strictly, read_weights, weights_digest
from animalclef.hub.needed_weights import matcher_file
from animalclef.hub.shipped import lightglue_header, shipped_matcher

if TYPE_CHECKING:
    import torch

__all__ = ["LightGlueModel", "Shape", "find_lightglue", "load_lightglue"]

_DERIVED = "confidence_thresholds"  # computed from the number of layers; some releases carry it, others do not
_NEVER = -1.0


@dataclass(frozen=True)
class Shape:
    """What a LightGlue network is built from; a confidence of -1 switches the adaptive part off."""

    features: str  # the local features it was trained on: aliked, disk, superpoint, sift, xfeat ...
    input_dim: int
    descriptor_dim: int = 256
    n_layers: int = 9
    num_heads: int = 4
    add_scale_ori: bool = False
    depth_confidence: float = 0.95
    width_confidence: float = 0.99
    filter_threshold: float = 0.1
    signed_orientation: bool = True  # orientations in (-pi, pi], as the releases have them, or in [0, 2 pi)

    @property
    def architecture(self) -> dict[str, Any]:
        """Return the arguments of the network's class."""
        ours = ("features", "signed_orientation")
        return {name: value for name, value in asdict(self).items() if name not in ours}


@dataclass(frozen=True, eq=False)
class LightGlueModel:
    """A network in evaluation mode with its weights in it."""

    network: Any
    shape: Shape
    digest: str  # SHA-256 over every weight
    path: Path

    def with_settings(self, given: Mapping[str, Any]) -> LightGlueModel:
        """Return the network with other confidences or another threshold."""
        return replace(self, shape=replace(self.shape, **given))


def find_lightglue(features: str, weights: str | None, folder: Path | None = None) -> tuple[Path, bool]:
    """Return the weight file for these features, and whether it is a release of known shape.

    `weights` is a file, or the name of published weights; without it, what ships with the package comes before what
    the authors published.

    Raises:
        WeightsError: it is not on this machine.
    """
    shipped = shipped_matcher(features) if weights is None else None
    if shipped is not None:
        return shipped, False
    return matcher_file(weights, "lighterglue" if features == "xfeat" else f"lightglue-{features}", folder)


def load_lightglue(path: Path, features: str, *, released: bool = False) -> LightGlueModel:
    """Return the network of a weight file, for features of the kind `features`.

    The shape comes from the file's header where it is one of ours, from the release where it is `released`, and
    otherwise from the tensors themselves; then every key must be there and none may be left over.

    Raises:
        WeightsError: a key is missing or left over, or has another shape.
        ConfigError: the file is for other features, or there are no such features.
    """
    state = _kornia_names(read_weights(path))
    told = lightglue_header(path)
    shape = _told_shape(path, told) if told else _release(features) if released else _seen_shape(path, state, features)
    if shape.features != features:
        raise ConfigError(f"{path}: a matcher for {shape.features}; keypoints.extractor gives {features}.")
    network = _built(shape)
    state.pop(_DERIVED, None)
    load_strictly(network, state, path, (_DERIVED,))
    network = network.eval().requires_grad_(False)
    return LightGlueModel(network, _without_idle_parts(shape, state), weights_digest(network), path)


def _built(shape: Shape) -> Any:
    """Build the network, and leave torch's fast attention as it was: kornia's constructor switches it process-wide."""
    import torch
    from kornia.feature import LightGlue

    switches: Any = torch.backends.cuda
    before = switches.flash_sdp_enabled()
    try:
        return LightGlue(features=None, flash=False, **shape.architecture)
    finally:
        switches.enable_flash_sdp(before)


def _kornia_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename tensors: releases call a layer `self_attn.3`, kornia `transformers.3.self_attn`.

    Those of LighterGlue lie under `matcher.`.
    """
    if any(key.startswith("matcher.") for key in state):  # beside it lies the extractor of the same checkpoint
        state = {
            key.removeprefix("matcher."): value for key, value in state.items() if not key.startswith("extractor.")
        }
    return {re.sub(r"^(self|cross)_attn\.(\d+)\.", r"transformers.\2.\1_attn.", key): value
            for key, value in state.items()}  # fmt: skip


def _told_shape(path: Path, told: Mapping[str, Any]) -> Shape:
    """Our own files say everything; the adaptive parts are off unless the file says that they were trained."""
    try:
        said = {"depth_confidence": _NEVER, "width_confidence": _NEVER, "signed_orientation": False, **told}
        return TypeAdapter(Shape).validate_python(asdict(Shape(**said)))
    except (TypeError, ValidationError) as error:
        raise WeightsError(f"{path}: its `lightglue` header does not fit ({error}).") from error


def _release(features: str) -> Shape:
    """Return the shape of the authors' weights for some features, as kornia lists them."""
    from kornia.feature import LightGlue

    preset = LightGlue.features.get(features)
    if preset is None or preset.get("add_laf"):
        known = ", ".join(name for name, one in LightGlue.features.items() if not one.get("add_laf"))
        raise ConfigError(f"{features}: LightGlue has no weights for these features. It has: {known}.")
    return Shape(features, **{name: value for name, value in preset.items() if name in Shape.__dataclass_fields__})


def _seen_shape(path: Path, state: Mapping[str, torch.Tensor], features: str) -> Shape:
    """Return the shape that the tensors show, where the file states none."""
    try:
        width = state["transformers.0.self_attn.out_proj.weight"].shape[0]
        positions = state["posenc.Wr.weight"].shape  # (head size / 2, coordinates)
    except KeyError as error:
        raise WeightsError(f"{path}: not LightGlue weights (no {error}).") from error
    layers = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("transformers."))
    projection = state.get("input_proj.weight")
    incoming = width if projection is None else projection.shape[1]
    shape = Shape(features, incoming, width, layers, width // (2 * positions[0]), positions[1] == 4)
    return replace(shape, depth_confidence=_NEVER) if features == "xfeat" else shape


def _without_idle_parts(shape: Shape, state: Mapping[str, torch.Tensor]) -> Shape:
    """Zeros in the place of a head say that it was never there: it has nothing to tell between the layers."""
    between = range(shape.n_layers - 1)
    if not any(state[f"token_confidence.{number}.token.0.weight"].any() for number in between):
        shape = replace(shape, depth_confidence=_NEVER)
    if not any(state[f"log_assignment.{number}.matchability.weight"].any() for number in between):
        shape = replace(shape, depth_confidence=_NEVER, width_confidence=_NEVER)
    return shape
