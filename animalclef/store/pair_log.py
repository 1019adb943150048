"""The append-only log of matched pairs.

A file has a header line (JSON: the fingerprint of features and matcher, and the score columns) and then frames: a mark,
a count, a checksum and the records. Opening it reads the complete frames and removes incomplete or damaged ones; the
pairs in these are matched again.

`NAME.plans.json` beside it stores, one bit per pair, which pairs of each plan were in the log when the plan was first
begun. These are not part of its batches, so that an interrupted plan is resumed with the same batches.
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
from animalclef.runtime.atomic_files import append_bytes, make_folder, write_bytes, write_text
from animalclef.structures import FloatArray, MatchKey, StrArray

__all__ = ["PairLog"]

logger = logging.getLogger(__name__)

_FRAME = struct.Struct("<4sII")  # mark, count of records, checksum of the count and the records
_MARK = b"\xf7prs"


class PairLog:
    """Score columns per unordered pair of match keys; the scores of (a, b) and (b, a) are one record."""

    def __init__(self, path: Path, fingerprint: str, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)
        self._record = np.dtype([("low", "<u8"), ("high", "<u8"), ("scores", "<f4", (len(columns),))])
        self._header = (json.dumps({"format": 2, "fingerprint": fingerprint, "columns": self.columns}) + "\n").encode()
        self._row: dict[int, int] = {}  # of a pair, whose two numbers make one of 128 bits
        self._scores = [np.zeros((0, len(columns)), np.float32)]  # in parts, of the rows in their order
        self._rows = 0
        make_folder(path.parent)
        self._read()

    def __len__(self) -> int:
        return len(self._row)

    def __contains__(self, pair: tuple[MatchKey, MatchKey]) -> bool:
        return _joined(*_pair(*pair)) in self._row

    def append(self, first: Sequence[MatchKey], second: Sequence[MatchKey], scores: FloatArray) -> None:
        """Add one frame of pairs; `scores` is (n, columns). A repeated pair is written once.

        Raises:
            OutputError: the disk is full; the log keeps every whole frame.
        """
        fresh: dict[tuple[int, int], FloatArray] = {}
        for a, b, row in zip(first, second, scores, strict=True):
            pair = _pair(a, b)
            if _joined(*pair) not in self._row:
                fresh.setdefault(pair, np.asarray(row, dtype=np.float32))
        if not fresh:
            return
        records = np.array([(low, high, row) for (low, high), row in fresh.items()], dtype=self._record)
        body = records.tobytes()
        append_bytes(self.path, _FRAME.pack(_MARK, len(records), _checksum(len(records), body)) + body)
        self._hold(records)

    def earlier(self, plan: Sequence[tuple[MatchKey, MatchKey]]) -> set[tuple[MatchKey, MatchKey]]:
        """Return the pairs of a plan that were in the log when the plan was first begun, now if it is new.

        A plan is begun again if one of these pairs has been lost since.

        Raises:
            OutputError: the file of plans cannot be read or written.
        """
        digest = hashlib.sha256("\n".join(map(" ".join, plan)).encode()).hexdigest()
        begun = self._begun()
        present = np.array([pair in self for pair in plan], dtype=bool)
        bits = begun.get(digest)
        before = None if bits is None else self._unpacked(bits, present)
        if before is None:
            before = present
            begun[digest] = np.packbits(present).tobytes()
            encoded = {name: base64.b64encode(held).decode() for name, held in begun.items()}
            write_text(self._plans, json.dumps(encoded, indent=1) + "\n")
        return {pair for pair, was in zip(plan, before, strict=True) if was}

    @property
    def _plans(self) -> Path:
        return self.path.with_suffix(".plans.json")

    def _unpacked(self, bits: bytes, present: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Return which pairs were in the log when a plan was begun; `None` if the bits do not fit those there now."""
        packed = np.frombuffer(bits, dtype=np.uint8)
        if len(packed) != (len(present) + 7) // 8:
            logger.warning("%s: a plan of other pairs; it starts with the pairs in the log.", self._plans)
            return None
        before = np.unpackbits(packed, count=len(present)).astype(bool)
        if (before & ~present).any():
            logger.warning("%s: pairs that a plan started with are lost; it starts again.", self._plans)
            return None
        return before

    def _begun(self) -> dict[str, bytes]:
        try:
            encoded = json.loads(self._plans.read_bytes())
            return {plan: base64.b64decode(bits, validate=True) for plan, bits in encoded.items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise OutputError(
                f"{self._plans}: cannot be read ({error.strerror}). Fix it, or remove it: plans then start with "
                "the pairs in the log."
            ) from error
        except (ValueError, TypeError, AttributeError, RecursionError):
            logger.warning("%s: damaged; plans start with the pairs in the log.", self._plans)
            return {}

    def lookup(self, first: StrArray, second: StrArray) -> FloatArray:
        """Return the scores of the given pairs, (n, columns); NaN for a pair that was never matched."""
        if len(self._scores) > 1:
            self._scores = [np.concatenate(self._scores)]
        pairs = map(_pair, first, second)
        rows = np.fromiter((self._row.get(_joined(*pair), -1) for pair in pairs), np.int64, len(first))
        found = np.full((len(rows), len(self.columns)), np.nan, dtype=np.float32)
        found[rows >= 0] = self._scores[0][rows[rows >= 0]]
        return found

    def _hold(self, records: NDArray[np.void]) -> None:
        """Add records to what is in memory; of two of one pair the last counts."""
        pairs = map(_joined, records["low"].tolist(), records["high"].tolist())
        self._row.update(zip(pairs, range(self._rows, self._rows + len(records)), strict=True))
        self._rows += len(records)
        self._scores.append(records["scores"].copy())

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
            self._hold(records)
            whole.append(content[at:after])
            end = at = after
        self._repair(whole, end, len(content))

    def _repair(self, whole: list[bytes], end: int, size: int) -> None:
        """Leave only the complete frames in the file; the last of them ends at `end`."""
        kept = sum(map(len, whole))
        if kept < end:
            logger.warning("%s: removed %d damaged bytes; the pairs in them are matched again.", self.path, size - kept)
            write_bytes(self.path, b"".join(whole))
        elif end < size:
            logger.warning("%s: removed %d bytes of an interrupted run.", self.path, size - end)
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


def _joined(low: int, high: int) -> int:
    """Return a pair as one number: half the memory of a tuple of two."""
    return low << 64 | high


def _checksum(count: int, body: bytes) -> int:
    return zlib.crc32(body, count)


def _pair(first: MatchKey, second: MatchKey) -> tuple[int, int]:
    a, b = int(first[:16], 16), int(second[:16], 16)
    return (a, b) if a < b else (b, a)
