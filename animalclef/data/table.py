"""Load a data folder as an `ImageTable`, with every problem of the table in one list."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from animalclef.data.boxes import box_columns, parse_boxes
from animalclef.data.cell_checks import (
    control_problems,
    dataset_names,
    date_column,
    gallery_names,
    name_problems,
    species_names,
    two_names_problems,
    viewpoint_column,
)
from animalclef.data.columns import (
    NEW_INDIVIDUAL,
    cells_of,
    column_of,
    find_column,
    image_ids,
    parse_split,
    path_in_folder,
    read_columns,
    taken_columns,
)
from animalclef.data.dates import day_of
from animalclef.data.folders import IMAGE_SUFFIXES, photographs_in_folders
from animalclef.data.names import is_missing, one_spelling
from animalclef.data.segmentation_cells import mask_column
from animalclef.data.sources import Source, open_table, unlisted_photographs
from animalclef.data.table_file import Problem, Table, grouped, read_table
from animalclef.errors import DataError
from animalclef.runtime.wording import counted
from animalclef.structures import ImageTable
from animalclef.structures.arrays import text_array

__all__ = ["LoadedTable", "count_images", "load_table"]

logger = logging.getLogger(__name__)

_MOST_TOLD = 450  # characters of the problems in one message
_CLUSTERING_DATASET = "TexasHornedLizards"  # AnimalCLEF 2026 has it and no other competition does


@dataclass(frozen=True, eq=False)
class LoadedTable:
    """A table that can be worked on, what was odd about it, and the ids of the sample submission in its order."""

    source: Source
    images: ImageTable
    problems: list[Problem]
    sample_id: list[str] | None
    is_clustering: bool
    merged: Sequence[tuple[str, str]] = ()  # (a name as the table spells it, the spelling that is used)
    names_datasets: bool = True  # False: the one data set is called after the folder
    unused: Sequence[str] = ()  # columns of the table about nothing that is known

    @property
    def submission_id(self) -> list[str]:
        """Every query once: in the sample's order where there is a sample that names the queries."""
        queries = list(self.images.queries.image_id)
        if self.sample_id is None:
            return queries
        known = set(queries)
        return list(dict.fromkeys([*(one for one in self.sample_id if one in known), *queries]))

    def with_extra(self) -> ImageTable:
        """Return the photographs with the cells of the columns about nothing that is known, such as a site."""
        if not self.unused:
            return self.images
        table = open_table(self.source)
        extra = {}
        for image_id, row in zip(image_ids(table), table.rows, strict=True):
            filled = {name: row[name] for name in self.unused if row.get(name)}
            extra[image_id] = json.dumps(filled, ensure_ascii=False) if filled else ""
        return self.images.with_columns(extra=text_array([extra.get(one, "") for one in self.images.image_id]))


def load_table(source: Source) -> LoadedTable:
    """Read the table of a data folder, or build one from a tree with a folder per individual.

    A query's identity is dropped here, where the file is read, so nothing later can see it.

    Raises:
        DataError: one message with all problems that make the table unusable.
    """
    names_datasets, unused = False, list[str]()
    if source.table is None:
        images, merged, problems = _from_folders(source)
    else:
        table = open_table(source)
        images, merged, problems = _from_table(source, table)
        names_datasets = any(any(cells_of(table, column)) for column in ("dataset", "species"))
        read = read_columns(table) | box_columns(table)
        unused = [column for column in table.columns if column and column not in read]
    sample_id, sample_columns, sample_problems = _read_sample(source, images)
    problems = [*source.problems, *problems, *unlisted_photographs(source, images.path), *sample_problems]
    _refuse(problems)
    if not len(images):
        raise DataError(_nothing_there(source))
    is_clustering = "cluster" in sample_columns or _CLUSTERING_DATASET in images.datasets
    return LoadedTable(source, images, problems, sample_id, is_clustering, merged, names_datasets, unused)


