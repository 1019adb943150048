"""Define the options that commands share, and read what they name: tables and columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from animalclef.cli.printing import warn
from animalclef.errors import ConfigError, DataError
from animalclef.runtime.output_guard import check_output, protect_inputs, protect_photographs

if TYPE_CHECKING:
    from animalclef.config import Config as RunConfig
    from animalclef.config.data import DataConfig
    from animalclef.data.table import LoadedTable


def weights_there(folder: Path | None) -> Path | None:
    """Return the folder that `--weights` names.

    Raises:
        WeightsError: it is not there, even if no weights are needed.
    """
    if folder is not None:
        from animalclef.hub.needed_weights import check_folder

        check_folder(folder)
    return folder


Data = Annotated[
    Path | None,
    typer.Option(help="Folder with metadata.csv and the photographs, a CSV file, or a folder per individual "
                      "(queries under query/). On Kaggle it is found automatically."),
]  # fmt: skip
MovedData = Annotated[
    Path | None, typer.Option("--data", help="Folder of the photographs if they have moved since predict.")
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="KEY=COLUMN",
                 help="The table's columns, such as path=filename, several with commas. date_order=day-first, "
                      "month-first or year-first settles dates such as 5/1/2023 and 23-05-01."),
]  # fmt: skip
Config = Annotated[str | None, typer.Option("--config", help="A YAML file, or the name of a shipped one.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Ledger = Annotated[
    Path | None,
    typer.Option("--ledger", help="File that a line is added to. Default: ledger.jsonl in the folder of submissions."),
]
NoLedger = Annotated[bool, typer.Option("--no-ledger", help="Add no line to a ledger.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of everything random.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 ...")]
Devices = Annotated[int, typer.Option(min=1, help="How many GPUs, or processes on the CPU.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker threads. Default: the number of cores.")]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", help="Folder of network weights, as `weights bundle` makes it.", callback=weights_there),
]
FinishedRun = Annotated[Path, typer.Option(help="A finished run folder.")]
Truth = Annotated[Path, typer.Option(help="CSV with image_id, identity, dataset, known (1 or 0).")]
TrainingFolder = Annotated[Path, typer.Option("--out", help="Folder for the network, its checkpoint and its log.")]
OverwriteTraining = Annotated[bool, typer.Option("--overwrite", help="Discard another training in the folder.")]
MaxMissing = Annotated[
    float | None, typer.Option(min=0, max=1, help="Share of missing photographs above which to stop. Default 0.01.")
]
Engine = Annotated[str, typer.Option("--engine", help="local, or ray: the long stages run on a Ray cluster.")]
Address = Annotated[
    str, typer.Option("--address", help="Address of the Ray cluster: auto, HOST:PORT, ray://HOST:PORT, local.")
]


def run_config(name: str | None, assignments: list[str] | None, columns: str | None, seed: int | None) -> RunConfig:
    """Return the settings of a run that `--config`, `--set`, `--columns` and `--seed` come to."""
    from animalclef.config import load_config

    return load_config(name, [*(assignments or []), *column_settings(columns)], seed)


def load(data: Path | None, columns: str | None = None, settings: DataConfig | None = None) -> LoadedTable:
    """Return the table of a data set, read as `--columns` or the settings say; warn of what is odd in it."""
    from animalclef.data.sources import find_source
    from animalclef.data.table import load_table

    given = parse_columns(columns) if settings is None else settings.reading
    loaded = load_table(find_source(data, **given))
    source = loaded.source
    protect_inputs(path for path in (source.table, source.sample) if path is not None)
    protect_photographs(source.root, loaded.images.path)
    for problem in loaded.problems:
        warn(str(problem))
    return loaded


def parse_columns(text: str | None) -> dict[str, Any]:
    """Return the columns by subject, and the order of dates, that `--columns` names.

    Raises:
        ConfigError: a part is not KEY=COLUMN, or the order of dates is unknown.
    """
    from animalclef.config.data import DateOrder

    columns: dict[str, str] = {}
    for part in (text or "").split(","):
        subject, equals, column = (piece.strip() for piece in part.partition("="))
        if not part.strip():
            continue
        if not equals or not subject or not column:
            raise ConfigError(f"--columns {part.strip()}: expected KEY=COLUMN, such as path=filename.")
        columns[subject] = column
    order = columns.pop("date_order", None)
    if order not in (None, *get_args(DateOrder)):
        raise ConfigError(f"--columns date_order={order}: expected day-first, month-first or year-first.")
    return {"columns": columns, "date_order": order}


def column_settings(text: str | None) -> list[str]:
    """Return `--columns` as assignments of settings, so that a run keeps them."""
    return [f"data.{name}={json.dumps(value)}" for name, value in parse_columns(text).items() if value]


def check_table(loaded: LoadedTable, out_path: Path, what: str) -> None:
    """Check that a table may be written: never over the one that was read, nor over a file of another kind.

    Raises:
        ConfigError: it is the table that was read.
        OutputError: another file is there.
    """
    table = loaded.source.table
    if table is not None and out_path.exists() and out_path.samefile(table):
        raise ConfigError(
            f"{out_path}: this is the table itself. Give --out another name; what was given is kept apart."
        )
    check_output(out_path, what)


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
