"""A catalogue: individuals with ids that never change, their photographs, and every change that was made."""

from __future__ import annotations

import os
from collections.abc import Container, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from pydantic import ValidationError

from animalclef.catalogue.individual_lookup import (
    Individual,
    check_name,
    find_individual,
    goal_of,
    named_individual,
    shown,
)
from animalclef.catalogue.postgres_server import PostgresServer, parse_address
from animalclef.catalogue.schema import Database, individuals, meta, photographs, seasons
from animalclef.catalogue.signed_changes import (
    Change,
    Event,
    apply_event,
    history,
    last_to_undo,
    undo_event,
)
from animalclef.catalogue.sqlite_file import SqliteFile
from animalclef.config import Config
from animalclef.config.problems import explain
from animalclef.errors import DataError
from animalclef.runtime.atomic_files import make_folder, write_text
from animalclef.runtime.bucket_address import refuse_address, remote_url
from animalclef.runtime.database_address import without_password
from animalclef.runtime.remote_files import place_copies
from animalclef.runtime.wording import counted
from animalclef.store.catalogue_places import CATALOGUE_FILES
from animalclef.store.season_links import link_photographs, reach_photographs, season_folder
from animalclef.structures import ImageTable
from animalclef.structures.arrays import BoolArray, text_array
from animalclef.structures.images import boxes_of_texts

__all__ = ["Catalogue"]

_FILE, _ADDRESS = CATALOGUE_FILES
_TEXTS = ("image_id", "path", "dataset", "date", "viewpoint", "species", "encounter", "key", "mask", "extra")


