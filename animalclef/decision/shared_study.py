"""Optuna studies kept in a storage: more trials than the default search, continued whenever the command is run again.

One process proposes trials that depend on the finished ones alone, so a search that was interrupted and continued ends
with the same decision. Several processes propose whatever the others have not finished yet: their trials depend on
timing, and the decision made of a storage is reproducible, but the storage is not.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import sqlalchemy.exc

from animalclef.config import DecideConfig
from animalclef.decision.model_average import average, choices_tried, sides_of
from animalclef.decision.search import SearchResult, choose_threshold
from animalclef.decision.trial_evaluator import DecisionParams, TrialEvaluator
from animalclef.errors import ConfigError, OutputError, StaleArtefactError
from animalclef.runtime.database_address import shown_address
from animalclef.runtime.processes import SPAWN, hidden_script

__all__ = ["Shared", "explore", "explore_in_memory", "new_study", "objective", "opened", "work"]

logger = logging.getLogger(__name__)

_DONE = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)


@dataclass(frozen=True)
class Shared:
    """Where studies are kept, and the settings they were made with."""

    url: str
    settings: str  # fingerprint of the pseudo-queries and settings
    seed: int
    patience: float = 30.0  # seconds to wait for a storage that another process has locked

    @property
    def shown(self) -> str:
        """The address as messages show it."""
        return shown_address(self.url)


def explore(
    shared: Shared,
    name: str,
    evaluators: Sequence[TrialEvaluator],
    config: DecideConfig,
    workers: Sequence[Callable[[int], None]],
) -> SearchResult:
    """Bring the study up to `config.trials` trials, and average them with the choices of the default search.

    `workers` run in processes of their own beside this one, each called with its number. If one is killed, the others
    do its trials.

    Raises:
        StaleArtefactError: the storage holds a study of this name that was made with other settings.
        OutputError: the storage cannot be reached, or stays locked.
    """
    study = opened(shared, name)
    processes = [SPAWN.Process(target=one, args=(number,)) for number, one in enumerate(workers, start=1)]
    with hidden_script():
        for process in processes:
            process.start()
    try:
        work(shared, study, evaluators, config, parallel=bool(processes))
    finally:
        for process in processes:
            process.join()
    lost = sum(process.exitcode != 0 for process in processes)
    if lost:
        logger.warning("%s: %d of %d workers ended early; the others did their trials.", name, lost, len(processes))
    with _storage_errors(shared):
        return _averaged(study, evaluators, config)


def explore_in_memory(evaluators: Sequence[TrialEvaluator], config: DecideConfig, seed: int) -> SearchResult:
    """Do `config.trials` trials, and average them with the choices of the default search; nothing is kept."""
    study, value = new_study(seed), objective(evaluators, config)
    for done in range(config.trials):
        study.sampler = _sampler([seed, 0, done], parallel=False)
        study.optimize(value, n_trials=1)
    return _averaged(study, evaluators, config)


def _averaged(study: optuna.Study, evaluators: Sequence[TrialEvaluator], config: DecideConfig) -> SearchResult:
    trials = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    found = [DecisionParams(**trial.user_attrs["choice"]) for trial in trials]
    tried = [choose_threshold(evaluators, one) for one in found]
    return average(evaluators, [*choices_tried(evaluators, config), *tried], config)


def work(
    shared: Shared, study: optuna.Study, evaluators: Sequence[TrialEvaluator], config: DecideConfig, number: int = 0,
    *, parallel: bool = False,
) -> None:  # fmt: skip
    """Do trials until the study has as many as the settings ask for; `number` distinguishes processes.

    The sampler is seeded anew before every trial, from the number of finished ones.
    """
    value = objective(evaluators, config)
    with _storage_errors(shared):
        while (done := len(study.get_trials(deepcopy=False, states=_DONE))) < config.trials:
            study.sampler = _sampler([shared.seed, number, done], parallel=parallel)
            study.optimize(value, n_trials=1)


def objective(evaluators: Sequence[TrialEvaluator], config: DecideConfig) -> Callable[[optuna.Trial], float]:
    """Return the function that a study maximises: the mean score over splits, with the best threshold."""
    names = sorted({name for evaluator in evaluators for name in evaluator.log_odds.columns})
    sides = sides_of(evaluators)

    def value(trial: optuna.Trial) -> float:
        raw = {name: trial.suggest_float(f"weight_{name}", 0.0, 1.0) for name in names}
        choice = DecisionParams(
            weights=_shares(raw),
            aggregation=_pick(trial, "aggregation", config.aggregations),
            same_viewpoint=_pick(trial, "same_viewpoint", sides),
        )
        found = choose_threshold(evaluators, choice)
        trial.set_user_attr("choice", choice.as_json())
        return found.score

    return value


def new_study(seed: int, **stored: Any) -> optuna.Study:
    """Return a study that maximises, without pruning."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = _sampler([seed, 0, 0], parallel=False)
    return optuna.create_study(direction="maximize", sampler=sampler, pruner=optuna.pruners.NopPruner(), **stored)


