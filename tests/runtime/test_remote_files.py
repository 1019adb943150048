"""Photographs and run folders in a bucket, on a real S3 server and on an emulator of Google's in this process."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from buckets import forget
from tiny import TINY_SETTINGS, make_tiny_data
from typer.testing import CliRunner
from whole_run import count_work

import animalclef
from animalclef.cli.app import app
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.errors import ConfigError, DataError, OutputError, RunError, StaleArtefactError
from animalclef.runtime.bucket import Bucket, bucket_of
from animalclef.runtime.bucket_address import remote_url
from animalclef.runtime.output_guard import forget_inputs, protect_photographs
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.remote_files import _remote_of, copies_folder, open_copies, write_copy
from animalclef.store.remote_run import RemoteRun
from animalclef.store.run_folder import RunFolder

both_stores = pytest.mark.parametrize("store", ["s3", "gs"], indirect=True)


def scheme_of(store: Any) -> str:
    return "gs" if "gs" in store.protocol else "s3"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.jpg"))


def run(data: Path | str, run_dir: Path | str) -> bytes:
    config = animalclef.load_config(None, *TINY_SETTINGS, "data.cache_gb=0.00002")
    made = animalclef.predict(data, config=config, run_dir=run_dir, device="cpu", workers=2)
    return made.predictions.to_csv().encode() + made.candidates.to_csv().encode()


@both_stores
def test_a_run_in_a_bucket_has_the_bytes_of_one_here_and_goes_on_on_another_machine(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, unknown=1)
    store.put(str(data), "wild/data", recursive=True)
    size = sum(path.stat().st_size for path in data.rglob("*.jpg"))
    plain = run(data, tmp_path / "run")
    wild = f"{scheme_of(store)}://wild"
    assert run(f"{wild}/data", f"{wild}/runs/one") == plain
    copies = copies_folder(f"{wild}/data", "photographs")
    kept = sum(path.stat().st_size for path in copies.rglob("*.jpg"))
    assert size > 40_000
    assert 0 < kept <= 20_000
    there = {path.removeprefix("wild/runs/one/") for path in store.find("wild/runs/one")}
    here = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert there == here - {".lock"}

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-machine"))
    forget()
    store.rm("wild/runs/one/finished.json")
    counts = count_work(monkeypatch)
    assert run(f"{wild}/data", f"{wild}/runs/one") == plain
    assert not counts
    assert store.exists("wild/runs/one/finished.json")


def test_a_run_in_a_bucket_is_opened_and_reported(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, unknown=1)
    run(data, "s3://wild/runs/one")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another-machine"))
    forget()
    opened = animalclef.load_run("s3://wild/runs/one")
    assert opened.path == copies_folder("s3://wild/runs/one", "runs")
    page = animalclef.write_report("s3://wild/runs/one", tmp_path / "report.html")
    assert page.stat().st_size > 10_000
    assert len(animalclef.tune_decision("s3://wild/runs/one", trials=1).datasets) == 1
    assert len(animalclef.cluster("s3://wild/runs/one")) == len(opened.predictions)
    for arguments in (
        ["show", str(opened.predictions.image_id[0]), "--out", str(tmp_path / "one.png")],
        ["evaluate", "--truth", str(data / "truth.csv")],
        ["cluster", "--out", str(tmp_path / "clusters.csv")],
        ["tune", "--set", "decide.trials=1", "--no-ledger"],
    ):
        result = CliRunner().invoke(app, [*arguments, "--run", "s3://wild/runs/one"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    for call in (animalclef.load_run, animalclef.write_report):
        with pytest.raises(RunError, match=r"^s3://wild/runs/two: no such folder. Give the run folder of a finished"):
            call("s3://wild/runs/two")
    with pytest.raises(OutputError, match=r"^s3://wild/runs/two: results are written to a disk"):
        animalclef.cluster(data, run_dir="s3://wild/runs/two")
    monkeypatch.chdir(tmp_path)
    assert not (tmp_path / "s3:").exists()


def machine(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str = "s3") -> RemoteRun:
    """A run in the bucket as a machine sees it; its copy stays from one call to the next."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
    remote = RemoteRun(f"{scheme}://wild/run")
    remote.folder.mkdir(parents=True, exist_ok=True)  # as it is locked
    return remote


def copy_of(remote: RemoteRun) -> dict[str, str]:
    return {path.name: path.read_text() for path in remote.folder.iterdir() if path.name != "animalclef-run.json"}


def in_bucket(store: Any) -> dict[str, str]:
    found = {path.rsplit("/", 1)[1]: store.cat(path).decode() for path in store.find("wild/run")}
    return {name: text for name, text in found.items() if name != "animalclef-run.json"}


