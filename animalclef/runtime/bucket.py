"""A folder of a bucket, through fsspec: its files, and one sentence for whatever its library raises."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from animalclef.errors import ConfigError, DataError

__all__ = ["Bucket", "bucket_of"]

_CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run `gcloud auth application-default login`.",
}
_ROUNDS = 2  # of these attempts by s3fs: a store that hangs is told after less than three minutes
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of the disk here


class Bucket:
    """A folder of a bucket."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        retries = {"max_attempts": 3}  # a mapping of this bucket's own: botocore writes into it
        patience = {"connect_timeout": 10, "read_timeout": 20, "retries": retries}  # seconds
        options = {"config_kwargs": patience} if url[:2] == "s3" else {}
        with self.told():
            from fsspec.core import url_to_fs

            self.system, self.base = url_to_fs(self.url, use_listings_cache=False, **options)
            if url[:2] == "s3":
                self.system.retries = _ROUNDS

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what a store's library raises into one sentence.

        Raises:
            ConfigError: the library is not installed.
            DataError: no such bucket or folder, no credentials, or no answer.
        """
        try:
            yield
        except ImportError as error:
            advice = f"Run pip install 'animalclef[{self.url[:2]}]'."
            raise ConfigError(f"{self.url}: this kind of store cannot be read here. {advice}") from error
        except (DataError, ConfigError):
            raise
        except FileNotFoundError as error:
            raise DataError(f"{self.url}: no such bucket or folder, or it is empty.") from error
        except ValueError as error:
            variable = next((one for one in _ENDPOINTS if os.environ.get(one)), None)
            if variable is not None and "endpoint" in str(error).lower():
                given = os.environ[variable]
                raise ConfigError(
                    f"{self.url}: {variable}={given} is no address of a server. Begin it with http:// or https://."
                ) from error
            raise ConfigError(f"{self.url}: no address of a store ({_first_line(error)}).") from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL:  # the disk here
                raise
            if type(error).__name__ == "ProfileNotFound":
                raise ConfigError(
                    f"{self.url}: no such AWS profile ({os.environ.get('AWS_PROFILE') or 'the default'}). Correct "
                    "AWS_PROFILE, or add the profile to AWS's configuration."
                ) from error
            if _is_refused(error):
                advice = _CREDENTIALS[self.url[:2]]
                raise DataError(f"{self.url}: access is refused, or there are no credentials. {advice}") from error
            said = f"{type(error).__name__}: {_first_line(error)}"
            raise DataError(
                f"{self.url}: the store gives no answer ({said}). Check the network, and start again; what is here "
                "already is kept."
            ) from error

    def listed(self) -> dict[str, tuple[int, float]]:
        """Return the size and the time of every file below the folder, by its path there.

        Raises:
            DataError: there is none, or the store does not say sizes and times.
        """
        with self.told():
            found = self.system.find(self.base, detail=True)
            if not found:
                raise FileNotFoundError(self.base)
        base = self.base.rstrip("/") + "/"
        below = {path.removeprefix(base): self._state(one) for path, one in sorted(found.items())}
        return {path: one for path, one in below.items() if not path.startswith("/") and ".." not in path.split("/")}

    def read(self, path: str) -> tuple[bytes, float]:
        """Return the bytes and the time of one file; where it changes meanwhile, the time before.

        Raises:
            FileNotFoundError: it is not there.
        """
        whole = f"{self.base}/{path}"
        with self.told():
            try:
                _, written = self._state(self.system.info(whole))
                return self.system.cat_file(whole), written
            except FileNotFoundError:
                pass
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.url}/{path}")

    def get(self, path: str, file: Path) -> None:
        """Write one file of the folder to this machine, in parts; whatever its size."""
        with self.told():
            self.system.get_file(f"{self.base}/{path}", str(file))

    def put(self, path: str, file: Path) -> tuple[int, float]:
        """Write one file whole, whatever its size; return its size and its time there."""
        with self.told():
            self.system.put_file(str(file), f"{self.base}/{path}")
            return self._state(self.system.info(f"{self.base}/{path}"))

    def exists(self) -> bool:
        """Return whether the bucket itself is there, with or without the folder."""
        with self.told():
            return bool(self.system.exists(self.base.split("/")[0]))

    def remove(self, path: str) -> None:
        """Remove one file."""
        with self.told(), suppress(FileNotFoundError):
            self.system.rm_file(f"{self.base}/{path}")

    def _state(self, info: dict[str, Any]) -> tuple[int, float]:
        """Return the size of a file, and when it was written, in whole seconds."""
        size, written = info.get("size"), info.get("LastModified") or info.get("updated") or info.get("mtime")
        if size is None or written is None:
            raise DataError(
                f"{self.url}: the store does not say how large files are and when they were written, so a changed one "
                "would not be noticed. Copy the folder to this machine."
            )
        written = datetime.fromisoformat(written) if isinstance(written, str) else written
        return int(size), float(int(written.timestamp() if isinstance(written, datetime) else written))


@lru_cache(maxsize=16)
def bucket_of(url: str) -> Bucket:
    """Return the folder of a bucket; its connection is kept."""
    return Bucket(url)


def _is_refused(error: Exception) -> bool:
    """Return whether a store refused access; gcsfs has a code, or a plain OSError."""
    kind = f"{type(error).__module__}.{type(error).__name__}".lower()
    told = isinstance(error, PermissionError) or any(word in kind for word in ("credential", "auth"))
    return told or str(getattr(error, "code", "")) in ("401", "403") or str(error).startswith("Forbidden")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]