def opened(shared: Shared, name: str) -> optuna.Study:
    """Return the study, created where it does not exist yet.

    Raises:
        StaleArtefactError: it was made with other settings.
        OutputError: the storage cannot be reached, or stays locked.
    """
    with _storage_errors(shared):
        study = new_study(shared.seed, storage=_storage(shared), study_name=f"animalclef/{name}", load_if_exists=True)
        made_with = study.user_attrs.get("settings")
        if made_with is None and not study.get_trials(deepcopy=False):
            study.set_user_attr("settings", shared.settings)
        elif made_with != shared.settings:
            raise StaleArtefactError(
                f"{shared.shown}: its study animalclef/{name} was made with settings {made_with}, this run's are "
                f"{shared.settings}. Use another --storage, or the settings it was made with."
            )
    return study


def _shares(raw: Mapping[str, float]) -> dict[str, float]:
    """Return weights that sum to 1; a value in the lower half leaves its column out, so that choices are sparse."""
    kept = {name: max(0.0, 2 * value - 1) for name, value in raw.items()}
    total = sum(kept.values())
    if not total:
        best = max(raw, key=lambda name: raw[name])
        return {best: 1.0}
    return {name: value / total for name, value in kept.items() if value}


def _pick(trial: optuna.Trial, name: str, among: Sequence[Any]) -> Any:
    return trial.suggest_categorical(name, list(among)) if len(among) > 1 else among[0]


def _sampler(seeds: Sequence[int], *, parallel: bool) -> optuna.samplers.BaseSampler:
    seed = int(np.random.SeedSequence(list(seeds)).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=parallel)


def _storage(shared: Shared) -> optuna.storages.RDBStorage:
    options = {"connect_args": {"timeout": shared.patience}} if shared.url.startswith("sqlite") else {}
    return optuna.storages.RDBStorage(shared.url, engine_kwargs=options)


@contextmanager
def _storage_errors(shared: Shared) -> Iterator[None]:
    """Turn the errors of a storage into one sentence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except (sqlalchemy.exc.ArgumentError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise ConfigError(f"--storage {shared.shown}: not a database address, such as sqlite:///studies.db.") from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--storage {shared.shown}: the driver {error.name} is not installed. "
            "For PostgreSQL: pip install animalclef[postgres], and an address such as postgresql+psycopg://HOST/NAME."
        ) from error
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = str(error.__cause__ or error).splitlines()[0]
        if "locked" in cause:
            raise OutputError(
                f"{shared.shown}: the storage stays locked by another program. Wait for it, or use another --storage."
            ) from error
        raise OutputError(f"{shared.shown}: the storage cannot be used ({cause}). Check the address.") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(
            f"{shared.shown}: the storage holds values of another kind than studies ({type(error).__name__}). It is "
            "damaged; use another --storage."
        ) from error
