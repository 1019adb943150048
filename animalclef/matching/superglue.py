"""Match with SuperGlue (Sarlin et al. 2020): transformers' network on keypoints that are stored already.

Experimental: its agreement with transformers' own model is tested only where transformers is installed.

Its weights, and those of SuperPoint before it, may not be used commercially. transformers' model takes two photographs
of one size, finds keypoints itself and pads them, and the padding takes part in its optimal transport. Here its parts
are called on one pair after another as long as the two are, so that a pair's company changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from animalclef.config import RerankConfig
from animalclef.config.matching import family
from animalclef.errors import ConfigError, StaleArtefactError
from animalclef.hub.catalogue import SUPERGLUE
from animalclef.hub.load import load_strictly, read_weights, weights_digest
from animalclef.hub.needed_weights import matcher_file
from animalclef.matching.lightglue.factory import devices_of, memory_budget
from animalclef.matching.lightglue.loading import keypoints_inside
from animalclef.matching.lightglue.matcher import DeviceWorker, LightGlueMatcher
from animalclef.matching.pair_matches import PairMatches
from animalclef.structures import FloatArray, LocalFeatures

__all__ = ["SuperGlue", "load_superglue", "normalised", "open_superglue", "transport"]

_THRESHOLD = 0.2  # least confidence of a match, as in the authors' demonstration
_ITERATIONS = 100  # of the optimal transport
_DIMENSIONS = 256
_LIGHTGLUES: Mapping[str, tuple[object, ...]] = {  # settings of another network's, and what of them holds here too
    "backend": ("kornia",), "precision": ("auto", "float32"), "compile": (False,),
    "depth_confidence": (None, -1), "width_confidence": (None, -1),
}  # fmt: skip


class SuperGlue:
    """transformers' network in float32 on one device; matches below `threshold` are none."""

    def __init__(self, network: Any, device: torch.device, threshold: float = _THRESHOLD) -> None:
        self.network, self.device, self.threshold = network.to(device), device, threshold
        kinds = list(network.gnn.layers_types)
        self._layers = list(zip(kinds, network.gnn.layers, strict=True))
        self._alone = kinds.index("cross") if "cross" in kinds else len(kinds)  # layers before an image sees the other

    def prepare(self, features: LocalFeatures) -> torch.Tensor:
        """Return descriptors with place and confidence in them, after the first self-attention: (1, m, 256).

        Raises:
            StaleArtefactError: the features are not SuperPoint's.
        """
        place, descriptors = normalised(features), features.descriptors.astype(np.float32)
        fits = family(features.extractor) == "superpoint" and descriptors.shape[1] == _DIMENSIONS
        if features.confidence is None or not fits:
            raise StaleArtefactError(
                f"rerank.matcher superglue: it matches SuperPoint's keypoints, got {features.extractor} features of "
                f"{features.key}. Set keypoints.extractor=superpoint."
            )
        with torch.inference_mode():
            given = (place, features.confidence.astype(np.float32), descriptors)
            points, scores, plain = (torch.from_numpy(part)[None].to(self.device) for part in given)
            tokens: torch.Tensor = plain + self.network.keypoint_encoder(points, scores)[0]
            for _, layer in self._layers[: self._alone]:
                tokens = tokens + layer(tokens)[0]
        return tokens

    def match(self, pairs: Sequence[tuple[Any, Any]], *, counts_only: bool = False) -> list[PairMatches]:
        """Return the matches of every pair, one after another."""
        with torch.inference_mode():
            return [self._match(left, right) for left, right in pairs]

    def _match(self, left: torch.Tensor, right: torch.Tensor) -> PairMatches:
        for kind, layer in self._layers[self._alone :]:
            if kind == "self":
                change = layer(left)[0], layer(right)[0]
            else:
                change = layer(left, encoder_hidden_states=right)[0], layer(right, encoder_hidden_states=left)[0]
            left, right = left + change[0], right + change[1]
        one, other = (self.network.final_projection(side)[0] for side in (left, right))
        log = transport(one @ other.T / _DIMENSIONS**0.5, self.network.bin_score, _ITERATIONS)
        best, column = log.max(1)
        mutual = log.argmax(0)[column] == torch.arange(len(log), device=self.device)
        confidence = best.exp() * mutual
        match, certainty = torch.stack([column.float(), confidence]).cpu().numpy()
        matched = np.flatnonzero(certainty > self.threshold)
        return PairMatches.of(matched, match[matched].astype(np.int64), certainty[matched])


def normalised(features: LocalFeatures) -> FloatArray:
    """Return keypoints (m, 2): 0 in the middle of the image, 1 at 0.7 of its longer side."""
    size = np.array(features.image_size_wh, dtype=np.float32)
    return np.asarray((keypoints_inside(features) - size / 2) / (0.7 * size.max()), dtype=np.float32)


