"""Arrays per image on disk: round trips, and what damage does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from animalclef.errors import OutputError
from animalclef.store import shard_store
from animalclef.store.shard_store import ShardStore


def entry(number: int) -> dict[str, np.ndarray]:
    points = np.arange(number * 2, dtype=np.float32).reshape(number, 2)
    return {"points": points, "bytes": np.full((2, 3), number, np.uint8), "half": np.ones(4, np.float16)}


def assert_same(store: ShardStore, key: str, number: int) -> None:
    found = store.get(key)
    assert sorted(found) == ["bytes", "half", "points"]
    for name, array in entry(number).items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards: aa, bb, cc (with 0, 1 and 2 points), and dd."""
    store = ShardStore(tmp_path / "kind")
    store.put({key: entry(number) for number, key in enumerate(("aa", "bb", "cc"))})
    store.put({"dd": entry(7)})
    return store.folder


def shard_with(folder: Path, size: int) -> Path:
    return next(path for path in folder.iterdir() if path.stem.endswith(f"-{size}"))


def test_entries_survive_the_disk(folder: Path) -> None:
    store = ShardStore(folder)
    assert len(store) == 4
    assert "aa" in store
    for number, key in ((0, "aa"), (1, "bb"), (2, "cc"), (7, "dd")):
        assert_same(store, key, number)
    assert store.missing(["ee", "aa", "ee", "ff"]) == ["ee", "ff"]
    assert store.verify(["ee", "aa", "dd"]) == ["ee"]
    with pytest.raises(KeyError):
        store.get("ee")


def test_few_files_are_open_at_once_and_all_entries_can_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_store, "_MOST_OPEN", 1)
    store = ShardStore(folder)
    for number, key in ((0, "aa"), (7, "dd"), (1, "bb"), (7, "dd")):
        assert_same(store, key, number)
        assert len(store._open) == 1


def test_a_store_opened_again_opens_only_files_that_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ShardStore(folder)
    opened = []
    real = shard_store.safe_open
    monkeypatch.setattr(shard_store, "safe_open", lambda path, **how: opened.append(path) or real(path, **how))
    assert len(ShardStore(folder)) == 4
    assert opened == []
    changed = shard_with(folder, 3)
    other = ShardStore(folder.parent / "other")
    other.put({"ee": entry(3)})
    changed.write_bytes(shard_with(other.folder, 1).read_bytes())
    again = ShardStore(folder)
    assert ("aa" in again, "dd" in again, "ee" in again) == (False, True, True)
    assert_same(again, "ee", 3)


def test_a_file_of_another_process_is_included_and_one_on_another_disk_is_refused(folder: Path) -> None:
    store, elsewhere = ShardStore(folder), pickle_and_back(ShardStore(folder))
    assert elsewhere.folder == folder.absolute()
    path = elsewhere.put({"ee": entry(3)})
    assert "ee" not in store
    store.include(path)
    store.include(path)
    store.include(None)
    assert_same(store, "ee", 3)
    with pytest.raises(OutputError, match="another node wrote this file, but it is not here"):
        store.include(folder / "nowhere-1.safetensors")


def pickle_and_back(store: ShardStore) -> ShardStore:
    """Send a store to another process, as an engine does."""
    opened, arguments = store.__reduce__()
    return opened(*arguments)


def test_nothing_to_put_writes_nothing(tmp_path: Path) -> None:
    ShardStore(tmp_path / "kind").put({})
    assert not (tmp_path / "kind").exists()


def test_a_truncated_file_counts_as_absent(folder: Path) -> None:
    path = shard_with(folder, 3)
    path.write_bytes(path.read_bytes()[:-1])
    store = ShardStore(folder)
    assert store.missing(["aa", "bb", "cc", "dd"]) == ["aa", "bb", "cc"]
    path.write_bytes(b"")
    assert len(ShardStore(folder)) == 1


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(bytes(content))