@both_stores
def test_of_two_machines_each_gets_what_the_other_changed_or_removed(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = machine("first", monkeypatch, tmp_path, scheme_of(store))
    first.pull()
    RunFolder(first.folder).open(overwrite=False)
    for name in ("removed", "changed", "grown", "both", "back", "lost"):
        (first.folder / name).write_text("1")
    first.push()
    second = machine("second", monkeypatch, tmp_path, scheme_of(store))
    second.pull()
    assert copy_of(second) == dict.fromkeys(("removed", "changed", "grown", "both", "back", "lost"), "1")
    (second.folder / "removed").unlink()
    for name in ("changed", "both", "back"):
        (second.folder / name).write_text("333")
    second.push()
    assert in_bucket(store) == {"changed": "333", "grown": "1", "both": "333", "back": "333", "lost": "1"}
    for name in ("grown", "both"):
        (first.folder / name).write_text("22")
        os.utime(first.folder / name, (9.0, 9.0))  # the clock here is slow
    for name in ("back", "lost"):
        (first.folder / name).unlink()
    first = machine("first", monkeypatch, tmp_path, scheme_of(store))
    first.pull()
    whole = {"changed": "333", "grown": "22", "both": "22", "back": "333"}
    assert copy_of(first) == whole
    first.push()
    assert in_bucket(store) == whole
    second = machine("second", monkeypatch, tmp_path, scheme_of(store))
    second.pull()
    assert copy_of(second) == whole


def test_an_overwritten_run_that_was_killed_does_not_get_its_old_files_back(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.pipe({"wild/run/animalclef-run.json": b"{}", "wild/run/old": b"1"})
    for name in ("none", "has-a-copy"):
        remote = machine(name, monkeypatch, tmp_path)
        if name != "none":
            remote.pull()
        remote.pull(overwrite=True)
        RunFolder(remote.folder).open(overwrite=True)
        again = machine(name, monkeypatch, tmp_path)  # killed before its first push
        again.pull()
        assert copy_of(again) == {}
    (again.folder / "new").write_text("2")
    again.push()
    assert in_bucket(store) == {"new": "2"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_refused_before_it_is_got(
    overwrite: bool, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.pipe({"wild/run/thesis.tex": b"mine", "wild/run/video/1.mp4": b"large"})
    remote = machine("one", monkeypatch, tmp_path)
    with pytest.raises(StaleArtefactError, match=r"^s3://wild/run: not a run folder \(it holds thesis.tex\)."):
        remote.pull(overwrite=overwrite)
    assert copy_of(remote) == {}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, of Linux")
def test_a_disk_that_is_full_here_is_no_fault_of_the_store(store: Any) -> None:
    store.pipe("wild/run/pairs.log", bytes(100_000))
    with pytest.raises(OSError, match="No space left"):
        bucket_of("s3://wild/run").get("pairs.log", Path("/dev/full"))


def test_a_copy_that_was_removed_is_got_again_and_never_empties_the_bucket(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.pipe({"wild/run/animalclef-run.json": b"{}", "wild/run/old": b"1"})
    remote = machine("one", monkeypatch, tmp_path)
    remote.pull()
    shutil.rmtree(remote.folder)
    with pytest.raises(DataError, match=r"the copy of s3://wild/run was removed. Start again.$"):
        remote.push()
    remote = machine("one", monkeypatch, tmp_path)
    remote.pull()
    assert copy_of(remote) == in_bucket(store) == {"old": "1"}


def test_photographs_that_were_not_used_for_longest_go_first(store: Any) -> None:
    for number in range(4):
        store.pipe(f"wild/lynx/a/{number}.jpg", bytes([number]) * 400)
    root, found = open_copies("s3://wild/lynx", 1e-6)
    listed = list(found)
    assert listed == [f"a/{number}.jpg" for number in range(4)]
    assert [read_regular(root / path)[0] for path in listed[:2]] == [0, 1]
    assert names(root) == ["0.jpg", "1.jpg"]
    assert read_regular(root / listed[0])[0] == 0  # used again
    assert read_regular(root / listed[2])[0] == 2
    assert names(root) == ["0.jpg", "2.jpg"]
    open_copies("s3://wild/lynx", 5e-7)
    assert names(root) == ["2.jpg"]
    open_copies("s3://wild/lynx", 1e-6)
    for path in ("a/9.jpg", "a/../../9.jpg"):
        with pytest.raises(FileNotFoundError, match=rf"No such file or directory: '.*/{path}'") as caught:
            read_regular(root / path)
        assert caught.value.strerror == "No such file or directory"
    assert read_regular(root / listed[0])[0] == 0
    shutil.rmtree(root)
    with pytest.raises(DataError, match=r"lynx: the copies of s3://wild/lynx were removed. Start again.$"):
        read_regular(root / "a/0.jpg")


def test_a_copy_is_written_as_every_file_is_though_the_command_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "below" / "1.jpg"
    protect_photographs(tmp_path, ["below/1.jpg"])
    try:
        write_copy(path, b"content", 77.0)
        write_copy(path, b"another", 78.0)
    finally:
        forget_inputs()
    (tmp_path / "plain").touch()
    assert path.read_bytes() == b"another"
    assert path.stat().st_mtime == 78.0
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, of Linux")
def test_a_full_disk_leaves_no_part_of_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_bytes", lambda _, content: write_bytes_to_a_full_disk(content))
    with pytest.raises(OutputError, match=r"1.jpg: the disk is full"):
        write_copy(tmp_path / "1.jpg", b"content", 77.0)
    assert list(tmp_path.iterdir()) == []


def write_bytes_to_a_full_disk(content: bytes) -> int:
    with Path("/dev/full").open("wb") as file:
        return file.write(content)


@both_stores
def test_a_tree_of_folders_and_a_photograph_that_changed(store: Any) -> None:
    for path in ("database/Ada/1.jpg", "database/Bo/2.jpg", "query/3.jpg"):
        store.pipe(f"wild/newts/{path}", path.encode())
    wild = Path(f"{scheme_of(store)}://wild/newts")
    images = load_table(find_source(wild)).images
    assert images.path.tolist() == ["database/Ada/1.jpg", "database/Bo/2.jpg", "query/3.jpg"]
    assert images.identity.tolist() == ["Ada", "Bo", None]
    assert images.is_query.tolist() == [False, False, True]
    assert read_regular(images.root / images.path[0]) == b"database/Ada/1.jpg"
    store.pipe("wild/newts/database/Ada/1.jpg", b"another photograph, larger")
    again = find_source(wild)
    assert again.root == images.root
    assert read_regular(again.root / images.path[0]) == b"another photograph, larger"


def test_inspect_lists_the_bucket_once_and_reads_no_photograph(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=3, unknown=1)
    store.put(f"{data}/", "wild/newts/", recursive=True)
    missing, empty = sorted(path.relative_to(data) for path in data.rglob("*.jpg"))[:2]
    store.rm(f"wild/newts/{missing}")
    store.pipe(f"wild/newts/{empty}", b"")
    forget()
    list_it, asked = Bucket.listed, []
    monkeypatch.setattr(Bucket, "listed", lambda bucket: asked.append(bucket.url) or list_it(bucket))
    for url in ("s3://wild", "s3://wild/newts/metadata.csv", "s3://wild/newts"):
        result = CliRunner().invoke(app, ["inspect", "--data", url], catch_exceptions=False)
        assert f"1 photograph is missing: {missing}" in result.output
    assert asked == ["s3://wild", "s3://wild/newts", "s3://wild/newts"]
    assert result.exit_code == 0, result.output
    assert f"1 photograph is missing: {missing}" in result.output
    assert f"{empty}: the file is empty" in result.output
    assert "Photographs in a bucket are not read" in result.output
    assert not names(tmp_path / "cache")
    with pytest.raises(DataError, match=r"^s3://wild/newts: missing: 1 of \d+ photographs"):
        run("s3://wild/newts", tmp_path / "run")


def test_a_run_without_an_address_says_where_removed_copies_came_from(store: Any, tmp_path: Path, caplog: Any) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, unknown=1)
    store.put(f"{data}/", "wild/newts/", recursive=True)
    forget()
    run("s3://wild/newts", tmp_path / "run")
    shutil.rmtree(tmp_path / "cache")
    _remote_of.cache_clear()  # another process
    noted = tmp_path / "run" / "finished.json"
    settings = json.loads(noted.read_text())
    assert settings.pop("address") == "s3://wild/newts"
    del settings["digest"]
    noted.write_text(json.dumps(settings))
    opened = animalclef.load_run(tmp_path / "run")
    opened.show(str(opened.predictions.image_id[0]))
    assert "run `animalclef inspect --data s3://...` with the address that predict was given" in caplog.text
    find_source(Path("s3://wild/newts"))
    _remote_of.cache_clear()
    caplog.clear()
    opened.show(str(opened.predictions.image_id[0]))
    assert "missing" not in caplog.text


def test_tables_are_got_once_and_hidden_files_never(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("metadata.csv", "old.csv", ".animalclef-remote.json", ".hidden.csv", "below/other.csv"):
        store.pipe(f"wild/newts/{name}", b"image_id,path,identity\n1,a.jpg,Ada\n")
    root, _ = open_copies("s3://wild/newts", 1)
    assert json.loads((root / ".animalclef-remote.json").read_text())["url"] == "s3://wild/newts"
    assert sorted(path.name for path in root.iterdir()) == [".animalclef-remote.json", "metadata.csv", "old.csv"]
    store.rm("wild/newts/old.csv")
    bucket = bucket_of("s3://wild/newts")
    read, got = bucket.read, []
    monkeypatch.setattr(bucket, "read", lambda path: got.append(path) or read(path))
    open_copies("s3://wild/newts", 1)
    assert got == []
    assert sorted(path.name for path in root.iterdir()) == [".animalclef-remote.json", "metadata.csv"]
    store.pipe("wild/newts/metadata.csv", b"image_id,path,identity\n1,a.jpg,Bo\n2,b.jpg,\n")
    open_copies("s3://wild/newts", 1)
    assert got == ["metadata.csv"]
    assert "Bo" in (root / "metadata.csv").read_text()


def test_a_store_without_sizes_or_times_and_other_addresses_are_refused(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.pipe("wild/newts/a/1.jpg", b"1")
    system = bucket_of("s3://wild/newts").system
    for info in ({"size": 1}, {"LastModified": 3.0}):
        monkeypatch.setattr(system, "find", lambda *_, info=info, **__: {"wild/newts/a/1.jpg": info})
        with pytest.raises(DataError, match=r"^s3://wild/newts: the store does not say how large files are and when"):
            open_copies("s3://wild/newts", 1)
    for url in ("file://data/newts", "https://example.org/newts", "az://bucket/newts"):
        with pytest.raises(ConfigError, match=rf"^{url}: expected a folder, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."):
            remote_url(Path(url))


def test_a_mistake_is_one_sentence(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"^s3://nobody/x: no such bucket or folder, or it is empty.$"):
        find_source(Path("s3://nobody/x"))
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=2)
    with pytest.raises(ConfigError, match="with the engine ray the run folder must lie on a disk"):
        animalclef.predict(data, run_dir="s3://wild/run", engine="ray")
    forget()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DataError, match=r"access is refused, or there are no credentials. Set AWS_ACCESS_KEY_ID"):
        find_source(Path("s3://wild/x"))
    forget()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"the store gives no answer .* Check the network"):
        find_source(Path("s3://wild/x"))
    forget()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"^s3://wild/x: AWS_ENDPOINT_URL=127.0.0.1:9 is no address.* with http://"):
        find_source(Path("s3://wild/x"))
    forget()
    monkeypatch.setenv("AWS_PROFILE", "nosuch")
    with pytest.raises(ConfigError, match=r"^s3://wild/x: no such AWS profile \(nosuch\)\. Correct AWS_PROFILE, or"):
        find_source(Path("s3://wild/x"))
    monkeypatch.delenv("AWS_PROFILE")
    forget()
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    for scheme in ("gs", "gcs"):
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, scheme, raising=False)
    with pytest.raises(ConfigError, match=r"^gs://wild/x: .* cannot be read here. Run pip install 'animalclef\[gs\]'."):
        find_source(Path("gs://wild/x"))


def test_a_server_that_hangs_is_told_in_less_than_three_minutes(store: Any) -> None:
    for _ in range(2):  # connections are made anew
        forget()
        bucket = bucket_of("s3://wild/x")
        given = bucket.system.config_kwargs
        assert (given["read_timeout"], given["retries"]["max_attempts"], bucket.system.retries) == (20, 3, 2)
        assert bucket.exists()


def test_a_catalogue_names_the_bucket(store: Any, tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=3, unknown=1)
    store.put(str(data), "wild/data", recursive=True)
    config = animalclef.load_config(None, *TINY_SETTINGS)
    catalogue = animalclef.create_catalogue(tmp_path / "catalogue", "s3://wild/data", config=config, device="cpu")
    with pytest.raises(DataError, match=r"^s3://wild/data: \d+ photographs, all of them in the catalogue already"):
        catalogue.add("s3://wild/data", device="cpu")
    with pytest.raises(DataError, match=r"^s3://wild/data/1.jpg: only photographs on a disk can be asked about"):
        catalogue.who("s3://wild/data/1.jpg")


@pytest.mark.parametrize(
    "said", ["HttpError: 401", "HttpError: 403", "OSError: Forbidden: https://store/b/wild", "PermissionError: no"]
)
def test_a_store_that_refuses_access_asks_for_credentials_of_its_kind(said: str) -> None:
    kind, text = said.split(": ", 1)

    class HttpError(Exception):
        code = int(text) if text.isdigit() else None

    raised = {"HttpError": HttpError, "OSError": OSError, "PermissionError": PermissionError}[kind](text)
    sentence = r"^gs://wild/x: access is refused, or there are no credentials. Set GOOGLE_APPLICATION_CREDENTIALS to "
    bucket = Bucket.__new__(Bucket)
    bucket.url = "gs://wild/x"
    with pytest.raises(DataError, match=sentence), bucket.told():
        raise raised
