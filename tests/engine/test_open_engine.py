"""The engine that a command names: this machine by default, Ray where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from engine_cases import FourProcesses, Squares
from tiny import make_tiny_data
from whole_run import artefacts, predict

from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.engine import cluster_worker, head_watch
from animalclef.engine import open_engine as open_engine_module
from animalclef.engine.cluster_worker import ClusterWorker, installed_versions, what_differs
from animalclef.engine.open_engine import open_engine, shared_paths
from animalclef.errors import ConfigError, EngineError
from animalclef.retrieval import large_gallery
from animalclef.retrieval.lnbnn import LnbnnScorer
from animalclef.runtime.remote_files import place_marker


def test_this_machine_runs_chunks_in_order_in_this_process(tmp_path: Path) -> None:
    work = Squares(tmp_path)
    with open_engine() as engine:
        assert list(engine.ordered(work, range(5))) == [0, 1, 4, 9, 16]
    assert work.processes() == {str(os.getpid())}


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="engine spark: expected one of local, ray"), open_engine("spark"):
        pass


def test_without_ray_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ConfigError, match=r"Ray is not installed. Run pip install 'animalclef\[ray\]'"),
        open_engine("ray"),
    ):
        pass


@pytest.fixture
def listening() -> Iterator[str]:
    """An address where something answers as Ray does; without Ray nobody would ask it."""
    pytest.importorskip("ray")
    with answering(b"\0\0\0\4\0\0\0\0\0") as address:
        yield address


@contextmanager
def answering(said: bytes) -> Iterator[str]:
    """Give an address where a connection gets these bytes; where they are none, it gets nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        server.settimeout(10)
        taken = pool.submit(server.accept)
        taken.add_done_callback(lambda one: one.result()[0].sendall(said))
        yield f"127.0.0.1:{server.getsockname()[1]}"
        taken.result()[0].close()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (ConnectionError("no"), r"No Ray cluster answers at 127\.0\.0\.1:\d+. Start one with `ray start --head`"),
        (RuntimeError("Version mismatch:\n Ray: 2.1"), "does not fit this machine: Version mismatch: Ray: 2.1"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_sentence(
    said: Exception, sentence: str, listening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")

    def init(**_: object) -> None:
        raise said

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(EngineError, match=sentence), open_engine("ray", listening):
        pass
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize("form", ["{}", "ray://{}", "auto", "127.0.0.1:99999", "[::1]:{port}"])
def test_an_address_where_nothing_listens_is_refused_at_once_and_ray_is_not_asked(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:  # closed again: nothing listens there
        port = server.getsockname()[1]
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray waits for minutes"))
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    start = time.monotonic()
    with (
        pytest.raises(EngineError, match=r"^No Ray cluster answers at .*\d+. Start one with `ray start --head`"),
        open_engine("ray", form.format(f"127.0.0.1:{port}", port=port)),
    ):
        pass
    assert time.monotonic() - start < 8


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_where_something_listens_that_is_not_ray_it_is_refused_at_once(
    said: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray waits for minutes"))
    monkeypatch.setattr(open_engine_module, "_ANSWER_S", 0.2)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (left := tmp_path / "ray").mkdir()
    with answering(said) as address:
        (left / "ray_current_cluster").write_text(f"{address}\n")  # of a cluster that has ended
        with pytest.raises(EngineError, match=f"^No Ray cluster answers at {address}. Start"), open_engine("ray"):
            pass


@pytest.mark.parametrize(("listens", "parent_ended"), [(False, False), (False, True), (True, True)])
def test_a_lost_head_is_one_sentence_and_an_ended_command_alone_is_none(
    listens: bool, parent_ended: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seconds in (("_LOOK_S", 0.02), ("_LOST_S", 0.2), ("_AFTER_S", 0.2)):
        monkeypatch.setattr(head_watch, name, seconds)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        if listens:
            head_watch._watch(address, 0 if parent_ended else os.getppid())
    if not listens:
        head_watch._watch(address, 0 if parent_ended else os.getppid())
    sentence = f"The head of the Ray cluster at {address} is lost, so this command ends. Start the cluster again, and"
    assert capsys.readouterr().err == ("" if listens else f"{sentence} run the same command: it resumes.\n")


def test_an_address_without_a_cluster_is_refused() -> None:
    with pytest.raises(ConfigError, match="only the engine ray has an address"), open_engine("local", "host:6379"):
        pass


def test_a_node_must_see_a_photograph_beside_the_folders_but_none_of_a_bucket(tmp_path: Path) -> None:
    images = load_table(find_source(make_tiny_data(tmp_path / "data", datasets=("NewtID",)))).images
    run, place = tmp_path / "run", images.root / images.path[1]
    (images.root / images.path[0]).unlink()
    assert shared_paths(images, run) == (images.root, place, run)
    needed: dict[str, str | None] = {str(path): None for path in (images.root, place)}
    assert ClusterWorker().about(str(Path.cwd()), needed)[2] == []
    place.unlink()  # as where the disk of a node is not mounted
    assert ClusterWorker().about(str(Path.cwd()), needed)[2] == [str(place)]
    place.write_bytes(b"")
    place_marker(images.root, '{"url": "s3://bucket", "gigabytes": 1}')
    assert shared_paths(images, run) == (images.root, run)


def test_what_differs_on_a_node_is_named_with_both_sides() -> None:
    mine = installed_versions()
    assert {"python", "torch", "timm", "scipy", "kornia", "animalclef's code", "half-precision units:"} <= set(mine)
    assert what_differs(mine, "n1", dict(mine), []) is None
    mine = {"timm": "1.2", "scipy": "1.9", "animalclef's code": "0a1b2c3d", "half-precision units:": "bfloat16"}
    assert what_differs(mine, "n1", {**mine, "timm": "1.1", "animalclef's code": "ffffffff"}, ["/data"]) == (
        "Ray node n1 has timm 1.1, animalclef's code ffffffff, this machine has timm 1.2, animalclef's code 0a1b2c3d: "
        "results would differ. Install the same versions on every node."
    )
    assert what_differs(mine, "n1", {**mine, "half-precision units:": "none"}, []) == (
        "Ray node n1 has half-precision units: none, this machine has half-precision units: bfloat16: results would "
        "differ. Take machines of one kind."
    )


def test_the_digest_of_the_code_follows_every_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "animalclef"
    shutil.copytree(Path(cluster_worker.__file__).parents[1], copy)
    monkeypatch.setattr(cluster_worker, "__file__", str(copy / "engine/cluster_worker.py"))
    digest = cluster_worker._code.__wrapped__
    before = digest()
    assert before == cluster_worker._code()
    (copy / "retrieval/lnbnn.py").write_text("# another")
    assert digest() != before


def test_one_process_and_four_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LnbnnScorer, "block", 4)  # photographs
    monkeypatch.setattr(large_gallery, "_BLOCK", 4)  # vectors
    settings = ["vote.exact_descriptors=100", "vote.dimensions=16", "retrieve.memory_gb=0.00001"]
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=4, unknown=1)
    plain = predict(data, tmp_path / "one", *settings, workers=1)
    with FourProcesses() as four:
        assert predict(data, tmp_path / "four", *settings, engine=four) == plain
    assert artefacts(tmp_path / "four") == artefacts(tmp_path / "one")
    files = [sorted(path.relative_to(run) for path in run.rglob("*.safetensors"))
             for run in (tmp_path / "one", tmp_path / "four")]  # fmt: skip
    assert files[0] == files[1]
    assert sum(path.parts[0] == "descriptors" for path in files[0]) == 4  # the codebook, and 12 photographs in blocks
    assert {"extracting features", "searching embeddings", "indexing local descriptors", "local descriptors vote",
            "matching pairs", "tuning the decision"} <= set(four.stages)  # fmt: skip
