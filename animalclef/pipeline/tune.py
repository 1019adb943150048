"""Tune the decision of a finished run again, from the pseudo-queries it keeps: no photograph is read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from threadpoolctl import threadpool_limits

from animalclef.config import Config, changed_settings, fingerprint
from animalclef.decision.decision_model import Decision, load_decision
from animalclef.decision.pseudo_query_scores import AnsweredQueries, answered_queries
from animalclef.decision.search import SearchResult
from animalclef.decision.shared_study import Shared, explore, explore_in_memory, opened, work
from animalclef.decision.trial_evaluator import TrialEvaluator
from animalclef.decision.tune import cross_fitters, evaluators_of, pooled_cross_fitter, tune, tuning_warnings
from animalclef.errors import ConfigError
from animalclef.runtime.digests import file_digest
from animalclef.runtime.progress import Progress
from animalclef.store.finished_run import FinishedRun, load_run
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.store.run_folder import RunFolder
from animalclef.structures import ReviewedPairs

__all__ = ["TRIALS", "check_decide_alone", "tune_run"]

logger = logging.getLogger(__name__)

_FIXED = {"pseudo_queries", "match_query", "unknown_share", "photographs_each", "hidden_days", "latest_first", "splits"}
TRIALS = 200  # Optuna trials where the settings name no number


def check_decide_alone(run: FinishedRun, config: Config) -> None:
    """Check that settings differ from those of a finished run in its decision alone, and in the seed.

    Raises:
        ConfigError: a setting is changed that shapes the scores, or the pseudo-queries.
    """
    for name in changed_settings(run.config, config):
        group, _, setting = name.partition(".")
        if name != "seed" and (group != "decide" or setting in _FIXED):
            raise ConfigError(
                f"{name}: tune works with the scores and pseudo-queries of {run.path} as they are. "
                "Run predict with this setting first."
            )


def tune_run(
    run: RunFolder, config: Config, url: str, workers: int, progress: Progress,
    reviewed: ReviewedPairs | None = None,
) -> Decision:  # fmt: skip
    """Return a decision whose studies are kept in the storage at `url`, with `workers` processes on each of them.

    What people answered about queries (`reviewed`) counts as further labelled pairs when scores are calibrated.

    Raises:
        StaleArtefactError: the run keeps no pseudo-queries, or the storage's studies were made with other settings.
        OutputError: the storage cannot be used.
    """
    settings = config.decide.model_copy(update={"trials": config.decide.trials or TRIALS})
    config = config.model_copy(update={"decide": settings})
    before = load_decision(run.decision)
    pseudo = read_pseudo_queries(run)
    plain = settings.model_copy(update={"trials": 1})
    said = [] if reviewed is None or reviewed.is_empty else [reviewed.digest]
    made_with = fingerprint(3, before.scores, file_digest(run.pseudo_queries), plain, config.seed, *said)
    answered = {} if reviewed is None else _answered(run, reviewed)
    shared = Shared(url, made_with, config.seed)

    def final(name: str, evaluators: Sequence[TrialEvaluator]) -> SearchResult:
        beside = [partial(_work, run.path, config.model_dump_json(), shared, name, answered)] * (workers - 1)
        return explore(shared, name, evaluators, settings, beside)

    of_fold = partial(explore_in_memory, seed=config.seed)
    decision = tune(pseudo, settings, config.seed, before.scores, before.gallery, progress, final, of_fold, answered)
    for sentence in tuning_warnings(decision, pseudo, settings):
        logger.warning("%s", sentence)
    return decision.model_copy(update={"preparation": before.preparation})


def _answered(run: RunFolder, reviewed: ReviewedPairs) -> dict[str, AnsweredQueries]:
    finished = load_run(run.path)
    answered = answered_queries(finished.ranked, finished.images, reviewed)
    if not answered:
        logger.warning("No answer is about a query and a database photograph; calibration is as it was without them.")
    return answered


def _work(
    run: Path, settings: str, shared: Shared, name: str, answered: Mapping[str, AnsweredQueries], number: int
) -> None:
    """Take part in one study, as a further process that reads the run folder again."""
    config = Config.model_validate_json(settings)
    pseudo = read_pseudo_queries(RunFolder(run))
    studies = [
        *cross_fitters(pseudo, config.decide, config.seed, answered),
        pooled_cross_fitter(pseudo, config.decide, config.seed, answered),
    ]
    evaluators = list(evaluators_of(next(one for one in studies if one.name == name)).values())
    with threadpool_limits(limits=1):
        work(shared, opened(shared, name), evaluators, config.decide, number, parallel=True)
