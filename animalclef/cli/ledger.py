"""`ledger show`, `ledger add`: runs, their validation scores and their leaderboard scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from animalclef.cli.app import app
from animalclef.cli.options import JsonOption, out, print_json, warn
from animalclef.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["add", "change_cell", "difference_table", "ledger", "ledger_notes", "ledger_table", "show"]

ledger = typer.Typer(
    no_args_is_help=True, help="List runs with their validation and leaderboard scores; add leaderboard scores."
)
app.add_typer(ledger, name="ledger")

LedgerOption = Annotated[
    Path | None,
    typer.Option("--ledger", help="The file, or its folder. Default: submissions/ledger.jsonl, else ./ledger.jsonl."),
]
Given = Annotated[float | None, typer.Option(min=0, max=1)]

Row = tuple[Mapping[str, Any], Mapping[str, Any]]  # a run, and its leaderboard scores


@ledger.command()
def show(
    ledger: LedgerOption = None,
    last: Annotated[
        int, typer.Option("--last", "-n", min=0, help="List only this many of the latest runs; 0: all.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """List every run: validation score with 95% interval, share of new individuals, leaderboard, changes."""
    from animalclef.store.ledger import Ledger

    kept = Ledger(_found(ledger))
    rows = kept.rows()
    _warn_of_damage(kept.damaged, kept.path)
    shown = rows[-last:] if last else rows
    if as_json:
        print_json([{**row.run, "board": row.board} for row in shown])
    else:
        pairs, hidden = [(row.run, row.board) for row in shown], len(rows) - len(shown)
        out.print(ledger_table(pairs, str(kept.path), hidden))
        for line in ledger_notes(pairs, hidden):
            out.print(line, highlight=False, soft_wrap=True, markup=False)


@ledger.command()
def add(
    public: Given = None,
    private: Given = None,
    note: Annotated[str | None, typer.Option(help="A remark of your own.")] = None,
    submission: Annotated[Path | None, typer.Option(help="The submitted file.")] = None,
    last: Annotated[bool, typer.Option("--last", help="The last run's submission (the default).")] = False,
    ledger: LedgerOption = None,
) -> None:
    """Add a submission's leaderboard scores to its run.

    Example: `animalclef ledger add --public 0.51 --submission submission.csv`
    """
    import hashlib

    from animalclef.store.ledger import Ledger, ledger_of

    values = {"public": public, "private": private, "note": note}
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    if not given:
        raise DataError("ledger add: nothing to add; give --public, --private or --note.")
    if submission is not None and last:
        raise DataError("ledger add: --submission and --last name two runs; give one of them.")
    if submission is not None and not submission.is_file():
        raise DataError(f"{submission}: no such file.")
    place = ledger_of(submission) if ledger is None and submission is not None else None
    kept = Ledger(place if place is not None and place.is_file() else _found(ledger))
    sent = [row.run for row in kept.rows() if row.run["submission_sha256"]]
    _warn_of_damage(kept.damaged, kept.path)
    if submission is not None:
        digest = hashlib.sha256(submission.read_bytes()).hexdigest()
        sent = [run for run in sent if run["submission_sha256"] == digest]
        if not sent:
            raise DataError(f"{kept.path}: no run wrote {submission} as it is now. See `animalclef ledger show`.")
    if not sent:
        raise DataError(f"{kept.path}: no run with a submission yet. Run predict first.")
    kept.add_board(sent[-1]["submission_sha256"], given)
    added = ", ".join(f"{name} {value}" for name, value in given.items())
    out.print(f"{sent[-1]['submission']}: {added}.", highlight=False, soft_wrap=True, markup=False)


def _found(given: Path | None) -> Path:
    """Return the ledger's file.

    Raises:
        DataError: there is none.
    """
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


def _warn_of_damage(count: int, path: Path) -> None:
    if count:
        warn(f"{path}: {count} damaged line{'s' if count > 1 else ''} left out.")


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
    from rich import box
    from rich.table import Table

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
