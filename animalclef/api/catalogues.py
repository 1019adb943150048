"""`load_catalogue`, `Catalogue`: the individuals that are kept from season to season."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from animalclef.api.datasets import PathLike
from animalclef.catalogue.catalogue_folder import Catalogue as OpenedCatalogue
from animalclef.catalogue.individual_list import counted_individuals, list_individuals

__all__ = ["Catalogue", "load_catalogue"]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """A catalogue of individuals, as `animalclef catalogue create` makes it.

    Example:
        >>> load_catalogue(catalogue_folder)
        Catalogue(3 individuals on 5 photographs, in ...)
    """

    opened: OpenedCatalogue

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
    return Catalogue(OpenedCatalogue(Path(path)))
