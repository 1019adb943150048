"""Tell the address of a bucket's folder from a path, and refuse it where only a disk will do."""

from __future__ import annotations

import re
from pathlib import Path

from animalclef.errors import ConfigError, OutputError

__all__ = ["refuse_address", "remote_url"]

_STORES = ("s3", "gs")
_EXPECTED = "s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"


def remote_url(path: Path | str) -> str | None:
    """Return the address of a bucket's folder that a path is; `Path` makes one slash of two.

    Raises:
        ConfigError: it is an address of another kind, or names no bucket.

    >>> remote_url(Path("S3://bucket/folder")), remote_url("data/photos")
    ('s3://bucket/folder', None)
    """
    kind, below = _parts(path)
    if not kind:
        return None
    if kind not in _STORES:
        raise ConfigError(f"{kind}://{below}: expected a folder, {_EXPECTED}.")
    if not below:
        raise ConfigError(f"{kind}://: no bucket is named. Give {_EXPECTED}.")
    return f"{kind}://{below}"


def refuse_address(path: Path | str, what: str = "results are written to a disk") -> None:
    """Check a path that only a disk can have.

    Raises:
        OutputError: it is an address, such as s3://bucket/file.

    >>> refuse_address(Path("gs://wild/rep.html"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    animalclef.errors.OutputError: gs://wild/rep.html: results are written to a disk. Give a path here, and copy ...
    """
    kind, below = _parts(path)
    if kind:
        raise OutputError(f"{kind}://{below}: {what}. Give a path here, and copy the file afterwards.")


def _parts(path: Path | str) -> tuple[str, str]:
    """Return the kind of an address (a store's in any case) and what follows; of a path nothing."""
    found = re.fullmatch(r"([A-Za-z][A-Za-z0-9]+):(?:/+(.*))?", str(path), re.DOTALL)
    if found is None:
        return "", ""
    kind, is_store = found[1], found[1].lower() in _STORES
    if is_store:
        return kind.lower(), found[2] or ""
    return (kind, found[2]) if kind.islower() and found[2] is not None else ("", "")
