"""Write a catalogue in the formats of other programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.data.answers import Answer
from animalclef.data.formats.camtrap_dp import is_camtrap, write_camtrap
from animalclef.data.formats.capture_history import Occasion, capture_histories, mark_text
from animalclef.data.formats.wildbook import write_wildbook
from animalclef.data.sources import find_source
from animalclef.data.table_writing import write_plain_table
from animalclef.errors import ConfigError, OutputError, suggestion
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.bucket_address import remote_url
from animalclef.runtime.output_guard import check_output
from animalclef.runtime.wording import counted

__all__ = ["Format", "export_catalogue"]

Format = Literal["table", "camtrap-dp", "wildbook", "capture-history"]


def export_catalogue(
    catalogue: Catalogue, to: Format, out: Path, occasion: Occasion = "month", season: int | None = None
) -> list[str]:
    """Write the photographs with their individuals; return a sentence for each file and note.

    The column `confirmed` of a table is true where a person named or confirmed the photograph.
    `camtrap-dp` fills the package that one season came from; `season` is its number.

    Raises:
        ConfigError: there is no such format or occasion, or the format is not for one season; with camtrap-dp the
            season is no Camtrap DP package, or is not named.
        OutputError: the place holds something else.
    """
    _check_choice("to", to, get_args(Format))
    _check_choice("occasion", occasion, get_args(Occasion))
    if season is not None and to != "camtrap-dp":
        raise ConfigError(
            f"season {season}: {to} holds every season, and only camtrap-dp is of a single one. Leave the season out."
        )
    table = catalogue.table(all_of_them=True)
    answers = _answers(catalogue)
    if to == "camtrap-dp":
        return _camtrap(catalogue, answers, out, season)
    if to == "table":
        check_output(out, "plain table")
        confirmed = {row.image_id for row in catalogue.rows() if row.confirmed}
        said = [image_id in confirmed for image_id in table.image_id]
        write_plain_table(table, out, said)
        count = f"{counted(len(table), 'row')}, {sum(said):,} confirmed"
        return [f"Table: {out} ({count}); its paths start at {catalogue.folder}."]
    if to == "wildbook":
        paths, notes = write_wildbook(table, answers, out)
        return [*notes, *(f"Sheet: {path}" for path in paths)]
    check_output(out, "capture history")
    histories = capture_histories(table, [], occasion)
    write_text(out, mark_text(histories))
    undated = [f"{counted(histories.undated, 'photograph')} without a date left out."] if histories.undated else []
    count = f"{counted(histories.individuals, 'individual')} on {counted(len(histories.occasions), 'occasion')}"
    return [*undated, f"Capture histories: {out} ({count})."]


def _check_choice(name: str, given: str, choices: tuple[str, ...]) -> None:
    if given not in choices:
        near = suggestion(str(given), choices)
        raise ConfigError(f"export: {name}={given!r}: expected one of {', '.join(choices)}.{near}")


def _answers(catalogue: Catalogue) -> list[Answer]:
    """Return the individual of every photograph; a name that a person gave has probability 1."""
    return [
        Answer(row.image_id, row.path, row.identity, 1.0 if row.confirmed else float(row.probability or 0), (), "")
        for row in catalogue.rows()
    ]


def _camtrap(catalogue: Catalogue, answers: list[Answer], out: Path, season: int | None) -> list[str]:
    """Fill the package that a season came from."""
    roots = catalogue.roots()
    reading = catalogue.config.data.reading
    folders = {
        number: Path(root) if remote_url(root) is None else find_source(Path(root), **reading).root  # its tables come
        for number, root in roots.items() if season in (None, number)
    }  # fmt: skip
    packages = [number for number, root in folders.items() if is_camtrap(root / "observations.csv")]
    chosen = season if season is not None else packages[0] if len(packages) == 1 else None
    if chosen not in packages:
        there = ", ".join(map(str, packages)) or "none"
        wrong = "" if chosen is None else f" {chosen}"
        raise ConfigError(f"season{wrong}: give the season that came from a Camtrap DP package (there are: {there}).")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: exists already. Choose a new folder.")
    start = f"{chosen}/"
    mine = [
        replace(one, image_id=one.image_id.removeprefix(start)) for one in answers if one.image_id.startswith(start)
    ]
    filled = write_camtrap(folders[chosen], out, mine)
    return [f"Package: {out} ({filled:,} observations named)."]
