"""List the individuals of a catalogue: how many photographs of each there are, and when it was seen."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import sqlalchemy as sa

from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.schema import individuals, photographs
from animalclef.runtime.wording import counted

__all__ = ["counted_individuals", "list_individuals"]


def list_individuals(catalogue: Catalogue) -> pd.DataFrame:
    """Return the active individuals by data set and id, (n, 9); `id` is the text that commands take, such as I12.

    `confirmed` counts the photographs that a person named or confirmed. An individual without a photograph has no
    season (missing), one without dated photographs has no date ("").
    """
    query = (
        sa.select(
            individuals.c.id, individuals.c.name, individuals.c.dataset, photographs.c.id.label("photograph"),
            photographs.c.season, photographs.c.date, photographs.c.confirmed,
        )
        .outerjoin(photographs, (photographs.c.individual == individuals.c.id) & (photographs.c.present == 1))
        .where(individuals.c.state == "active")
    )  # fmt: skip
    with catalogue.reading() as connection:
        rows = pd.DataFrame(connection.execute(query).all(), columns=[column.name for column in query.selected_columns])
    rows["dated"] = rows.date.where(rows.date != "")
    table = rows.groupby(["dataset", "id"], as_index=False).agg(
        name=("name", "first"), photographs=("photograph", "count"), confirmed=("confirmed", "sum"),
        first_season=("season", "min"), last_season=("season", "max"), first_date=("dated", "min"),
        last_date=("dated", "max"),
    )  # fmt: skip
    table["id"] = "I" + table["id"].astype(str)
    numbers = {"confirmed": "int64", "first_season": "Int64", "last_season": "Int64"}
    table = table.astype(numbers).fillna({"first_date": "", "last_date": ""})
    return table[["name", "id", "dataset", *table.columns[3:]]]


def counted_individuals(photographs_of_each: Sequence[int]) -> str:
    """Count individuals and their photographs; an individual may have lost all of its own in a review.

    >>> counted_individuals([3, 1]), counted_individuals([3, 0])
    ('2 individuals on 4 photographs', '1 individual on 3 photographs, 1 more without a photograph')
    """
    shown = sum(count > 0 for count in photographs_of_each)
    empty = len(photographs_of_each) - shown
    more = f", {empty} more without a photograph" if empty else ""
    return f"{counted(shown, 'individual')} on {counted(sum(photographs_of_each), 'photograph')}{more}"
