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
    votes = config.vote if "vote" in config.retrieve.sources else None
    shortlist = [config.retrieve.top_k, *config.retrieve.sources]
    return fingerprint(4, decoding, embed, weights, shortlist, votes, config.keypoints, config.rerank)


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

    @property
    def columns(self) -> tuple[str, ...]:
        """What matching finds out about a pair."""
        return () if self.log is None else self.log.columns

    def __call__(self, shortlist: Shortlist, described: Described) -> PairScores:
        """Scores of all pairs of a shortlist, in its order."""
        if self.log is None:
            return self.unmatched(shortlist)
        matcher = MutualNearest(self.config.rerank)
        images, read = described.images, described.features
        scores = rerank(shortlist, images, read, matcher, self.log, self.workers, self.progress)
        return _with_votes(scores, shortlist)

    def unmatched(self, shortlist: Shortlist) -> PairScores:
        """What is known of the pairs of a shortlist before they are matched."""
        return _with_votes(scores_without_matching(shortlist), shortlist)


def _with_votes(scores: PairScores, shortlist: Shortlist) -> PairScores:
    """With the column `vote`, where local descriptors voted; the pairs are in shortlist order."""
    if shortlist.vote is None:
        return scores
    columns = {**scores.columns, "vote": shortlist.vote[shortlist.index >= 0]}
    return PairScores(scores.query_id, scores.gallery_id, columns)