class Catalogue:
    """A catalogue's folder: its database or the address of one, links to photographs, and the run folder `run`.

    Args:
        folder: Where it is.
        create: Begin one.
        address: Of a PostgreSQL database to begin it in. Its password is not kept.

    Raises:
        ConfigError: `address` is none, or its driver is not installed.
        DataError: the folder holds no catalogue (with `create`: one with a season, or one that was begun elsewhere), or
            a newer version made it.
        OutputError: the database cannot be reached or written.
    """

    def __init__(self, folder: Path, *, create: bool = False, address: str | None = None) -> None:
        refuse_address(folder, "a catalogue is kept on a disk")
        self.folder = folder
        self.database = _begun(folder, address) if create else _opened(folder)
        if create:
            self.refuse_seasons()
        else:
            self._reach_photographs()

    def __reduce__(self) -> tuple[type[Catalogue], tuple[Path]]:
        """Pickle the folder alone; the catalogue is opened again where it is read."""
        return Catalogue, (self.folder,)

    def _reach_photographs(self) -> None:
        """Link seasons that were added on another machine, and those in a bucket whose copies were removed."""
        for season, root in self.roots().items():
            if not os.path.lexists(season_folder(self.folder, season)):
                url = remote_url(root)
                if url is not None:
                    link_photographs(self.folder, season, place_copies(url, self.config.data.cache_gb))
                elif isinstance(self.database, PostgresServer) and Path(root).is_dir():
                    link_photographs(self.folder, season, Path(root))
        reach_photographs(self.folder)

    def changing(self) -> AbstractContextManager[sa.Connection]:
        """Hold the catalogue for one change: all of it is written, or nothing."""
        return self.database.changing()

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """Open a transaction; an error of the database is one sentence."""
        return self.database.transaction()

    def refuse_seasons(self) -> None:
        """Refuse to begin a catalogue that holds a season; one whose first season failed is begun again.

        Raises:
            DataError: there is a season.
        """
        if self.roots():
            raise DataError(f"{self.folder}: there is a catalogue already. `animalclef catalogue add` adds a season.")

    def value(self, name: str) -> str | None:
        """Return one of the catalogue's own settings."""
        with self.reading() as connection:
            return connection.execute(sa.select(meta.c.value).where(meta.c.name == name)).scalar()

    @property
    def config(self) -> Config:
        """The settings that the catalogue was begun with."""
        try:
            return Config.model_validate_json(self.value("config") or "{}")
        except ValidationError as error:
            raise DataError(explain(error, self.folder, Config)) from error

    def individuals(self) -> list[Individual]:
        """Return the active individuals, by id."""
        query = sa.select(individuals).where(individuals.c.state == "active").order_by(individuals.c.id)
        with self.reading() as connection:
            return [Individual(row.id, row.dataset, row.name) for row in connection.execute(query)]

    def table(self, *, all_of_them: bool = False) -> ImageTable:
        """Return the confirmed photographs as a table with their names; with `all_of_them` the others, too.

        Only confirmed photographs are compared with: an answer of the program is no evidence for the next.
        """
        rows = self.rows() if all_of_them else self.rows(photographs.c.confirmed == 1)
        texts = {column: text_array([getattr(row, column) for row in rows]) for column in _TEXTS}
        mask = texts.pop("mask")
        return ImageTable(
            root=self.folder.resolve(),
            is_query=np.zeros(len(rows), dtype=bool),
            identity=text_array([row.identity for row in rows]),
            bbox_xywhr=boxes_of_texts(row.bbox for row in rows),
            mask=mask if (mask != "").any() else None,
            **texts,
        )

    def rows(self, *wanted: sa.ColumnElement[bool]) -> Sequence[sa.Row[Any]]:
        """Return the photographs as the database holds them, each with the name (`identity`) of its individual."""
        query = (
            sa.select(photographs, individuals.c.name.label("identity"))
            .outerjoin(individuals, photographs.c.individual == individuals.c.id)
            .where(photographs.c.present == 1, *wanted).order_by(photographs.c.id)
        )  # fmt: skip
        with self.reading() as connection:
            return connection.execute(query).all()

    def confirm(self, image_ids: Sequence[str] | None, who: str, why: str) -> str:
        """Take the program's answers about these photographs (all of them: `None`) as right; return what was done."""
        with self.changing() as connection:
            open_ones = sa.select(photographs.c.id, photographs.c.image_id, photographs.c.confirmed).where(
                photographs.c.present == 1, photographs.c.individual.is_not(None)
            )
            rows = {row.image_id: row for row in connection.execute(open_ones)}
            _refuse_absent(image_ids or (), rows)
            chosen = [row for row in rows.values() if not row.confirmed]
            chosen = chosen if image_ids is None else [row for row in chosen if row.image_id in set(image_ids)]
            cells = [Change("photographs", row.id, "confirmed", 0, 1) for row in chosen]
            return _signed(connection, who, why, "confirm", f"confirmed {counted(len(chosen), 'photograph')}", cells)

    def merge(self, kept: str, other: str, who: str, why: str) -> str:
        """Move all photographs of one individual to another; the id of the first leads to the other from now on."""
        with self.changing() as connection:
            into, gone = find_individual(connection, kept), find_individual(connection, other)
            if into.id == gone.id:
                raise DataError(f"{kept} and {other} are one individual (I{into.id}) already.")
            if into.dataset != gone.dataset:
                raise DataError(
                    f"{kept} is of {into.dataset} and {other} of {gone.dataset}; they cannot be one animal."
                )
            theirs = sa.select(photographs.c.id).where(photographs.c.individual == gone.id).order_by(photographs.c.id)
            rows = connection.execute(theirs).scalars().all()
            cells = [Change("photographs", row, "individual", gone.id, into.id) for row in rows]
            cells += [
                Change("individuals", gone.id, "state", "active", "merged"),
                Change("individuals", gone.id, "into", None, into.id),
            ]
            told = f"merged {shown(gone)} into {shown(into)} ({counted(len(rows), 'photograph')})"
            return _signed(connection, who, why, "merge", told, cells)

    def split(self, image_ids: Sequence[str], name: str | None, who: str, why: str) -> str:
        """Move photographs of one individual to a new one, or to the one of this name where there is one."""
        with self.changing() as connection:
            query = sa.select(photographs).where(photographs.c.image_id.in_(image_ids), photographs.c.present == 1)
            rows = {row.image_id: row for row in connection.execute(query)}
            _refuse_absent(image_ids, rows)
            if len({(row.individual, row.dataset) for row in rows.values()}) > 1:
                raise DataError("split: these photographs are of several individuals. Split one of them at a time.")
            first = rows[image_ids[0]]
            goal, cells = goal_of(connection, first.dataset, name)
            if goal.id == first.individual:
                raise DataError(f"split: these photographs are of {shown(goal)} already.")
            for image_id in dict.fromkeys(image_ids):
                row = rows[image_id]
                cells.append(Change("photographs", row.id, "individual", row.individual, goal.id))
                cells += [] if row.confirmed else [Change("photographs", row.id, "confirmed", row.confirmed, 1)]
            told = f"moved {counted(len(rows), 'photograph')} to {shown(goal)}: {', '.join(rows)}"
            return _signed(connection, who, why, "split", told, cells)

    def rename(self, text: str, name: str, who: str, why: str) -> str:
        """Give an individual another name; its id stays."""
        with self.changing() as connection:
            one = find_individual(connection, text)
            check_name(name)
            if one.name == name:
                raise DataError(f"{name}: {shown(one)} has this name already.")
            taken = named_individual(connection, one.dataset, name)
            if taken is not None and taken.id != one.id:
                raise DataError(f"{name}: {shown(taken)} has this name as well. Merge the two, or choose another.")
            cells = [Change("individuals", one.id, "name", one.name, name)]
            return _signed(connection, who, why, "rename", f"renamed {shown(one)} to {name}", cells)

    def undo(self, event: int | None, who: str, why: str) -> Event:
        """Undo an event (the last one: `None`) by an event of its own; return the event that was undone."""
        with self.changing() as connection:
            return undo_event(connection, last_to_undo(connection) if event is None else event, who, why)

    def history(self) -> list[Event]:
        """Return every event, oldest first."""
        with self.reading() as connection:
            return history(connection)

    def absent(self, images: ImageTable) -> BoolArray:
        """Return which photographs are not in the catalogue yet, by data set and content; of equal ones a named one."""
        query = sa.select(photographs.c.dataset, photographs.c.key).where(photographs.c.present == 1)
        with self.reading() as connection:
            held = {(row.dataset, row.key) for row in connection.execute(query)}
        fresh = np.zeros(len(images), dtype=bool)
        for row in sorted(range(len(images)), key=lambda one: images.identity[one] is None):
            pair = images.dataset[row], images.key[row]
            fresh[row] = pair not in held
            held.add(pair)
        return fresh

    def fitted(self) -> frozenset[str]:
        """Return the image_ids that the weight-free embedder and the decision were fitted on."""
        query = sa.select(photographs.c.image_id).where(photographs.c.fitted == 1)
        with self.reading() as connection:
            return frozenset(connection.execute(query).scalars())

    def roots(self) -> dict[int, str]:
        """Return the folder of each season's photographs, or its address in a bucket."""
        with self.reading() as connection:
            return {row.id: row.root for row in connection.execute(sa.select(seasons).order_by(seasons.c.id))}


