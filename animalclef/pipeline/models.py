"""Open the models of a run: the embedding network, the local features, the matcher."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from animalclef.config import Config, fingerprint
from animalclef.errors import WeightsError
from animalclef.features.embedding.embedder import load_network
from animalclef.features.embedding.timm_embedder import TimmExtractor
from animalclef.features.local.entries import LocalExtractor, load_extractor
from animalclef.matching.lightglue.factory import open_lightglue
from animalclef.matching.lightglue.matcher import LightGlueMatcher
from animalclef.matching.nearest_neighbour import MutualNearest
from animalclef.matching.superglue import open_superglue
from animalclef.prepare.segmenters import Segmenter, open_segmenter
from animalclef.runtime.devices import choose_device

__all__ = ["AnyMatcher", "Models", "library_versions", "open_matcher", "open_models", "scores_fingerprint"]

AnyMatcher = MutualNearest | LightGlueMatcher


_LAST_BITS = {"weights", "batch_size", "precision", "compile", "members"}  # settings that a decision does not depend on


@dataclass(frozen=True, eq=False)
class Models:
    """The models that the settings name; `None` where they want none of its kind."""

    network: TimmExtractor | None
    extractor: LocalExtractor | None
    matcher: AnyMatcher | None
    segmenter: Segmenter | None = None
    absent: tuple[str, ...] = ()  # a sentence for what is left out without its weights

    @property
    def made_by(self) -> list[object]:
        """The digest of the matcher's weights first, then versions, precision and kind of device."""
        return list(self.matcher.made_by) if isinstance(self.matcher, LightGlueMatcher) else []


def open_models(config: Config, device: str, weights: Path | None, workers: int | None = None) -> Models:
    """Open everything that the settings name on `device`; published weights are looked for in `weights` first.

    Raises:
        ConfigError: there is no such network or device, or the matcher's weights are for other features.
        WeightsError: some weights are not on this machine, or do not fit.
    """
    network = load_network(config, device, weights)
    local = config.rerank.matcher != "none" or "vote" in config.retrieve.sources
    extractor = load_extractor(config.keypoints, device, weights) if local else None
    matcher = open_matcher(config, device, weights)
    return Models(network, extractor, matcher, *_segmenter(config, device, weights, workers))


def _segmenter(
    config: Config, device: str, weights: Path | None, workers: int | None
) -> tuple[Segmenter | None, tuple[str, ...]]:
    """Open the segmenter where photographs may be cut; without its weights say that `auto` uses whole photographs."""
    modes = config.prepare.mode
    wanted = set(modes.values()) if isinstance(modes, dict) else {modes}
    if wanted == {"whole"}:
        return None, ()
    try:
        return open_segmenter(config.prepare.segmenter, choose_device(device), weights, workers), ()
    except WeightsError as error:
        if wanted - {"whole", "auto"}:
            raise
        return None, (f"prepare.segmenter: {error} Photographs are used whole.",)


def open_matcher(config: Config, device: str, weights: Path | None) -> AnyMatcher | None:
    """Open the matcher that the settings name; `None` where nothing is matched.

    Raises:
        ConfigError: its weights are for other features.
        WeightsError: its weights are not on this machine, or do not fit.
    """
    if config.rerank.matcher == "none":
        return None
    if config.rerank.matcher == "mutual-nearest":
        return MutualNearest(config.rerank)
    opened = open_lightglue if config.rerank.matcher == "lightglue" else open_superglue
    return opened(config.rerank, config.keypoints.extractor, choose_device(device), weights)


def library_versions() -> list[str]:
    """Return the versions of the libraries that choices and decisions depend on."""
    return [metadata.version(name) for name in ("optuna", "scikit-learn", "numpy", "faiss-cpu")]


def scores_fingerprint(config: Config, models: Models) -> str:
    """Return a digest of every setting that shapes a raw score, but not of the photographs; calibrators hold for it."""
    network, extractor = models.network, models.extractor
    embed = config.embed.shaping(with_network=network is not None)
    weights = "" if network is None else network.digest
    decoding, keypoints = config.data.decode_long_side, config.keypoints
    masked = keypoints.masks is not None
    local: list[object] = [extractor and extractor.fingerprint, keypoints.border, masked, keypoints.views]
    local += [] if keypoints.matched is None else [keypoints.matched]
    if keypoints.is_sift and keypoints.upright not in ("auto", False, ()):
        local += [["upright", keypoints.upright]]
    local += _preparation(config, models.segmenter)
    matching = config.rerank.digested(exclude=_LAST_BITS)
    rerank = [matching, *models.made_by[:1]]
    votes = config.vote if "vote" in config.retrieve.sources else None
    shortlist: list[object] = [config.retrieve.top_k, *config.retrieve.sources, []]  # [] as in earlier decisions
    return fingerprint(9, decoding, embed, weights, shortlist, votes, local, rerank)


def _preparation(config: Config, segmenter: Segmenter | None) -> list[object]:
    """Return what shapes prepared photographs; nothing where all are whole."""
    modes = config.prepare.mode if isinstance(config.prepare.mode, dict) else {}
    cut = sorted((name, mode) for name, mode in modes.items() if mode not in ("whole", "auto"))
    found_by = "" if segmenter is None else segmenter.fingerprint
    return [cut, found_by, config.prepare.margin] if cut else []
