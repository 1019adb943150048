"""Link the photographs of a catalogue's seasons, and reach those in a bucket from any machine."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from animalclef.errors import AnimalClefError, OutputError
from animalclef.runtime.atomic_files import make_folder, write_text
from animalclef.runtime.bucket_address import remote_url
from animalclef.runtime.digests import json_object
from animalclef.runtime.remote_files import copies_folder, marker_text, place_copies

__all__ = ["link_photographs", "reach_photographs", "season_folder"]

_LINKS, _BUCKET = "photographs", ".bucket.json"


def season_folder(folder: Path, season: int) -> Path:
    """Return the link to the photographs of a season in a catalogue's folder.

    >>> season_folder(Path("newts"), 2).as_posix()
    'newts/photographs/2'
    """
    return folder / _LINKS / str(season)


def link_photographs(folder: Path, season: int, root: Path) -> None:
    """Link the folder of a season's photographs; none is copied. The address of a bucket's is kept beside the link.

    Raises:
        OutputError: no link can be made.
    """
    link = season_folder(folder, season)
    make_folder(link.parent)
    marker = marker_text(root)
    try:
        _lead(link, root)
        if marker is None:
            link.with_name(f"{season}{_BUCKET}").unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{link}: cannot be linked to {root} ({error.strerror}).") from error
    if marker is not None:
        write_text(link.with_name(f"{season}{_BUCKET}"), json.dumps(json.loads(marker)) + "\n")


def reach_photographs(folder: Path) -> None:
    """Make the folder of copies on this machine for each season in a bucket whose link leads nowhere.

    A link that was led to another folder is left alone, and no bucket is asked.
    """
    for note in sorted((folder / _LINKS).glob(f"*{_BUCKET}")):
        link, kept = note.with_name(note.name.removesuffix(_BUCKET)), json_object(note)
        with suppress(AnimalClefError, OSError, TypeError, ValueError):
            url = remote_url(str(kept.get("url")))
            if url is None or (link.exists() and link.resolve() != copies_folder(url, "photographs").resolve()):
                continue
            copies = place_copies(url, float(kept["gigabytes"]))
            if not link.exists():
                _lead(link, copies)


def _lead(link: Path, root: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(root.resolve())
