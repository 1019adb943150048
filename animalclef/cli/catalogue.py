"""`catalogue`: individuals with ids that stay, seasons that are added, and signed changes that can be undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from animalclef.cli import console
from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_json, print_lines, print_result, progress, tell, warn
from animalclef.runtime.login import login
from animalclef.runtime.threads import cores

if TYPE_CHECKING:
    from animalclef.catalogue.catalogue_folder import Catalogue
    from animalclef.catalogue.recogniser import Machine, Sighting
    from animalclef.catalogue.seasons import Added
    from animalclef.config.data import DataConfig

__all__ = ["Folder", "Who", "Why", "catalogue", "opened"]

catalogue = typer.Typer(
    no_args_is_help=True,
    help="Keep a catalogue of individuals that grows by the season; every change is signed and can be undone.",
)
app.add_typer(catalogue, name="catalogue")


def _said(text: str) -> str:
    """Return a text that says something."""
    if not text.strip():
        raise typer.BadParameter("it is empty; every change says why it was made.")
    return text


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The catalogue's folder.")]
Who = Annotated[str | None, typer.Option("--who", help="Your name in the history. Default: your login.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the history.", callback=_said)]


@catalogue.command()
def create(
    folder: Folder,
    data: opt.Data = None,
    columns: opt.Columns = None,
    config_name: opt.Config = None,
    assignments: opt.Set = None,
    seed: opt.Seed = None,
    device: opt.Device = "auto",
    weights: opt.Weights = None,
    workers: opt.Workers = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Keep individuals and changes in this PostgreSQL database, such as postgresql://USER@HOST/NAME, "
            "instead of a file in DIR. Its password is not kept: later commands take it from PGPASSWORD or ~/.pgpass. "
            "Needs animalclef[postgres].",
        ),
    ] = None,
    engine: opt.Engine = "local",
    address: opt.Address = "auto",
    who: Who = None,
    why: Why = "first season",
    as_json: opt.Json = False,
) -> None:
    """Begin a catalogue with a first season; its names are taken as they are, other photographs are recognised.

    Photographs are linked, not copied. Thresholds tuned here are used for later seasons, too.

    Examples:

    - `animalclef catalogue create my-catalogue --data my-photos`

    - `animalclef catalogue create my-catalogue --data my-photos --database postgresql://ada@localhost/newts`
    """
    from animalclef.catalogue.seasons import create_catalogue

    config = opt.run_config(config_name, assignments, columns, seed)
    loaded = opt.load(data, settings=config.data)
    machine = _machine(device, weights, workers, engine, address)
    _, added = create_catalogue(folder, loaded, config, login(who), why, machine, database)
    _tell_added(folder, added, as_json=as_json)


@catalogue.command()
def add(
    folder: Folder,
    data: opt.Data = None,
    columns: opt.Columns = None,
    retune: Annotated[
        bool, typer.Option("--retune", help="Tune a new decision on all confirmed photographs first.")
    ] = False,
    device: opt.Device = "auto",
    weights: opt.Weights = None,
    workers: opt.Workers = None,
    engine: opt.Engine = "local",
    address: opt.Address = "auto",
    who: Who = None,
    why: Why = "a new season",
    as_json: opt.Json = False,
) -> None:
    """Add a season: only its photographs are computed, and only its pairs are matched.

    Photographs are compared with the confirmed ones. Tables are read as the first season's was; `--columns` says
    otherwise. If interrupted, the catalogue is as before; run the same command again.

    Example: `animalclef catalogue add my-catalogue --data next-season`
    """
    from animalclef.catalogue.seasons import add_season

    kept = opened(folder)
    machine = _machine(device, weights, workers, engine, address)
    loaded = opt.load(data, settings=_reading(kept, columns))
    added = add_season(kept, loaded, login(who), why, machine, retune=retune)
    _tell_added(folder, added, as_json=as_json)


@catalogue.command()
def who(
    folder: Folder,
    photographs: Annotated[
        list[Path], typer.Argument(metavar="PHOTOGRAPH", help="Photographs, or folders of them; none is added.")
    ],
    dataset: Annotated[
        str | None, typer.Option(help="The photographs' data set, where the catalogue holds several.")
    ] = None,
    most: Annotated[int, typer.Option("--candidates", min=1, max=100, help="Individuals that are listed.")] = 5,
    device: opt.Device = "auto",
    weights: opt.Weights = None,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
) -> None:
    """Say which individual is on each photograph.

    Photographs are answered in the order given, those of a folder by path. One that cannot be read is skipped with a
    warning. `--json` prints a list with an entry for each photograph.

    Examples:

    - `animalclef catalogue who my-catalogue seen-today.jpg`

    - `animalclef catalogue who my-catalogue seen-today.jpg seen-this-week`
    """
    from animalclef.catalogue.recogniser import Machine, Recogniser

    machine = _machine(device, weights, workers)
    if len(photographs) > 1 or photographs[0].is_dir():  # no progress of each, and a sentence once
        machine = Machine(device, weights, cores(workers), say=cache(tell))
    _print_sightings(Recogniser(opened(folder), machine).who_all(photographs, dataset, most, warn), as_json=as_json)


@catalogue.command("list")
def list_all(
    folder: Folder,
    out_path: Annotated[Path | None, typer.Option("--out", help="Write the list as this CSV file, too.")] = None,
    as_json: opt.Json = False,
) -> None:
    """List the individuals: photographs, seasons, and the dates of the first and the last photograph.

    Examples:

    - `animalclef catalogue list my-catalogue`

    - `animalclef catalogue list my-catalogue --out individuals.csv`
    """
    from animalclef.api.catalogues import load_catalogue
    from animalclef.runtime.atomic_files import write_csv
    from animalclef.runtime.output_guard import check_output

    if out_path is not None:
        check_output(out_path, "list of individuals")
    table = load_catalogue(folder).individuals
    rows = table.astype(object).where(table.notna(), None)
    if out_path is not None:
        write_csv(out_path, list(rows.columns), rows.itertuples(index=False))
    told = [] if out_path is None else [f"Individuals: {out_path}"]
    records = rows.to_dict("records")
    print_result(records, console.individuals_table(records), *told, as_json=as_json)


@catalogue.command()
def history(folder: Folder, as_json: opt.Json = False) -> None:
    """List every change, with who made it and why.

    Example: `animalclef catalogue history my-catalogue`
    """
    events, lines = opened(folder).history(), []
    for one in events:
        after = f" [undone by event {one.undone_by}]" if one.undone_by is not None else ""
        lines.append(f"{one.id}. {one.when}, {one.who}: {one.told} ({one.why}){after}")
    print_result([asdict(one) for one in events], *lines, as_json=as_json)


@catalogue.command()
def check(folder: Folder, as_json: opt.Json = False) -> None:
    """List what to look at: one animal under two names, two under one, sides never joined, photographs that are gone.

    Example: `animalclef catalogue check my-catalogue`
    """
    from animalclef.catalogue.catalogue_check import check_catalogue

    findings = check_catalogue(opened(folder))
    lines = [f"{one.kind}: {one.sentence}" for one in findings] or ["Nothing to look at."]
    print_result([asdict(one) for one in findings], *lines, as_json=as_json)


@catalogue.command()
def export(
    folder: Folder,
    out_path: Annotated[Path, typer.Option("--out", help="The file to write; for camtrap-dp a new folder.")],
    to: Annotated[
        Literal["table", "camtrap-dp", "wildbook", "capture-history"], typer.Option(help="What to write.")
    ] = "table",
    occasion: Annotated[
        Literal["day", "month", "year"], typer.Option(help="With capture-history: what one occasion is.")
    ] = "month",
    season: Annotated[int | None, typer.Option(min=1, help="With camtrap-dp: the season of the package.")] = None,
) -> None:
    """Write the catalogue for other programs: the competition's table, Camtrap DP, Wildbook, capture histories.

    The table also has the columns of the seasons' tables that this program does not use, such as a site. Its column
    `confirmed` is true where a person named or confirmed the photograph, false where the name is the program's answer
    alone.

    Example: `animalclef catalogue export my-catalogue --to wildbook --out wildbook.csv`
    """
    from animalclef.catalogue.export import export_catalogue

    print_lines(*export_catalogue(opened(folder), to, out_path, occasion, season))


def opened(folder: Path) -> Catalogue:
    """Open the catalogue of a folder."""
    from animalclef.catalogue.catalogue_folder import Catalogue

    return Catalogue(folder)


def _reading(kept: Catalogue, columns: str | None) -> DataConfig:
    """Return how the catalogue's tables are read, with what `--columns` says in its place."""
    given = {name: value for name, value in opt.parse_columns(columns).items() if value}
    return kept.config.data.model_copy(update=given)


