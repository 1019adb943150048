"""Where the table and the photographs are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from animalclef.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "KAGGLE_INPUT", "Source", "find_source"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif"})
KAGGLE_INPUT = Path("/kaggle/input")
_NOT_A_TABLE = frozenset({"sample_submission.csv", "submission.csv", "truth.csv"})


@dataclass(frozen=True)
class Source:
    """A data folder: its root and its table, or no table where folder names are the identities."""

    root: Path
    table: Path | None

    @property
    def sample(self) -> Path | None:
        """The sample submission beside `metadata.csv` (or any table but one of several), whose order is followed."""
        path = self.root / "sample_submission.csv"
        if self.table is not None and self.table.name != "metadata.csv" and (self.root / "metadata.csv").is_file():
            return None
        return path if path.is_file() else None


def find_source(data: Path | None, kaggle: Path = KAGGLE_INPUT) -> Source:
    """The data set that `data` names: a table, a folder that holds one, or a tree with a folder per individual.

    Without `data`, the one competition folder mounted under `kaggle`.

    Raises:
        DataError: nothing usable is there, or more than one thing is.
    """
    if data is None:
        return _on_kaggle(kaggle)
    if data.is_file():
        return Source(data.parent, data)
    if not data.is_dir():
        kind = "file" if data.suffix.lower() == ".csv" else "folder"
        raise DataError(f"{data}: no such {kind}. Give --data the folder that holds metadata.csv.")
    table = _table_in(data)
    if table is not None:
        return Source(data, table)
    below = _tables_below(data)
    if len(below) == 1:
        return Source(below[0].parent, below[0])
    if len(below) > 1:
        raise DataError(f"{data}: {len(below)} data sets are below it ({_names(below)}). Give --data one of them.")
    if _holds_images(data):
        return Source(data, None)
    raise DataError(f"{data}: neither a table (metadata.csv) nor a folder of photographs per individual is there.")


def _on_kaggle(kaggle: Path) -> Source:
    found = _tables_below(kaggle) if kaggle.is_dir() else []
    competition = [path for path in found if "animal-clef" in path.parent.name] or found
    if not competition:
        raise DataError("No data: give --data the folder that holds metadata.csv and the photographs.")
    if len(competition) > 1:
        raise DataError(f"{len(competition)} data sets are mounted ({_names(competition)}). Give --data one of them.")
    return Source(competition[0].parent, competition[0])


def _table_in(folder: Path) -> Path | None:
    if (folder / "metadata.csv").is_file():
        return folder / "metadata.csv"
    tables = [path for path in sorted(folder.glob("*.csv")) if path.name not in _NOT_A_TABLE and not _is_answer(path)]
    if len(tables) > 1:
        raise DataError(f"{folder}: no metadata.csv, but {len(tables)} tables. Give --data the right file.")
    return tables[0] if tables else None


def _is_answer(path: Path) -> bool:
    """Whether a file is a submission of an earlier run."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline().strip() in ("image_id,identity", "image_id,cluster")
    except OSError:
        return False


def _tables_below(folder: Path) -> list[Path]:
    return [path for depth in ("*", "*/*", "*/*/*") for path in sorted(folder.glob(f"{depth}/metadata.csv"))]


def _holds_images(folder: Path) -> bool:
    return any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.rglob("*") if path.is_file())


def _names(tables: list[Path]) -> str:
    return ", ".join(str(path.parent) for path in tables[:5])
