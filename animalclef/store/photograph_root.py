"""Find the folder of a finished run's photographs: as given, in their bucket, in their catalogue, or as noted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from animalclef.data.sources import find_source
from animalclef.errors import ConfigError, DataError
from animalclef.runtime.bucket_address import remote_url
from animalclef.runtime.remote_files import place_copies
from animalclef.store.catalogue_places import is_catalogue
from animalclef.store.run_folder import RunFolder
from animalclef.store.season_links import reach_photographs

__all__ = ["photograph_root"]


def photograph_root(run: RunFolder, settings: Mapping[str, Any], gigabytes: float, data: Path | None = None) -> Path:
    """Return the folder that the paths of a run's photographs start at: `data`, where it is given.

    Of a run in a bucket's photographs it is the folder of their copies on this machine, at most `gigabytes`; each comes
    from the bucket when it is read. `settings` are the content of the run's `finished.json`.

    Raises:
        DataError: `data` is no folder of photographs.
    """
    if data is not None:
        return _given(data)
    url = _address(str(settings.get("address", "")))
    if url is not None:
        return place_copies(url, gigabytes)
    home = run.home.resolve()
    if home.name == "run" and is_catalogue(home.parent):
        reach_photographs(home.parent)
        return home.parent
    return Path(settings.get("root", "."))


def _given(data: Path) -> Path:
    try:
        return find_source(data).root
    except DataError:
        if not data.is_dir():
            raise
        return data


def _address(text: str) -> str | None:
    """Return the address of a bucket's folder; `None` for what is none."""
    try:
        return remote_url(text)
    except ConfigError:
        return None
