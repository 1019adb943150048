"""Files are whole or absent, also on a full disk."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from animalclef.errors import OutputError
from animalclef.runtime import atomic_files as files
from animalclef.runtime.atomic_files import (
    append_bytes,
    check_writable,
    make_folder,
    remove_parts,
    write_bytes,
    write_text,
    write_with,
)


def test_content_arrives_whole_in_a_new_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "text.csv", "name\nZoë\r\n")
    assert (tmp_path / "a" / "b" / "text.csv").read_bytes() == "name\nZoë\r\n".encode()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["text.csv"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_keeps_the_old_file_and_leaves_no_part(number: int, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def half_write(temporary: Path) -> None:
        temporary.write_bytes(b"someth")
        raise OSError(number, "full")

    with pytest.raises(OutputError, match=r"file.bin: the disk is full.*same command again"):
        write_with(path, half_write)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["file.bin"]


def test_a_failing_flush_is_a_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(OutputError, match=r"cannot be written \(Input/output error\)"):
        write_bytes(tmp_path / "file.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_two_threads_and_long_names_have_parts_of_their_own(tmp_path: Path) -> None:
    path, seen, both = tmp_path / ("ö" * 127), [], threading.Barrier(2)

    def write(temporary: Path) -> None:
        seen.append(temporary.name)
        both.wait(10)  # until the other one writes as well
        temporary.write_text("whole")

    threads = [threading.Thread(target=write_with, args=(path, write)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "whole"
    assert len(set(seen)) == 2
    assert all(name.startswith(f".{'ö' * 40}.{socket.gethostname()[:20]}.{os.getpid()}.") for name in seen)
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_no_part(tmp_path: Path) -> None:
    def interrupted(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_with(tmp_path / "file.bin", interrupted)
    assert list(tmp_path.iterdir()) == []


class _OnceFull(io.FileIO):
    """A file on a disk that is full in the middle of the first write, and has room again afterwards."""

    was_full = False

    def write(self, content: Any) -> int:
        if self.was_full:
            return super().write(content)
        self.was_full = True
        super().write(bytes(content)[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("size", [10, 100_000])  # within the buffer of an open file, and beyond it
@pytest.mark.parametrize("at", [None, 4])
def test_an_append_to_a_full_disk_leaves_neither_a_part_nor_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, at: int | None
) -> None:
    path = tmp_path / "pairs.log"
    path.write_bytes(b"whole")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, mode: io.BufferedRandom(_OnceFull(self, mode.replace("b", ""))))
        with pytest.raises(OutputError, match=r"pairs.log: the disk is full.*finished work is kept"):
            append_bytes(path, b"x" * size, at)
    assert path.read_bytes() == b"whole"[:at]  # what is left of the buffer is not written behind the end
    append_bytes(path, b" again")
    assert path.read_bytes() == b"whole"[:at] + b" again"


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from animalclef.errors import OutputError
from animalclef.store.pair_log import PairLog
from animalclef.store.shard_store import ShardStore
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
store, log = ShardStore(folder / "shards"), PairLog(folder / "pairs.log", "f", ["score"])
store.put({"aa": {"x": np.zeros(100, np.float32)}})
keys = [f"{number:016x}{0:016x}" for number in range(2000)]
log.append(keys[:1] * 50, keys[1:51], np.ones((50, 1), np.float32))
for work in (lambda: store.put({"bb": {"x": np.zeros(10_000, np.float32)}}),
             lambda: log.append(keys[:1] * 1900, keys[60:1960], np.ones((1900, 1), np.float32))):
    try:
        work()
    except OutputError as error:
        print(error)
"""


def test_a_file_size_limit_is_told_and_earlier_work_is_kept(tmp_path: Path) -> None:
    from animalclef.store.pair_log import PairLog
    from animalclef.store.shard_store import ShardStore

    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the disk is full") == 2
    assert not list(tmp_path.rglob("*.part"))
    assert len(PairLog(tmp_path / "pairs.log", "f", ["score"])) == 50
    assert ShardStore(tmp_path / "shards").missing(["aa", "bb"]) == ["bb"]


def test_a_place_that_is_a_file_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"cannot create this folder"):
        make_folder(tmp_path / "file" / "below")
    with pytest.raises(OutputError, match=r"cannot create this folder"):
        check_writable(tmp_path / "file")


def test_a_folder_that_takes_no_files_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(OutputError, match=r"cannot be written \(Read-only file system\)"):
        check_writable(tmp_path)


def test_parts_of_killed_processes_are_removed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".shard.safetensors.123.part").write_text("half")
    (tmp_path / "deep" / "kept.part").write_text("not ours")
    remove_parts(tmp_path)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["kept.part"]


def test_a_file_name_that_is_not_utf_8_is_written_as_an_escape(tmp_path: Path) -> None:
    name = b"run \xff".decode(errors="surrogateescape")
    write_text(tmp_path / "a.json", json.dumps({"run": name}, ensure_ascii=False))
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"run": name}
