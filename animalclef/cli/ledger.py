"""`ledger show`, `ledger add`: runs, their validation scores and their leaderboard scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from animalclef.cli.app import app
from animalclef.cli.options import JsonOption, out, print_json, warn
from animalclef.errors import DataError

__all__ = ["add", "ledger", "show"]

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
    as_json: JsonOption = False,
) -> None:
    """List every run: validation score with 95 % interval, share of new individuals, leaderboard, changes."""
    from animalclef.cli.console_ledger import ledger_notes, ledger_table
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
