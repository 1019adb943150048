"""Where weights are looked for, what is checked, and how they are fetched; no test leaves this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from animalclef.config import load_config
from animalclef.errors import ConfigError, OutputError, WeightsError
from animalclef.hub.bundle import make_bundle, write_manifest
from animalclef.hub.cache import find_weights, read_lock
from animalclef.hub.catalogue import WEIGHTS, WeightsEntry
from animalclef.hub.download import download, pull
from animalclef.hub.needed_weights import needed_weights
from animalclef.runtime.digests import file_digest
from animalclef.runtime.progress import Silent

CONTENT = bytes(range(256)) * 400
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Empty caches of this test's own."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return SimpleNamespace(hub=tmp_path / "hub", torch=tmp_path / "torch" / "hub" / "checkpoints")


def register(monkeypatch: pytest.MonkeyPatch, **changes: object) -> WeightsEntry:
    """A made-up entry called `toy`."""
    entry = replace(WeightsEntry("toy", "toy.pth", "http://localhost:9/toy.pth", "MIT"), **changes)
    for module in ("animalclef.hub.catalogue", "animalclef.hub.bundle"):
        monkeypatch.setattr(f"{module}.WEIGHTS", {"toy": entry})
    return entry


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_every_entry_has_what_a_user_must_know() -> None:
    for name, entry in WEIGHTS.items():
        assert entry.name == name
        assert entry.licence
        assert entry.source.startswith("https://")
        assert entry.sha256 is None or len(entry.sha256) == 64
        assert (entry.repo is None) == (entry.path is None) == (entry.revision is None)
    assert WEIGHTS["miewid-msv3"].licence == "none stated"
    assert WEIGHTS["miewid-msv3"].revision == "4f1d7f2b521149e5fe34bb85f377248ce9971a7d"
    assert WEIGHTS["megadescriptor-l"].licence == "CC-BY-NC-4.0"
    assert len({entry.file for entry in WEIGHTS.values()}) == len(WEIGHTS)


@pytest.mark.shared
def test_the_aliked_digests_are_those_of_the_authors_files(shared: Path) -> None:
    for name in ("aliked-n16", "aliked-t16"):
        assert file_digest(shared / "weights" / WEIGHTS[name].file) == WEIGHTS[name].sha256
        assert (shared / "weights" / WEIGHTS[name].file).stat().st_size == WEIGHTS[name].size


def test_a_bundle_comes_before_the_caches(
    tmp_path: Path, caches: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, aliases=("toy-v1.pth",))
    in_cache = put(caches.torch / "toy-v1.pth")
    assert find_weights("toy", None) == find_weights("toy", tmp_path / "bundle") == in_cache
    in_bundle = put(tmp_path / "bundle" / "toy.pth", b"other")
    assert find_weights("toy", tmp_path / "bundle") == in_bundle


def test_a_hub_s_cache_is_read_by_revision(caches: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, repo="who/what", revision="abc", path="model.safetensors", file="toy.safetensors")
    folder = caches.hub / "models--who--what"
    put(folder / "snapshots" / "other" / "model.safetensors")
    with pytest.raises(WeightsError, match=r"toy\.safetensors is not on this machine"):
        find_weights("toy", None)
    pinned = put(folder / "snapshots" / "abc" / "model.safetensors")
    assert find_weights("toy", None) == pinned
    register(monkeypatch, **{**entry.__dict__, "revision": "main"})
    put(folder / "refs" / "main", b"other")
    assert find_weights("toy", None) == folder / "snapshots" / "other" / "model.safetensors"


def test_absent_weights_name_both_ways(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"weights pull miewid-msv3` with internet, or .*weights bundle.*that folder as weights;"
    ):
        find_weights("miewid-msv3", tmp_path)
    with pytest.raises(WeightsError, match=r"miewid: no such weights\. Did you mean miewid-msv3\? Known: aliked-n16,"):
        find_weights("miewid", None)


def test_damaged_weights_in_a_cache_or_bundle_are_refused_and_one_s_own_are_not(
    tmp_path: Path, caches: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    register(monkeypatch, sha256=DIGEST)
    put(caches.torch / "toy.pth", CONTENT[:-1])
    with pytest.raises(WeightsError, match=rf"SHA-256 is .*expected {DIGEST[:16]}.*damaged or another one"):
        find_weights("toy", None)
    own = put(tmp_path / "own" / "toy.pth", b"my own")
    assert find_weights("toy", own.parent) == own
    assert "not the file that" in caplog.text
    write_manifest(own.parent)
    assert find_weights("toy", own.parent) == own
    own.write_bytes(b"my 0wn")
    with pytest.raises(WeightsError, match="damaged or another one"):
        find_weights("toy", own.parent)


def test_what_a_configuration_needs() -> None:
    assert needed_weights(load_config("offline")) == []
    assert needed_weights(load_config(None, ["embed.model=miewid-msv3"])) == ["miewid-msv3"]
    assert needed_weights(load_config(None, ["embed.model=miewid-msv3", "embed.weights=mine.pth"])) == []
    config = load_config(None, ["keypoints.extractor=aliked-n16", "rerank.matcher=lightglue"])
    assert needed_weights(config) == ["aliked-n16", "lightglue-aliked"]


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT; cuts the first `cuts` answers short; may not know ranges."""

    cuts: ClassVar[int] = 0
    knows_ranges: ClassVar[bool] = True
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        span = self.headers.get("Range")
        Server.asked.append(span)
        if "absent" in self.path:
            self.send_error(404)
            return
        first = int(span[6:-1]) if span and Server.knows_ranges else 0
        if first >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(CONTENT) - first))
        self.end_headers()
        last = len(CONTENT)
        if Server.cuts:
            Server.cuts -= 1
            last = first + 30_000
        self.wfile.write(CONTENT[first:last])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.cuts, Server.knows_ranges, Server.asked = 0, True, []
    running = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def test_a_cut_download_goes_on_where_it_was(server: str, tmp_path: Path) -> None:
    Server.cuts = 2
    download(f"{server}/toy.pth", tmp_path / "toy.pth", DIGEST, Silent())
    assert (tmp_path / "toy.pth").read_bytes() == CONTENT
    assert Server.asked == [None, "bytes=30000-", "bytes=60000-"]
    assert sorted(path.name for path in tmp_path.glob("*toy*")) == ["toy.pth"]


