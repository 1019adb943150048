"""Add a season: its named photographs as they are, the others as the program recognises them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.recogniser import Machine, Recogniser
from animalclef.catalogue.schema import meta, next_id, photographs, put_meta, seasons
from animalclef.catalogue.season_individuals import Answer, Name, SeasonIndividuals
from animalclef.catalogue.signed_changes import Change, apply_event
from animalclef.config import Config
from animalclef.data.hashing import hash_images
from animalclef.data.names import spelled_as
from animalclef.data.segmentation_cells import is_segmentation
from animalclef.data.table import LoadedTable
from animalclef.decision.decision_model import Decision
from animalclef.errors import DataError
from animalclef.pipeline.predict import Outcome
from animalclef.runtime.remote_files import address_of
from animalclef.runtime.wording import counted, now
from animalclef.store.catalogue_places import refuse_run_around
from animalclef.store.season_links import link_photographs
from animalclef.structures import ImageTable, Skipped
from animalclef.structures.arrays import BoolArray, text_array
from animalclef.structures.images import box_text

__all__ = ["Added", "add_season", "create_catalogue", "write_season"]

logger = logging.getLogger(__name__)

_MANY_MORE = 2  # times the confirmed photographs that the decision was tuned on: a new one is advised


@dataclass(frozen=True)
class Added:
    """What a season brought."""

    season: int
    event: int
    named: int  # photographs with a name in the table
    recognised: int  # photographs that the program named
    new: int  # photographs of individuals that were not in the catalogue
    known: int  # photographs that were in the catalogue already, and are left out
    skipped: Sequence[Skipped]  # that could not be read, or are the same file as an earlier one of this season


def create_catalogue(
    folder: Path, loaded: LoadedTable, config: Config, who: str, why: str, machine: Machine, address: str | None = None
) -> tuple[Catalogue, Added]:
    """Begin a catalogue with a first season, and tune the decision that later seasons are answered with.

    With an `address` its tables are in that PostgreSQL database. If it fails, the same call may be made again, also
    with other settings.

    Raises:
        ConfigError: a setting is for data sets alone that the table does not hold.
        DataError: there is a catalogue already.
        OutputError: the folder lies in a run, it or the database cannot be written to, or another process begins it.
    """
    refuse_run_around(folder)
    config.check_datasets(loaded.images.datasets)
    catalogue = Catalogue(folder, create=True, address=address)
    with catalogue.database.adding():
        catalogue.refuse_seasons()
        with catalogue.changing() as connection:
            put_meta(connection, "config", config.model_dump_json())
        return catalogue, _add(catalogue, loaded, (who, why), machine, retune=False)


def add_season(
    catalogue: Catalogue, loaded: LoadedTable, who: str, why: str, machine: Machine, *, retune: bool = False
) -> Added:
    """Add a season's photographs: only theirs are computed, and only their pairs matched.

    If it is interrupted, the catalogue is as before, and the same call resumes.

    Raises:
        DataError: every photograph is in the catalogue already, or none can be read.
        OutputError: another process adds a season.
    """
    rows = catalogue.rows()
    if left := sum(not row.confirmed for row in rows):
        logger.warning(
            "%s not confirmed, so the new season is not compared with them. Confirm them first, or review them later: "
            "animalclef review %s --season NUMBER.", counted(left, "photograph", "is"), catalogue.folder,
        )  # fmt: skip
    sure, fitted = len(rows) - left, len(catalogue.fitted())
    if not retune and fitted and sure >= _MANY_MORE * fitted:
        logger.warning(
            "%s confirmed, and the decision was tuned on %d of them. `animalclef catalogue add --retune` (in Python: "
            "retune=True) tunes a new one with a season.", counted(sure, "photograph", "is"), fitted,
        )  # fmt: skip
    with catalogue.database.adding():
        return _add(catalogue, loaded, (who, why), machine, retune=retune)


def _add(
    catalogue: Catalogue, loaded: LoadedTable, signed: tuple[str, str], machine: Machine, *, retune: bool
) -> Added:
    """Recognise and write a season, while its lock is held."""
    recogniser = Recogniser(catalogue, machine)
    images = _as_the_catalogue_names(loaded, catalogue, merge=recogniser.config.data.merge_case)
    images, skipped = hash_images(images, recogniser.config.data, machine.workers, machine.progress)
    fresh = catalogue.absent(images)
    twice = _twice(images, fresh)
    if not fresh.any():
        raise DataError(
            f"{address_of(loaded.source.root)}: {counted(len(images), 'photograph')}, all of them in the catalogue "
            "already."
        )
    season = max(catalogue.roots(), default=0) + 1
    given = images.select(fresh)
    new = _of_season(given, season, catalogue.folder)
    before = {(one.dataset, one.name): one.id for one in catalogue.individuals()}
    answers: dict[str, Answer] = {}
    decision = None
    link_photographs(catalogue.folder, season, loaded.source.root)
    if len(recogniser.gallery.gallery) or len(new.gallery):
        outcome = recogniser.season(new, retune=retune)
        answers, decision, set_aside = _answers(outcome), outcome.decision, outcome.set_aside
    else:
        found, set_aside = recogniser.unnamed(new)
        answers = {one: Answer(None, 0.0, group) for one, group in zip(found.image_id, found.label, strict=True)}
    own = new.row_of
    unread = {own[one.image_id]: one.reason for one in set_aside if one.image_id in own}
    skipped += [given.skipped(row, reason) for row, reason in unread.items()]
    new = new.select(np.array([row not in unread for row in range(len(new))], dtype=bool))
    counts = write_season(catalogue, loaded.source.root, season, new, answers, decision, signed, before)
    return Added(season, **counts, known=int((~fresh).sum()) - len(twice), skipped=[*skipped, *twice])


def _twice(images: ImageTable, fresh: BoolArray) -> list[Skipped]:
    """Return the photographs that are the same as an earlier one of this season, each with the reason."""
    pairs = list(zip(images.dataset, images.key, strict=True))
    first = {pairs[row]: images.path[row] for row in np.flatnonzero(fresh)}
    return [
        images.skipped(int(row), f"the same photograph as {first[pairs[row]]}")
        for row in np.flatnonzero(~fresh)
        if pairs[row] in first
    ]


def _as_the_catalogue_names(loaded: LoadedTable, catalogue: Catalogue, *, merge: bool) -> ImageTable:
    """Return a season's photographs with the data sets and individuals in the catalogue's spelling.

    Where nothing names a data set, they are of the only one that the catalogue holds.

    Raises:
        DataError: the catalogue holds several.
    """
    images, held = loaded.with_extra(), [(one.dataset, one.name) for one in catalogue.individuals()]
    datasets = sorted({dataset for dataset, _ in held})
    dataset = spelled_as(images.dataset.tolist(), [""] * len(images), [("", one) for one in datasets if merge])
    if datasets and not loaded.names_datasets and not {*dataset} <= {*datasets}:
        if len(datasets) > 1:
            raise DataError(
                f"{loaded.source.table or loaded.source.root}: no data set is named, and the catalogue holds "
                f"{', '.join(datasets)}. Give a table with a column dataset."
            )
        dataset = [datasets[0]] * len(images)
    of = [str(one) for one in dataset]
    return images.with_columns(
        dataset=text_array(dataset),
        identity=text_array(spelled_as(images.identity.tolist(), of, held if merge else ())),
    )


def _of_season(images: ImageTable, season: int, folder: Path) -> ImageTable:
    """Return the photographs as the catalogue names them: ids and paths begin with the season.

    Those without a name are to be recognised, whatever their split says.
    """
    unnamed = np.array([who is None for who in images.identity], dtype=bool)
    mask = images.mask
    if mask is not None:
        mask = text_array([one if not one or is_segmentation(one) else f"photographs/{season}/{one}" for one in mask])
    return replace(
        images, root=folder.resolve(), is_query=unnamed,
        image_id=text_array([f"{season}/{one}" for one in images.image_id]),
        path=text_array([f"photographs/{season}/{one}" for one in images.path]), mask=mask,
    )  # fmt: skip


def _answers(outcome: Outcome) -> dict[str, Answer]:
    found, clusters = outcome.predictions, outcome.clusters
    group = {} if clusters is None else dict(zip(clusters.image_id, clusters.label, strict=True))
    answers = zip(found.image_id, found.identity, np.round(found.probability, 6).tolist(), strict=True)
    return {one: Answer(who, probability, group.get(one, one)) for one, who, probability in answers}


def write_season(
    catalogue: Catalogue, root: Path, season: int, new: ImageTable, answers: Mapping[str, Answer],
    decision: Decision | None, signed: tuple[str, str], before: Mapping[Name, int],
) -> dict[str, int]:  # fmt: skip
    """Write a season at once: photographs, new individuals, the decision where it is new, and the event; return counts.

    `answers` are those of the photographs without a name; `before` are the ids by name that they were made with.
    """
    counts = {"named": 0, "recognised": 0, "new": 0}
    rows: list[dict[str, object]] = []
    with catalogue.changing() as connection:
        connection.execute(sa.insert(seasons).values(id=season, root=address_of(root.resolve()), added=now()))
        whose = SeasonIndividuals(connection, before)
        for dataset, given in zip(new.dataset, new.identity, strict=True):
            if given is not None:  # first: an answer may be a name that a later row brings
                whose.named(str(dataset), given)
        first = next_id(connection, photographs)
        for row in range(len(new)):
            image_id, dataset, given = str(new.image_id[row]), str(new.dataset[row]), new.identity[row]
            answer = answers.get(image_id, Answer(None, 0.0, image_id))
            is_named = given is not None
            counts["named" if is_named else "new" if answer.name is None else "recognised"] += 1
            number = whose.named(dataset, given) if is_named else whose.answered(dataset, answer)
            values = _values(new, row) | {"season": season, "individual": number, "confirmed": int(is_named)}
            rows.append(values | {"id": first + row, "probability": None if is_named else answer.probability})
        if rows:
            connection.execute(sa.insert(photographs), rows)
        cells = [Change("photographs", first + row, "present", None, 1) for row in range(len(new))]
        told = f"added season {season}: {counted(len(new), 'photograph')}, {counts['named']} named, "
        told += f"{counts['recognised']} recognised, {counts['new']} of new individuals"
        event = apply_event(connection, *signed, "add", told, [*whose.made, *cells])
        if decision is not None:
            _keep_decision(connection, decision.model_dump_json())
    return counts | {"event": event}


def _values(new: ImageTable, row: int) -> dict[str, object]:
    names = ("image_id", "key", "path", "dataset", "date", "viewpoint", "species", "encounter")
    values: dict[str, object] = {name: str(getattr(new, name)[row]) for name in names}
    absent = {name: "" if column is None else str(column[row])
              for name, column in (("mask", new.mask), ("extra", new.extra))}  # fmt: skip
    return values | absent | {"bbox": box_text(new.bbox_xywhr[row])}


def _keep_decision(connection: sa.Connection, text: str) -> None:
    """Keep a new decision, and note the photographs that it was fitted on: the confirmed ones."""
    if connection.execute(sa.select(meta.c.value).where(meta.c.name == "decision")).scalar() == text:
        return
    put_meta(connection, "decision", text)
    confirmed = (photographs.c.confirmed == 1) & (photographs.c.present == 1)
    connection.execute(sa.update(photographs).values(fitted=sa.case((confirmed, 1), else_=0)))