def _machine(
    device: str, weights: Path | None, workers: int | None, engine: str = "local", address: str = "auto"
) -> Machine:
    from animalclef.catalogue.recogniser import Machine
    from animalclef.engine.open_engine import check_engine

    check_engine(engine)
    announce = lambda plan: tell(console.plan_sentence(plan))  # noqa: E731
    return Machine(device, weights, cores(workers), progress, announce, tell, engine, address)


def _tell_added(folder: Path, added: Added, *, as_json: bool) -> None:
    for one in added.skipped[:10]:
        warn(f"{one.path}: left out ({one.reason}).")
    if len(added.skipped) > 10:
        warn(f"{len(added.skipped) - 10} more photographs were left out; --json lists them.")
    known = f" {added.known} were in the catalogue already." if added.known else ""
    lines = [
        f"Season {added.season}: {added.named} named, {added.recognised} recognised, {added.new} of new individuals."
        f"{known} Event {added.event}."
    ]
    if (added.recognised or added.new) and (folder / "run" / "finished.json").is_file():
        lines.append(f"To review: animalclef review {folder}")
    print_result(asdict(added), *lines, as_json=as_json)


def _print_sightings(sightings: Iterable[Sighting], *, as_json: bool) -> None:
    """Print the answer to every photograph: each at once, or a JSON list at the end."""
    found: list[dict[str, Any]] = []
    for seen in sightings:
        found.append(asdict(seen))
        if seen.error is not None:
            warn(seen.error)
        elif not as_json:
            print_lines(*_sighting(seen))
    if as_json:
        print_json(found)


def _sighting(seen: Sighting) -> list[str]:
    head = f"{seen.photograph}: {seen.individual or 'a new individual'} (named from {seen.threshold:.3f})"
    return [head, *(f"  {probability:.3f}  {candidate}" for candidate, probability in seen.candidates)]
