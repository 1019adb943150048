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
from animalclef.stages.keypoints import LocalExtractor
from animalclef.stages.rerank import rerank, scores_without_matching
from animalclef.stages.views import best_of_views, with_views
from animalclef.store.pairs import PairLog
from animalclef.store.run import RunFolder

__all__ = ["Matching", "open_log", "scores_fingerprint"]


def scores_fingerprint(config: Config, network: TimmExtractor | None, extractor: LocalExtractor | None) -> str:
    """What a decision's calibrators hold for: every setting that shapes a raw score, but not the photographs."""
    embed = config.embed.shaping(with_network=network is not None)
    weights = "" if network is None else network.digest
    decoding, keypoints = config.data.decode_long_side, config.keypoints
    local = [extractor and extractor.fingerprint, keypoints.border, keypoints.masks is not None, keypoints.views]
    return fingerprint(4, decoding, embed, weights, config.retrieve.top_k, local, config.rerank)


def open_log(config: Config, run: RunFolder, extractor: LocalExtractor | None) -> PairLog | None:
    """The log of pairs matched with these settings; `None` where nothing is matched.

    Masks and views are told by the keys of the pairs.
    """
    if extractor is None:
        return None
    local = [extractor.fingerprint, config.keypoints.border]
    key = fingerprint(3, config.rerank, local, config.data.decode_long_side, cv2.__version__, np.__version__)
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
        views = self.config.keypoints.views
        asked, images = with_views(shortlist, described.images, views)
        scores = rerank(asked, images, described.features, matcher, self.log, self.workers, self.progress)
        return best_of_views(scores, self._main_column) if views else scores

    @property
    def _main_column(self) -> str:
        """What the decision looks at first of what the log holds."""
        columns = () if self.log is None else self.log.columns
        return next((name for name in self.config.decide.scores if name in columns), columns[0])
