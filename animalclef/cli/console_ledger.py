"""Format the ledger and the differences of two submissions as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from rich import box
from rich.table import Table

__all__ = ["change_cell", "difference_table", "ledger_notes", "ledger_table"]

Row = tuple[Mapping[str, Any], Mapping[str, Any]]  # a run, and its leaderboard scores


def ledger_table(rows: Sequence[Row], path: str, hidden: int) -> Table:
    """List every run, numbered, with its leaderboard scores."""
    title = f"{path}" + (f" ({hidden} earlier runs not shown)" if hidden else "")
    table = _table(title, ())
    for name in ("", "when", "run"):
        table.add_column(name, no_wrap=name != "run", overflow="fold")
    for name in ("validation", "new", "public", "private"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, (run, board) in enumerate(rows, start=hidden + 1):
        cells = [str(number), str(run.get("when", ""))[5:16].replace("T", " "), _short(run)]
        cells += [_with_interval(run.get("validation") or {}), _share(run.get("new_share"))]
        table.add_row(*cells, *[_number(board.get(name)) for name in ("public", "private")])
    return table


def ledger_notes(rows: Sequence[Row], hidden: int) -> list[str]:
    """Return lines below the table: changes from run to run, warnings, and the user's remarks."""
    lines = []
    for number, (run, board) in enumerate(rows, start=hidden + 1):
        parts = [f"changed {change_cell(run['changed'])}"] if run.get("changed") else []
        parts += [f"warnings: {len(run['warnings'])}"] if run.get("warnings") else []
        parts += [str(board["note"])] if board.get("note") else []
        lines += [f"{number}: {'; '.join(parts)}"] if parts else []
    return lines


def change_cell(changed: Mapping[str, Sequence[Any]], most: int = 4) -> str:
    """Return the differences from the run before, in a few words."""
    parts = []
    for key, (old, new) in changed.items():
        digest = key in ("weights", "data", "decision")
        parts.append(key if digest else f"{key} {_value(old)} -> {_value(new)}")
    if set(changed) - {"decision"}:
        parts = [one for one in parts if one != "decision"]  # it follows from the rest
    more = f", and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more


def difference_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """List counts per data set, kind of difference and cause; with a truth, how often each file is right."""
    judged = any("a_right" in row for row in rows)
    table = _table(title, ("data set", "A answers", "B answers", "cause"))
    for name in ("rows", "A right", "B right", "neither") if judged else ("rows",):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [str(row[name]) for name in ("dataset", "a", "b", "cause")]
        numbers = [row["rows"], *([row["a_right"], row["b_right"], row["neither"]] if judged else [])]
        table.add_row(*cells, *[f"{number:,}" for number in numbers])
    return table


def _table(title: str, text: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD)
    for name in text:
        table.add_column(name, overflow="fold")
    return table


def _with_interval(seen: Mapping[str, Any]) -> str:
    low, high = seen.get("low"), seen.get("high")
    around = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return _number(seen.get("score")) + around


def _short(run: Mapping[str, Any]) -> str:
    """Return a short name of a submission: its file, or its folder if the file is called submission.csv."""
    path = PurePath(str(run.get("submission") or run.get("run") or "-"))
    name = path.parent.name or path.name if path.name == "submission.csv" else path.name
    return name if run.get("command") == "predict" else f"{name} ({run.get('command')})"


def _value(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 24 else text[:21] + "..."


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
