"""Raw scores of the pairs of a shortlist, remembered in the run's log."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from animalclef.artefacts import PairScores, Shortlist
from animalclef.config import Config, fingerprint
from animalclef.models.lightglue_devices import open_lightglue
from animalclef.models.lightglue_matcher import LightGlueMatcher
from animalclef.models.mutual_nearest import MutualNearest
from animalclef.models.zoo import TimmExtractor, choose_device
from animalclef.pipeline.describing import Described
from animalclef.progress import Progress
from animalclef.stages.rerank import rerank, scores_without_matching
from animalclef.store.pairs import PairLog
from animalclef.store.run import RunFolder

__all__ = ["AnyMatcher", "Matching", "open_log", "open_matcher", "scores_fingerprint"]

AnyMatcher = MutualNearest | LightGlueMatcher

_LAST_BITS = {"weights", "batch_size", "precision", "compile"}  # settings that a decision does not depend on


def open_matcher(config: Config, device: str, weights: Path | None = None) -> AnyMatcher | None:
    """The matcher that the settings name; `weights` is the folder given with `--weights`.

    Raises:
        WeightsError: its weights are not on this machine, or do not fit.
        ConfigError: they are for other features than the run's.
    """
    if config.rerank.matcher == "none":
        return None
    if config.rerank.matcher == "mutual-nearest":
        return MutualNearest(config.rerank)
    return open_lightglue(config.rerank, config.keypoints.extractor, choose_device(device), weights)


def scores_fingerprint(config: Config, network: TimmExtractor | None, matcher: AnyMatcher | None) -> str:
    """What a decision's calibrators hold for: every setting that shapes a raw score, but not the photographs."""
    embed = config.embed.model_dump(mode="json", exclude={"batch_size", "weights"})
    weights = "" if network is None else network.digest
    decoding = config.data.decode_long_side
    rerank = [config.rerank.model_dump(mode="json", exclude=_LAST_BITS), *_made_by(matcher)[:1]]
    return fingerprint(4, decoding, embed, weights, config.retrieve.top_k, config.keypoints, rerank)


def open_log(config: Config, run: RunFolder, matcher: AnyMatcher | None) -> PairLog | None:
    """The log of pairs matched with these settings by these weights; `None` where nothing is matched."""
    if matcher is None:
        return None
    rerank = config.rerank.model_dump(mode="json", exclude={"weights"})
    versions = [cv2.__version__, np.__version__]
    key = fingerprint(3, rerank, config.keypoints, config.data.decode_long_side, versions, _made_by(matcher))
    return PairLog(run.path / "pairs" / f"{key}.log", key, matcher.columns)


def _made_by(matcher: AnyMatcher | None) -> list[object]:
    """The digest of the matcher's weights first, then versions, precision and kind of device."""
    return list(matcher.made_by) if isinstance(matcher, LightGlueMatcher) else []


class Matching:
    """Matches the pairs of a shortlist that the log does not hold yet."""

    def __init__(self, matcher: AnyMatcher | None, log: PairLog | None, workers: int, progress: Progress) -> None:
        self.matcher, self.log, self.workers, self.progress = matcher, log, workers, progress

    @property
    def name(self) -> str:
        """Changes with whatever shapes the scores of the log."""
        return "" if self.log is None else self.log.path.name

    def __call__(self, shortlist: Shortlist, described: Described) -> PairScores:
        if self.log is None or self.matcher is None:
            return scores_without_matching(shortlist)
        images, read = described.images, described.features
        return rerank(shortlist, images, read, self.matcher, self.log, self.workers, self.progress)
