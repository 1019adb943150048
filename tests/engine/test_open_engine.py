"""The engine that a command names: this machine by default, Ray where it is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from engine_cases import Squares

from animalclef.engine.open_engine import open_engine
from animalclef.errors import ConfigError, EngineError


def test_this_machine_runs_chunks_in_order_in_this_process(tmp_path: Path) -> None:
    work = Squares(tmp_path)
    with open_engine() as engine:
        assert list(engine.ordered(work, range(5))) == [0, 1, 4, 9, 16]
    assert work.processes() == {str(os.getpid())}


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="--engine spark: expected one of local, ray"), open_engine("spark"):
        pass


def test_without_ray_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ConfigError, match=r"Ray is not installed. Run pip install 'animalclef\[ray\]'"),
        open_engine("ray"),
    ):
        pass


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (ConnectionError("no"), "No Ray cluster answers at 10.0.0.1:6379. Start one with `ray start --head`"),
        (RuntimeError("Version mismatch:\n Ray: 2.1"), "does not fit this machine: Version mismatch: Ray: 2.1"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_sentence(
    said: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")

    def init(**_: object) -> None:
        raise said

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(EngineError, match=sentence), open_engine("ray", "10.0.0.1:6379"):
        pass
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_an_address_without_a_cluster_is_refused() -> None:
    with pytest.raises(ConfigError, match="only --engine ray has an address"), open_engine("local", "host:6379"):
        pass
