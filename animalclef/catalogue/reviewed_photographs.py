"""Take the answers of a review into the catalogue."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.individual_lookup import named_individual, new_individual
from animalclef.catalogue.schema import photographs
from animalclef.catalogue.signed_changes import Change, apply_event
from animalclef.data.review_log import read_review
from animalclef.decision.reviewed_answers import ReviewedAnimals
from animalclef.errors import DataError
from animalclef.runtime.wording import counted
from animalclef.structures.arrays import text_array

__all__ = ["accept_review"]


def accept_review(catalogue: Catalogue, log: Path, who: str, why: str) -> str:
    """Change what people answered, as one event; return what was done.

    A photograph that was called the same as one of a named individual gets its individual, and is confirmed. One that
    was called different from the individual that it has gets a new one. Photographs without a confirmed name that were
    called the same get one individual. They are confirmed, but not as a known individual that the program alone
    named. Contradictions change nothing.

    Raises:
        DataError: there is nothing to change, or the log is of something else.
    """
    table = catalogue.table(all_of_them=True)
    confirmed = set(catalogue.table().image_id)
    sure_names = [who if one in confirmed else None for one, who in zip(table.image_id, table.identity, strict=True)]
    named = table.with_columns(identity=text_array(sure_names))
    sure = {(data, who) for data, who in zip(named.dataset, named.identity, strict=True) if who is not None}
    reviewed = read_review(log, named)
    animals = ReviewedAnimals(reviewed, named)
    with catalogue.changing() as connection:
        rows = {
            row.image_id: row for row in connection.execute(sa.select(photographs).where(photographs.c.present == 1))
        }
        names = dict(zip(table.image_id, table.identity, strict=True))
        cells: list[Change] = []
        given: dict[str, int] = {}  # the individual of a group of photographs without a confirmed name
        for image_id, row in rows.items():
            name, group = animals.name(image_id), animals.group(image_id)
            barred = names[image_id] in animals.barred(image_id)
            if image_id in confirmed or (name is None and len(group) < 2 and not barred):
                continue
            goal = row.individual
            if name is not None:
                one = named_individual(connection, row.dataset, name)
                goal = row.individual if one is None else one.id
            elif group[0] in given:
                goal = given[group[0]]
            elif barred or any(names[other] != names[image_id] for other in group):
                made, change = new_individual(connection, row.dataset, None)
                cells.append(change)
                goal = given[group[0]] = made.id
            if goal != row.individual:
                cells.append(Change("photographs", row.id, "individual", row.individual, goal))
            guessed = goal == row.individual and (row.dataset, names[image_id]) in sure
            if name is not None or (len(group) > 1 and not guessed):
                cells.append(Change("photographs", row.id, "confirmed", 0, 1))
        count = len({one.row for one in cells if one.table == "photographs"})
        if not count:
            raise DataError(f"{log}: its answers change nothing in the catalogue.")
        told = f"took answers about {counted(count, 'photograph')} from {log.name}"
        number = apply_event(connection, who, why, "review", told, cells)
    left_out = f" {len(reviewed.conflicts)} contradictions changed nothing." if reviewed.conflicts else ""
    return f"Event {number}: {told}.{left_out}"
