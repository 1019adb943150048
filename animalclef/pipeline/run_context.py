"""The context that every step of a run works in."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from animalclef.config import Config, fingerprint
from animalclef.config.matching import RerankMember
from animalclef.config.retrieval import EmbedMember
from animalclef.decision.decision_model import Decision
from animalclef.engine.work import Engine, ThisMachine
from animalclef.errors import WeightsError
from animalclef.features.embedding.embedder import load_network
from animalclef.features.extract import ExtractionJob, extract_features
from animalclef.features.local.entries import load_extractor
from animalclef.pipeline.models import Models, open_matcher, open_models, scores_fingerprint
from animalclef.runtime.progress import Progress, Silent
from animalclef.store.pair_log import PairLog
from animalclef.store.run_folder import RunFolder
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable, ReviewedPairs, Skipped

__all__ = ["Member", "Plan", "RunContext", "open_context", "open_pair_log"]


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Upper figures; `pairs` are those that an earlier run has not matched, every view of a query counted."""

    images: int
    images_to_describe: int
    pairs: int
    seconds: float
    megabytes: float
    views: int = 1  # of a query, where it has most
    machines: int | None = None  # of a cluster
    network_megabytes: float = 0.0  # between the machines of a cluster and its disk, and from a bucket
    budget: str | None = None  # for matching, with its unit


@dataclass(frozen=True, eq=False)
class Member:
    """One embedder or matcher of a run: its settings in place of the first's, and its models."""

    label: str  # its columns end in `:label`; "" for the first
    config: Config
    models: Models
    log: PairLog | None = None

    def column(self, name: str) -> str:
        """Return the name of this member's column in the scores."""
        return f"{name}:{self.label}" if self.label else name


@dataclass(frozen=True, eq=False)
class RunContext:
    """Settings, models and places of one run. `announce`, where given, gets the plan before the long part."""

    config: Config
    folder: RunFolder
    models: Models
    log: PairLog | None  # of the pairs matched so far; None where nothing is matched
    workers: int = 1
    progress: Progress = field(default_factory=Silent)
    announce: Callable[[Plan], None] | None = None
    given: Decision | None = None  # to be applied; without one a decision is tuned
    more_embedders: tuple[Member, ...] = ()
    more_matchers: tuple[Member, ...] = ()
    say: Callable[[str], None] | None = None  # gets a sentence before a trial of preparations
    reviewed: ReviewedPairs | None = None  # what people answered; it decides their queries
    fitted_on: frozenset[str] | None = None  # photographs of a catalogue's weight-free embedder; empty: not yet fitted
    groups_all: bool = False  # groups all queries by individual, not the new ones alone
    groups_nobody: bool = False  # names queries alone
    seconds: dict[str, float] = field(default_factory=dict)  # of each stage so far
    warnings: list[str] = field(default_factory=list)  # about the data, so far; they are logged already
    engine: Engine = field(default_factory=ThisMachine)  # runs the long stages
    after_stage: Callable[[], None] | None = None  # such as putting the run folder into a bucket

    @property
    def scores_id(self) -> str:
        """Changes with every setting and weight that shapes a raw score."""
        first = scores_fingerprint(self.config, self.models)
        segmenter = self.models.segmenter
        more = [
            [one.label, scores_fingerprint(one.config, replace(one.models, segmenter=segmenter))]
            for one in (*self.more_embedders, *self.more_matchers)
        ]
        return fingerprint(1, first, more) if more else first

    def with_config(self, config: Config) -> RunContext:
        """Return the context with settings that were chosen for the photographs, those of its members too."""
        embed, rerank = config.of_embedders(), config.of_matchers()
        return replace(
            self, config=config,
            more_embedders=tuple(replace(one, config=embed[one.label]) for one in self.more_embedders),
            more_matchers=tuple(replace(one, config=rerank[one.label]) for one in self.more_matchers),
        )  # fmt: skip

    @property
    def matchers(self) -> tuple[Member, ...]:
        """The first matcher and the further ones; none where nothing is matched."""
        first = Member("", self.config, self.models, self.log)
        return () if self.log is None else (first, *self.more_matchers)

    @property
    def logs(self) -> list[PairLog]:
        """The log of every matcher."""
        return [one.log for one in self.matchers if one.log is not None]

    @property
    def match_columns(self) -> tuple[str, ...]:
        """Names of the scores that matching gives a pair."""
        return tuple(one.column(name) for one in self.matchers if one.log is not None for name in one.log.columns)

    def warn(self, sentence: str) -> None:
        """Log a warning about the data once, and keep it for the run's figures."""
        if sentence in self.warnings:
            return
        logger.warning("%s", sentence)
        self.warnings.append(sentence)

    def extract(self, images: ImageTable, jobs: Sequence[ExtractionJob], unreadable: ShardStore) -> list[Skipped]:
        """Fill the jobs' stores with what they lack of some photographs; return those that cannot be decoded."""
        return extract_features(
            images, jobs, unreadable, self.config.data, self.workers, self.progress, engine=self.engine
        )

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes to the stage's seconds."""
        start = time.perf_counter()
        yield
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 2)
        if self.after_stage is not None:
            self.after_stage()