def _opened(folder: Path) -> Database:
    if (folder / _FILE).is_file():
        return SqliteFile(folder / _FILE)
    address = _kept_address(folder)
    if address is None:
        raise DataError(f"{folder}: no catalogue (catalogue.db is not there). `animalclef catalogue create` makes one.")
    return PostgresServer(address)


def _begun(folder: Path, text: str | None) -> Database:
    """Make the database of a new catalogue; one whose first season failed is begun again in the same place."""
    held = _kept_address(folder)
    address = held if text is None else parse_address(text)
    make_folder(folder)
    if address is None:
        return SqliteFile(folder / _FILE, create=True)
    shown = without_password(address)
    if (folder / _FILE).is_file() or (held is not None and without_password(held) != shown):
        other = folder / (_ADDRESS if held else _FILE)
        raise DataError(
            f"{folder}: a catalogue was begun elsewhere. For {shown} use another folder, or remove {other}."
        )
    database = PostgresServer(address, create=True)
    if held is None:
        write_text(folder / _ADDRESS, f"{shown}\n")
    return database


def _kept_address(folder: Path) -> sa.URL | None:
    path = folder / _ADDRESS
    try:
        return parse_address(path.read_text("utf-8"), str(path)) if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from error


def _signed(connection: sa.Connection, who: str, why: str, kind: str, told: str, cells: Sequence[Change]) -> str:
    if not cells:
        raise DataError(f"{kind}: there is nothing to change.")
    return f"Event {apply_event(connection, who, why, kind, told, cells)}: {told}."


def _refuse_absent(image_ids: Sequence[str], rows: Container[str]) -> None:
    absent = [one for one in image_ids if one not in rows]
    if absent:
        raise DataError(f"{absent[0]}: the catalogue has no such photograph. Ids are SEASON/ID, as in candidates.csv.")
