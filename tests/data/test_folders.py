"""A tree with a folder per individual, as it comes from other computers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from animalclef.data.sources import find_source
from animalclef.data.table import LoadedTable, load_table
from animalclef.errors import DataError
from animalclef.runtime.regular_files import read_regular


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def load(root: Path) -> LoadedTable:
    return load_table(find_source(root))


@pytest.mark.parametrize(
    ("gallery", "query"), [("train", "test"), ("Database", "Query"), ("database", "queries"), ("gallery", "query")]
)
def test_words_for_the_folders(tmp_path: Path, gallery: str, query: str) -> None:
    touch(tmp_path, f"{gallery}/Ada/1.jpg", f"{gallery}/Bea/deep/2.JPG", f"{query}/q.jpg", f"{query}/Ada/r.jpg")
    images = load(tmp_path).images
    assert sorted(who for who in images.identity if who) == ["Ada", "Bea"]
    assert sorted(images.queries.path) == sorted([f"{query}/q.jpg", f"{query}/Ada/r.jpg"])


def test_files_of_the_system_are_no_photographs(tmp_path: Path) -> None:
    touch(tmp_path, "Ada/1.jpg", "Ada/._1.jpg", "__MACOSX/Ada/._1.jpg", "Ada/@eaDir/1.jpg/T.jpg", ".Trashes/2.jpg")
    touch(tmp_path, "Ada/.ipynb_checkpoints/1-checkpoint.jpg")
    loaded = load(tmp_path)
    assert loaded.images.path.tolist() == ["Ada/1.jpg"]
    assert "5 files and folders of the operating system" in str(loaded.problems[0])


def test_linked_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    disk, root = tmp_path / "disk", tmp_path / "data"
    touch(disk, "Ada/1.jpg", "Bea/2.jpg")
    root.mkdir()
    for name in ("Ada", "Bea"):
        (root / name).symlink_to(disk / name)
    (disk / "Ada" / "up").symlink_to(root)
    (root / "Bea2.jpg").symlink_to(tmp_path / "nowhere.jpg")
    loaded = load(root)
    assert loaded.images.path.tolist() == ["Ada/1.jpg", "Bea/2.jpg"]
    assert "1 path that cannot be followed left out (first: Bea2.jpg)" in str(loaded.problems[0])


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "Ada/1.jpg", "Ada/2.NEF", "Ada/3.nef", "Ada/4.mp4", "loose.jpg", "Ada/5.heic", "unknown/6.jpg")
    os.mkfifo(tmp_path / "Ada" / "pipe.jpg")
    loaded = load(tmp_path)
    assert loaded.images.path.tolist() == ["Ada/1.jpg", "Ada/5.heic", "unknown/6.jpg"]
    assert loaded.images.identity.tolist() == ["Ada", "Ada", None]
    told = " ".join(str(one) for one in loaded.problems)
    assert "2 raw photographs left out (2 .nef)" in told
    assert "1 videos left out (1 .mp4)" in told
    assert "1 pipe or device file left out (first: Ada/pipe.jpg)" in told
    assert "1 photograph in no individual's folder left out (first: loose.jpg)" in told


def test_a_name_that_is_not_utf8_is_left_out_with_a_warning(tmp_path: Path) -> None:
    touch(tmp_path, "Ada/1.jpg")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/Ada/\xff.jpg")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    loaded = load(tmp_path)
    assert loaded.images.path.tolist() == ["Ada/1.jpg"]
    assert "1 name not in UTF-8" in str(loaded.problems[0])


@pytest.mark.parametrize(
    ("gallery", "query"),
    [
        ("images", "query"), ("data/train", "data/test"), ("train_set", "test_images"), ("known", "unknown"),
        ("Database photos", "0_query"),
    ],
)  # fmt: skip
def test_a_folder_that_holds_all_individuals_is_none(tmp_path: Path, gallery: str, query: str) -> None:
    touch(tmp_path, f"{gallery}/Ada/1.jpg", f"{gallery}/Bea/2023/2.jpg", f"{query}/q.jpg")
    images = load(tmp_path).images
    assert dict(zip(images.path, images.identity, strict=True)) == {
        f"{gallery}/Ada/1.jpg": "Ada", f"{gallery}/Bea/2023/2.jpg": "Bea", f"{query}/q.jpg": None,
    }  # fmt: skip
    assert images.queries.path.tolist() == [f"{query}/q.jpg"]


def test_folders_of_years_within_one_individual_are_no_individuals(tmp_path: Path) -> None:
    touch(tmp_path, "Ada/2022/1.jpg", "Ada/2023-05-01/2.jpg", "query/q.jpg")
    assert load(tmp_path).images.identity.tolist() == ["Ada", "Ada", None]


def test_a_folder_that_looks_like_no_name_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "Ada/1.jpg", "New folder/2.jpg", "unk/3.jpg")
    told = [str(one) for one in load(tmp_path).problems]
    assert len(told) == 2
    assert "identity 'New folder' looks like a missing value" in told[0]
    assert "identity 'unk' looks like a missing value" in told[1]
    assert told[1].endswith("Move its photographs to query/ if it is.")


def test_a_folder_called_new_individual_is_one_warning(tmp_path: Path) -> None:
    touch(tmp_path, "database/Ada/1.jpg", "database/new_individual/2.jpg")
    loaded = load(tmp_path)
    [told] = map(str, loaded.problems)
    assert "1 photograph lies in a folder that is no individual's name (first: new_individual)" in told
    assert loaded.images.identity.tolist() == ["Ada", None]


@pytest.mark.parametrize("gallery", ["database", "lynxes"])
def test_folders_beside_the_gallery_whose_names_are_none_hold_queries(tmp_path: Path, gallery: str) -> None:
    touch(tmp_path, f"{gallery}/Ada/1.jpg", f"{gallery}/Bea/2.jpg", "new/3.jpg", "to identify/4.jpg", "unknown/5.jpg")
    loaded = load(tmp_path)
    assert loaded.images.queries.path.tolist() == ["new/3.jpg", "to identify/4.jpg", "unknown/5.jpg"]
    assert loaded.images.gallery.identity.tolist() == ["Ada", "Bea"]
    assert str(loaded.problems[-1]).endswith(
        "photographs in new/, to identify/, unknown/ are taken for queries, because no individual has such a name."
    )
    assert len(loaded.problems) == (1 if gallery == "database" else 2)


def test_a_link_to_itself_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "Ada/1.jpg")
    (tmp_path / "Ada" / "2.jpg").symlink_to("2.jpg")
    loaded = load(tmp_path)
    assert loaded.images.path.tolist() == ["Ada/1.jpg"]
    assert "1 path that cannot be followed left out (first: Ada/2.jpg)" in str(loaded.problems[0])


TREE = (
    "database/Ada/1.jpg", "database/Bo/2.jpg", "database/Ada/._1.jpg", "database/.trash/3.jpg", "loose.jpg",
    "database/Bo/@eaDir/2.jpg/thumb.jpg", "query/4.jpg", "elsewhere/Cy/5.jpg", "database/Bo/film.mp4", ".hidden.jpg",
    "database/a\x07b/6.jpg", "database/a\x07b/7.jpg", "database/Bo!/8.jpg",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the store that fsspec keeps in this process, which has no times, for a bucket."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("animalclef.runtime.bucket_address._STORES", ("memory",))
    monkeypatch.setattr("animalclef.runtime.bucket.Bucket._state", lambda _, info: (info["size"], 1.0))


def in_bucket(name: str, *paths: str) -> Path:
    """Put files into the store."""
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for path in paths:
        memory.pipe(f"/{name}/{path}", b"x")
    return Path(f"memory://{name}")


@pytest.mark.usefixtures("store")
def test_a_bucket_is_read_as_a_disk_is(tmp_path: Path) -> None:
    touch(tmp_path / "lynxes", *TREE)
    here, there = load(tmp_path / "lynxes"), load(in_bucket("disk-and-bucket/lynxes", *TREE))
    assert there.images.path.tolist() == [
        "database/Ada/1.jpg",
        "database/Bo/2.jpg",
        "database/Bo!/8.jpg",
        "query/4.jpg",
    ]
    for column in ("image_id", "path", "identity", "is_query", "dataset"):
        assert getattr(there.images, column).tolist() == getattr(here.images, column).tolist()
    told = [str(one) for one in there.problems]
    assert told[:4] == [
        "lynxes: 1 videos left out (1 .mp4). Save frames of them as JPEG.",
        "lynxes: 3 files and folders of the operating system (such as ._x.jpg, @eaDir) left out.",
        "lynxes: 1 name not in UTF-8 or with control characters left out; rename the files (first: database/a\x07b).",
        "lynxes: 2 photographs outside database/ and query/ left out (first: elsewhere/Cy/5.jpg).",
    ]
    assert told[:4] == [str(one) for one in here.problems][:4]


@pytest.mark.usefixtures("store")
def test_columns_that_are_named_for_a_tree_are_not_used_and_it_is_said(tmp_path: Path) -> None:
    touch(tmp_path / "newts", "Ada/1.jpg", "query/2.jpg")
    sentence = "newts: a folder per individual, not a table: the columns that were named are not used."
    for data in (tmp_path / "newts", in_bucket("named-columns/newts", "Ada/1.jpg", "query/2.jpg")):
        loaded = load_table(find_source(data, columns={"identity": "who"}))
        assert loaded.images.identity.tolist() == ["Ada", None]
        assert [str(one) for one in loaded.problems] == [sentence]


@pytest.mark.usefixtures("store")
def test_a_table_in_a_bucket_may_be_in_capitals_or_have_another_ending() -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for folder, name in (("capitals-here", "METADATA.CSV"), ("capitals-below", "Comp/METADATA.CSV"),
                         ("tabs-here", "metadata.tsv"), ("text-here", "Metadata.TXT")):  # fmt: skip
        address = in_bucket(folder, "Ada/a.jpg")
        memory.pipe(f"/{folder}/{name}", b"path\tidentity\na.jpg\tBo\n")
        assert load_table(find_source(Path(address))).images.identity.tolist() == ["Bo"]
        assert load_table(find_source(Path(f"{address}/{name}"))).images.identity.tolist() == ["Bo"]


@pytest.mark.usefixtures("store")
def test_a_table_below_a_bucket_is_found() -> None:
    address = in_bucket("table-below", "Comp/a.jpg")
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/table-below/Comp/metadata.csv", b"path,identity\na.jpg,Ada\n")
    loaded = load(address)
    assert (loaded.source.root.name, loaded.images.identity.tolist()) == ("Comp", ["Ada"])
    assert read_regular(loaded.images.root / loaded.images.path[0]) == b"x"
    memory.pipe("/table-below/Other/deep/metadata.csv", b"path,identity\na.jpg,Ada\n")
    with pytest.raises(DataError, match=r"2 data sets are below it \(Comp, Other/deep\). Give one of them"):
        load(address)


def test_photographs_without_any_folder_are_queries(tmp_path: Path) -> None:
    touch(tmp_path, "2.jpg", "1.jpg", "notes.txt")
    loaded = load(tmp_path)
    assert loaded.images.queries.path.tolist() == ["1.jpg", "2.jpg"]
    assert not len(loaded.images.gallery)
    told = [str(problem) for problem in loaded.problems]
    assert told == [f"{tmp_path.name}: there are no folders, so all photographs are taken for queries."]
