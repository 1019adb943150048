"""A Ray cluster of three nodes in this machine: the same bytes, and what happens where something dies."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engine_cases
import numpy as np
import pytest
import yaml
from embedder_cases import TINY_TRAINING
from engine_cases import Squares
from evaluation_cases import synthetic
from tiny import TINY_SETTINGS, make_tiny_data
from whole_run import artefacts, command_line, predict

import animalclef as ac
from animalclef.config import DataConfig, DecideConfig
from animalclef.config.training import StudyConfig
from animalclef.data.hashing import hash_images
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.decision.tune import tune
from animalclef.engine import ray_cluster
from animalclef.engine.ray_cluster import RayCluster
from animalclef.engine.ray_errors import reason_of
from animalclef.engine.work import Capacity, ThisMachine
from animalclef.errors import ConfigError, DataError, EngineError
from animalclef.pipeline.outlines import find_outlines
from animalclef.prepare.segmenters import GrabCut
from animalclef.runtime.progress import Silent
from animalclef.store.shard_store import ShardStore
from animalclef.training.study.run_study import Study

pytestmark = pytest.mark.slow  # `make test-cluster`
ray = pytest.importorskip("ray")
STORE_BYTES = 78643200  # the least that Ray takes


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one core each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.cloudpickle.register_pickle_by_value(engine_cases)  # nodes have the package, not the tests
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000}
    head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "_system_config": quick, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        started.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    ray.init(address=started.address, logging_level=logging.ERROR, log_to_driver=False)
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.fixture(scope="module")
def workers(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """Workers that every test takes over from the one before."""
    opened = RayCluster([tmp_path_factory.getbasetemp()])
    yield opened
    opened.close()


def test_three_nodes_give_results_in_order_and_a_task_is_tried_again_where_its_worker_dies(
    workers: RayCluster, tmp_path: Path
) -> None:
    work = Squares(tmp_path, seconds=0.05, dies=3)
    assert list(workers.ordered(work, range(40))) == [number**2 for number in range(40)]
    assert len(work.processes()) >= 2
    assert len((tmp_path / "3").read_text().split()) == 2
    assert list(workers.ordered(work, [])) == []


def test_what_fails_again_and_again_is_named(workers: RayCluster, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"squaring: number 4 failed 3 times .*ZeroDivisionError: nothing can be"):
        list(workers.ordered(Squares(tmp_path, fails=5), range(8)))
    assert len((tmp_path / "5").read_text().split()) == 3
    with pytest.raises(DataError, match=r"^photo.jpg: the file changed. This was on node \S+\.$"):
        list(workers.ordered(Squares(tmp_path, refuses=1), range(4)))
    assert len((tmp_path / "1").read_text().split()) <= 2


def test_a_worker_that_gives_no_answer_is_stopped_and_its_task_named(
    workers: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "stalled_s", 1.0)
    with pytest.raises(EngineError, match=r"squaring: number 2 failed 3 times .*no answer in 1 s, on node \w"):
        list(workers.ordered(Squares(tmp_path, stalls=2), range(4)))


def test_a_stalled_node_is_named_and_its_task_runs_elsewhere(
    cluster: Any, workers: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "stalled_s", 3.0)
    work = Squares(tmp_path, seconds=0.1)
    found = workers.ordered(work, range(60))
    got = [next(found) for _ in range(6)]
    stopped = int(sorted(work.processes())[0])
    os.kill(stopped, signal.SIGSTOP)  # as a machine that hangs: it holds its task and says nothing
    try:
        with caplog.at_level(logging.WARNING):
            got += found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(stopped, signal.SIGKILL)
    assert got == [number**2 for number in range(60)]
    assert "is tried again: TimeoutError: no answer in 3 s, on node " in caplog.text


def test_what_ray_says_of_a_lost_node_is_one_line() -> None:
    dump = "RpcError: RPC Error message: failed to connect to all addresses; last error: " + "UNKNOWN: ipv4; " * 60
    gone = ray.exceptions.ActorUnavailableError(dump, b"1" * 16)
    assert reason_of(gone) == "its node gives no answer"
    assert len(reason_of(ray.exceptions.RaySystemError(dump))) < 200
    assert reason_of(ZeroDivisionError("no. More")) == "ZeroDivisionError: no"


def test_a_worker_out_of_memory_is_tried_again_and_then_named(workers: RayCluster, tmp_path: Path) -> None:
    killed = Squares(tmp_path, killed=3)
    assert list(workers.ordered(killed, range(6))) == [0, 1, 4, 9, 16, 25]
    assert len((tmp_path / "3").read_text().split()) == 2
    with pytest.raises(EngineError, match=r"squaring: number 8 failed 3 times .*out of memory: give the node fewer"):
        list(workers.ordered(Squares(tmp_path, hogs=9), range(6, 12)))
    assert len((tmp_path / "9").read_text().split()) == 3


def test_a_folder_that_a_node_does_not_see_is_named(
    workers: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "folders", [str(tmp_path), str(tmp_path / "only-here")])
    with pytest.raises(EngineError, match=r"does not see .*only-here. Photographs and run folder must lie"):
        list(workers.ordered(Squares(tmp_path), range(2)))


def test_outlines_and_a_whole_run_have_the_same_bytes(workers: RayCluster, tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "data")
    (data / "images/NewtID/0_0.jpg").write_bytes(b"no photograph")
    blocks = ["vote.exact_descriptors=100", "retrieve.memory_gb=0.00001"]  # the index of descriptors lies on disk
    plain = predict(data, tmp_path / "local", *blocks, workers=1)
    assert workers.capacity == Capacity(3, 3, 3)
    assert predict(data, tmp_path / "ray", *blocks, engine=workers) == plain
    assert artefacts(tmp_path / "ray") == artefacts(tmp_path / "local")
    assert list((tmp_path / "ray" / "descriptors").rglob("*.safetensors"))
    shards = [sorted(path.name for path in (tmp_path / run).rglob("*.safetensors")) for run in ("local", "ray")]
    assert shards[0] == shards[1]
    assert len(shards[0]) >= 6

    images = hash_images(load_table(find_source(data)).images, DataConfig(), 2, Silent())[0]
    stores = ShardStore(tmp_path / "one"), ShardStore(tmp_path / "other")
    find_outlines(images, GrabCut(64, 1), stores[0], DataConfig(), 2, Silent())
    find_outlines(images, GrabCut(64, 1), stores[1], DataConfig(), 2, Silent(), workers)
    assert len(stores[1]) == len(set(images.key))
    for key in images.key:
        assert np.array_equal(stores[0].get(key)["outline"], stores[1].get(key)["outline"])


def test_data_sets_are_tuned_and_arms_trained_with_the_same_bytes(workers: RayCluster, tmp_path: Path) -> None:
    pseudo = {name: synthetic(number, signal=3.0, seed=number) for name, number in (("a", 15), ("b", 16), ("c", 8))}
    config = DecideConfig(folds=2, min_pseudo_queries=30)
    decisions = [tune(pseudo, config, 0, "", "", Silent(), engine=one) for one in (ThisMachine(), workers)]
    assert decisions[0].model_dump_json() == decisions[1].model_dump_json()
    assert [part.fitted_on for part in decisions[0].datasets.values()] == ["a", "b", "pooled"]

    data, recipe = make_tiny_data(tmp_path / "data"), tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump({**TINY_TRAINING, "validation": {"split": None}, "epochs": 1}))
    arms = [{"name": "all"}, {"name": "each", "each": True}]
    split = {"kind": "closed-set", "share": 0.9, "least_training": 1}
    settings = StudyConfig.model_validate({"recipe": str(recipe), "arms": arms, "split": split})
    made = []
    for out, engine in ((tmp_path / "here", ThisMachine()), (tmp_path / "there", workers)):
        out.mkdir()
        Study(settings, load_table(find_source(data)), out, {}, "cpu", 1, Silent(), engine=engine).run()
        files = [out / "lines.json", *sorted(out.glob("*-seed0/tiny.safetensors"))]
        made.append({path.relative_to(out): path.read_bytes() for path in files})
    assert len(made[0]) == 1 + 3  # of all data sets, and of each
    assert made[0] == made[1]


def test_a_season_is_added_with_the_same_answers(
    workers: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.close()  # a catalogue hires its own
    titles, ordered = [], RayCluster.ordered

    def counted(cluster: RayCluster, work: Any, chunks: Any) -> Iterator[Any]:
        titles.append(work.title)
        return ordered(cluster, work, chunks)

    monkeypatch.setattr(RayCluster, "ordered", counted)
    config, stores, exports = ac.load_config(None, *TINY_SETTINGS), [], []
    first, second = (make_tiny_data(tmp_path / name, seed=seed) for seed, name in enumerate(("first", "second")))
    for engine in ("local", "ray"):
        catalogue = ac.create_catalogue(tmp_path / engine, first, config=config, who="Ada", engine=engine)
        catalogue.confirm(who="Ada")
        added = catalogue.add(second, who="Ada", engine=engine, workers=2)
        assert added.new + added.recognised == 14
        catalogue.export(tmp_path / f"{engine}.csv")
        exports.append((tmp_path / f"{engine}.csv").read_bytes())
        stores.append(sorted(path.name for path in (tmp_path / engine / "run").rglob("*.safetensors")))
    assert exports[0] == exports[1]
    assert stores[0] == stores[1]
    assert titles.count("matching pairs") >= 2  # in both seasons
    with pytest.raises(ConfigError, match="engine spark: expected one of local, ray"):
        catalogue.add(second, engine="spark")


def test_after_the_driver_is_killed_the_same_run_ends_with_the_same_bytes(
    cluster: Any, workers: RayCluster, tmp_path: Path
) -> None:
    workers.close()  # the command needs their cores
    data = make_tiny_data(tmp_path / "data")
    plain = predict(data, tmp_path / "local")
    out, run = tmp_path / "submission.csv", tmp_path / "run"
    command = [*command_line(data, run, out), "--engine", "ray", "--address", cluster.address]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list(run.glob("keypoints/*/*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    assert list(run.glob("keypoints/*/*.safetensors"))
    assert not out.exists()
    assert predict(data, run, engine=workers) == plain
    assert artefacts(run) == artefacts(tmp_path / "local")


def test_a_lost_head_ends_the_command_with_one_sentence(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    another = Cluster(initialize_head=True, head_node_args=head)
    address = another.address
    try:
        out, data = tmp_path / "submission.csv", make_tiny_data(tmp_path / "data")
        command = [*command_line(data, tmp_path / "run", out), "--engine", "ray", "--address", address]
        with (tmp_path / "said").open("w") as said, subprocess.Popen(command, stdout=said, stderr=said) as running:
            deadline = time.monotonic() + 240
            while not list(tmp_path.glob("run/keypoints/*/*.safetensors")) and time.monotonic() < deadline:
                time.sleep(0.02)
            another.head_node.kill_all_processes(check_alive=False, allow_graceful=False)  # as `ray stop`
            assert running.wait(30) != 0
        while "resumes" not in (tmp_path / "said").read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        another.shutdown()
    said_last = (tmp_path / "said").read_text().strip().splitlines()[-1]
    assert said_last.startswith(f"The head of the Ray cluster at {address} is lost, so this command ends.")
    assert "Traceback" not in (tmp_path / "said").read_text()


def test_a_node_is_lost_and_the_others_go_on(cluster: Any, workers: RayCluster, tmp_path: Path) -> None:
    lost = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    work, last = Squares(tmp_path, seconds=0.05), [10**9]
    found = workers.ordered(work, itertools.takewhile(lambda number: number < last[0], itertools.count()))
    got: list[int] = []
    deadline = time.monotonic() + 240
    while len(work.processes()) < 4:
        assert time.monotonic() < deadline
        got.append(next(found))
    cluster.remove_node(lost, allow_graceful=False)
    last[0] = len(got) + 60
    got += found
    assert len(got) >= last[0]
    assert got == [number**2 for number in range(len(got))]


def test_a_node_that_goes_before_its_workers_are_there_is_no_failure(
    workers: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workers.close()
    nodes = RayCluster._nodes
    went = ("a" * 56, {"CPU": 24.0})
    monkeypatch.setattr(RayCluster, "_nodes", lambda cluster: [went, *nodes(cluster)])
    assert list(workers.ordered(Squares(tmp_path, seconds=0.05), range(20))) == [number**2 for number in range(20)]
    assert caplog.text == ""


def test_cores_are_shared_out_among_the_gpus_of_a_node() -> None:
    shared = RayCluster([], on_gpus=True)._places("a", {"CPU": 16.0, "GPU": 3.0})
    assert [one.threads for one in shared] == [6, 5, 5]


def test_every_node_is_used_whole_whatever_its_size(cluster: Any, workers: RayCluster, tmp_path: Path) -> None:
    large = cluster.add_node(num_cpus=6, object_store_memory=STORE_BYTES)
    work, last = Squares(tmp_path, seconds=0.05), [10**9]
    found = workers.ordered(work, itertools.takewhile(lambda number: number < last[0], itertools.count()))
    got, deadline = [next(found)], time.monotonic() + 240
    try:
        while len(work.processes()) < 5:
            assert time.monotonic() < deadline
            got.append(next(found))
        on_large = [one.threads for one in workers.place_of.values() if one.node == large.node_id]
        assert sorted(on_large) == [2, 4]
        assert {one.threads for one in workers.place_of.values() if one.node != large.node_id} == {1}
        assert workers.capacity == Capacity(4, 9, 5)
        last[0] = len(got)
        got += found
    finally:
        cluster.remove_node(large)
    assert got == [number**2 for number in range(len(got))]


def test_a_node_of_other_versions_that_joins_gets_no_work_until_it_has_the_same(
    cluster: Any, workers: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_cluster, "_AGAIN_S", 2.0)
    fake = tmp_path / "fake" / "animalclef-9.9.9.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: animalclef\nVersion: 9.9.9\n")
    path = os.pathsep.join([str(fake.parent), os.environ.get("PYTHONPATH", "")])
    (folder := tmp_path / "run").mkdir()
    work, last = Squares(folder, seconds=0.05), [10**9]
    found = workers.ordered(work, itertools.takewhile(lambda number: number < last[0], itertools.count()))
    got = [next(found)]
    cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES, env_vars={"PYTHONPATH": path})
    deadline = time.monotonic() + 240
    with caplog.at_level(logging.WARNING):
        while "9.9.9" not in caplog.text:
            assert time.monotonic() < deadline
            got.append(next(found))
        until = time.monotonic() + 6  # in which it is asked again
        while time.monotonic() < until:
            got.append(next(found))
        assert len(work.processes()) == 3  # of the nodes that were there
        (fake / "METADATA").unlink()
        fake.rmdir()
        while len(work.processes()) < 4:
            assert time.monotonic() < deadline
            got.append(next(found))
    last[0] = len(got)
    got += found
    assert got == [number**2 for number in range(len(got))]
    (said,) = [one.getMessage() for one in caplog.records if "9.9.9" in one.getMessage()]
    assert re.search(r"has animalclef 9\.9\.9.* this machine has .*: results would differ\. .* work without it\.", said)
