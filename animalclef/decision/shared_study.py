"""Shared studies: many trials by several processes in one storage, gone on with whenever the command is run again.

What such a search finds depends on who was first; the decision file made of it is reproducible from the storage.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from animalclef.config import DecideConfig
from animalclef.decision.search import SearchResult, choose, enqueue, new_study, objective
from animalclef.decision.trial_evaluator import TrialEvaluator
from animalclef.errors import ConfigError, OutputError, StaleArtefactError

if TYPE_CHECKING:
    import optuna

__all__ = ["Shared", "explore", "work"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shared:
    """Where studies are kept, and what they were made with."""

    url: str
    settings: str  # fingerprint of the pseudo-queries and settings
    seed: int
    patience: float = 30.0  # seconds to wait for a storage that another process has locked


def explore(
    shared: Shared,
    name: str,
    evaluators: Sequence[TrialEvaluator],
    config: DecideConfig,
    workers: Sequence[Callable[[int], None]],
) -> SearchResult:
    """Bring the study up to `config.trials` trials and choose; `workers` are done in processes of their own beside this
    one, each told its number. One that is killed leaves its trial to the others.

    Raises:
        StaleArtefactError: the storage holds a study of this name that was made with other settings.
        OutputError: the storage cannot be reached, or stays locked.
    """
    study = opened(shared, name, 0)
    with _told(shared):
        if not study.get_trials(deepcopy=False):
            enqueue(study, evaluators, config)
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=one, args=(number,)) for number, one in enumerate(workers, start=1)]
    for process in processes:
        process.start()
    try:
        work(shared, study, evaluators, config)
    finally:
        for process in processes:
            process.join()
    lost = sum(process.exitcode != 0 for process in processes)
    if lost:
        logger.warning("%s: %d of %d workers ended early; the others did their trials.", name, lost, len(processes))
    with _told(shared):
        return choose(evaluators, study, config)


def work(shared: Shared, study: optuna.Study, evaluators: Sequence[TrialEvaluator], config: DecideConfig) -> None:
    """Do trials until the study has as many as the settings ask for."""
    import optuna

    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    with _told(shared):
        if len(study.get_trials(deepcopy=False, states=states)) < config.trials:
            enough = optuna.study.MaxTrialsCallback(config.trials, states=states)
            study.optimize(objective(evaluators, config), callbacks=[enough])


def opened(shared: Shared, name: str, number: int) -> optuna.Study:
    """The study, made where it is not there yet; `number` tells processes apart, so that they do not try the same.

    Raises:
        StaleArtefactError: it was made with other settings.
        OutputError: the storage cannot be reached, or stays locked.
    """
    with _told(shared):
        study = new_study(shared.seed, storage=_storage(shared), study_name=f"animalclef/{name}", load_if_exists=True)
        made_with = study.user_attrs.get("settings")
        trials = len(study.get_trials(deepcopy=False))
        if made_with is None and not trials:
            study.set_user_attr("settings", shared.settings)
        elif made_with != shared.settings:
            raise StaleArtefactError(
                f"{shared.url}: its study animalclef/{name} was made with settings {made_with}, this run's are "
                f"{shared.settings}. Use another --storage, or the settings it was made with."
            )
        study.sampler = _sampler([shared.seed, number, trials])
    return study


def _sampler(seeds: Sequence[int]) -> optuna.samplers.BaseSampler:
    import numpy as np
    import optuna

    seed = int(np.random.SeedSequence(list(seeds)).generate_state(1)[0])
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def _storage(shared: Shared) -> optuna.storages.RDBStorage:
    import optuna

    options: dict[str, Any] = {}
    if shared.url.startswith("sqlite"):
        options = {"connect_args": {"timeout": shared.patience}}
    return optuna.storages.RDBStorage(shared.url, engine_kwargs=options)


@contextmanager
def _told(shared: Shared) -> Iterator[None]:
    """Whatever a storage can throw, as one sentence."""
    import optuna
    import sqlalchemy.exc

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise ConfigError(f"--storage {shared.url}: not a database address, such as sqlite:///studies.db.") from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--storage {shared.url}: the driver {error.name} is not installed. "
            "For PostgreSQL: pip install animalclef[postgres], and an address such as postgresql+psycopg://HOST/NAME."
        ) from error
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        if "locked" in cause:
            sentence = (
                f"{shared.url}: the storage stays locked by another program. Wait for it, or use another --storage."
            )
            raise OutputError(sentence) from error
        raise OutputError(f"{shared.url}: the storage cannot be used ({cause}). Check the address.") from error
    except (LookupError, TypeError, json.JSONDecodeError) as error:
        raise OutputError(
            f"{shared.url}: the storage holds values of another kind than studies ({type(error).__name__}). It is "
            "damaged; use another --storage."
        ) from error
