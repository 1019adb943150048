"""The append-only pair log."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from animalclef.errors import OutputError, StaleArtefactError
from animalclef.store import pair_log
from animalclef.store.pair_log import PairLog

KEYS = [f"{number:016x}{0:016x}" for number in range(1, 20)]


def strings(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def open_log(path: Path, fingerprint: str = "f") -> PairLog:
    return PairLog(path, fingerprint, ["matches", "inliers"])


def frame(log: PairLog, number: int) -> None:
    """Three pairs of one image, scores (10 n, 10 n + 1)."""
    scores = np.array([[10 * number + place, place] for place in range(3)], dtype=np.float32)
    log.append([KEYS[0]] * 3, KEYS[3 * number + 1 : 3 * number + 4], scores)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = open_log(tmp_path / "deep" / "pairs.log")
    for number in range(3):
        frame(log, number)
    return log.path


def test_scores_survive_the_disk_and_serve_both_ways(path: Path) -> None:
    log = open_log(path)
    assert len(log) == 9
    assert (KEYS[0], KEYS[5]) in log
    assert (KEYS[5], KEYS[0]) in log
    assert (KEYS[1], KEYS[5]) not in log
    found = log.lookup(strings(KEYS[0], KEYS[5], KEYS[1]), strings(KEYS[5], KEYS[0], KEYS[5]))
    np.testing.assert_array_equal(found, [[11, 1], [11, 1], [np.nan, np.nan]])
    assert log.lookup(strings(), strings()).shape == (0, 2)


def test_partners_are_counted_among_the_given_photographs(path: Path) -> None:
    log = open_log(path)
    log.append([KEYS[4]], [KEYS[5]], np.zeros((1, 2), np.float32))
    assert log.partners(strings(*KEYS[:6]), strings(*KEYS[4:7])).tolist() == [3, 0, 0, 0, 1, 1]
    assert log.partners(strings(KEYS[12]), strings(*KEYS)).tolist() == [0]
    assert log.partners(strings(), strings(*KEYS)).tolist() == []
    empty = open_log(path.with_name("empty.log"))
    assert empty.partners(strings(KEYS[0]), strings(KEYS[1])).tolist() == [0]


def test_keys_with_the_highest_bit_set(tmp_path: Path) -> None:
    log = open_log(tmp_path / "pairs.log")
    log.append(["f" * 32], ["0" * 32], np.array([[3.5, 4.5]], np.float32))
    assert open_log(log.path).lookup(strings("0" * 32), strings("f" * 32)).tolist() == [[3.5, 4.5]]


def test_pairs_are_served_before_and_after_they_are_sorted_in(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_log, "_RECENT", 4)
    log = open_log(path)
    frame(log, 3)
    frame(log, 4)  # six recent pairs: sorted in
    frame(log, 5)
    others = strings(*KEYS[1:19])
    alone = strings(*[KEYS[0]] * 18)
    assert all((KEYS[0], one) in log for one in others)
    assert log.contains(others, alone).all()
    assert not log.contains(others[:-1], others[1:]).any()
    expected = [[10 * number + place, place] for number in range(6) for place in range(3)]
    assert log.lookup(alone, others).tolist() == expected
    assert len(log) == 18
    assert open_log(path).lookup(others, alone).tolist() == expected


def test_of_two_records_of_one_pair_the_last_counts(path: Path) -> None:
    first = path.read_bytes()
    log = open_log(path.with_name("other.log"))
    log.append([KEYS[1]], [KEYS[0]], np.array([[7, 8]], np.float32))
    header = len(first) - 3 * (12 + 3 * 24)
    with path.open("ab") as file:
        file.write(log.path.read_bytes()[header:])
    log = open_log(path)
    assert len(log) == 9
    assert log.lookup(strings(KEYS[0]), strings(KEYS[1])).tolist() == [[7, 8]]


def test_a_plan_is_known_again_by_its_pairs(path: Path) -> None:
    log = open_log(path)
    plan = strings(*[KEYS[0]] * 4), strings(*KEYS[8:12])
    assert log.earlier(*plan).tolist() == [True, True, False, False]
    [digest] = json.loads(path.with_suffix(".plans.json").read_text())
    lines = "\n".join(f"{KEYS[0]} {one}" for one in KEYS[8:12])
    assert digest == hashlib.sha256(lines.encode()).hexdigest()
    frame(log, 3)
    assert log.contains(*plan).tolist() == [True, True, True, True]
    assert log.earlier(*plan).tolist() == [True, True, False, False]


def test_a_repeated_pair_is_written_once(path: Path) -> None:
    log, size = open_log(path), path.stat().st_size
    frame(log, 1)
    log.append([KEYS[4]], [KEYS[0]], np.array([[99, 99]], np.float32))
    assert path.stat().st_size == size
    other = np.array([[1, 1], [2, 2]], np.float32)
    log.append([KEYS[11], KEYS[12]], [KEYS[12], KEYS[11]], other)  # one pair, twice in one frame
    assert len(open_log(path)) == 10
    assert open_log(path).lookup(strings(KEYS[12]), strings(KEYS[11])).tolist() == [[1, 1]]


@pytest.mark.parametrize("lost", [1, 7, 8, 12, 30])
def test_a_torn_tail_is_cut_and_the_log_goes_on(path: Path, lost: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    log = open_log(path)
    assert len(log) == 6
    frame(log, 2)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("rubbish", [b"\x00" * 5, b"\x00" * 40, b"\xff" * 64])
def test_rubbish_at_the_end_is_cut(path: Path, rubbish: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + rubbish)
    assert len(open_log(path)) == 9
    assert path.read_bytes() == whole


def test_no_flipped_byte_is_ever_served(path: Path) -> None:
    whole, header = path.read_bytes(), path.read_bytes().index(b"\n") + 1
    expected = {key: open_log(path).lookup(strings(KEYS[0]), strings(key)).tolist() for key in KEYS[1:10]}
    for at in range(header, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        log = open_log(path)
        assert len(log) == 6  # the frame with the flipped byte is gone, those before and after it are not
        for key in KEYS[1:10]:
            if (KEYS[0], key) in log:
                assert log.lookup(strings(KEYS[0]), strings(key)).tolist() == expected[key]


def test_frames_are_found_again_after_a_damaged_one(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole, header = path.read_bytes(), path.read_bytes().index(b"\n") + 1
    size = (len(whole) - header) // 3
    for frame_at, lost in ((header, (1, 4)), (header + size, (4, 7)), (header + size // 2, (1, 4))):
        path.write_bytes(whole[:frame_at] + b"\x00" * 9 + whole[frame_at + 9 :])
        log = open_log(path)
        assert [(KEYS[0], key) in log for key in KEYS[1:10]] == [not lost[0] <= at < lost[1] for at in range(1, 10)]
    assert "removed 84 damaged bytes" in caplog.text
    assert len(path.read_bytes()) == len(whole) - size  # and the file is whole again
    caplog.clear()
    log = open_log(path)
    assert caplog.text == ""
    frame(log, 0)
    assert len(open_log(path)) == 9


def test_a_mark_inside_a_frame_begins_none(tmp_path: Path) -> None:
    log = PairLog(tmp_path / "pairs.log", "f", ["a"])
    score = np.frombuffer(b"\xf7prs", np.float32)[:, None]
    for number in range(2):
        log.append([KEYS[0]] * 4, KEYS[4 * number + 1 : 4 * number + 5], np.repeat(score, 4, axis=0))
    whole = log.path.read_bytes()
    at = whole.index(b"\n") + 10
    log.path.write_bytes(whole[:at] + b"\x01" + whole[at + 1 :])
    again = PairLog(log.path, "f", ["a"])
    assert len(again) == 4
    assert again.lookup(strings(KEYS[0]), strings(KEYS[5])).tobytes() == b"\xf7prs"


def test_another_fingerprint_or_other_columns_are_refused(path: Path) -> None:
    with pytest.raises(StaleArtefactError, match=r"matched with other settings.*another run folder, or overwrite it"):
        open_log(path, "another")
    with pytest.raises(StaleArtefactError, match="matched with other settings"):
        PairLog(path, "f", ["matches"])
    assert len(open_log(path)) == 9  # and nothing was lost by trying


def test_an_empty_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "pairs.log").write_bytes(b"")
    log = open_log(tmp_path / "pairs.log")
    frame(log, 0)
    assert len(open_log(log.path)) == 3


def test_a_full_disk_keeps_every_whole_frame(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, whole = open_log(path), path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"pairs.log: the disk is full.*finished work is kept"):
            log.append([KEYS[11]], [KEYS[12]], np.ones((1, 2), np.float32))
    assert path.read_bytes() == whole
    assert (KEYS[11], KEYS[12]) not in log
    log.append([KEYS[11]], [KEYS[12]], np.ones((1, 2), np.float32))
    assert len(open_log(path)) == 10
