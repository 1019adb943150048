"""Download published weights into the caches of huggingface_hub and torch hub, on the user's request."""

from __future__ import annotations

import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from animalclef.errors import WeightsError
from animalclef.hub.cache import caches, known_digest, locate, record_digest
from animalclef.hub.catalogue import WeightsEntry
from animalclef.runtime.atomic_files import make_folder
from animalclef.runtime.digests import file_digest
from animalclef.runtime.progress import Progress, Silent
from animalclef.runtime.wording import first_line

__all__ = ["NoDownloadError", "download", "pull"]

_ATTEMPTS = 4  # of one download, each going on where the one before was cut
_BLOCK = 1 << 20


class NoDownloadError(WeightsError):
    """Weights could not be downloaded, for a `reason` such as a machine without internet."""

    def __init__(self, sentence: str, reason: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def pull(entry: WeightsEntry, *, accept_terms: bool = False, progress: Progress | None = None) -> Path:
    """Return the file of the weights, downloaded if it is absent; its digest is checked or recorded.

    Raises:
        WeightsError: there is no network, the terms are not accepted, or other bytes came than expected.
    """
    found = locate(entry, None)
    if found is None and entry.terms is not None and not accept_terms:
        raise WeightsError(
            f"{entry.name}: its licence ({entry.licence}) has to be accepted first: read {entry.terms}, and where "
            f"you agree run `animalclef weights pull {entry.name} --accept-terms`."
        )
    if found is not None:
        path = found.path
    elif entry.repo is not None:
        path = _from_hub(entry)
    else:
        path = caches()[1] / (entry.aliases[-1] if entry.aliases else entry.file)
        download(entry.source, path, known_digest(entry), progress or Silent())
    digest, expected = file_digest(path), known_digest(entry)
    if expected is None:
        record_digest(entry.name, digest)
    elif digest != expected:
        raise WeightsError(
            f"{path}: its SHA-256 is {digest[:16]}..., expected {expected[:16]}...: damaged, or another file. "
            "Remove it and pull it again."
        )
    return path


def download(url: str, target: Path, expected: str | None, progress: Progress) -> None:
    """Fetch a file, or continue an interrupted download of it.

    `target` appears whole, and only with the SHA-256 `expected` where one is given.

    Raises:
        WeightsError: it cannot be fetched, or its bytes are not the expected ones.
    """
    make_folder(target.parent)
    part = target.with_name(f".{target.name}.part")
    reason = "the connection was cut"
    for _ in range(_ATTEMPTS):
        try:
            if _fetch(url, part, progress):
                break
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                part.unlink(missing_ok=True)
                raise WeightsError(f"{url}: the server answered {error.code} ({error.reason}).") from error
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
    else:
        raise _no_network(target.name, reason)
    if expected is not None and (digest := file_digest(part)) != expected:
        part.unlink()
        raise WeightsError(f"{url}: SHA-256 {digest[:16]}... came, expected {expected[:16]}...; nothing was kept.")
    part.replace(target)


def _fetch(url: str, part: Path, progress: Progress) -> bool:
    """Append the rest of the file to `part`; return whether it is complete."""
    there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()  # longer than the file that the server has
        return False
    with response, part.open("ab") as file:
        if there and response.status != http.HTTPStatus.PARTIAL_CONTENT:
            file.truncate(there := 0)
        length = response.headers.get("Content-Length")
        total = None if length is None else there + int(length)
        with progress.task(f"downloading {part.name[1:-5]}", total or 0, "bytes") as advance:
            advance(there)
            while block := response.read(_BLOCK):
                file.write(block)
                advance(len(block))
    return total is None or part.stat().st_size == total


def _from_hub(entry: WeightsEntry) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        with _quiet_hub():
            path = huggingface_hub.hf_hub_download(
                str(entry.repo), str(entry.path), revision=entry.revision, cache_dir=caches()[0]
            )
    except GatedRepoError as error:
        raise WeightsError(
            f"{entry.name}: {entry.source} asks for an account that has accepted its terms. Accept them there, then "
            "`hf auth login` and pull again."
        ) from error
    except LocalEntryNotFoundError as error:
        raise _no_network(entry.name, str(error.__cause__ or "no connection")) from error
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise _no_network(entry.name, first_line(error)) from error
    return Path(path)


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keep the retries of huggingface_hub off the console; what fails in the end is one sentence."""
    theirs = logging.getLogger("huggingface_hub")
    level = theirs.level
    theirs.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        theirs.setLevel(level)


def _no_network(name: str, reason: str) -> NoDownloadError:
    return NoDownloadError(
        f"{name}: could not be downloaded ({reason}). On a machine with internet, run `animalclef weights bundle NAME "
        "--to DIR`; copy DIR to this one, and give it with --weights.",
        reason,
    )
