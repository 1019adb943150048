"""Find the table and the photographs of a data set, and open the table, whichever program wrote it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from animalclef.config.data import DateOrder
from animalclef.data.columns import column_of, with_columns
from animalclef.data.folders import IMAGE_SUFFIXES, holds_images, photographs_below, photographs_in_listing
from animalclef.data.formats.camtrap_dp import camtrap_table, is_camtrap
from animalclef.data.formats.coco import coco_table, is_coco
from animalclef.data.formats.json_file import read_json
from animalclef.data.formats.megadetector import is_megadetector, megadetector_table
from animalclef.data.formats.wildbook import is_wildbook, wildbook_table
from animalclef.data.table_file import Problem, Table, read_table
from animalclef.errors import DataError
from animalclef.runtime.atomic_files import csv_text
from animalclef.runtime.bucket_address import remote_url
from animalclef.runtime.output_guard import is_result
from animalclef.runtime.remote_files import Listing, is_table, open_copies, write_copy
from animalclef.runtime.wording import counted

__all__ = ["KAGGLE_INPUT", "Source", "find_source", "open_table", "unlisted_photographs"]

KAGGLE_INPUT = Path("/kaggle/input")
_EXPECTED = "a folder of photographs (database/ and query/), or the folder that holds metadata.csv"
_NOT_A_TABLE = frozenset({"sample_submission.csv", "submission.csv", "truth.csv", "answers.csv"})
_TABLES = ("metadata.csv", "metadata.xlsx", "metadata.tsv", "metadata.txt")
_SHEETS = frozenset({".csv", ".tsv", ".xlsx", ".xls", ".ods"})
_HEAD_BYTES = 200  # hold the header of a result
_LOOKED_AT = 20  # rows of a file that may be the table
_AnyPath = TypeVar("_AnyPath", bound=PurePath)
_DEEPEST = 3  # folders below the given one that may hold the table
_LISTING = ".photographs-in-folders.csv"  # of a bucket without a table


@dataclass(frozen=True)
class Source:
    """A data folder: its root and its table, or no table where folder names are the identities.

    `columns` names the table's columns by subject, where the user said so; `date_order` settles dates such as 5/1/2023.
    With `merge_case` names that differ by case or spaces alone are one individual. `problems` are what was found while
    the table was looked for.
    """

    root: Path
    table: Path | None
    columns: Mapping[str, str] = field(default_factory=dict, compare=False)
    date_order: DateOrder | None = field(default=None, compare=False)
    merge_case: bool = field(default=True, compare=False)
    problems: Sequence[Problem] = field(default=(), compare=False)
    is_beside: bool = field(default=False, compare=False)  # the table was found beside photographs, by its content
    listed: Listing | None = field(default=None, compare=False, repr=False)  # of a bucket: all files below the root

    @property
    def sample(self) -> Path | None:
        """The sample submission beside `metadata.csv` (or any table but one of several), whose order is followed."""
        path = self.root / "sample_submission.csv"
        if self.table is not None and self.table.name != "metadata.csv" and (self.root / "metadata.csv").is_file():
            return None
        return path if path.is_file() else None


def find_source(
    data: Path | None,
    kaggle: Path = KAGGLE_INPUT,
    *,
    columns: Mapping[str, str] | None = None,
    date_order: DateOrder | None = None,
    merge_case: bool = True,
    cache_gb: float = 20.0,
) -> Source:
    """Find the data set that `data` names: a table, a folder that holds one, or a tree with a folder per individual.

    Without `data`, the one competition folder mounted under `kaggle`. Of a bucket (s3://bucket/folder) at most
    `cache_gb` gigabytes of photographs are kept on this machine.

    Raises:
        DataError: nothing usable is there, or more than one thing is.
    """
    url = None if data is None else remote_url(data)
    found = _in_bucket(url, cache_gb) if url is not None else _on_kaggle(kaggle) if data is None else _at(data)
    if columns and (found.table is None or found.table.name == _LISTING):
        sentence = "a folder per individual, not a table: the columns that were named are not used."
        problems = [*found.problems, Problem(found.root.name, None, sentence, fatal=False)]
        found, columns = replace(found, problems=problems), None
    return replace(found, columns=dict(columns or {}), date_order=date_order, merge_case=merge_case)


def open_table(source: Source) -> Table:
    """Return the rows of a source's table as text, with the columns that the user named.

    CSV and .xlsx tables are read as they are. MegaDetector and COCO JSON files, Camtrap DP packages and Wildbook sheets
    become rows with the columns of this program.

    Raises:
        DataError: there is no table, or it cannot be read.
    """
    if source.table is None:
        raise DataError(f"{source.root}: a folder per individual has no table.")
    return with_columns(_any_table(source.table), source.columns)


def _any_table(path: Path) -> Table:
    if is_camtrap(path):
        return camtrap_table(path)
    if path.suffix.lower() == ".json":
        content = read_json(path)
        if is_megadetector(content):
            return megadetector_table(content, path)
        if is_coco(content):
            return coco_table(content, path)
        raise DataError(
            f"{path}: neither MegaDetector's JSON nor COCO; expected images with detections or annotations."
        )
    table = read_table(path)
    return wildbook_table(table) if is_wildbook(table) else table


def _at(data: Path) -> Source:
    if data.is_file():
        return Source(data.parent, data)
    if not data.is_dir():
        if data.exists():
            raise DataError(f"{data}: neither a file nor a folder. Give {_EXPECTED}.")
        kind = "file" if data.suffix.lower() in (".csv", ".tsv", ".xlsx", ".json") else "folder"
        raise DataError(f"{data}: no such {kind}. Give {_EXPECTED}.")
    table = _table_in(data)
    if table is not None:
        return Source(data, table, is_beside=table.name.lower() not in _TABLES)
    below = _tables_below(data)
    if len(below) == 1:
        return Source(below[0].parent, below[0])
    if below:
        raise DataError(_several(data, below))
    if holds_images(data):
        return Source(data, None, problems=_not_read(data))
    raise DataError(f"{data}: neither a table (metadata.csv) nor a folder of photographs per individual is there.")


def _in_bucket(url: str, cache_gb: float, listed: Listing | None = None) -> Source:
    """Find the table of a bucket's folder; without one, a table is written of its tree of folders."""
    name = url.rsplit("/", 1)[-1]
    root, listed = open_copies(url.removesuffix(f"/{name}") if is_table(name) else url, cache_gb, listed)
    if is_table(name):
        return replace(_at(root / name), listed=listed)
    table = _table_in(root)
    if table is not None:
        return Source(root, table, listed=listed)
    below = _one_each(one for one in map(PurePosixPath, listed) if len(one.parts) <= _DEEPEST + 1)
    if len(below) == 1:
        start = f"{below[0].parent}/"
        inside = {path.removeprefix(start): state for path, state in listed.items() if path.startswith(start)}
        return _in_bucket(f"{url}/{below[0].parent}", cache_gb, inside)
    if below:
        raise DataError(_several(url, below))
    photographs, problems = photographs_in_listing(list(listed), root.name)
    if not photographs:
        raise DataError(f"{url}: neither a table (metadata.csv) nor a folder of photographs per individual is there.")
    rows = [(one.path, one.individual or "", one.path, "query" if one.individual is None else "database", root.name)
            for one in photographs]  # fmt: skip
    write_copy(root / _LISTING, csv_text(("image_id", "identity", "path", "split", "dataset"), rows).encode(), 0.0)
    return Source(root, root / _LISTING, problems=problems, listed=listed)


def _on_kaggle(kaggle: Path) -> Source:
    found = _tables_below(kaggle) if kaggle.is_dir() else []
    competition = [path for path in found if "animal-clef" in path.parent.name] or found
    if not competition:
        raise DataError(f"No data: give {_EXPECTED}.")
    if len(competition) > 1:
        raise DataError(f"{len(competition)} data sets are mounted ({_names(competition)}). Give one of them.")
    return Source(competition[0].parent, competition[0])


def _table_in(folder: Path) -> Path | None:
    files = sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.name)
    called = {path.name.lower(): path for path in files} | {path.name: path for path in files}
    for name in _TABLES:
        if name in called:
            return called[name]
    if "media.csv" in called and "observations.csv" in called:
        return called["observations.csv"]  # a Camtrap DP package
    candidates = [path for path in files if path.suffix.lower() in (".csv", ".tsv", ".xlsx") and not _is_no_table(path)]
    has_notes = bool(candidates) and holds_images(folder)  # a sheet of notes may lie beside a folder per individual
    tables = [path for path in candidates if _names_photographs(path)] if has_notes else candidates
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables[:3])
        raise DataError(f"{folder}: no metadata.csv, but {len(tables)} tables ({names}). Give the right file.")
    return tables[0] if tables else None


