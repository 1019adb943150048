"""Studies in a storage: gone on with, shared, refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import optuna
import pytest
from evaluation_cases import synthetic

from animalclef.config import DecideConfig
from animalclef.decision.shared_study import Shared, explore, explore_in_memory, opened, work
from animalclef.decision.trial_evaluator import TrialEvaluator
from animalclef.decision.tune import evaluators_of, pooled_cross_fitter
from animalclef.errors import ConfigError, OutputError, StaleArtefactError

CONFIG = DecideConfig(trials=5, folds=2, splits=2)


def shared(folder: Path, settings: str = "one", patience: float = 5.0) -> Shared:
    return Shared(f"sqlite:///{folder / 'studies.db'}", settings, 0, patience)


def evaluators() -> list[TrialEvaluator]:
    return list(evaluators_of(pooled_cross_fitter({"lynx": synthetic(8, 2.0, seed=0)}, CONFIG, 0)).values())


def test_a_study_is_gone_on_with_until_it_has_its_trials(tmp_path: Path) -> None:
    where, some = shared(tmp_path), evaluators()
    explore(where, "lynx", some, CONFIG, [])
    assert len(opened(where, "lynx").trials) == 5
    explore(where, "lynx", some, CONFIG, [])  # nothing is left to do
    assert len(opened(where, "lynx").trials) == 5
    found = explore(where, "lynx", some, CONFIG.model_copy(update={"trials": 7}), [])
    study = opened(where, "lynx")
    assert len(study.trials) == 7
    assert study.user_attrs == {"settings": "one"}
    again = explore(where, "lynx", some, CONFIG.model_copy(update={"trials": 7}), [])
    assert again.choice == found.choice  # the same storage gives the same file


def test_a_search_in_memory_is_that_of_a_storage(tmp_path: Path) -> None:
    kept = explore(shared(tmp_path), "lynx", evaluators(), CONFIG, [])
    assert explore_in_memory(evaluators(), CONFIG, seed=0).choice == kept.choice


def test_a_search_that_was_killed_in_a_trial_ends_with_the_same_trials(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    some, more = evaluators(), CONFIG.model_copy(update={"trials": 14})
    whole, killed = shared(tmp_path / "whole"), shared(tmp_path / "killed")
    found = explore(whole, "lynx", some, more, [])
    work(killed, opened(killed, "lynx"), some, CONFIG)
    opened(killed, "lynx").ask({"weight_inliers": optuna.distributions.FloatDistribution(0.0, 1.0)})  # never told
    again = explore(killed, "lynx", some, more, [])
    assert again.choice == found.choice
    done = [
        [one.params for one in opened(where, "lynx").trials if one.state.is_finished()] for where in (whole, killed)
    ]
    assert done[0] == done[1]
    assert len(done[0]) == 14


def test_a_study_of_other_settings_is_refused(tmp_path: Path) -> None:
    explore(shared(tmp_path), "lynx", evaluators(), CONFIG, [])
    with pytest.raises(StaleArtefactError, match=r"animalclef/lynx was made with settings one, this run's are two"):
        explore(shared(tmp_path, "two"), "lynx", evaluators(), CONFIG, [])


def test_a_locked_storage_is_one_sentence(tmp_path: Path) -> None:
    where = shared(tmp_path, patience=0.1)
    opened(where, "lynx")
    holder = sqlite3.connect(tmp_path / "studies.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(OutputError, match="stays locked by another program"):
            opened(where, "newt")
    finally:
        holder.close()


@pytest.mark.parametrize("url", ["nothing", "nosuch://x/y"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match="not a database address"):
        opened(Shared(url, "one", 0), "lynx")


@pytest.mark.parametrize("address", ["nosuch://ada:secret@x/y", "postgresql//ada:secret@x", "sqlite://ada:secret@x/y"])
def test_no_message_holds_a_password(address: str) -> None:
    with pytest.raises((ConfigError, OutputError)) as told:
        opened(Shared(address, "one", 0), "lynx")
    assert "secret" not in str(told.value)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be used"):
        opened(shared(tmp_path / "absent"), "lynx")


class _Helper:
    """A worker in a process of its own; number 2 is killed at once."""

    def __init__(self, where: Shared) -> None:
        self.where = where

    def __call__(self, number: int) -> None:
        if number == 2:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)
        more = CONFIG.model_copy(update={"trials": 12})
        work(self.where, opened(self.where, "lynx"), evaluators(), more, number, parallel=True)


def test_two_workers_share_a_study_and_a_killed_one_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = shared(tmp_path, patience=60.0)
    more = CONFIG.model_copy(update={"trials": 12})
    explore(where, "lynx", evaluators(), more, [_Helper(where), _Helper(where)])
    done = [trial for trial in opened(where, "lynx").trials if trial.state.is_finished()]
    assert len(done) >= 12
    assert "1 of 2 workers ended early" in caplog.text
