"""`catalogue`: individuals with ids that stay, seasons that are added, and signed changes that can be undone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    ColumnsOption,
    ConfigOption,
    DataOption,
    DeviceOption,
    JsonOption,
    SeedOption,
    SetOption,
    WeightsOption,
    Workers,
    column_settings,
    err,
    load,
    out,
    print_json,
    tell,
    warn,
)

if TYPE_CHECKING:
    from animalclef.catalogue.catalogue_folder import Catalogue
    from animalclef.catalogue.recognise import Machine
    from animalclef.catalogue.seasons import Added

__all__ = ["catalogue"]

catalogue = typer.Typer(
    no_args_is_help=True,
    help="Keep a catalogue of individuals that grows by the season; every change is signed and can be undone.",
)
app.add_typer(catalogue, name="catalogue")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The catalogue's folder.")]
Who = Annotated[str | None, typer.Option("--who", help="Your name in the history. Default: your login.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the history.")]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", help="The photograph's data set, where the catalogue holds several.")
]


@catalogue.command()
def create(
    folder: Folder,
    data: DataOption = None,
    columns: ColumnsOption = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    workers: Workers = None,
    who: Who = None,
    why: Why = "first season",
    as_json: JsonOption = False,
) -> None:
    """Begin a catalogue with a first season; its names are taken as they are, other photographs are recognised.

    Photographs are linked, not copied. The decision that is tuned here answers later seasons, too.

    Example: `animalclef catalogue create my-catalogue --data my-photos`
    """
    from animalclef.api.datasets import load_config
    from animalclef.catalogue.seasons import create_catalogue

    config = load_config(config_name, *(assignments or []), *column_settings(columns), seed=seed)
    loaded = load(data, settings=config.data)
    _, added = create_catalogue(folder, loaded, config, _login(who), why, _machine(device, weights, workers))
    _tell_added(folder, added, as_json=as_json)


@catalogue.command()
def add(
    folder: Folder,
    data: DataOption = None,
    columns: ColumnsOption = None,
    retune: Annotated[
        bool, typer.Option("--retune", help="Tune a new decision on all confirmed photographs first.")
    ] = False,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    workers: Workers = None,
    who: Who = None,
    why: Why = "a new season",
    as_json: JsonOption = False,
) -> None:
    """Add a season: only its photographs are computed, and only its pairs are matched.

    Photographs are compared with the confirmed ones. If interrupted, the catalogue is as before; run the same command
    again.

    Example: `animalclef catalogue add my-catalogue --data next-season`
    """
    from animalclef.catalogue.seasons import add_season

    opened = _opened(folder)
    machine = _machine(device, weights, workers)
    added = add_season(opened, load(data, columns), _login(who), why, machine, retune=retune)
    _tell_added(folder, added, as_json=as_json)


@catalogue.command()
def who(
    folder: Folder,
    photograph: Annotated[Path, typer.Argument(help="A photograph, which is not added.")],
    dataset: DatasetOption = None,
    most: Annotated[int, typer.Option("--candidates", min=1, max=100, help="Individuals that are listed.")] = 5,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    workers: Workers = None,
    as_json: JsonOption = False,
) -> None:
    """Say which individual is on one photograph.

    Example: `animalclef catalogue who my-catalogue seen-today.jpg`
    """
    from animalclef.catalogue.recognise import Recogniser

    seen = Recogniser(_opened(folder), _machine(device, weights, workers)).who(photograph, dataset, most)
    if as_json:
        print_json({"individual": seen.name, "threshold": seen.threshold, "candidates": seen.candidates})
        return
    out.print(f"{photograph.name}: {seen.name or 'a new individual'}", highlight=False, soft_wrap=True)
    for name, probability in seen.candidates:
        out.print(f"  {probability:.3f}  {name}", highlight=False, soft_wrap=True)


@catalogue.command()
def merge(
    folder: Folder,
    kept: Annotated[str, typer.Argument(help="The individual that stays, by id (I12) or name.")],
    other: Annotated[str, typer.Argument(help="The one whose photographs move to it.")],
    why: Why,
    who: Who = None,
) -> None:
    """Merge two individuals: one animal under two names. The id of the second leads to the first from now on.

    Example: `animalclef catalogue merge my-catalogue Luna Tara --why "same spots, checked by hand"`
    """
    _say(_opened(folder).merge(kept, other, _login(who), why))


@catalogue.command()
def split(
    folder: Folder,
    photographs: Annotated[list[str], typer.Argument(help="Photographs of one individual, by SEASON/ID.")],
    why: Why,
    name: Annotated[
        str | None, typer.Option("--to", help="Name of the individual they show. Default: a new one, new_NUMBER.")
    ] = None,
    who: Who = None,
) -> None:
    """Move photographs to another individual, or to a new one: two animals under one name.

    Example: `animalclef catalogue split my-catalogue 1/database/Luna/1.jpg --to Stella --why "another ear"`
    """
    _say(_opened(folder).split(photographs, name, _login(who), why))


@catalogue.command()
def rename(
    folder: Folder,
    individual: Annotated[str, typer.Argument(help="By id (I12) or name.")],
    name: Annotated[str, typer.Argument(help="Its new name.")],
    why: Why,
    who: Who = None,
) -> None:
    """Rename an individual; its id stays.

    Example: `animalclef catalogue rename my-catalogue I3 Stella --why "named by the village"`
    """
    _say(_opened(folder).rename(individual, name, _login(who), why))


@catalogue.command()
def confirm(
    folder: Folder,
    photographs: Annotated[list[str] | None, typer.Argument(help="By SEASON/ID. Default: all of them.")] = None,
    reviewed: Annotated[
        Path | None, typer.Option(help="Take the answers of this log of `animalclef review` instead.")
    ] = None,
    who: Who = None,
    why: Why = "reviewed",
) -> None:
    """Confirm what the program answered, or take the answers of a review. Only confirmed photographs are compared with.

    Examples:

    - `animalclef catalogue confirm my-catalogue --reviewed my-catalogue/run.review.jsonl`

    - `animalclef catalogue confirm my-catalogue --why "looked at all of them"`
    """
    from animalclef.catalogue.reviewed_photographs import accept_review

    opened = _opened(folder)
    if reviewed is not None:
        _say(accept_review(opened, reviewed, _login(who), why))
    else:
        _say(opened.confirm(photographs, _login(who), why))


@catalogue.command()
def undo(
    folder: Folder,
    event: Annotated[int | None, typer.Argument(help="Its number in the history. Default: the last one.")] = None,
    who: Who = None,
    why: Why = "undone",
) -> None:
    """Undo a change; the undoing is an event of its own and can be undone, too.

    Example: `animalclef catalogue undo my-catalogue`
    """
    undone = _opened(folder).undo(event, _login(who), why)
    _say(f"Undid event {undone.id}: {undone.told}.")


@catalogue.command()
def history(folder: Folder, as_json: JsonOption = False) -> None:
    """List every change, with who made it and why.

    Example: `animalclef catalogue history my-catalogue`
    """
    from dataclasses import asdict

    events = _opened(folder).history()
    if as_json:
        print_json([asdict(one) for one in events])
        return
    for one in events:
        after = f" [undone by event {one.undone_by}]" if one.undone_by is not None else ""
        _say(f"{one.id}. {one.when}, {one.who}: {one.told} ({one.why}){after}")


@catalogue.command()
def check(folder: Folder, as_json: JsonOption = False) -> None:
    """List what to look at: one animal under two names, two under one, sides never joined, photographs that are gone.

    Example: `animalclef catalogue check my-catalogue`
    """
    from dataclasses import asdict

    from animalclef.catalogue.catalogue_check import check_catalogue

    findings = check_catalogue(_opened(folder))
    if as_json:
        print_json([asdict(one) for one in findings])
        return
    for one in findings:
        _say(f"{one.kind}: {one.sentence}")
    if not findings:
        _say("Nothing to look at.")


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

    Example: `animalclef catalogue export my-catalogue --to wildbook --out wildbook.csv`
    """
    from animalclef.catalogue.export import export_catalogue

    for line in export_catalogue(_opened(folder), to, out_path, occasion, season):
        _say(line)


def _opened(folder: Path) -> Catalogue:
    from animalclef.catalogue.catalogue_folder import Catalogue

    return Catalogue(folder)


def _machine(device: str, weights: Path | None, workers: int | None) -> Machine:
    import os

    from animalclef.catalogue.recognise import Machine
    from animalclef.cli import console

    return Machine(
        device, weights, workers or os.cpu_count() or 1, console.RichProgress(err),
        lambda plan: tell(console.plan_sentence(plan)), tell,
    )  # fmt: skip


def _login(who: str | None) -> str:
    import getpass

    return who or getpass.getuser()


def _tell_added(folder: Path, added: Added, *, as_json: bool) -> None:
    from dataclasses import asdict

    for one in added.skipped[:10]:
        warn(f"{one.path}: left out ({one.reason}).")
    if as_json:
        print_json(asdict(added))
        return
    known = f" {added.known} were in the catalogue already." if added.known else ""
    _say(
        f"Season {added.season}: {added.named} named, {added.recognised} recognised, {added.new} of new individuals."
        f"{known} Event {added.event}."
    )
    if added.recognised or added.new:
        _say(f"To review: animalclef review {folder / 'run'}")


def _say(sentence: str) -> None:
    out.print(sentence, highlight=False, soft_wrap=True)
