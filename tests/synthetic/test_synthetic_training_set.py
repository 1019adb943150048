"""The synthetic training set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from counted_progress import CountedProgress
from PIL import Image
from tiny import read_csv
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.errors import ConfigError, OutputError
from animalclef.synthetic import TrainingSetConfig, render_training_set
from animalclef.synthetic.photograph import box_around

TINY = TrainingSetConfig(seed=3, species=2, animals=2, photographs=3, visits=2)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_training_set(tmp_path_factory.mktemp("crowd") / "data", TINY)


def test_every_photograph_is_named_and_opens(rendered: Path) -> None:
    rows = read_csv(rendered / "metadata.csv")
    assert [row["image_id"] for row in rows] == [str(number) for number in range(12)]
    assert [row["identity"] for row in rows[:4]] == ["Invented0000_000"] * 3 + ["Invented0000_001"]
    assert {row["split"] for row in rows} == {"database"}
    assert all(row["orientation"] and row["date"] for row in rows)
    for row in rows:
        with Image.open(rendered / row["path"]) as picture:
            assert min(picture.size) > 40
    assert len(load_table(find_source(rendered)).images.gallery) == 12


def test_sides_follow_in_turn_and_visits_are_shared(rendered: Path) -> None:
    rows = read_csv(rendered / "metadata.csv")
    for animal in {row["identity"] for row in rows}:
        mine = [row["orientation"] for row in rows if row["identity"] == animal]
        sides = sorted({row["orientation"] for row in rows if row["species"] == animal.partition("_")[0]})
        assert len(sides) == 1 or (mine[0] != mine[1] and mine[0] == mine[2])
    for species in {row["species"] for row in rows}:
        assert len({row["date"] for row in rows if row["species"] == species}) <= TINY.visits


def test_a_killed_call_goes_on_and_ends_the_same(rendered: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        render_training_set(tmp_path / "data", TINY, progress=CountedProgress(interrupt=True))
    assert not (tmp_path / "data" / "metadata.csv").exists()
    there = sorted((tmp_path / "data").rglob("*.jpg"))
    assert len(there) == 6
    before = [path.stat().st_mtime_ns for path in there]
    progress = CountedProgress()
    render_training_set(tmp_path / "data", TINY, workers=2, progress=progress)
    assert sum(progress.steps) == progress.total == 12
    assert [path.stat().st_mtime_ns for path in there] == before
    names = [path.relative_to(rendered) for path in sorted(rendered.rglob("*")) if path.is_file()]
    assert all((rendered / name).read_bytes() == (tmp_path / "data" / name).read_bytes() for name in names)


def test_a_larger_set_contains_a_smaller_one(rendered: Path, tmp_path: Path) -> None:
    render_training_set(tmp_path / "data", TINY.model_copy(update={"species": 1}))
    first = (tmp_path / "data" / "metadata.csv").read_text().splitlines()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.jpg")}
    render_training_set(tmp_path / "data", TINY)
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    assert (tmp_path / "data" / "metadata.csv").read_bytes() == (rendered / "metadata.csv").read_bytes()
    assert (rendered / "metadata.csv").read_text().splitlines()[: len(first)] == first


def test_other_content_is_refused(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds other files"):
        render_training_set(tmp_path, TINY)
    with pytest.raises(OutputError, match="other settings"):
        render_training_set(rendered, TINY.model_copy(update={"seed": 4}))


def test_the_box_of_a_close_photograph() -> None:
    mask = np.zeros((100, 200), dtype=bool)
    mask[40:60, 50:150] = True
    assert box_around(mask, (0, 0), np.random.default_rng(0)) == (slice(40, 60), slice(50, 150))
    assert box_around(mask, (9, 9), np.random.default_rng(0)) == (slice(0, 100), slice(0, 200))
    for seed in range(5):
        cropped = mask[box_around(mask, (-0.04, 0.14), np.random.default_rng(seed))]
        assert 18 <= cropped.shape[0] <= 26
        assert 91 <= cropped.shape[1] <= 129
    assert box_around(np.zeros_like(mask), (0, 0), np.random.default_rng(0)) is None


def test_the_command(tmp_path: Path) -> None:
    arguments = ["demo", str(tmp_path / "c"), "--synthetic-training-set", "1", "--animals", "2", "--photographs", "1",
                 "--cropped", "1",
                 "--workers", "1"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert len(read_csv(tmp_path / "c" / "metadata.csv")) == 2
    for name in ("--animals", "--photographs", "--cropped"):
        alone = CliRunner().invoke(app, ["demo", str(tmp_path / "d"), name, "1"])
        assert isinstance(alone.exception, ConfigError)
        assert "need --synthetic-training-set" in str(alone.exception)
    assert not (tmp_path / "d").exists()
