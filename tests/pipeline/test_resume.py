"""A run that is killed goes on where it was, and ends with the bytes of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import make_tiny_data
from whole_run import artefacts, command_line, finish, predict

from animalclef.pipeline import decide as deciding
from animalclef.runtime.atomic_files import write_with
from animalclef.store.run_folder import RunFolder

SLOW = ("keypoints.least_long_side=512", "keypoints.max_keypoints=512")  # leaves time to be killed in


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("data") / "tiny", individuals=5, unknown=1)


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, bytes]]:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    return predict(data, run, *SLOW), artefacts(run)


def described(run: Path) -> bool:
    """Some photographs are described, not all: one data set comes after the other."""
    return any((run / "keypoints").rglob("*.safetensors"))


def matched(run: Path) -> bool:
    return any(path.stat().st_size > 2000 for path in (run / "pairs").glob("*.log"))


def validated(run: Path) -> bool:
    """The encounters are known, so pseudo-queries are being matched."""
    return (run / "encounters.csv").exists()


def begun(run: Path) -> bool:
    return (run / "animalclef-run.json").exists()


def interrupt_when(command: list[str], ready: Callable[[], bool], number: signal.Signals) -> tuple[int, str]:
    """Send a signal as soon as `ready`; the exit status and standard error.

    What runs in the background of a shell inherits that interrupts are ignored, so they are let in again.
    """
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        while process.poll() is None and not ready() and time.monotonic() < deadline:
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, number)
        _, told = process.communicate(timeout=300)
        return process.returncode, told


def interrupted(
    data: Path, folder: Path, moment: Callable[[Path], bool], number: signal.Signals
) -> tuple[int, str, Path, Path]:
    """Exit status, standard error, run folder and submission of a run that a signal reached at that moment.

    On a busy machine the run may end before the signal is sent; then it is tried again.
    """
    for attempt in range(5):
        run, out = folder / f"run{attempt}", folder / f"out{attempt}" / "submission.csv"
        status, told = interrupt_when(command_line(data, run, out, *SLOW), lambda run=run: moment(run), number)  # type: ignore[misc]
        if status != 0 and not out.exists():
            break
    return status, told, run, out


@pytest.mark.parametrize("moment", [begun, described, matched, validated], ids=lambda moment: moment.__name__)
def test_a_killed_run_ends_as_if_nothing_had_been(
    moment: Callable[[Path], bool], data: Path, undisturbed: tuple[bytes, dict[str, bytes]], tmp_path: Path
) -> None:
    status, _, run, out = interrupted(data, tmp_path, moment, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert not out.exists()
    assert predict(data, run, *SLOW) == undisturbed[0]
    assert artefacts(run) == undisturbed[1]
    assert not list(run.rglob("*.part"))


def test_killed_again_and_again_the_command_comes_to_its_end(
    data: Path, undisturbed: tuple[bytes, dict[str, bytes]], tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "out" / "submission.csv"
    command = command_line(data, run, out, *SLOW)
    for moment in (begun, matched):
        interrupt_when(command, lambda moment=moment: moment(run), signal.SIGKILL)  # type: ignore[misc]
    done = finish(command)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == undisturbed[0]
    assert {path.name for path in out.parent.iterdir()} - {".ledger.jsonl.lock"} == {
        "submission.csv", "answers.csv", "submission.config.yaml", "submission.decision.json",
        "submission.manifest.json", "submission.metrics.json", "ledger.jsonl",
    }  # fmt: skip
    assert artefacts(run) == undisturbed[1]


def test_an_interrupt_is_one_sentence_and_status_130(data: Path, tmp_path: Path) -> None:
    status, told, _, out = interrupted(data, tmp_path, described, signal.SIGINT)
    assert status == 130
    assert "Interrupted. Finished work is kept; run the same command again to resume." in told
    assert "Traceback" not in told
    assert not out.exists()


@pytest.mark.parametrize("writes", [0, 3, 7])
def test_dying_at_any_write_leaves_nothing_half_done(
    data: Path,
    undisturbed: tuple[bytes, dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writes: int,
) -> None:
    """As a kill between two writes, without the wait for a process."""
    count = 0

    def dying(path: Path, write: Callable[[Path], None]) -> None:
        nonlocal count
        count += 1
        if count > writes:
            raise KeyboardInterrupt
        write_with(path, write)

    with monkeypatch.context() as patch:
        patch.setattr("animalclef.runtime.atomic_files.write_with", dying)
        with pytest.raises(KeyboardInterrupt):
            predict(data, tmp_path / "run", *SLOW)
    assert predict(data, tmp_path / "run", *SLOW) == undisturbed[0]
    assert artefacts(tmp_path / "run") == undisturbed[1]


def test_dying_while_tuning_keeps_all_matches(
    data: Path, undisturbed: tuple[bytes, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(deciding, "tune", dying)
        with pytest.raises(KeyboardInterrupt):
            predict(data, tmp_path / "run", *SLOW)
    log = next((tmp_path / "run" / "pairs").glob("*.log"))
    matched = log.read_bytes()
    assert predict(data, tmp_path / "run", *SLOW) == undisturbed[0]
    assert log.read_bytes().startswith(matched)  # those of the queries follow
    assert artefacts(tmp_path / "run") == undisturbed[1]


def test_a_second_run_in_the_same_folder_is_kept_out(data: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    command = command_line(data, folder.path, tmp_path / "other.csv", *SLOW)
    with folder.claimed():
        other = finish(command)
    assert other.returncode == 2
    assert "another process is working in this run" in " ".join(other.stderr.split())
    assert not (tmp_path / "other.csv").exists()
    assert finish(command).returncode == 0
