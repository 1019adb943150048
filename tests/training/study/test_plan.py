"""Which trainings the arms of a study need."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from rows import Row, image_table

from animalclef.config.training import ArmConfig, StudyConfig
from animalclef.errors import DataError
from animalclef.runtime.progress import Silent
from animalclef.training.study.arm_trainings import ArmSeed, ArmTrainings, Job, plan_arm


def test_one_network_for_all() -> None:
    plan = plan_arm(ArmConfig(name="One for all!", set=("epochs=3",), start="imagenet"), ["A", "B"])
    assert plan.jobs == (Job("one-for-all", ("A", "B"), ("epochs=3",), "imagenet"),)
    assert plan.network_of == {"A": "one-for-all", "B": "one-for-all"}


def test_a_start_as_it_is_needs_no_training() -> None:
    plan = plan_arm(ArmConfig(name="as it is", trained=False, start="shipped"), ["A", "B"])
    assert plan.jobs == ()
    assert plan.network_of == {"A": None, "B": None}


def test_a_network_for_each() -> None:
    plan = plan_arm(ArmConfig(name="each", each=True), ["A b", "C"])
    assert [(job.name, job.datasets, job.start) for job in plan.jobs] == [
        ("each-a-b", ("A b",), None), ("each-c", ("C",), None),
    ]  # fmt: skip
    assert plan.network_of == {"A b": "each-a-b", "C": "each-c"}
    assert plan.router is None


def test_left_out_and_then_tuned() -> None:
    arm = ArmConfig(name="left out", leave_out=True, then_tuned=True, start="s")
    plan = plan_arm(arm, ["A", "B", "C"])
    assert [(job.datasets, job.start, job.after) for job in plan.jobs[:2]] == [
        (("B", "C"), "s", None), (("A",), None, "left-out-without-a"),
    ]  # fmt: skip
    assert plan.network_of == {"A": "left-out-then-a", "B": "left-out-then-b", "C": "left-out-then-c"}
    without = plan_arm(arm.model_copy(update={"then_tuned": False}), ["A", "B"])
    assert without.network_of == {"A": "left-out-without-a", "B": "left-out-without-b"}
    with pytest.raises(DataError, match="two data sets or more"):
        plan_arm(arm, ["A"])


def test_a_router_is_trained_first_on_all() -> None:
    arm = ArmConfig(name="routed", each=True, set=("a=1",), router=("labels.classes=species",))
    plan = plan_arm(arm, ["A", "B"])
    assert plan.jobs[0] == Job("routed-router", ("A", "B"), ("a=1", "labels.classes=species"))
    assert plan.router == "routed-router"
    assert len(plan.jobs) == 3


def test_arms_that_share_a_training_go_to_one_worker_and_others_apart() -> None:
    arms = [
        ArmConfig(name="one for all"),
        ArmConfig(name="each", each=True),  # trains on A and on B
        ArmConfig(name="longer", set=("epochs=90",)),
        ArmConfig(name="left out", leave_out=True),  # without A is on B, and without B on A
        ArmConfig(name="all again"),
    ]
    asked = [ArmSeed(arm, plan_arm(arm, ["A", "B"]), seed) for seed in (1, 2) for arm in arms]
    images = image_table([Row("a", "x", dataset="A")])
    config = StudyConfig(arms=tuple(arms))
    work = ArmTrainings(config, images, np.zeros(1, np.int64), Path("out"), {}, "cpu", 1, Silent())
    chunks = [[(one.arm.name, one.seed) for one in chunk] for chunk in work.chunks(asked)]
    assert chunks == [
        [(name, seed) for name in names]
        for seed in (1, 2)
        for names in (("one for all", "all again"), ("each", "left out"), ("longer",))
    ]
    assert work.named(work.chunks(asked)[0]) == "arm one for all, seed 1"
    assert pickle.loads(pickle.dumps(work)).images.image_id.tolist() == ["a"]  # as an engine sends it


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"trained": False}, "needs a start"),
        ({"each": True, "leave_out": True}, "exclude"),
        ({"then_tuned": True}, "needs leave_out"),
        ({"router": ["a=1"]}, "needs each"),
        ({"gallery_images": [0]}, "1 or more"),
    ],
)
def test_arms_that_make_no_sense(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ArmConfig(name="x", **wrong)


@pytest.mark.parametrize("names", [("x", "x"), ("ArcFace", "ArcFace+"), ("A b", "a-B"), ("+", "x")])
def test_arms_have_names_that_make_different_folders(names: tuple[str, str]) -> None:
    with pytest.raises(ValidationError, match="differ in their letters"):
        StudyConfig(arms=tuple(ArmConfig(name=name) for name in names))


def test_data_sets_with_one_folder_are_refused() -> None:
    with pytest.raises(DataError, match="differ in letters"):
        plan_arm(ArmConfig(name="each", each=True), ["A b", "A-b"])


def test_a_split_without_a_gallery_has_none_to_thin() -> None:
    with pytest.raises(ValidationError, match="needs a gallery"):
        StudyConfig.model_validate({"split": {"kind": "paper"}, "arms": [{"name": "x", "gallery_images": [1]}]})