def count_images(loaded: LoadedTable) -> dict[str, Any]:
    """Photographs, individuals, singletons, dates and viewpoints per data set and split."""
    images = loaded.images
    datasets = {}
    for name in images.datasets:
        mine = images.select(images.dataset == name)
        per_individual = Counter(mine.gallery.identity)
        datasets[name] = {
            "gallery": len(mine) - len(mine.queries),
            "queries": len(mine.queries),
            "individuals": len(per_individual),
            "singletons": sum(count == 1 for count in per_individual.values()),
            "dated": sum(day_of(date) is not None for date in mine.date),
            "viewpoints": dict(sorted(Counter(mine.viewpoint).items())),
        }
    return {
        "task": "clustering" if loaded.is_clustering else "identification",
        "photographs": len(images),
        "datasets": datasets,
        "unused_columns": list(loaded.unused),
        "warnings": [str(problem) for problem in loaded.problems],
    }


def _nothing_there(source: Source) -> str:
    if source.table is not None:
        return f"{source.table}: the table has a header but no rows."
    return f"{source.root}: no photographs in a folder per individual; expected NAME/photo.jpg, and queries in query/."


def _refuse(problems: list[Problem]) -> None:
    """Raise a DataError of the fatal problems: a sentence for each, as many as fit into 450 characters."""
    fatal = [problem for problem in problems if problem.fatal]
    if not fatal:
        return
    if len(fatal) == 1:
        raise DataError(str(fatal[0]))
    lines = [f"The table has {len(fatal)} problems:"]
    for number, problem in enumerate(fatal):
        line = f"  {problem}"
        if sum(map(len, lines)) + len(line) > _MOST_TOLD and number:
            lines.append(f"  and {len(fatal) - number} more")
            break
        lines.append(line)
    raise DataError("\n".join(lines))


def _from_table(source: Source, table: Table) -> tuple[ImageTable, list[tuple[str, str]], list[Problem]]:
    root = source.root
    problems = [*table.problems, *taken_columns(table)]
    missing = [column for column in ("path", "identity") if column_of(table, column) is None]
    problems += [_missing_column(table, column) for column in missing]
    if missing:
        _refuse(problems)
    image_id = image_ids(table)
    identity = cells_of(table, "identity")
    is_query, split_problems = _splits(table, identity)
    path, path_problems = _paths(table, root)
    problems += split_problems + path_problems + control_problems(table) + _duplicate_ids(table, image_id)
    _refuse(problems)
    boxes, box_problems = parse_boxes(table, root, path)
    mask, mask_problems = mask_column(table, root)
    default = root.resolve().name or "photographs"
    dataset, dataset_problems = dataset_names(table, default, is_query, merge=source.merge_case)
    spelled, name_problems = gallery_names(table, identity, is_query, dataset, merge=source.merge_case)
    names = [who or None for who in spelled.names]
    date, date_problems = date_column(table, source.date_order)
    viewpoint, viewpoint_problems = viewpoint_column(table)
    species, species_problems = species_names(table, merge=source.merge_case)
    problems += box_problems + mask_problems + name_problems + two_names_problems(table, path, boxes, names)
    problems += date_problems + viewpoint_problems + dataset_problems + species_problems
    _refuse(problems)
    images = ImageTable.of_lists(
        root, is_query, boxes, mask, image_id=image_id, path=path, dataset=dataset, identity=names, date=date,
        viewpoint=viewpoint, species=species, encounter=cells_of(table, "encounter"),
    )  # fmt: skip
    return images, spelled.merged, problems


def _missing_column(table: Table, column: str) -> Problem:
    have = ", ".join(table.columns)
    hint = ""
    if column in ("path", "identity"):
        hint = f" Name it with --columns {column}=COLUMN (in Python: columns={{'{column}': 'COLUMN'}})."
    hint += " For photographs without names add it and leave it empty." if column == "identity" else ""
    hint += " If that line is a comment, remove it." if have.startswith("#") else ""
    return Problem(table.path.name, 1, f"the column {column} is missing; there are {have}.{hint}")


