"""Studies from start to end, on drawn animals and a network of a few layers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from embedder_cases import TINY_TRAINING
from tiny import make_tiny_data, read_csv
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.config import load_recipe, shipped_configs
from animalclef.config.training import StudyConfig
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.engine.work import Capacity, ThisMachine, Work
from animalclef.errors import ConfigError, DataError
from animalclef.runtime.progress import Silent
from animalclef.training.embedder.trained_network import build_trained
from animalclef.training.study.run_study import Study
from animalclef.training.study.study_scores import Line, study_markdown, study_rows

ARMS = [
    {"name": "one for all", "gallery_images": [1, 9]},
    {"name": "left out", "leave_out": True, "then_tuned": True},
    {"name": "routed", "each": True, "router": ["labels.classes=species", "loss.kind=softmax"]},
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("study") / "data")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(yaml.safe_dump({**TINY_TRAINING, "validation": {"split": None}, "epochs": 1}))
    return path


def study(data: Path, recipe: Path, out: Path, **changed: object) -> Study:
    settings = {"recipe": str(recipe), "arms": ARMS, "split": {"kind": "closed-set", "share": 0.9, "least_training": 1}}
    config = StudyConfig.model_validate({**settings, **changed})
    return Study(config, load_table(find_source(data)), out, {}, "cpu", 1, Silent())


@pytest.fixture(scope="module")
def lines(data: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Line]]:
    out = tmp_path_factory.mktemp("studied")
    return out, study(data, recipe, out).run()


def test_a_cluster_finds_all_photographs_decoded(data: Path, recipe: Path, tmp_path: Path) -> None:
    decoded: dict[str, set[Path]] = {}

    class Cluster(ThisMachine):
        capacity = Capacity(2, 4, 2)

        def ordered(self, work: Work[Any, Any], chunks: Iterable[Any]) -> Iterator[Any]:
            decoded[work.title] = set((tmp_path / "pictures").rglob("*.safetensors"))
            return super().ordered(work, chunks)

    arms = [{"name": "each", "each": True}, {"name": "larger", "set": ["network.image_size=96"]}]
    one = replace(study(data, recipe, tmp_path, arms=arms), engine=Cluster())
    one.run()
    assert decoded.keys() == {"training", "extracting features"}
    assert len({path.parent for path in decoded["training"]}) == 2  # a folder for each size
    assert decoded["training"] == set((tmp_path / "pictures").rglob("*.safetensors"))


def test_every_arm_is_measured_on_every_data_set(lines: tuple[Path, list[Line]]) -> None:
    out, found = lines
    arms = list(dict.fromkeys(line.arm for line in found))
    assert arms == ["one for all, 1 each", "one for all, 9 each", "left out", "routed"]
    assert len(found) == 4 * 2
    for line in found:
        assert line.figures.queries > 0
        assert 0 <= line.figures.measures["rank-1"] <= line.figures.measures["rank-5"] <= 1
        assert (line.told_apart is not None) == (line.arm == "routed")
    assert len(json.loads((out / "lines.json").read_text())) == 8
    trained = sorted(path.parent.name for path in out.glob("*/tiny.safetensors"))
    assert len(trained) == 1 + 4 + 1  # of two data sets "without the other" is "on its own": not trained twice


def test_what_is_finished_is_not_done_again(
    data: Path, recipe: Path, lines: tuple[Path, list[Line]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, found = lines
    from animalclef.training.training_loop import TrainingLoop

    def never(*_: object) -> None:
        raise AssertionError("a finished training took a step")

    monkeypatch.setattr(TrainingLoop, "_step", never)
    assert study(data, recipe, out).run() == found


def test_the_truth_is_read_once_and_after_everything(data: Path, recipe: Path, tmp_path: Path) -> None:
    reads = []

    def read() -> dict[str, str | None]:
        reads.append(sorted(path.parent.name for path in tmp_path.glob("*/tiny.safetensors")))
        rows = read_csv(data / "truth.csv")
        return {row["image_id"]: row["identity"] if row["known"] == "1" else None for row in rows}

    found = study(data, recipe, tmp_path, arms=[ARMS[0]], seeds=(0, 1)).run(read)
    assert reads == [["one-for-all-seed0", "one-for-all-seed1"]]
    known = [row for row in read_csv(data / "truth.csv") if row["known"] == "1"]
    asked = sum(line.figures.queries for line in found if line.seed == 0 and line.arm.endswith("9 each"))
    assert asked == len(known)


def test_a_start_that_is_not_given(data: Path, recipe: Path, tmp_path: Path) -> None:
    arms = [{"name": "a", "start": "imagenet"}]
    with pytest.raises(ConfigError, match="--start imagenet=FILE"):
        study(data, recipe, tmp_path, arms=arms).run()


def test_a_slip_in_a_later_arm_is_told_before_the_first_training(data: Path, recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="epoch"):
        study(data, recipe, tmp_path, arms=[{"name": "a"}, {"name": "b", "set": ["epoch=3"]}]).run()
    assert not list(tmp_path.glob("*-seed0"))


def test_a_truth_of_other_data_is_refused(data: Path, recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no known query of this table"):
        study(data, recipe, tmp_path, arms=[{"name": "a"}]).run(lambda: {"another": "x", "query": None})


def test_a_data_set_with_queries_alone_is_left_out(
    data: Path, recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = study(data, recipe, tmp_path, arms=[{"name": "each", "each": True}])
    table = one.loaded.images
    cats = (table.dataset == "CatID") & table.is_query
    one.loaded = replace(one.loaded, images=table.select(cats | (table.dataset == "NewtID")))
    found = one.run(lambda: {row["image_id"]: row["identity"] for row in read_csv(data / "truth.csv")})
    assert [line.figures.dataset for line in found] == ["NewtID"]
    assert "CatID: left out of the study" in caplog.text


def test_mean_and_spread_over_seeds() -> None:
    from animalclef.training.study.study_scores import DatasetFigures, Line

    def line(seed: int, dataset: str, value: float) -> Line:
        return Line("a", seed, DatasetFigures(dataset, 9, dict.fromkeys(("rank-1", "rank-5", "mAP"), value)))

    lines = [line(0, "A", 0.2), line(0, "B", 0.6), line(1, "A", 0.4), line(1, "B", 0.8)]
    rows = {str(row["dataset"]): row for row in study_rows(lines)}
    assert rows["A"]["rank-1"] == pytest.approx(0.3)
    assert rows["A"]["rank-1 spread"] == pytest.approx(0.02**0.5)
    assert rows["mean"]["rank-1"] == pytest.approx(0.5)  # of 0.4 and 0.6
    text = study_markdown(StudyConfig.model_validate({"arms": [{"name": "a"}], "seeds": [0, 1]}), lines, queries=False)
    assert "| a | 0.300 ± 0.141 | 0.700 ± 0.141 | 0.500 ± 0.141 |" in text


@pytest.mark.parametrize("name", shipped_configs("studies"))
def test_shipped_studies_are_read(name: str) -> None:
    config = load_recipe(StudyConfig, name)
    assert config.question
    from animalclef.config import TrainConfig

    for arm in config.arms:
        recipe = load_recipe(TrainConfig, arm.recipe or config.recipe, [*arm.set, *(arm.router or ())])
        assert build_trained(recipe.network).dimensions == recipe.network.dimensions


def test_the_command(data: Path, recipe: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    split = {"kind": "closed-set", "share": 0.9, "least_training": 1}
    config.write_text(yaml.safe_dump({"recipe": str(recipe), "arms": [{"name": "a"}], "split": split}))
    arguments = ["study", "--config", str(config), "--data", str(data), "--out", str(tmp_path / "s"), "--workers", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "s" / "table.md").read_text().splitlines()[-1].startswith("| a | ")
    wrong = CliRunner().invoke(app, [*arguments, "--start", "x"])
    assert isinstance(wrong.exception, ConfigError)
