"""The append-only log of matched pairs.

A file is a header line (JSON: the fingerprint of features and matcher, and the score columns) and then frames: a mark,
a count, a checksum and the records. Opening it reads the whole frames, cuts off what a kill left behind, and takes out
what was damaged in the middle; the pairs that were lost are matched again.

Beside it, `NAME.plans.json` holds which pairs of each plan were there when it was first begun, a bit for each: what was
matched before a plan is no part of its batches, and after a kill, or damage to the log, the batches are the same again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from animalclef.errors import OutputError, StaleArtefactError
from animalclef.runtime.atomic_files import make_folder, output_error, write_bytes, write_text
from animalclef.structures import FloatArray, StrArray

__all__ = ["PairLog"]

logger = logging.getLogger(__name__)

_FRAME = struct.Struct("<4sII")  # mark, count of records, checksum of the count and the records
_MARK = b"\xf7prs"


class PairLog:
    """Score columns per unordered pair of content keys; scores of (a, b) and (b, a) are one record."""

    def __init__(self, path: Path, fingerprint: str, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)
        self._record = np.dtype([("low", "<u8"), ("high", "<u8"), ("scores", "<f4", (len(columns),))])
        self._header = (json.dumps({"format": 2, "fingerprint": fingerprint, "columns": self.columns}) + "\n").encode()
        self._scores: dict[tuple[int, int], FloatArray] = {}
        make_folder(path.parent)
        self._read()

    def __len__(self) -> int:
        return len(self._scores)

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return _pair(*pair) in self._scores

    def append(self, first: Sequence[str], second: Sequence[str], scores: FloatArray) -> None:
        """Add one frame of pairs; `scores` is (n, columns). A repeated pair is written once.

        Raises:
            OutputError: the disk is full; the log keeps every whole frame.
        """
        fresh: dict[tuple[int, int], FloatArray] = {}
        for a, b, row in zip(first, second, scores, strict=True):
            pair = _pair(a, b)
            if pair not in self._scores:
                fresh.setdefault(pair, np.asarray(row, dtype=np.float32))
        if not fresh:
            return
        records = np.array([(low, high, row) for (low, high), row in fresh.items()], dtype=self._record)
        self._write(records.tobytes(), len(records))
        self._scores.update(fresh)

    def earlier(self, plan: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Pairs of a plan that were here when it was first begun, which is now if it never was.

        A plan is begun anew where one of those pairs has been lost and was not matched again: all of these are here.

        Raises:
            OutputError: the beginning cannot be written down, or the file of beginnings cannot be read.
        """
        digest = hashlib.sha256("\n".join(map(" ".join, plan)).encode()).hexdigest()
        begun = self._begun()
        there = np.array([pair in self for pair in plan], dtype=bool)
        bits = begun.get(digest)
        before = there if bits is None else self._unpacked(bits, there)
        if bits is None or before is there:
            begun[digest] = np.packbits(there).tobytes()
            told = {name: base64.b64encode(held).decode() for name, held in begun.items()}
            write_text(self._plans, json.dumps(told, indent=1) + "\n")
        return {pair for pair, was in zip(plan, before, strict=True) if was}

    @property
    def _plans(self) -> Path:
        return self.path.with_suffix(".plans.json")

    def _unpacked(self, bits: bytes, there: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What was here at a plan's beginning; `there`, what is here now, where that cannot be held to."""
        packed = np.frombuffer(bits, dtype=np.uint8)
        if len(packed) != (len(there) + 7) // 8:
            logger.warning("%s: a plan of other pairs; it begins with what is in the log.", self._plans)
            return there
        before = np.unpackbits(packed, count=len(there)).astype(bool)
        if (before & ~there).any():
            logger.warning("%s: pairs that a plan began with are lost; it begins anew.", self._plans)
            return there
        return before

    def _begun(self) -> dict[str, bytes]:
        try:
            told = json.loads(self._plans.read_bytes())
            return {plan: base64.b64decode(bits, validate=True) for plan, bits in told.items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise OutputError(
                f"{self._plans}: cannot be read ({error.strerror}). Mend it, or remove it: plans then begin with "
                "what is in the log."
            ) from error
        except (ValueError, TypeError, AttributeError, RecursionError):
            logger.warning("%s: damaged; plans begin with what is in the log.", self._plans)
            return {}

    def lookup(self, first: StrArray, second: StrArray) -> FloatArray:
        """Scores of the given pairs, (n, columns); NaN where a pair was never matched."""
        nothing = np.full(len(self.columns), np.nan, dtype=np.float32)
        rows = [self._scores.get(_pair(a, b), nothing) for a, b in zip(first, second, strict=True)]
        return np.array(rows, dtype=np.float32).reshape(len(rows), len(self.columns))

    def _write(self, body: bytes, count: int) -> None:
        frame = _FRAME.pack(_MARK, count, _checksum(count, body)) + body
        size = self.path.stat().st_size
        try:
            with self.path.open("ab") as file:
                file.write(frame)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            os.truncate(self.path, size)
            raise output_error(self.path, error) from error

    def _read(self) -> None:
        content = self.path.read_bytes() if self.path.exists() else b""
        if not content:
            write_bytes(self.path, self._header)
            return
        if not content.startswith(self._header):
            raise StaleArtefactError(
                f"{self.path}: matched with other settings than this run's. Use another --run, or --overwrite."
            )
        whole, end, at = [self._header], len(self._header), len(self._header)
        while at >= 0:
            frame = self._frame_at(content, at)
            if frame is None:
                at = content.find(_MARK, at + 1)
                continue
            records, after = frame
            pairs = zip(records["low"].tolist(), records["high"].tolist(), strict=True)
            self._scores.update(zip(pairs, records["scores"], strict=True))
            whole.append(content[at:after])
            end = at = after
        self._mend(whole, end, len(content))

    def _mend(self, whole: list[bytes], end: int, size: int) -> None:
        """Leave only the whole frames in the file; the last of them ends at `end`."""
        kept = sum(map(len, whole))
        if kept < end:
            logger.warning(
                "%s: took out %d damaged bytes; the pairs they held are matched again.", self.path, size - kept
            )
            write_bytes(self.path, b"".join(whole))
        elif end < size:
            logger.warning("%s: cut %d bytes that an interrupted run left.", self.path, size - end)
            os.truncate(self.path, end)

    def _frame_at(self, content: bytes, start: int) -> tuple[NDArray[np.void], int] | None:
        body_start = start + _FRAME.size
        if body_start > len(content):
            return None
        mark, count, checksum = _FRAME.unpack(content[start:body_start])
        end = body_start + count * self._record.itemsize
        body = content[body_start:end]
        if mark != _MARK or count == 0 or end > len(content) or _checksum(count, body) != checksum:
            return None
        return np.frombuffer(body, dtype=self._record), end


def _checksum(count: int, body: bytes) -> int:
    return zlib.crc32(body, count)


def _pair(first: str, second: str) -> tuple[int, int]:
    a, b = int(first[:16], 16), int(second[:16], 16)
    return (a, b) if a < b else (b, a)
