"""`ledger.jsonl`: one line for every run, and one for every leaderboard score. Lines are only appended."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

from animalclef.config import Config
from animalclef.decision.decision_model import Decision
from animalclef.errors import AnimalClefError, DataError
from animalclef.metrics.bootstrap import mean_interval
from animalclef.runtime.atomic_files import output_error
from animalclef.runtime.digests import file_digest
from animalclef.runtime.file_lock import locked
from animalclef.runtime.output_guard import check_output
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.wording import now

__all__ = ["Ledger", "LedgerRow", "differences", "dotted", "ledger_of", "record"]

logger = logging.getLogger(__name__)

_NAME = "ledger.jsonl"
_BY_SETTINGS = ("weights", "data", "decision")  # digests that are compared besides the settings
_WARNING = 160  # characters of each warning; the submission's metrics file has them whole


@dataclass(frozen=True)
class LedgerRow:
    """One run with the leaderboard scores of its submission."""

    run: Mapping[str, Any]
    board: Mapping[str, Any]  # public, private, note: the latest value of each that was given


class Ledger:
    """A ledger file; damaged lines are skipped and counted in `damaged`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0

    def rows(self) -> list[LedgerRow]:
        """Return the runs in the order they were made.

        Raises:
            DataError: the file is there and cannot be read.
        """
        lines = self._lines()
        board: dict[str, dict[str, Any]] = {}
        for line in lines:
            if line["kind"] == "board":
                board.setdefault(line["submission_sha256"], {}).update(line["given"])
        runs = [line for line in lines if line["kind"] == "run"]
        return [LedgerRow(run, board.get(run["submission_sha256"], {})) for run in runs]

    def add_run(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Append one run: the time, the changes from the run before, and `entry`.

        `entry` holds at least `settings` (dotted keys), `submission_sha256` and the digests.

        Raises:
            OutputError: the file cannot be written, or another process has locked it.
        """
        with self._locked():
            earlier = [line for line in self._lines() if line["kind"] == "run"]
            changed = differences(earlier[-1], entry) if earlier else {}
            line = {"kind": "run", "when": now(), **entry, "changed": changed}
            self._append(line)
        return line

    def add_board(self, submission_sha256: str, given: Mapping[str, Any]) -> None:
        """Append the leaderboard scores of a submission.

        Raises:
            OutputError: as `add_run`.
        """
        with self._locked():
            self._append({"kind": "board", "when": now(), "submission_sha256": submission_sha256, "given": given})

    def _lines(self) -> list[dict[str, Any]]:
        try:
            content = read_regular(self.path) if self.path.exists() else b""
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror}).") from error
        lines = [(_parsed(text), text) for text in content.splitlines()]
        self.damaged = sum(line is None and bool(text.strip()) for line, text in lines)
        return [line for line, _ in lines if line is not None]

    def _append(self, line: Mapping[str, Any]) -> None:
        """Append a line in one write; an unfinished line of an interrupted process is ended first."""
        text = json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            with self.path.open("a+b") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    text = text if file.read(1) == b"\n" else "\n" + text
                file.write(text.encode("utf-8", errors="backslashreplace"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise output_error(self.path, error) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with locked(self.path, "--ledger"):
            check_output(self.path, "ledger")
            yield


def record(
    command: str,
    place: Path | None,
    config: Config,
    decision: Decision,
    *,
    data: str,
    run: Path,
    weights: str | None = None,
    submission: Path | None = None,
    summary: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Append a line about a finished command to the ledger at `place` (default: beside the submission, or the run).

    A ledger that cannot be written is a warning: the results are there all the same. `submission` and `summary` are
    those of a command that answered the queries.
    """
    decided = decision.text
    entry: dict[str, Any] = {
        "command": command,
        "config": config.name,
        "run": str(run),
        "submission": None if submission is None else str(submission),
        "submission_sha256": "" if submission is None else file_digest(submission),
        "validation": _validated(decision),
        "data": data,
        "weights": weights,
        "decision": hashlib.sha256(decided.encode()).hexdigest()[:16],
        "settings": dotted(config.digested()),
    }
    if summary is not None:
        queries, new = summary["queries"], summary["new_individuals"]
        entry |= {"queries": queries, "new_share": new / queries if queries else None}
        warnings = [shorten(one, _WARNING, placeholder=" ...") for one in summary.get("warnings", [])]
        entry |= {"individuals_named": summary["individuals_named"], "warnings": warnings}
    try:
        return Ledger(place or ledger_of(submission or run / "decision.json")).add_run(entry)
    except AnimalClefError as error:
        logger.warning("The ledger has no line for this run: %s", error)
        return None


def ledger_of(submission: Path) -> Path:
    """Return the ledger in the nearest parent folder called `submissions`, else in the file's own folder."""
    folder = submission.absolute().parent
    home = next((one for one in (folder, *folder.parents) if one.name == "submissions"), folder)
    return home / _NAME


def dotted(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted keys.

    >>> dotted({"seed": 0, "retrieve": {"top_k": 100}})
    {'seed': 0, 'retrieve.top_k': 100}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= dotted(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return old and new value of every setting and digest that differs; `None` stands for a missing key."""
    old, new = before.get("settings") or {}, after.get("settings") or {}
    pairs = {key: [old.get(key), new.get(key)] for key in sorted({*old, *new})}
    pairs = {key: pair for key, pair in pairs.items() if _plain(pair[0]) != _plain(pair[1])}
    digests = {key: [before.get(key), after.get(key)] for key in _BY_SETTINGS if before.get(key) != after.get(key)}
    return pairs | digests


def _parsed(text: bytes) -> dict[str, Any] | None:
    """Return a line that can be used, `None` where it is damaged or a value has another type than is written."""
    try:
        line = json.loads(text)
        is_whole = {"run": _is_run, "board": _is_board}[line["kind"]]
        return line if isinstance(line["submission_sha256"], str) and is_whole(line) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _is_board(line: Mapping[str, Any]) -> bool:
    return isinstance(line["given"], dict) and _are_numbers(line["given"], "public", "private")


def _is_run(line: Mapping[str, Any]) -> bool:
    seen, changed = line.get("validation") or {}, line.get("changed") or {}
    return (
        all(isinstance(one, dict) for one in (line["settings"], seen, changed))
        and isinstance(line.get("warnings") or [], list)
        and _are_numbers(seen, "score", "low", "high")
        and _are_numbers(line, "new_share")
        and all(isinstance(pair, list) and len(pair) == 2 for pair in changed.values())
    )


def _are_numbers(values: Mapping[str, Any], *names: str) -> bool:
    """Return whether each of these is a finite number, or absent."""
    given = [values[name] for name in names if values.get(name) is not None]
    return all(isinstance(one, int | float) and not isinstance(one, bool) and abs(one) < 1e300 for one in given)


def _plain(value: Any) -> Any:
    """Return a value as it is read back from a file: tuples are lists."""
    return json.loads(json.dumps(value))


def _validated(decision: Decision) -> dict[str, Any]:
    """Return the nested score with its interval of every data set and of their mean; `None` where none was made."""
    seen = {name: part.validation for name, part in sorted(decision.datasets.items()) if part.validation is not None}
    datasets = {name: {"score": one.nested, "low": one.low, "high": one.high} for name, one in seen.items()}
    whole = [(one.nested, one.low, one.high) for one in seen.values() if one.low is not None and one.high is not None]
    interval = mean_interval(whole) if len(whole) == len(seen) else None
    _, low, high = interval or (None, None, None)
    score = sum(one.nested for one in seen.values()) / len(seen) if seen else None
    return {"score": score, "low": low, "high": high, "datasets": datasets}