def _splits(table: Table, identity: list[str]) -> tuple[list[bool], list[Problem]]:
    cells = find_column(table, "split")
    if cells is None:
        return [not who for who in identity], []
    splits = [parse_split(cell) for cell in cells]
    strange = [line for line, split in zip(table.lines, splits, strict=True) if split is None]
    problems = grouped(table.path.name, "split: expected database/query or train/test", strange, fatal=True)
    return [bool(split) for split in splits], problems


def _paths(table: Table, root: Path) -> tuple[list[str], list[Problem]]:
    name = table.path.name
    paths, empty, outside, unknown = [], [], [], []
    for cell, line in zip(cells_of(table, "path"), table.lines, strict=True):
        path = path_in_folder(cell, root)
        if not cell:
            empty.append(line)
        elif path is None:
            outside.append(line)
        elif PurePosixPath(path).suffix.lower() not in IMAGE_SUFFIXES:
            unknown.append(line)
        paths.append(path or "")
    return paths, [
        *grouped(name, "path: empty", empty, fatal=True),
        *grouped(name, "path: leaves the data folder; expected a path relative to the table", outside, fatal=True),
        *grouped(name, "path: not an image file by its ending; it is tried all the same", unknown),
    ]


def _duplicate_ids(table: Table, image_id: list[str]) -> list[Problem]:
    lines: dict[str, list[int]] = defaultdict(list)
    for value, line in zip(image_id, table.lines, strict=True):
        lines[value].append(line)
    empty = lines.pop("", [])
    return grouped(table.path.name, "image_id: empty", empty, fatal=True) + [
        Problem(table.path.name, where[1], f"image_id {value} stands already on line {where[0]}; ids must be unique.")
        for value, where in lines.items()
        if len(where) > 1
    ]


def _read_sample(source: Source, images: ImageTable) -> tuple[list[str] | None, tuple[str, ...], list[Problem]]:
    if source.sample is None:
        return None, (), []
    sample = read_table(source.sample)
    if "image_id" not in sample.columns:
        return None, sample.columns, [_missing_column(sample, "image_id")]
    ids = sample.column("image_id")
    absent = sorted(set(ids) - set(images.queries.image_id))
    extra = sorted(set(images.queries.image_id) - set(ids))
    twice = sorted(one for one, count in Counter(ids).items() if count > 1)
    problems = []
    kinds = (
        (absent, "ids that are no query of the table", ""),
        (extra, "queries of the table without a row here", "; they are answered all the same"),
        (twice, "ids with more than one row here", "; each is answered once"),
    )
    for strays, what, then in kinds:
        if strays:
            message = f"{what}: {len(strays)} (first: {strays[0]}){then}."
            problems.append(Problem(source.sample.name, None, message, fatal=False))
    return ids, sample.columns, problems


def _from_folders(source: Source) -> tuple[ImageTable, list[tuple[str, str]], list[Problem]]:
    """Build the table of a tree with a folder per individual."""
    root = source.root
    rows, problems = photographs_in_folders(root)
    datasets = [root.resolve().name or "photographs"] * len(rows)
    names = one_spelling([row.individual or "" for row in rows], datasets, merge=source.merge_case)
    identity = [None if who == NEW_INDIVIDUAL or is_missing(who, name=True) else who for who in names.names]
    given = replace(names, names=[who or "" for who in identity])
    problems += name_problems(root.name, given, datasets, [None] * len(rows))
    unnamed = (row.individual for who, row in zip(identity, rows, strict=True) if who is None)
    nameless = [one for one in unnamed if one is not None]
    if nameless:
        where = counted(len(nameless), "photograph", "lies")
        sentence = f"{where} in a folder that is no individual's name (first: {nameless[0]}); no answer can name them."
        sentence += " Queries belong in query/."
        problems.append(Problem(root.name, None, sentence, fatal=False))
    path, is_query = [row.path for row in rows], [row.individual is None for row in rows]
    images = ImageTable.of_lists(root, is_query, image_id=path, path=path, dataset=datasets, identity=identity)
    return images, names.merged, problems
