"""What a run is expected to take: on a cluster, and from a bucket."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import make_tiny_data

from animalclef.cli.console import plan_sentence
from animalclef.config import load_config
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.engine.work import Capacity, ThisMachine
from animalclef.features.extract import ExtractionJob, ThumbnailExtractor
from animalclef.pipeline.cost import estimate
from animalclef.pipeline.image_contents import keyed
from animalclef.pipeline.models import Models
from animalclef.pipeline.run_context import Plan, RunContext
from animalclef.runtime.remote_files import place_marker
from animalclef.store.run_folder import RunFolder
from animalclef.store.shard_store import ShardStore


class Cluster(ThisMachine):
    """This machine, said to be four."""

    capacity = Capacity(machines=4, lanes=8, workers=4)


class FullSize(ThumbnailExtractor):
    """Makes thumbnails of photographs that are not reduced."""

    decodes_fully = True


def test_fewer_tasks_than_workers_leave_workers_without_work() -> None:
    capacity = Capacity(machines=4, lanes=16, workers=4)
    assert capacity.seconds(1600, tasks=1) == 1600 / 4  # one worker of four cores
    assert capacity.seconds(1600, tasks=4) == 100
    assert capacity.seconds(1600, tasks=5) == 160  # one of the workers has two
    assert capacity.seconds(1600, tasks=4000) == 100
    assert capacity.seconds(0, tasks=0) == 0
    assert Capacity(0, 0, 0).seconds(5, tasks=1) == 5  # machines may join later


@pytest.mark.parametrize(
    ("cache", "engine", "reads"),
    [(1.5, ThisMachine(), 0), (0.5, ThisMachine(), 2), (1.5, Cluster(), 2), (0.5, Cluster(), 2)],
)
def test_photographs_that_the_cache_does_not_hold_are_read_by_each_pass(
    tmp_path: Path, cache: float, engine: ThisMachine, reads: int
) -> None:
    images = keyed(load_table(find_source(make_tiny_data(tmp_path / "data", datasets=("NewtID",)))).images, 1)
    megabytes = sum((images.root / path).stat().st_size for path in images.path) / 1e6
    place_marker(images.root, json.dumps({"url": "s3://bucket/data", "gigabytes": 1}))
    config = load_config(None, [f"data.cache_gb={cache * megabytes / 1000}", "rerank.matcher=none"])
    context = RunContext(config, RunFolder(tmp_path / "run"), Models(None, None, None), None, engine=engine)
    stores = [ShardStore(tmp_path / name) for name in ("thumbnails", "full")]
    jobs = [ExtractionJob(one, store) for one, store in zip((ThumbnailExtractor(), FullSize()), stores, strict=True)]
    plan = estimate(images, {"NewtID": jobs}, context)
    moved = plan.network_megabytes - (0 if plan.machines is None else plan.megabytes)
    assert moved == pytest.approx(reads * megabytes, rel=0.2)  # the size is that of a few photographs


def test_the_plan_of_a_bucket_says_what_is_read_again() -> None:
    plan = Plan(10, 10, 100, 90.0, 5.0, network_megabytes=2345.6)
    assert plan_sentence(plan).endswith(
        "about 2 min, 5 MB on disk and 2,346 MB from the bucket at most, because data.cache_gb does not hold all "
        "photographs."
    )
    assert plan_sentence(replace(plan, network_megabytes=0.0)).endswith(": about 2 min and 5 MB on disk at most.")