def test_a_download_that_was_killed_goes_on_too(server: str, tmp_path: Path) -> None:
    put(tmp_path / ".toy.pth.part", CONTENT[:77_777])
    download(f"{server}/toy.pth", tmp_path / "toy.pth", DIGEST, Silent())
    assert (tmp_path / "toy.pth").read_bytes() == CONTENT
    assert Server.asked == ["bytes=77777-"]


def test_a_server_without_ranges_and_a_part_too_long_begin_anew(server: str, tmp_path: Path) -> None:
    Server.knows_ranges = False
    put(tmp_path / ".toy.pth.part", b"x" * 5000)
    download(f"{server}/toy.pth", tmp_path / "toy.pth", DIGEST, Silent())
    Server.knows_ranges = True
    put(tmp_path / ".long.pth.part", b"x" * (len(CONTENT) + 5))
    download(f"{server}/toy.pth", tmp_path / "long.pth", DIGEST, Silent())
    assert (tmp_path / "toy.pth").read_bytes() == (tmp_path / "long.pth").read_bytes() == CONTENT


def test_other_bytes_than_expected_are_not_kept(server: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=rf"SHA-256 {DIGEST[:16]}\.\.\. came, expected 0000.*nothing was kept"):
        download(f"{server}/toy.pth", tmp_path / "new" / "toy.pth", "0" * 64, Silent())
    assert list((tmp_path / "new").iterdir()) == []


def test_a_wrong_address_and_no_network_are_told(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="the server answered 404"):
        download(f"{server}/absent.pth", tmp_path / "toy.pth", None, Silent())
    entry = register(monkeypatch)  # nobody listens on port 9
    with pytest.raises(
        WeightsError,
        match=r"toy\.pth: could not be downloaded .*On a machine with internet.*weights bundle NAME.*--weights",
    ):
        pull(entry)