def transport(similarity: torch.Tensor, alone: torch.Tensor, iterations: int) -> torch.Tensor:
    """Return the log of the optimal assignment (m, n) by Sinkhorn's iterations.

    `alone` is the score of having no match.

    Every keypoint has the mass 1; the bin of either image takes up to all of the other's (Sarlin et al. 2020, eq. 8-9).
    """
    m, n = similarity.shape
    scores = alone.to(similarity).expand(m + 1, n + 1).clone()
    scores[:m, :n] = similarity
    rows, columns = similarity.new_zeros(m + 1), similarity.new_zeros(n + 1)
    rows[m], columns[n] = float(np.log(n)), float(np.log(m))
    by_row, by_column = torch.zeros_like(rows), torch.zeros_like(columns)
    for _ in range(iterations):
        by_row = rows - torch.logsumexp(scores + by_column, dim=1)
        by_column = columns - torch.logsumexp(scores + by_row[:, None], dim=0)
    return (scores + by_row[:, None] + by_column)[:m, :n]


def load_superglue(path: Path) -> Any:
    """Return transformers' network without its detector, in evaluation mode, with the weights in `path`.

    The published files hold SuperPoint beside it (`keypoint_detector.`), which is left out.

    Raises:
        ConfigError: transformers is not installed, or its SuperGlue has other parts.
        WeightsError: a key is missing or left over, or has another shape.
    """
    network = _network()
    _check_parts(network)
    network.keypoint_detector = None
    state = {name: value for name, value in read_weights(path).items() if not name.startswith("keypoint_detector.")}
    derived = [name for name in network.state_dict() if name.endswith("num_batches_tracked")]
    load_strictly(network, state, path, derived)
    return network.eval().requires_grad_(False)


def open_superglue(config: RerankConfig, extractor: str, device: str, folder: Path | None = None) -> LightGlueMatcher:
    """Return the matcher for SuperPoint's keypoints on `device`; plain `cuda` is every GPU.

    Raises:
        ConfigError: the extractor is another one, a setting is not SuperGlue's, or transformers is not installed or has
            another SuperGlue.
        WeightsError: the weights are not on this machine, or do not fit.
    """
    if family(extractor) != "superpoint":
        raise ConfigError(
            f"rerank.matcher superglue: it matches SuperPoint's keypoints alone, keypoints.extractor is {extractor}. "
            "Set keypoints.extractor=superpoint."
        )
    _refuse_lightglues(config)
    path, _ = matcher_file(config.weights, SUPERGLUE, folder)
    network = load_superglue(path)
    digest = weights_digest(network)
    threshold = _THRESHOLD if config.filter_threshold is None else config.filter_threshold
    devices = devices_of(device)
    workers = [
        DeviceWorker(SuperGlue(deepcopy(network), one, threshold), *memory_budget(one), one.type) for one in devices
    ]
    versions = [_version("transformers"), _version("torch")]
    return LightGlueMatcher(config, workers, [digest, *versions, "float32", devices[0].type])


def _network() -> Any:
    """Return the network with random weights; torch's generator is left as it was."""
    try:
        from transformers import SuperGlueConfig, SuperGlueForKeypointMatching
    except ImportError as error:
        raise ConfigError(
            "rerank.matcher superglue needs transformers 4.49 or later, and its weights may not be used commercially. "
            "Where that is right: pip install 'animalclef[noncommercial]'."
        ) from error
    with torch.random.fork_rng(devices=[]):
        return SuperGlueForKeypointMatching(SuperGlueConfig())


def _check_parts(network: Any) -> None:
    """Every part that is called here is there, and does what is asked of it to two keypoints of an image.

    Raises:
        ConfigError: transformers' SuperGlue is built in another way.
    """
    tokens = torch.zeros(1, 2, _DIMENSIONS)
    shapes = []
    try:
        with torch.inference_mode():
            network.eval()
            shapes.append(network.keypoint_encoder(torch.zeros(1, 2, 2), torch.zeros(1, 2))[0].shape)
            for kind, layer in zip(network.gnn.layers_types, network.gnn.layers, strict=True):
                other = {"encoder_hidden_states": tokens} if {"self": False, "cross": True}[kind] else {}
                shapes.append(layer(tokens, **other)[0].shape)
            shapes.append(network.final_projection(tokens).shape)
            alone = network.bin_score.numel()
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _other_parts(f"{type(error).__name__}: {error}") from error
    if alone != 1 or any(shape != tokens.shape for shape in shapes):
        raise _other_parts(f"shapes {sorted({tuple(shape) for shape in shapes})}, {alone} scores for no match")


def _other_parts(found: str) -> ConfigError:
    return ConfigError(
        f"rerank.matcher superglue: the SuperGlue of transformers {_version('transformers')} has other parts than "
        f"animalclef calls ({found}). Install transformers 4.49 to 5.23, or set rerank.matcher=lightglue."
    )


def _refuse_lightglues(config: RerankConfig) -> None:
    given = [name for name, holds in _LIGHTGLUES.items() if getattr(config, name) not in holds]
    if given:
        raise ConfigError(
            f"rerank.matcher superglue: rerank.{given[0]}={getattr(config, given[0])} is a setting of LightGlue's; "
            "SuperGlue runs whole, in float32. Leave it out."
        )


def _version(package: str) -> str:
    """Return the version of an installed package; "" for one that is imported without being installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
