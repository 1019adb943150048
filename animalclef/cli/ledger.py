"""`ledger show`, `ledger add`: runs, their validation scores and their leaderboard scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import number_cell, print_lines, print_result, warn
from animalclef.errors import DataError
from animalclef.runtime.wording import counted

if TYPE_CHECKING:
    from animalclef.store.ledger import Ledger, LedgerRow

__all__ = ["add", "ledger", "ledger_notes", "ledger_table", "show"]

ledger = typer.Typer(
    no_args_is_help=True, help="List runs with their validation and leaderboard scores; add leaderboard scores."
)
app.add_typer(ledger, name="ledger")

LedgerOption = Annotated[
    Path | None,
    typer.Option("--ledger", help="The file, or its folder. Default: submissions/ledger.jsonl, else ./ledger.jsonl."),
]
Given = Annotated[float | None, typer.Option(min=0, max=1)]


@ledger.command()
def show(
    ledger: LedgerOption = None,
    last: Annotated[
        int, typer.Option("--last", "-n", min=0, help="List only this many of the latest runs; 0: all.")
    ] = 0,
    as_json: opt.Json = False,
) -> None:
    """List every run: validation score with 95% interval, share of new individuals, leaderboard, changes."""
    from animalclef.store.ledger import Ledger

    kept = Ledger(_found(ledger))
    rows = _rows(kept)
    shown = rows[-last:] if last else rows
    hidden = len(rows) - len(shown)
    table, notes = ledger_table(shown, str(kept.path), hidden), ledger_notes(shown, hidden)
    print_result([{**row.run, "board": row.board} for row in shown], table, *notes, as_json=as_json)


@ledger.command()
def add(
    public: Given = None,
    private: Given = None,
    note: Annotated[str | None, typer.Option(help="A remark of your own.")] = None,
    submission: Annotated[Path | None, typer.Option(help="The submitted file. Default: that of the last run.")] = None,
    ledger: LedgerOption = None,
) -> None:
    """Add a submission's leaderboard scores to its run.

    Example: `animalclef ledger add --public 0.51 --submission submission.csv`
    """
    from animalclef.runtime.digests import file_digest
    from animalclef.store.ledger import Ledger, ledger_of

    values = {"public": public, "private": private, "note": note}
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    if not given:
        raise DataError("ledger add: nothing to add; give --public, --private or --note.")
    if submission is not None and not submission.is_file():
        raise DataError(f"{submission}: no such file.")
    place = ledger_of(submission) if ledger is None and submission is not None else None
    kept = Ledger(place if place is not None and place.is_file() else _found(ledger))
    sent = [row.run for row in _rows(kept) if row.run["submission_sha256"]]
    if submission is not None:
        digest = file_digest(submission)
        sent = [run for run in sent if run["submission_sha256"] == digest]
        if not sent:
            raise DataError(f"{kept.path}: no run wrote {submission} as it is now. See `animalclef ledger show`.")
    if not sent:
        raise DataError(f"{kept.path}: no run with a submission yet. Run predict first.")
    kept.add_board(sent[-1]["submission_sha256"], given)
    added = ", ".join(f"{name} {value}" for name, value in given.items())
    print_lines(f"{sent[-1]['submission']}: {added}.")


def _found(given: Path | None) -> Path:
    """Return the file that `--ledger` names, or the latest of those here."""
    name = "ledger.jsonl"
    if given is not None:
        path = given / name if given.is_dir() else given
        if not path.is_file():
            raise DataError(f"{path}: no such ledger. predict makes one beside its submission.")
        return path
    places = [path for path in (Path("submissions") / name, Path(name)) if path.is_file()]
    if not places:
        raise DataError("No submissions/ledger.jsonl and no ledger.jsonl here. predict makes one; give --ledger FILE.")
    return max(places, key=lambda path: path.stat().st_mtime_ns)


def _rows(kept: Ledger) -> list[LedgerRow]:
    rows = kept.rows()
    if kept.damaged:
        warn(f"{kept.path}: {counted(kept.damaged, 'damaged line')} left out.")
    return rows


def ledger_table(rows: Sequence[LedgerRow], path: str, hidden: int) -> Table:
    """List every run, numbered, with its leaderboard scores."""
    title = f"{path}" + (f" ({hidden} earlier runs not shown)" if hidden else "")
    table = Table(title=title, title_justify="left", header_style="bold", pad_edge=False, box=box.SIMPLE_HEAD)
    for name in ("", "when", "run"):
        table.add_column(name, no_wrap=name != "run", overflow="fold")
    for name in ("validation", "new", "public", "private"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, row in enumerate(rows, start=hidden + 1):
        cells = [str(number), str(row.run.get("when", ""))[5:16].replace("T", " "), _short(row.run)]
        cells += [_with_interval(row.run.get("validation") or {}), _share(row.run.get("new_share"))]
        table.add_row(*cells, *[number_cell(row.board.get(name)) for name in ("public", "private")])
    return table


def ledger_notes(rows: Sequence[LedgerRow], hidden: int) -> list[str]:
    """Return lines below the table: changes from run to run, warnings, and the user's remarks."""
    lines = []
    for number, row in enumerate(rows, start=hidden + 1):
        parts = [f"changed {_changes(row.run['changed'])}"] if row.run.get("changed") else []
        parts += [f"warnings: {len(row.run['warnings'])}"] if row.run.get("warnings") else []
        parts += [str(row.board["note"])] if row.board.get("note") else []
        lines += [f"{number}: {'; '.join(parts)}"] if parts else []
    return lines


def _changes(changed: Mapping[str, Sequence[Any]], most: int = 4) -> str:
    """Return the differences from the run before, in a few words."""
    parts = []
    for key, (old, new) in changed.items():
        digest = key in ("weights", "data", "decision")
        parts.append(key if digest else f"{key} {_value(old)} -> {_value(new)}")
    if set(changed) - {"decision"}:
        parts = [one for one in parts if one != "decision"]  # it follows from the rest
    more = f", and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more


def _with_interval(seen: Mapping[str, Any]) -> str:
    low, high = seen.get("low"), seen.get("high")
    around = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return number_cell(seen.get("score")) + around


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