def test_an_unknown_digest_is_recorded_at_the_first_pull(
    server: str, caches: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = register(monkeypatch, source=f"{server}/toy.pth", aliases=("toy_v0-1.pth",))
    path = pull(entry)
    assert path == caches.torch / "toy_v0-1.pth"  # the name that torch hub's other users look for
    assert read_lock() == {"toy": DIGEST}
    pull(entry)
    assert len(Server.asked) == 1
    path.write_bytes(b"changed later")
    with pytest.raises(WeightsError, match="damaged"):
        find_weights("toy", None)
    with pytest.raises(WeightsError, match="damaged, or another file"):
        pull(entry)


def test_hub_repositories_are_pulled_at_their_revision(
    tmp_path: Path, caches: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = register(monkeypatch, repo="who/what", revision="abc", path="m.bin", sha256=DIGEST)
    asked = []

    def fetched(repo: str, path: str, *, revision: str, cache_dir: Path) -> str:
        asked.append((repo, path, revision, cache_dir))
        return str(put(cache_dir / "models--who--what" / "snapshots" / revision / path))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetched)
    assert pull(entry) == find_weights("toy", None)
    assert asked == [("who/what", "m.bin", "abc", caches.hub)]

    def offline(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(WeightsError, match=r"could not be downloaded .*weights bundle"):
        pull(replace(entry, revision="def"))


def test_terms_have_to_be_accepted_first(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = register(monkeypatch, source=f"{server}/toy.pth", terms="https://example.org/terms")
    with pytest.raises(WeightsError, match=r"read https://example\.org/terms.*--accept-terms"):
        pull(entry)
    assert Server.asked == []
    assert pull(entry, accept_terms=True).read_bytes() == CONTENT


def test_a_bundle_has_weights_digests_and_instructions(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, source=f"{server}/toy.pth", sha256=DIGEST)
    for _ in range(2):  # the second time everything is there
        make_bundle(["toy"], tmp_path / "b", "animalclef2025", Silent(), wheels=False, accept_terms=False)
    assert len(Server.asked) == 1
    assert find_weights("toy", tmp_path / "b") == tmp_path / "b" / "toy.pth"
    listed = json.loads((tmp_path / "b" / "manifest.json").read_text())["weights"]["toy"]
    assert (listed["sha256"], listed["size"], listed["licence"]) == (DIGEST, len(CONTENT), "MIT")
    told = (tmp_path / "b" / "README.md").read_text()
    assert "animalclef predict --config animalclef2025 --weights /kaggle/input/BUNDLE" in told
    assert "pip install" not in told


def test_weights_kept_in_a_bundle_are_checked(
    tmp_path: Path, caches: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, sha256=DIGEST)
    put(tmp_path / "b" / "toy.pth", CONTENT[:-1])
    with pytest.raises(WeightsError, match=r"toy\.pth: its SHA-256 is not .*Remove it"):
        make_bundle(["toy"], tmp_path / "b", None, Silent(), wheels=False, accept_terms=False)
    assert not (tmp_path / "b" / "manifest.json").exists()


@pytest.mark.parametrize(("name", "content"), [("README.md", "# My project"), ("manifest.json", '{"mine": 1}')])
def test_a_bundle_replaces_no_file_of_another_kind(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(OutputError, match="is not overwritten"):
        make_bundle([], tmp_path, None, Silent(), wheels=False, accept_terms=False)
    assert (tmp_path / name).read_text() == content


def test_without_internet_a_bundle_names_all_that_is_missing_and_leaves_nothing(
    tmp_path: Path, caches: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = register(monkeypatch)  # nobody listens on port 9
    monkeypatch.setattr("animalclef.hub.bundle.WEIGHTS", {"toy": entry, "other": replace(entry, file="other.pth")})
    with pytest.raises(WeightsError) as told:
        make_bundle(["toy", "other"], tmp_path / "b", None, Silent(), wheels=False, accept_terms=False)
    assert re.fullmatch(
        r"\S+b was not made: toy, other cannot be downloaded here \(.*\)\. Run the same command on a machine with "
        r"internet, and copy the folder that it makes to this one\.", str(told.value),
    )  # fmt: skip
    assert not (tmp_path / "b").exists()


def test_wheels_are_fetched_by_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = []

    def ran(line: list[str], **_: object) -> SimpleNamespace:
        lines.append(line)
        if line[5] == "wheel" and len(lines) < 5:
            put(Path(line[line.index("--wheel-dir") + 1]) / "own.whl")
        return SimpleNamespace(returncode=len(lines) // 5, stderr="noise\nNo matching distribution")

    monkeypatch.setattr("animalclef.hub.bundle.subprocess.run", ran)
    make_bundle([], tmp_path / "b", None, Silent(), wheels=True, accept_terms=False, extras=["train"])
    assert [line[5] for line in lines] == ["download", "download", "download", "wheel"]
    versions = [line[line.index("--python-version") + 1] for line in lines[:3]]
    assert versions == ["3.11", "3.12", "3.13"]  # kornia_rs has a wheel for each
    assert {"faiss-cpu", "kornia", "colorlog", "lightning-fabric", "lightning-utilities", "--no-deps"} <= set(lines[0])
    assert (tmp_path / "b" / "wheels" / "own.whl").read_bytes() == CONTENT
    told = (tmp_path / "b" / "README.md").read_text()
    assert re.search("pip install --no-index --no-deps .* timm lightning-fabric lightning-utilities\n", told)
    with pytest.raises(WeightsError, match=r"pip could not fetch .*No matching distribution"):
        make_bundle([], tmp_path / "c", None, Silent(), wheels=True, accept_terms=False)
    assert "lightning-fabric" not in lines[4]
    assert not (tmp_path / "c").exists()
    with pytest.raises(ConfigError, match="--extras s3: wheels are collected for the extra train alone"):
        make_bundle([], tmp_path / "c", None, Silent(), wheels=True, accept_terms=False, extras=["s3"])


def test_what_ships_or_lies_in_a_file_is_not_asked_for() -> None:
    def needed(*settings: str) -> list[str]:
        return needed_weights(load_config(None, list(settings)))

    lightglue = "rerank.matcher=lightglue"
    assert needed(lightglue) == []  # SIFT has none, and its matcher ships
    assert needed(lightglue, "keypoints.extractor=aliked-n16") == ["aliked-n16", "lightglue-aliked"]
    assert needed(lightglue, "keypoints.extractor=aliked-n16", "rerank.weights=mine.safetensors") == ["aliked-n16"]
    assert needed(lightglue, "rerank.weights=lightglue-sift") == ["lightglue-sift"]
    assert needed("keypoints.extractor=xfeat", "keypoints.weights=x.pth") == []
    assert needed("keypoints.extractor=xfeat", "rerank.matcher=none") == ["xfeat"]  # its descriptors vote
    assert needed("keypoints.extractor=xfeat", "rerank.matcher=none", "retrieve.sources=[embedding]") == []


def test_the_caches_are_found_in_a_fresh_process() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    command = [sys.executable, "-c", "from animalclef.hub.cache import caches; print(*caches(), sep='\\n')"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [Path(line).name for line in told] == ["hub", "checkpoints"]
