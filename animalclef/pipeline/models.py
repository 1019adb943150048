"""What a run works with, opened once: the embedding network, the local features, the matcher."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from animalclef.config import Config
from animalclef.features.embedding.embedder import load_network
from animalclef.features.embedding.timm_embedder import TimmExtractor, choose_device
from animalclef.features.local.entries import LocalExtractor
from animalclef.features.local.extractor_registry import load_extractor
from animalclef.matching.lightglue.factory import open_lightglue
from animalclef.matching.lightglue.matcher import LightGlueMatcher
from animalclef.matching.nearest_neighbour import MutualNearest
from animalclef.matching.superglue import open_superglue

__all__ = ["AnyMatcher", "Tools", "open_matcher", "open_tools"]

AnyMatcher = MutualNearest | LightGlueMatcher


@dataclass(frozen=True, eq=False)
class Tools:
    """`None` where the settings want none of its kind."""

    network: TimmExtractor | None
    extractor: LocalExtractor | None
    matcher: AnyMatcher | None

    @property
    def made_by(self) -> list[object]:
        """The digest of the matcher's weights first, then versions, precision and kind of device."""
        return list(self.matcher.made_by) if isinstance(self.matcher, LightGlueMatcher) else []


def open_tools(config: Config, device: str, weights: Path | None) -> Tools:
    """Everything that the settings name, on `device`; published weights are looked for in `weights` first.

    Raises:
        ConfigError: there is no such network or device, or the matcher's weights are for other features.
        WeightsError: some weights are not on this machine, or do not fit.
    """
    network = load_network(config, device, weights)
    local = config.rerank.matcher != "none" or "vote" in config.retrieve.sources
    extractor = load_extractor(config.keypoints, device, weights) if local else None
    return Tools(network, extractor, open_matcher(config, device, weights))


def open_matcher(config: Config, device: str, weights: Path | None) -> AnyMatcher | None:
    """The matcher that the settings name.

    Raises:
        ConfigError: its weights are for other features.
        WeightsError: its weights are not on this machine, or do not fit.
    """
    if config.rerank.matcher == "none":
        return None
    if config.rerank.matcher == "lightglue":
        return open_lightglue(config.rerank, config.keypoints.extractor, choose_device(device), weights)
    if config.rerank.matcher == "superglue":
        return open_superglue(config.rerank, config.keypoints.extractor, choose_device(device), weights)
    return MutualNearest(config.rerank)