def _names_photographs(path: Path) -> bool:
    """Return whether a file has a column of paths, by its name or by its cells; not one that is no table at all."""
    try:
        table = _any_table(path)
    except DataError:
        return False
    cells = (cell for row in table.rows[:_LOOKED_AT] for cell in row.values())
    return column_of(table, "path") is not None or any(PurePath(one).suffix.lower() in IMAGE_SUFFIXES for one in cells)


def _not_read(folder: Path) -> list[Problem]:
    """Return one warning that names the files beside a tree of photographs that may be meant as its table."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not _is_no_table(path))
    names = [path.name for path in files if path.suffix.lower() in _SHEETS
             or (path.suffix.lower() == ".json" and _names_photographs(path))]  # fmt: skip
    if not names:
        return []
    told = f"{', '.join(names[:3])}{' and others' * (len(names) > 3)}"
    sentence = f"ignored, as no table of the photographs: {told}. If one is the table, give that file as the data."
    return [Problem(folder.name, None, sentence, fatal=False)]


def unlisted_photographs(source: Source, listed: Iterable[str]) -> list[Problem]:
    """Return a warning where a table that was found beside photographs lacks some of the folders that it names."""
    if source.table is None or not source.is_beside:
        return []
    named = {PurePosixPath(one) for one in listed}
    homes = {one.parts[:-1][:1] for one in named}  # not those of masks
    there = {PurePosixPath(one.relative_to(source.root)) for one in photographs_below(source.root)}
    absent = sorted(one for one in there - named if one.parts[:-1][:1] in homes)
    if not absent:
        return []
    sentence = f"{counted(len(absent), 'photograph')} of the folder left out, as this table does not list them"
    sentence += f" (first: {absent[0]}). If it is not the table, move it out of the folder."
    return [Problem(source.table.name, None, sentence, fatal=False)]


def _is_no_table(path: Path) -> bool:
    """Return whether a file is a result of an earlier run, or hidden, or named as another kind of file."""
    if path.name in _NOT_A_TABLE or path.name.startswith((".", "~$")):
        return True
    try:
        with path.open("rb") as file:
            return is_result(file.read(_HEAD_BYTES))
    except OSError:
        return False


def _tables_below(folder: Path) -> list[Path]:
    capitals = "".join(f"[{one}{one.upper()}]" if one.isalpha() else one for one in _TABLES[0])
    depths = ("/".join("*" * depth) for depth in range(1, _DEEPEST + 1))
    return [path for depth in depths for path in _one_each(folder.glob(f"{depth}/{capitals}"))]


def _one_each(paths: Iterable[_AnyPath]) -> list[_AnyPath]:
    """Return the paths of tables called metadata.csv, in capitals or not; one of each folder, sorted."""
    tables = sorted(
        (path for path in paths if path.name.lower() == _TABLES[0]), key=lambda path: (path.parent, path.name)
    )
    return list({path.parent: path for path in tables}.values())  # small letters come last


def _several(data: Path | str, tables: Sequence[PurePath]) -> str:
    return f"{data}: {len(tables)} data sets are below it ({_names(tables)}). Give one of them."


def _names(tables: Sequence[PurePath]) -> str:
    return ", ".join(str(path.parent) for path in tables[:5])