def open_context(
    config: Config,
    folder: RunFolder,
    device: str = "auto",
    weights: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    announce: Callable[[Plan], None] | None = None,
    given: Decision | None = None,
    say: Callable[[str], None] | None = None,
    engine: Engine | None = None,
) -> RunContext:
    """Open the models and the pair log; published weights are looked for in `weights` first.

    Raises:
        ConfigError: there is no such network or device, or the matcher's weights are for other features.
        WeightsError: some weights are not on this machine, or do not fit.
        StaleArtefactError: the given decision was fitted on scores of other settings.
    """
    if given is not None and given.preparation is not None:
        config = given.preparation.applied_to(config)
    models = open_models(config, device, weights, workers)
    log = open_pair_log(config, folder, models)
    embedders, no_embedders = _open_members(config.of_embedders(), config.embed.members, folder, device, weights)
    matchers, no_matchers = _open_members(config.of_matchers(), config.rerank.members, folder, device, weights)
    context = RunContext(
        config, folder, models, log, workers, progress or Silent(), announce, given, embedders, matchers, say,
        engine=engine or ThisMachine(),
    )  # fmt: skip
    for sentence in (*models.absent, *no_embedders, *no_matchers):
        context.warn(sentence)
    if given is not None:
        given.check(context.scores_id)
    return context


def _open_members(
    settings: Mapping[str, Config],
    members: Sequence[EmbedMember | RerankMember],
    folder: RunFolder,
    device: str,
    weights: Path | None,
) -> tuple[tuple[Member, ...], list[str]]:
    """Open further embedders or matchers; return a sentence for each optional one that is left out without weights."""
    opened, left_out = [], []
    for member in members:
        label, config = member.label, settings[member.label]
        try:
            if isinstance(member, EmbedMember):
                opened.append(Member(label, config, Models(load_network(config, device, weights), None, None)))
            else:
                extractor = load_extractor(config.keypoints, device, weights)
                models = Models(None, extractor, open_matcher(config, device, weights))
                opened.append(Member(label, config, models, open_pair_log(config, folder, models)))
        except WeightsError as error:
            if not member.optional:
                raise WeightsError(f"Member {label}: {error} With `optional: true` it is left out.") from error
            left_out.append(f"Member {label} is left out: {error}")
    return tuple(opened), left_out


def open_pair_log(config: Config, run: RunFolder, models: Models) -> PairLog | None:
    """Open the log of pairs matched with these settings by these weights; `None` where nothing is matched.

    Masks and views are part of the pairs' keys.
    """
    if models.extractor is None or models.matcher is None:
        return None
    local = [models.extractor.fingerprint, config.keypoints.border, config.data.decode_long_side]
    local += [] if config.keypoints.matched is None else [config.keypoints.matched]
    rerank = config.rerank.digested(exclude={"weights", "members"})
    # logs of nearest neighbours without this score are of an earlier version; those of networks stay as they are
    made_by = [*models.made_by, *(one for one in models.matcher.columns if one == "consistency")]
    key = fingerprint(6, rerank, local, cv2.__version__, np.__version__, made_by)
    return PairLog(run.path / "pairs" / f"{key}.log", key, models.matcher.columns)
