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
from animalclef.structures.arrays import BoolArray, Integers

__all__ = ["PairLog"]

logger = logging.getLogger(__name__)

_FRAME = struct.Struct("<4sII")  # mark, count of records, checksum of the count and the records
_MARK = b"\xf7prs"
_KEY = np.dtype("S16")  # two match keys' first 64 bits, the lower one first
_RECENT = 1 << 20  # pairs that are not sorted in yet, at most
_BLOCK = 1 << 16  # pairs whose keys are made at once


class PairLog:
    """Score columns per unordered pair of match keys; the scores of (a, b) and (b, a) are one record."""

    def __init__(self, path: Path, fingerprint: str, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = tuple(columns)
        self._record = np.dtype([("low", "<u8"), ("high", "<u8"), ("scores", "<f4", (len(columns),))])
        self._header = (json.dumps({"format": 2, "fingerprint": fingerprint, "columns": self.columns}) + "\n").encode()
        self._keys = np.zeros(0, _KEY)  # (n,) of the pairs, rising
        self._scores = np.zeros((0, len(columns)), np.float32)  # (n, columns)
        self._recent: dict[bytes, FloatArray] = {}  # scores by key of the last pairs, not yet among the others
        make_folder(path.parent)
        self._read()

    def __len__(self) -> int:
        return len(self._keys) + len(self._recent)

    def __contains__(self, pair: tuple[MatchKey, MatchKey]) -> bool:
        return self._holds(_key(*pair))

    def contains(self, first: StrArray, second: StrArray) -> BoolArray:
        """Return which of the given pairs are in the log, (n,)."""
        return self._rows(first, second) >= 0

    def partners(self, first: StrArray, second: StrArray) -> Integers:
        """Return with how many of the `second` photographs each of the `first` is in the log, (n,)."""
        self._settle()
        low, high = np.frombuffer(self._keys.tobytes(), dtype=">u8").reshape(-1, 2).T
        keys, others = (np.array([int(key[:16], 16) for key in part], dtype=np.uint64) for part in (first, second))
        found = np.concatenate([low[np.isin(high, others, kind="sort")], high[np.isin(low, others, kind="sort")]])
        held, counts = np.unique(found, return_counts=True)
        if not len(held):
            return np.zeros(len(keys), dtype=np.int64)
        rows = np.minimum(np.searchsorted(held, keys), len(held) - 1)
        return np.where(held[rows] == keys, counts[rows], 0)

    def append(self, first: Sequence[MatchKey], second: Sequence[MatchKey], scores: FloatArray) -> None:
        """Add one frame of pairs; `scores` is (n, columns). A repeated pair is written once.

        Raises:
            OutputError: the disk is full; the log keeps every whole frame.
        """
        fresh: dict[bytes, FloatArray] = {}
        for one, other, row in zip(first, second, scores, strict=True):
            key = _key(one, other)
            if not self._holds(key):
                fresh.setdefault(key, np.asarray(row, dtype=np.float32))
        if not fresh:
            return
        numbers = np.frombuffer(b"".join(fresh), dtype=">u8").reshape(-1, 2)
        records = np.empty(len(fresh), dtype=self._record)
        records["low"], records["high"], records["scores"] = numbers[:, 0], numbers[:, 1], list(fresh.values())
        body = records.tobytes()
        append_bytes(self.path, _FRAME.pack(_MARK, len(records), zlib.crc32(body, len(records))) + body)
        self._recent |= fresh
        if len(self._recent) >= _RECENT:
            self._settle()

    def earlier(self, first: StrArray, second: StrArray) -> BoolArray:
        """Return which pairs of a plan were in the log when the plan was first begun, now if it is new; (n,).

        A plan is begun again if one of these pairs has been lost since.

        Raises:
            OutputError: the file of plans cannot be read or written.
        """
        digest = _digest(first, second)
        begun = self._begun()
        present = self.contains(first, second)
        bits = begun.get(digest)
        before = None if bits is None else self._unpacked(bits, present)
        if before is None:
            before = present
            begun[digest] = np.packbits(present).tobytes()
            encoded = {name: base64.b64encode(held).decode() for name, held in begun.items()}
            write_text(self._plans, json.dumps(encoded, indent=1) + "\n")
        return before

    @property
    def _plans(self) -> Path:
        return self.path.with_suffix(".plans.json")

    def _unpacked(self, bits: bytes, present: BoolArray) -> BoolArray | None:
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
        rows = self._rows(first, second)
        found = np.full((len(rows), len(self.columns)), np.nan, dtype=np.float32)
        found[rows >= 0] = self._scores[rows[rows >= 0]]
        return found

    def _holds(self, key: bytes) -> bool:
        return key in self._recent or bool(self._sorted_rows(np.array([key], dtype=_KEY))[0] >= 0)

    def _rows(self, first: StrArray, second: StrArray) -> Integers:
        """Return where pairs stand in the log, -1 for one that does not."""
        self._settle()
        rows = np.full(len(first), -1)
        for start in range(0, len(first), _BLOCK):
            block = slice(start, start + _BLOCK)
            keys = map(_key, first[block], second[block])
            rows[block] = self._sorted_rows(np.frombuffer(b"".join(keys), dtype=_KEY))
        return rows

    def _sorted_rows(self, keys: NDArray[np.bytes_]) -> Integers:
        if not len(self._keys):
            return np.full(len(keys), -1)
        rows = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[rows] == keys, rows, -1)

    def _settle(self) -> None:
        """Sort the last pairs in among the others."""
        if self._recent:
            keys = np.frombuffer(b"".join(self._recent), dtype=_KEY)
            self._hold([self._keys, keys], [self._scores, np.array(list(self._recent.values()))])
            self._recent = {}

    def _hold(self, keys: Sequence[NDArray[np.bytes_]], scores: Sequence[FloatArray]) -> None:
        """Keep these parts as one sorted log; of two records of one pair the last counts."""
        joined = np.concatenate(keys)
        order = np.argsort(joined, kind="stable")
        joined = joined[order]
        last = np.append(joined[1:] != joined[:-1], True)
        self._keys, self._scores = joined[last], np.concatenate(scores)[order[last]]

    def _read(self) -> None:
        content = self.path.read_bytes() if self.path.exists() else b""
        if not content:
            write_bytes(self.path, self._header)
            return
        if not content.startswith(self._header):
            raise StaleArtefactError(
                f"{self.path}: matched with other settings than this run's. Use another run folder, or overwrite it "
                "(--overwrite; in Python overwrite=True)."
            )
        at = end = len(self._header)
        whole: list[tuple[int, int]] = [(0, end)]
        keys, scores = [self._keys], [self._scores]
        while at >= 0:
            frame = self._frame_at(content, at)
            if frame is None:
                at = content.find(_MARK, at + 1)
                continue
            records, after = frame
            keys.append(np.stack([records["low"], records["high"]], axis=1).astype(">u8").view(_KEY)[:, 0])
            scores.append(records["scores"])
            whole.append((at, after))
            end = at = after
        if len(keys) > 1:
            self._hold(keys, scores)
        kept = sum(after - start for start, after in whole)
        if kept < end:
            logger.warning(
                "%s: removed %d damaged bytes; the pairs in them are matched again.", self.path, len(content) - kept
            )
            write_bytes(self.path, b"".join(content[start:after] for start, after in whole))
        elif end < len(content):
            logger.warning("%s: removed %d bytes of an interrupted run.", self.path, len(content) - end)
            os.truncate(self.path, end)

    def _frame_at(self, content: bytes, start: int) -> tuple[NDArray[np.void], int] | None:
        body_start = start + _FRAME.size
        if body_start > len(content):
            return None
        mark, count, checksum = _FRAME.unpack(content[start:body_start])
        end = body_start + count * self._record.itemsize
        body = memoryview(content)[body_start:end]
        if mark != _MARK or count == 0 or end > len(content) or zlib.crc32(body, count) != checksum:
            return None
        return np.frombuffer(body, dtype=self._record), end


def _key(first: MatchKey, second: MatchKey) -> bytes:
    """Return the key of a pair, the same in both orders."""
    return bytes.fromhex("".join(sorted((first[:16], second[:16]))))


def _digest(first: StrArray, second: StrArray) -> str:
    """Return the digest of a plan: its pairs, in order."""
    digest = hashlib.sha256()
    separator = ""
    for pair in zip(first, second, strict=True):
        digest.update((separator + " ".join(pair)).encode())
        separator = "\n"
    return digest.hexdigest()
