"""Read files of other programs within bounds, and build tables of their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from animalclef.data.table_file import Problem, Table, read_bytes_of_table
from animalclef.errors import DataError
from animalclef.runtime.wording import counted

__all__ = ["is_box", "left_out", "number", "objects", "read_json", "rows_to_table", "text", "web_addresses"]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: the file is absent, too large, or holds something else.
    """
    content = read_bytes_of_table(path)
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise DataError(f"{path}: its JSON is nested too deeply.") from error
    except ValueError as error:
        raise DataError(f"{path}: not a readable JSON file ({str(error)[:100]}).") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected a JSON object, got {type(found).__name__}.")
    return found


def objects(content: dict[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    """Return the objects of a list; an empty list where there is none.

    Raises:
        DataError: it is no list of objects.
    """
    found = content.get(name) or []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DataError(f"{path}: {name}: expected a list of objects.")
    return found


def text(value: object) -> str:
    """Return a name or number as a cell; "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip() if not isinstance(value, int) or abs(value) < 10**18 else ""


def number(value: object) -> float | None:
    """Return a finite number, also of a text such as "0.5"; `None` for anything else."""
    if isinstance(value, str) and len(value) < 40:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e12 else None


def is_box(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is a list of four finite numbers."""
    return isinstance(value, list) and len(value) == 4 and all(number(side) is not None for side in value)


def left_out(path: Path, *kinds: tuple[int, str, str]) -> list[Problem]:
    """Return a warning for each kind (a count, its noun, what it is) that there is any of."""
    return [
        Problem(path.name, None, f"{counted(count, noun)} {what} left out.", fatal=False)
        for count, noun, what in kinds
        if count
    ]


def web_addresses(path: Path, rows: Sequence[Mapping[str, str]]) -> list[Problem]:
    """Return a warning of rows whose path is a web address."""
    count = sum(row["path"].lower().startswith(("http:", "https:")) for row in rows)
    sentence = f"web addresses as paths: {count}. Download these photographs, and write the paths of the files there."
    return [Problem(path.name, None, sentence, fatal=False)] if count else []


def rows_to_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, str]], problems: list[Problem]) -> Table:
    """Build a table; its lines count the rows from 1, because a JSON file has no lines of its own."""
    full = [{column: row.get(column, "") for column in columns} for row in rows]
    return Table(path, columns, full, list(range(1, len(rows) + 1)), problems)
