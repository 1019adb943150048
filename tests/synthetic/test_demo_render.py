"""The demonstration data set on disk: layout, determinism, whole or absent."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
from pathlib import Path

import pytest
from counted_progress import CountedProgress
from PIL import Image, ImageOps

from animalclef.errors import OutputError
from animalclef.synthetic import DEMO_SPECIES, DemoConfig, render, render_demo
from animalclef.synthetic.plan import plan_demo
from animalclef.synthetic.render import TINY_SIZE_WH

TINY = DemoConfig(
    seed=2,
    known_individuals=2,
    unknown_individuals=1,
    places=1,
    database_visits=3,
    query_visits=2,
    max_database_images=3,
    max_known_queries=1,
    max_unknown_queries=1,
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_demo(tmp_path_factory.mktemp("demo") / "data", TINY)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _digests(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_config_gives_the_same_bytes_with_one_worker_or_two(demo: Path, tmp_path: Path) -> None:
    again = render_demo(tmp_path / "again", TINY, workers=2)
    assert _digests(again) == _digests(demo)


def test_another_seed_plans_other_photographs() -> None:
    mine, other = (plan_demo(TINY.model_copy(update={"seed": seed, "odd_cases": False})) for seed in (2, 4))
    assert {shot.path for shot in mine}.isdisjoint(shot.path for shot in other)


def test_columns_and_splits_follow_the_competition(demo: Path) -> None:
    rows = _rows(demo / "metadata.csv")
    expected = ["image_id", "identity", "path", "date", "orientation", "species", "split", "dataset"]
    assert list(rows[0]) == expected
    assert {row["split"] for row in rows} == {"database", "query"}
    assert {row["dataset"] for row in rows} == {"SpottedCatDemo", "FireNewtDemo", "SeaTurtleDemo"}
    assert all((row["identity"] == "") == (row["split"] == "query") for row in rows)
    assert [int(row["image_id"]) for row in rows] == list(range(len(rows)))
    assert {row["date"] for row in rows if row["dataset"] == "SpottedCatDemo"} == {""}
    assert {row["species"] for row in rows if row["dataset"] == "FireNewtDemo"} == {""}
    assert {row["orientation"] for row in rows if row["dataset"] == "SpottedCatDemo"} <= {"left", "right"}
    assert {row["orientation"] for row in rows if row["dataset"] == "FireNewtDemo"} == {"top"}


def test_splits_interleave_in_image_id(demo: Path) -> None:
    splits = [row["split"] for row in _rows(demo / "metadata.csv")]
    assert sum(a != b for a, b in itertools.pairwise(splits)) >= 4


def test_every_query_is_in_the_sample_and_in_the_truth_once(demo: Path) -> None:
    rows = _rows(demo / "metadata.csv")
    queries = [row["image_id"] for row in rows if row["split"] == "query"]
    sample, truth = _rows(demo / "sample_submission.csv"), _rows(demo / "truth.csv")
    assert list(sample[0]) == ["image_id", "identity"]
    assert list(truth[0]) == ["image_id", "identity", "dataset", "known"]
    assert [row["image_id"] for row in sample] == queries == [row["image_id"] for row in truth]
    assert {row["identity"] for row in sample} == {"new_individual"}
    database = {row["identity"] for row in rows if row["split"] == "database"}
    assert {row["known"] for row in truth} == {"0", "1"}
    assert all((row["identity"] in database) == (row["known"] == "1") for row in truth)


def test_every_path_exists_and_opens(demo: Path) -> None:
    rows = _rows(demo / "metadata.csv")
    for row in rows:
        with Image.open(demo / row["path"]) as image:
            image.load()
            assert min(image.size) >= min(TINY_SIZE_WH)
    assert len({row["path"] for row in rows}) == len(rows)


def test_query_paths_do_not_tell_who_it_is(demo: Path) -> None:
    queries = [row["path"] for row in _rows(demo / "metadata.csv") if row["split"] == "query"]
    assert not [path for path in queries if "/t0" in path or "newt_" in path or "cat_" in path]


def test_no_encounter_stands_on_both_sides() -> None:
    shots = plan_demo(DemoConfig())
    for species in DEMO_SPECIES:
        mine = [shot for shot in shots if shot.dataset == species.name]
        database = {shot.visit for shot in mine if shot.split == "database"}
        queries = {shot.visit for shot in mine if shot.split == "query"}
        assert database.isdisjoint(queries)
        assert {visit.date for visit in database}.isdisjoint(visit.date for visit in queries)
        assert {visit.place_seed for visit in database} & {visit.place_seed for visit in queries}  # the trap


def test_default_proportions() -> None:
    shots = plan_demo(DemoConfig())
    assert 300 <= len(shots) <= 400
    queries = [shot for shot in shots if shot.split == "query"]
    assert 0.25 <= sum(not shot.known for shot in queries) / len(queries) <= 0.42
    images: dict[str, int] = {}
    for shot in shots:
        if shot.split == "database":
            images[shot.identity] = images.get(shot.identity, 0) + 1
    assert min(images.values()) == 1
    assert max(images.values()) <= 6


def test_odd_cases_are_there(demo: Path) -> None:
    shots = {shot.oddity: demo / shot.path for shot in plan_demo(TINY) if shot.oddity}
    assert set(shots) == {"tiny", "grey", "exif", "cutout"}
    assert Image.open(shots["tiny"]).size == TINY_SIZE_WH
    assert Image.open(shots["grey"]).mode == "L"
    turned = Image.open(shots["exif"])
    assert turned.getexif()[0x0112] == 6
    assert ImageOps.exif_transpose(turned).size == turned.size[::-1]
    cutout = Image.open(shots["cutout"])
    assert cutout.mode == "RGBA"
    assert cutout.getchannel("A").getextrema() == (0, 255)
    assert any("Höhle am Bach" in shot.path for shot in plan_demo(TINY))


def test_without_odd_cases_there_are_none() -> None:
    shots = plan_demo(TINY.model_copy(update={"odd_cases": False}))
    assert {shot.oddity for shot in shots} == {""}
    assert all(shot.path.isascii() for shot in shots)


def test_an_odd_case_is_never_an_only_photograph() -> None:
    shots = plan_demo(DemoConfig())
    for odd in (shot for shot in shots if shot.oddity):
        others = [shot for shot in shots if shot.identity == odd.identity and shot.split == "database"]
        assert odd.split == "database"
        assert len(others) >= 2


def test_a_finished_demo_is_left_as_it_is(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_render_into", lambda *_: pytest.fail("rendered again"))
    assert render_demo(demo, TINY) == demo


def test_other_content_is_refused(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds other things"):
        render_demo(tmp_path, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(OutputError, match=r"a demo of other settings.*Choose another directory"):
        render_demo(demo, TINY.model_copy(update={"seed": 9}))
    with pytest.raises(ValueError, match="at least one worker"):
        render_demo(demo, TINY, workers=0)


def test_an_older_generator_is_refused(tmp_path: Path) -> None:
    stamp = {"generator": 0, "config": TINY.model_dump(mode="json")}
    (tmp_path / "demo.json").write_text(json.dumps(stamp))
    with pytest.raises(OutputError, match="another version"):
        render_demo(tmp_path, TINY)


def test_a_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress = CountedProgress(interrupt=True)
    with pytest.raises(KeyboardInterrupt):
        render_demo(tmp_path / "half", TINY, progress=progress)
    assert progress.steps
    assert list(tmp_path.iterdir()) == []


def test_progress_ends_at_the_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_render_batch", lambda batch: len(batch[1]))
    progress = CountedProgress()
    render_demo(tmp_path / "quick", TINY, progress=progress)
    assert sum(progress.steps) == progress.total == len(plan_demo(TINY))
    assert min(progress.steps) > 0
