"""Raw scores of the pairs of a shortlist, remembered in the run's log."""

from __future__ import annotations

import cv2
import numpy as np

from animalclef.artefacts import PairScores, Shortlist
from animalclef.config import Config, fingerprint
from animalclef.models.mutual_nearest import MutualNearest
from animalclef.models.zoo import TimmExtractor
from animalclef.pipeline.describing import Described
from animalclef.progress import Progress
from animalclef.stages.rerank import rerank, scores_without_matching
from animalclef.store.pairs import PairLog
from animalclef.store.run import RunFolder

__all__ = ["Matching", "open_log", "scores_fingerprint"]


def scores_fingerprint(config: Config, network: TimmExtractor | None) -> str:
    """What a decision's calibrators hold for: every setting that shapes a raw score, but not the photographs."""
    embed = config.embed.model_dump(mode="json", exclude={"batch_size", "weights"})
    weights = "" if network is None else network.digest
    decoding = config.data.decode_long_side
    rescore = [config.retrieve.rescore, config.retrieve.neighbours] if config.retrieve.rescore else []
    return fingerprint(3, decoding, embed, weights, config.retrieve.top_k, *rescore, config.keypoints, config.rerank)


def open_log(config: Config, run: RunFolder) -> PairLog | None:
    """The log of pairs matched with these settings; `None` where nothing is matched."""
    if config.rerank.matcher == "none":
        return None
    parts = [2, config.rerank, config.keypoints, config.data.decode_long_side, cv2.__version__, np.__version__]
    key = fingerprint(*parts)
    return PairLog(run.path / "pairs" / f"{key}.log", key, MutualNearest.columns)


class Matching:
    """Matches the pairs of a shortlist that the log does not hold yet."""

    def __init__(self, config: Config, log: PairLog | None, workers: int, progress: Progress) -> None:
        self.config, self.log, self.workers, self.progress = config, log, workers, progress

    @property
    def name(self) -> str:
        """Changes with whatever shapes the scores of the log."""
        return "" if self.log is None else self.log.path.name

    def __call__(self, shortlist: Shortlist, described: Described) -> PairScores:
        if self.log is None:
            return scores_without_matching(shortlist)
        matcher = MutualNearest(self.config.rerank)
        images, read = described.images, described.features
        return rerank(shortlist, images, read, matcher, self.log, self.workers, self.progress)
