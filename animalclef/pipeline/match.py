"""Raw scores of the pairs of a shortlist, remembered in the run's log."""

from __future__ import annotations

import cv2
import numpy as np

from animalclef.config import Config, fingerprint
from animalclef.decision.pair_covariates import circumstances
from animalclef.features.local.query_views import best_of_views, with_views
from animalclef.matching.rerank import rerank, scores_without_matching
from animalclef.pipeline.features import FeatureSet
from animalclef.pipeline.models import AnyMatcher, Tools
from animalclef.retrieval.requery import rescore
from animalclef.runtime.progress import Progress
from animalclef.store.pair_log import PairLog
from animalclef.store.run_folder import RunFolder
from animalclef.structures import PairScores, Shortlist

__all__ = ["Matching", "open_log", "scores_fingerprint"]

_LAST_BITS = {"weights", "batch_size", "precision", "compile"}  # settings that a decision does not depend on


def scores_fingerprint(config: Config, tools: Tools) -> str:
    """What a decision's calibrators hold for: every setting that shapes a raw score, but not the photographs."""
    network, extractor = tools.network, tools.extractor
    embed = config.embed.shaping(with_network=network is not None)
    weights = "" if network is None else network.digest
    decoding, keypoints = config.data.decode_long_side, config.keypoints
    masked = keypoints.masks is not None
    local = [extractor and extractor.fingerprint, keypoints.border, masked, keypoints.views]
    rerank = [config.rerank.model_dump(mode="json", exclude=_LAST_BITS), *tools.made_by[:1]]
    votes = config.vote if "vote" in config.retrieve.sources else None
    rescore = [config.retrieve.rescore, config.retrieve.neighbours] if config.retrieve.rescore else []
    shortlist = [config.retrieve.top_k, *config.retrieve.sources, rescore]
    return fingerprint(8, decoding, embed, weights, shortlist, votes, local, rerank)


def open_log(config: Config, run: RunFolder, tools: Tools) -> PairLog | None:
    """The log of pairs matched with these settings by these weights; `None` where nothing is matched.

    Masks and views are told by the keys of the pairs.
    """
    if tools.extractor is None or tools.matcher is None:
        return None
    local = [tools.extractor.fingerprint, config.keypoints.border, config.data.decode_long_side]
    rerank = config.rerank.model_dump(mode="json", exclude={"weights"})
    key = fingerprint(6, rerank, local, cv2.__version__, np.__version__, tools.made_by)
    return PairLog(run.path / "pairs" / f"{key}.log", key, tools.matcher.columns)


class Matching:
    """Matches the pairs of a shortlist that the log does not hold yet.

    `circumstances` are added where a decision looks at them.
    """

    def __init__(
        self,
        config: Config,
        matcher: AnyMatcher | None,
        log: PairLog | None,
        workers: int,
        progress: Progress,
        *,
        with_circumstances: bool = False,
    ) -> None:
        self.config, self.matcher, self.log, self.workers, self.progress = config, matcher, log, workers, progress
        self.with_circumstances = with_circumstances

    @property
    def name(self) -> str:
        """Changes with whatever shapes the scores of the log."""
        return "" if self.log is None else self.log.path.name

    @property
    def columns(self) -> tuple[str, ...]:
        """What matching finds out about a pair."""
        return () if self.log is None else self.log.columns

    def __call__(self, shortlist: Shortlist, described: FeatureSet) -> PairScores:
        """Scores of all pairs of a shortlist, in its order."""
        if self.log is None or self.matcher is None:
            return self.unmatched(shortlist, described)
        views = self.config.keypoints.views
        asked, images = with_views(shortlist, described.images, views)
        scores = rerank(asked, images, described.features, self.matcher, self.log, self.workers, self.progress)
        return self._completed(best_of_views(scores, self._main_column) if views else scores, shortlist, described)

    def unmatched(self, shortlist: Shortlist, described: FeatureSet) -> PairScores:
        """What is known of the pairs of a shortlist before they are matched."""
        return self._completed(scores_without_matching(shortlist), shortlist, described)

    @property
    def _main_column(self) -> str:
        """What the decision looks at first of what the log holds."""
        return next((name for name in self.config.decide.scores if name in self.columns), self.columns[0])

    def _completed(self, scores: PairScores, shortlist: Shortlist, described: FeatureSet) -> PairScores:
        """With what is known of a pair, or of its list, without matching it; the pairs are in shortlist order."""
        filled = shortlist.index >= 0
        columns = dict(scores.columns)
        if shortlist.vote is not None:
            columns["vote"] = shortlist.vote[filled]
        if self.config.retrieve.rescore:
            rescored = rescore(shortlist, described.embeddings, self.config.retrieve)
            columns |= {name: values[filled] for name, values in rescored.items()}
        if self.with_circumstances:
            size_of = None if self.log is None else described.size_of
            columns |= circumstances(scores, described.images, size_of)
        return PairScores(scores.query_id, scores.gallery_id, columns)
