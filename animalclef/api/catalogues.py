"""`create_catalogue`, `load_catalogue`, `Catalogue`: the individuals that are kept from season to season."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from animalclef.api.catalogue_arguments import check_texts, machine_of, number_of, paths_of, photographs_of
from animalclef.api.datasets import Dataset, PathLike, load_config, path_given, table_of
from animalclef.api.shown_progress import ProgressLike
from animalclef.catalogue.catalogue_check import Finding, check_catalogue
from animalclef.catalogue.catalogue_folder import Catalogue as OpenedCatalogue
from animalclef.catalogue.export import Format, export_catalogue
from animalclef.catalogue.individual_list import counted_individuals, list_individuals
from animalclef.catalogue.recogniser import Recogniser
from animalclef.catalogue.reviewed_photographs import accept_review
from animalclef.catalogue.seasons import Added, add_season
from animalclef.catalogue.seasons import create_catalogue as begin_catalogue
from animalclef.catalogue.signed_changes import Event
from animalclef.config import Config
from animalclef.data.formats.capture_history import Occasion
from animalclef.errors import ConfigError
from animalclef.runtime.login import login
from animalclef.runtime.wording import counted

__all__ = ["Catalogue", "create_catalogue", "load_catalogue"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """A catalogue of individuals, as `create_catalogue` and `animalclef catalogue create` make it.

    A change is signed by `who` (default: your login) with the reason `why`, and can be undone. Individuals are given by
    id (I12) or name, photographs by SEASON/ID. The object is not bound to a process: it can be pickled.

    Example:
        >>> load_catalogue(catalogue_folder)
        Catalogue(3 individuals on 5 photographs, in ...)
    """

    opened: OpenedCatalogue
    created: Added | None = None
    """What the first season brought, as `add` returns it, where `create_catalogue` made this object."""

    @property
    def path(self) -> Path:
        """The catalogue's folder."""
        return self.opened.folder

    @property
    def individuals(self) -> pd.DataFrame:
        """One row per individual: name, id, dataset, photographs, confirmed, first and last season and date.

        The columns of these are first_season, last_season, first_date and last_date. `id` is a text such as I12.
        `confirmed` counts the photographs that a person named or confirmed. An individual without a photograph has no
        season (missing), one without dated photographs has no date (""). The catalogue is read anew at each call.

        Example:
            >>> individuals = load_catalogue(catalogue_folder).individuals
            >>> individuals[["name", "id", "photographs", "confirmed", "last_season", "last_date"]].values.tolist()
            [['Luna', 'I1', 3, 2, 2, '2024-05-01'], ['Tara', 'I2', 1, 1, 1, '2023-05-01'], ['new_3', 'I3', 1, 0, 2, '']]
        """
        return list_individuals(self.opened)

    @property
    def history(self) -> pd.DataFrame:
        """One row per change, oldest first: id, when, who, why, kind, told, undoes, undone_by (missing where none).

        Example:
            >>> load_catalogue(catalogue_folder).history.told[0]
            'added season 1: 3 photographs, 3 named, 0 recognised, 0 of new individuals'
        """
        rows = pd.DataFrame([asdict(one) for one in self.opened.history()], columns=[one.name for one in fields(Event)])
        return rows.astype({"undoes": "Int64", "undone_by": "Int64"})

    def add(
        self, data: Dataset | PathLike | None = None, *, retune: bool = False, who: str | None = None,
        why: str = "a new season", device: str = "auto", weights: PathLike | None = None, workers: int | None = None,
        progress: ProgressLike = None, engine: str = "local", address: str = "auto",
    ) -> Added:  # fmt: skip
        """Add a season: only its photographs are computed, and compared with the confirmed ones.

        The result counts the photographs that were named, recognised, new, and known already; its `event` is what
        `undo` takes, and `skipped` lists those left out, with the reason. A path is read as the first season's table
        was. `retune` first tunes a decision on all confirmed photographs. `engine` and `address`: see `predict`.

        Raises:
            DataError: the table cannot be used, or every photograph is in the catalogue already.
            OutputError: another process adds a season.
            EngineError: the cluster cannot be used.

        Example:
            >>> catalogue = create_catalogue(folder / "growing", data_folder, config=small_config, who="Ada")
            >>> catalogue.add(data_folder)
            Traceback (most recent call last):
            animalclef.errors.DataError: ...18 photographs, all of them in the catalogue already.
        """
        check_texts("add", who=who, why=why)
        machine = machine_of(device, weights, workers, progress, engine, address)
        loaded = table_of(data, self.opened.config.data)
        return _told(add_season(self.opened, loaded, login(who), why, machine, retune=retune), "skipped of the result")

    def who(
        self, photographs: PathLike | Sequence[PathLike], *, dataset: str | None = None, candidates: int = 5,
        device: str = "auto", weights: PathLike | None = None, workers: int | None = None,
        progress: ProgressLike = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Name the individual on each photograph, or on those of a folder; none is added.

        One row per photograph: photograph (its path), individual (None for a new one), threshold (the probability from
        which one is named), candidates (a list of name and probability, best first) and error (why it cannot be read,
        else None). `dataset` is needed where the catalogue holds several.

        Raises:
            PhotographError: the only photograph cannot be read.
            DataError: none of several can be read, or no individual is confirmed yet.

        Example:
            >>> catalogue = create_catalogue(folder / "asked", data_folder, config=small_config, who="Ada")
            >>> seen = catalogue.who(photographs[:2])
            >>> seen[["individual", "error"]].values.tolist()
            [['NewtID_0', None], ['NewtID_0', None]]
        """
        given = paths_of("who", photographs)
        recogniser = Recogniser(self.opened, machine_of(device, weights, workers, progress))
        found = [asdict(one) for one in recogniser.who_all(given, dataset, candidates)]
        return pd.DataFrame(found, dtype=object).astype({"threshold": "float64"})  # pandas 3 would turn None into NaN

    def confirm(
        self, photographs: str | Sequence[str] | None = None, *, reviewed: PathLike | None = None,
        who: str | None = None, why: str = "reviewed",
    ) -> str:  # fmt: skip
        """Confirm what the program answered about one or more photographs (default: all); return what was done.

        With `reviewed`, a log of `animalclef review`, the answers in it are taken instead. Only confirmed photographs
        are compared with later.

        Raises:
            ConfigError: both are given.
            DataError: there is nothing to change, or no such photograph.

        Example:
            >>> catalogue = create_catalogue(folder / "reviewed", data_folder, config=small_config, who="Ada")
            >>> catalogue.confirm(who="Ada", why="looked at all of them")
            'Event 2: confirmed 6 photographs.'
        """
        check_texts("confirm", who=who, why=why)
        if reviewed is not None and photographs is not None:
            raise ConfigError(f"confirm: give photographs or reviewed={str(reviewed)!r}, not both.")
        if reviewed is not None:
            return accept_review(self.opened, path_given(reviewed, "confirm: reviewed"), login(who), why)
        chosen = None if photographs is None else photographs_of("confirm", photographs)
        return self.opened.confirm(chosen, login(who), why)

    def merge(self, kept: str, other: str, *, why: str, who: str | None = None) -> str:
        """Merge two individuals, one animal under two names; return what was done. The first one stays."""
        check_texts("merge", who=who, why=why, kept=kept, other=other)
        return self.opened.merge(kept, other, login(who), why)

    def split(
        self, photographs: str | Sequence[str], *, why: str, to: str | None = None, who: str | None = None
    ) -> str:
        """Move one or more photographs of one individual to another (default: a new one); return what was done."""
        check_texts("split", who=who, why=why, **({} if to is None else {"to": to}))
        return self.opened.split(photographs_of("split", photographs), to, login(who), why)

    def rename(self, individual: str, name: str, *, why: str, who: str | None = None) -> str:
        """Rename an individual, whose id stays; return what was done.

        Example:
            >>> catalogue = create_catalogue(folder / "renamed", data_folder, config=small_config, who="Ada")
            >>> catalogue.rename("NewtID_0", "Stella", who="Ada", why="named by the village")
            'Event 2: renamed NewtID_0 (I1) to Stella.'
            >>> catalogue.undo(who="Ada").told
            'renamed NewtID_0 (I1) to Stella'
        """
        check_texts("rename", who=who, why=why, individual=individual, name=name)
        return self.opened.rename(individual, name, login(who), why)

    def undo(self, event: int | str | None = None, *, who: str | None = None, why: str = "undone") -> Event:
        """Undo a change by its number (default: the last one) and return it; a season is only undone by its number.

        A later change stands on this one if it changed the name of the same individual, moved the same photographs, or
        merged an individual that this one made. Photographs of another season that show such an individual stand on it,
        too. Confirming photographs and renaming individuals alone does not keep a season from being undone.

        Raises:
            DataError: there is none, it was undone already, or a later change stands on it.
        """
        check_texts("undo", who=who, why=why)
        return self.opened.undo(number_of("undo: event", event), login(who), why)

    def check(self) -> pd.DataFrame:
        """Return what to look at, one row each: kind and sentence; nothing is changed.

        Example:
            >>> load_catalogue(catalogue_folder).check().kind.tolist()
            ['missing', 'unconfirmed']
        """
        return pd.DataFrame(check_catalogue(self.opened), columns=[one.name for one in fields(Finding)])

    def export(
        self,
        path: PathLike,
        *,
        to: Format = "table",
        occasion: Occasion = "month",
        season: int | str | None = None,
    ) -> list[str]:
        """Write the catalogue for other programs; return a sentence for each file and note.

        `to` is table, camtrap-dp (which fills the package of one `season`), wildbook, or capture-history, whose
        `occasion` is day, month or year. A table also has the columns of the seasons' tables that this program does not
        use, such as a site. Its column `confirmed` is true where a person named or confirmed the photograph.

        Raises:
            ConfigError: there is no such format or occasion, or the season is none that the format can be of.
            OutputError: the place holds something else.

        Example:
            >>> _ = load_catalogue(catalogue_folder).export(folder / "exported.csv")
            >>> pd.read_csv(folder / "exported.csv").confirmed.tolist()
            [True, True, True, False, False]
        """
        number = number_of("export: season", season)
        return export_catalogue(self.opened, to, path_given(path, "export: path"), occasion, number)

    def __repr__(self) -> str:
        return f"Catalogue({counted_individuals(self.individuals.photographs.tolist())}, in {self.path})"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>" + self.individuals.to_html(max_rows=20, index=False)


def load_catalogue(path: PathLike) -> Catalogue:
    """Open the folder of a catalogue.

    Raises:
        DataError: the folder holds no catalogue, or a newer version made it.
        OutputError: its PostgreSQL database cannot be reached.

    Example:
        >>> list(load_catalogue(catalogue_folder).individuals.columns)[:4]
        ['name', 'id', 'dataset', 'photographs']
    """
    return Catalogue(OpenedCatalogue(path_given(path, "load_catalogue")))


def create_catalogue(
    path: PathLike,
    data: Dataset | PathLike | None = None,
    *,
    config: Config | PathLike | None = None,
    database: str | None = None,
    who: str | None = None,
    why: str = "first season",
    device: str = "auto",
    weights: PathLike | None = None,
    workers: int | None = None,
    progress: ProgressLike = None,
    engine: str = "local",
    address: str = "auto",
) -> Catalogue:
    """Begin a catalogue in a folder with a first season: its names are taken, other photographs are recognised.

    Photographs are linked, not copied. The settings (`config`) and the decision that is tuned here are used for later
    seasons, too. The result's `created` counts what the season brought, and its `skipped` lists the photographs that
    were left out. `database` is the address of a PostgreSQL database that keeps individuals and changes. `engine` and
    `address` are those of `predict`.

    Raises:
        DataError: the table cannot be used, or the folder holds a catalogue already.
        ConfigError: a setting, a model or the device does not exist.
        OutputError: the folder is one of a run or lies in one, or it or the database cannot be written to.
        EngineError: the cluster cannot be used.

    Example:
        >>> catalogue = create_catalogue(folder / "my-catalogue", data_folder, config=small_config, who="Ada")
        >>> catalogue.history.told.tolist()
        ['added season 1: 18 photographs, 12 named, ...']
    """
    check_texts("create_catalogue", who=who, why=why)
    folder, settings = path_given(path, "create_catalogue"), load_config(config)
    machine = machine_of(device, weights, workers, progress, engine, address)
    opened, added = begin_catalogue(folder, table_of(data, settings.data), settings, login(who), why, machine, database)
    return Catalogue(opened, _told(added, "created.skipped of the catalogue"))


def _told(added: Added, where: str) -> Added:
    """Warn of photographs that a season left out."""
    if added.skipped:
        first, count = added.skipped[0], counted(len(added.skipped), "photograph", "was")
        logger.warning("%s left out (first: %s, %s); %s lists them.", count, first.path, first.reason, where)
    return added