def test_one_flipped_byte_costs_one_entry_which_is_made_again_once(folder: Path) -> None:
    flip(shard_with(folder, 3), -1)
    store = ShardStore(folder)
    bad = store.verify(["aa", "bb", "cc", "dd"])
    assert len(bad) == 1
    number = ["aa", "bb", "cc"].index(bad[0])
    assert bad[0] not in store
    store.put({bad[0]: entry(number)})
    for fresh in (store, ShardStore(folder)):
        assert fresh.verify(["aa", "bb", "cc", "dd"]) == []
        assert_same(fresh, bad[0], number)


@pytest.mark.parametrize("damaged", ["aa", "bb", "cc"])
def test_a_rebuilt_entry_wins_whichever_file_is_read_first(damaged: str, tmp_path: Path) -> None:
    """The names of shards say nothing about their age: try the damaged one before and after the good one."""
    number = ["aa", "bb", "cc"].index(damaged)
    good, bad = tmp_path / "good.safetensors", ShardStore(tmp_path / "bad")
    ShardStore(tmp_path / "one").put({damaged: entry(number)})
    next((tmp_path / "one").iterdir()).rename(good)
    bad.put({damaged: entry(number)})
    flip(next(bad.folder.iterdir()), -1)
    for name in ("0", "zzz"):
        folder = tmp_path / f"both{name}"
        folder.mkdir()
        (folder / "m.safetensors").write_bytes(good.read_bytes())
        (folder / f"{name}.safetensors").write_bytes(next(bad.folder.iterdir()).read_bytes())
        store = ShardStore(folder)
        assert store.verify([damaged]) == []
        assert_same(store, damaged, number)


def test_no_flipped_bit_is_ever_served(tmp_path: Path) -> None:
    store = ShardStore(tmp_path / "kind")
    store.put({"aa": {"x": np.arange(6, dtype=np.float32)}, "bb": {"y": np.arange(3, dtype=np.uint8)}})
    path = next(store.folder.iterdir())
    good = path.read_bytes()
    expected = {"aa": {"x": np.arange(6, dtype=np.float32)}, "bb": {"y": np.arange(3, dtype=np.uint8)}}
    for at in range(len(good)):
        flip(path, at)
        damaged = ShardStore(store.folder)
        for key in damaged.missing([]) + [one for one in expected if not damaged.verify([one])]:
            found = damaged.get(key)
            assert sorted(found) == sorted(expected[key])
            for name, array in expected[key].items():
                np.testing.assert_array_equal(found[name], array)
                assert found[name].dtype == array.dtype
        path.write_bytes(good)


def test_two_writers_never_lose_each_others_entries(tmp_path: Path) -> None:
    one, other = ShardStore(tmp_path / "kind"), ShardStore(tmp_path / "kind")
    one.put({"aa": entry(1), "bb": entry(2)})
    other.put({"aa": entry(1), "cc": entry(3)})  # the same first key and the same number of entries
    both = ShardStore(tmp_path / "kind")
    for number, key in ((1, "aa"), (2, "bb"), (3, "cc")):
        assert_same(both, key, number)
    assert_same(one, "bb", 2)


def test_the_same_entries_twice_are_one_file(tmp_path: Path) -> None:
    store = ShardStore(tmp_path / "kind")
    for _ in range(2):
        store.put({"aa": entry(1), "bb": entry(2)})
    assert len(list(store.folder.iterdir())) == 1
    assert_same(store, "aa", 1)


def test_files_of_another_maker_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "kind"
    ShardStore(folder, "sift-1").put({"aa": entry(1), "bb": entry(2)})
    for other in ("sift-2", ""):
        store = ShardStore(folder, other)
        assert store.missing(["aa", "bb"]) == ["aa", "bb"]
        assert store.verify(["aa"]) == ["aa"]
    assert_same(ShardStore(folder, "sift-1"), "aa", 1)
