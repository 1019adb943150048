"""Define what the commands share: options, the two consoles, loading a table, printing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from animalclef.errors import ConfigError, DataError

if TYPE_CHECKING:
    from animalclef.data.table import LoadedTable

__all__ = [
    "ConfigOption",
    "DataOption",
    "DeviceOption",
    "JsonOption",
    "LedgerOption",
    "NoLedgerOption",
    "SeedOption",
    "SetOption",
    "WeightsOption",
    "Workers",
    "err",
    "escaped",
    "load",
    "out",
    "print_json",
    "refuse_overwriting",
    "tell_where_paths_start",
    "warn",
]

out, err = Console(), Console(stderr=True)

DataOption = Annotated[
    Path | None,
    typer.Option(help="Folder with metadata.csv and the photographs, a CSV file, or a folder per individual "
                      "(queries under query/). On Kaggle it is found automatically."),
]  # fmt: skip
ConfigOption = Annotated[
    str | None, typer.Option("--config", help="A YAML file, or the name of a shipped configuration.")
]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
LedgerOption = Annotated[
    Path | None,
    typer.Option("--ledger", help="File that a line is added to. Default: ledger.jsonl in the folder of submissions."),
]
NoLedgerOption = Annotated[bool, typer.Option("--no-ledger", help="Add no line to a ledger.")]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 ...")]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="Folder of network weights, as `weights bundle` makes it.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker threads. Default: the number of cores.")]


def warn(sentence: str) -> None:
    """One warning on standard error."""
    err.print(f"[yellow]warning:[/] {escaped(sentence)}", highlight=False, soft_wrap=True)


def load(data: Path | None) -> LoadedTable:
    """Load the table of a data set, and print a warning for each of its problems."""
    from animalclef.data.sources import find_source
    from animalclef.data.table import load_table

    loaded = load_table(find_source(data))
    for problem in loaded.problems:
        warn(str(problem))
    return loaded


def refuse_overwriting(loaded: LoadedTable, out_path: Path) -> None:
    """What was given is kept apart from what is made of it.

    Raises:
        ConfigError: the table to be written is the one that was read.
    """
    table = loaded.source.table
    if table is not None and out_path.exists() and out_path.samefile(table):
        raise ConfigError(
            f"{out_path}: this is the table itself. Give --out another name; what was given is kept apart."
        )


def tell_where_paths_start(loaded: LoadedTable, data: Path | None, out_path: Path) -> None:
    """Warn of a written table that lies away from its photographs, or changes what `--data` finds."""
    from animalclef.data.sources import find_source

    root = loaded.source.root
    try:
        moved = find_source(data) != loaded.source
    except DataError:
        moved = True
    if moved:
        before = f"{root} as it was" if loaded.source.table is None else str(loaded.source.table)
        warn(f"--data {data} now finds another table than before; give {out_path}, or move it away for {before}.")
    if out_path.resolve().parent != root.resolve():
        warn(f"The paths in {out_path} start at {root}; put the table there, or link the photographs.")


def escaped(text: str) -> str:
    """Text that rich takes as it is."""
    from rich.markup import escape

    return escape(text)


def print_json(content: Any) -> None:
    """The result on standard output; NaN becomes null."""
    sys.stdout.write(json.dumps(_without_nan(content), indent=1, ensure_ascii=False) + "\n")


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and content != content else content
