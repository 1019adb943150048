"""`convert`: tables and answers in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_lines, warn
from animalclef.errors import ConfigError, OutputError
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.output_guard import check_output, protect_inputs
from animalclef.runtime.wording import counted

if TYPE_CHECKING:
    from animalclef.data.answers import Answer
    from animalclef.data.table import LoadedTable

__all__ = ["convert"]

Format = Literal["table", "camtrap-dp", "wildbook", "capture-history", "capture"]


@app.command()
def convert(
    out_path: Annotated[Path, typer.Option("--out", help="The file to write; for camtrap-dp a new folder.")],
    data: opt.Data = None,
    columns: opt.Columns = None,
    to: Annotated[Format, typer.Option(help="What to write.")] = "table",
    answers: Annotated[
        Path | None, typer.Option(help="The answers.csv that predict wrote. Needed for every format but table.")
    ] = None,
    occasion: Annotated[
        Literal["day", "month", "year"], typer.Option(help="With capture-history and capture: what one occasion is.")
    ] = "month",
) -> None:
    """Convert a data set to a plain table, or the answers of predict to the formats of other programs.

    Read: CSV and .xlsx tables, a folder per individual, MegaDetector JSON, COCO and COCO Camera Traps JSON, Camtrap
    DP, Wildbook bulk-import sheets and its COCO export. Written: a plain table; Camtrap DP with individualID filled
    and every other cell as it was; Wildbook sheets of at most 200 encounters; capture histories for MARK
    (capture-history, .inp) and for CAPTURE (capture).

    Examples:

    - `animalclef convert --data detections.json --out metadata.csv`

    - `animalclef convert --data my-package --to camtrap-dp --answers answers.csv --out my-named-package`

    - `animalclef convert --data my-photos --to capture-history --answers answers.csv --out histories.inp`
    """
    from animalclef.data.answers import read_answers

    loaded = opt.load(data, columns)
    if to == "table":
        if answers is not None:
            raise ConfigError(
                "--answers: a plain table holds the names of --data alone. Give --to camtrap-dp or another."
            )
        _write_table(loaded, out_path)
        return
    if answers is None:
        raise ConfigError(f"--to {to} needs --answers: the answers.csv that predict wrote beside its submission.")
    given = read_answers(answers)
    protect_inputs([answers])
    if to == "camtrap-dp":
        _write_camtrap(loaded, given, out_path)
    elif to == "wildbook":
        _write_wildbook(loaded, given, out_path)
    else:
        _write_histories(loaded, given, out_path, occasion, for_mark=to == "capture-history")


def _write_table(loaded: LoadedTable, out_path: Path) -> None:
    from animalclef.data.table_writing import write_plain_table

    check_output(out_path, "plain table")
    write_plain_table(loaded.images, out_path)
    if out_path.resolve().parent != loaded.source.root.resolve():
        warn(f"The paths in {out_path} start at {loaded.source.root}; put the table there.")
    print_lines(f"Table: {out_path} ({len(loaded.images):,} rows)")


def _write_camtrap(loaded: LoadedTable, given: list[Answer], out_path: Path) -> None:
    from animalclef.data.formats.camtrap_dp import is_camtrap, write_camtrap

    if loaded.source.table is None or not is_camtrap(loaded.source.table):
        raise ConfigError("--to camtrap-dp needs --data: the Camtrap DP package that the answers are about.")
    if out_path.exists() and (not out_path.is_dir() or any(out_path.iterdir())):
        raise OutputError(f"{out_path}: exists already. Give --out a new folder.")
    filled = write_camtrap(loaded.source.root, out_path, given)
    print_lines(f"Package: {out_path} ({filled:,} observations named)")


def _write_wildbook(loaded: LoadedTable, given: list[Answer], out_path: Path) -> None:
    from animalclef.data.formats.wildbook import write_wildbook

    paths, notes = write_wildbook(loaded.images, given, out_path)
    for note in notes:
        warn(note)
    print_lines(*(f"Sheet: {path}" for path in paths))


def _write_histories(
    loaded: LoadedTable, given: list[Answer], out_path: Path, occasion: Literal["day", "month", "year"], for_mark: bool
) -> None:
    from animalclef.data.formats.capture_history import capture_histories, capture_text, mark_text

    check_output(out_path, "capture history" if for_mark else "file for CAPTURE")
    histories = capture_histories(loaded.images, given, occasion)
    write_text(out_path, mark_text(histories) if for_mark else capture_text(histories))
    if histories.undated:
        warn(f"{counted(histories.undated, 'photograph')} without a date left out.")
    count = f"{counted(histories.individuals, 'individual')} on {counted(len(histories.occasions), 'occasion')}"
    interval = f"{histories.expected:.1f} on average, 95% between {histories.low:.0f} and {histories.high:.0f}"
    print_lines(f"{count}; with uncertain answers {interval}.", f"Capture histories: {out_path}")
