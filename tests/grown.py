"""A catalogue without photographs on disk, for tests of its database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from rows import strings

from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.individual_lookup import Individual, find_individual
from animalclef.catalogue.schema import meta
from animalclef.catalogue.season_individuals import Answer
from animalclef.catalogue.seasons import write_season
from animalclef.config import Config
from animalclef.structures import ImageTable

__all__ = ["START", "Begin", "Shot", "empty_catalogue", "find", "grow", "names_of", "two_seasons"]

Shot = tuple[str, str | None, str]  # image_id, name in the table, date
Begin = Callable[[Path], Catalogue]  # makes an empty catalogue in a folder
START = {"1/a": "Luna", "1/b": "Luna", "1/c": "Tara", "2/d": "Luna?", "2/e": "new_3?"}


def empty_catalogue(folder: Path, address: str | None = None) -> Catalogue:
    """A catalogue with settings and nothing else."""
    catalogue = Catalogue(folder, create=True, address=address)
    with catalogue.changing() as connection:
        connection.execute(sa.insert(meta).values(name="config", value=Config().model_dump_json()))
    return catalogue


def grow(
    catalogue: Catalogue, season: int, shots: Sequence[Shot], answers: dict[str, tuple[str | None, float]] | None = None
) -> dict[str, int]:
    """Write a season of photographs with these answers of the program, as `add` does after its computing."""
    n = len(shots)
    ids = [f"{season}/{one}" for one, _, _ in shots]
    images = ImageTable(
        root=catalogue.folder, image_id=strings(*ids), path=strings(*[f"photographs/{one}.jpg" for one in ids]),
        dataset=strings(*["NewtID"] * n), is_query=np.array([name is None for _, name, _ in shots], dtype=bool),
        identity=strings(*[name for _, name, _ in shots]), date=strings(*[date for *_, date in shots]),
        viewpoint=strings(*[""] * n), species=strings(*["Lissotriton vulgaris"] * n), encounter=strings(*[""] * n),
        bbox_xywhr=np.full((n, 5), np.nan, dtype=np.float32), key=strings(*[f"key-{one}" for one in ids]),
    )  # fmt: skip
    given = {f"{season}/{one}": Answer(*answer, one) for one, answer in (answers or {}).items()}
    before = {(one.dataset, one.name): one.id for one in catalogue.individuals()}
    return write_season(catalogue, catalogue.folder, season, images, given, None, ("Ada", "a season"), before)


def two_seasons(kept: Catalogue) -> Catalogue:
    """Luna (2 photographs) and Tara in season 1; in season 2 one recognised as Luna and one new."""
    grow(kept, 1, [("a", "Luna", "2023-05-01"), ("b", "Luna", "2023-06-01"), ("c", "Tara", "2023-05-01")])
    grow(kept, 2, [("d", None, "2024-05-01"), ("e", None, "")], {"d": ("Luna", 0.8), "e": (None, 0.1)})
    return kept


def find(catalogue: Catalogue, text: str) -> Individual:
    """The individual of an id or a name."""
    with catalogue.reading() as connection:
        return find_individual(connection, text)


def names_of(catalogue: Catalogue) -> dict[str, str]:
    """The name of every photograph, with a question mark where it is not confirmed."""
    table, confirmed = catalogue.table(all_of_them=True), set(catalogue.table().image_id)
    pairs = zip(table.image_id, table.identity, strict=True)
    return {one: who if one in confirmed else f"{who}?" for one, who in pairs}
