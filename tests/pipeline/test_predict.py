"""The whole way from a table to a submission: what is made again, and what never may change an answer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny import make_tiny_data, photograph, read_csv, write_csv
from whole_run import artefacts, count_work, predict

from animalclef.errors import StaleArtefactError
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.store.run_folder import RunFolder

PHOTOGRAPHS, GALLERY, QUERIES = 34, 24, 10  # two data sets of four known animals and one unknown
PAIRS = 2 * (12 * 5 + 12 * 11 // 2)  # of each data set: 5 queries against 12 photographs, and these among themselves


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("data") / "tiny", individuals=4, unknown=1)


@pytest.fixture(scope="module")
def first(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A finished run and its submission."""
    run = tmp_path_factory.mktemp("first") / "run"
    return run, predict(data, run)


@pytest.fixture
def again(first: tuple[Path, bytes], tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(first[0], tmp_path / "again"))


def store(picture_path: Path, individual: list[int], view: int) -> None:
    import cv2

    picture_path.write_bytes(cv2.imencode(".jpg", photograph(individual, view))[1].tobytes())


def test_known_animals_are_named_and_the_unknown_one_is_new(data: Path, first: tuple[Path, bytes]) -> None:
    answers = dict(line.split(",") for line in first[1].decode().splitlines()[1:])
    truth = read_csv(data / "truth.csv")
    assert list(answers) == [row["image_id"] for row in truth]
    right = [
        answers[row["image_id"]] == (row["identity"] if row["known"] == "1" else "new_individual") for row in truth
    ]
    assert sum(right) >= 9


def test_the_second_run_does_nothing_and_says_the_same(
    data: Path, first: tuple[Path, bytes], again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    assert predict(data, again) == first[1]
    assert dict(+counts) == {}
    assert artefacts(again) == artefacts(first[0])


@pytest.mark.parametrize("workers", [1, 5])
def test_workers_change_nothing(data: Path, first: tuple[Path, bytes], tmp_path: Path, workers: int) -> None:
    assert predict(data, tmp_path / "run", workers=workers) == first[1]
    assert artefacts(tmp_path / "run") == artefacts(first[0])


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("decide.trials=5", {"tuned": 1}),
        ("decide.unknown_share=0.6", {"tuned": 1}),
        ("retrieve.top_k=3", {"tuned": 1}),
        ("retrieve.sources=[embedding]", {"tuned": 1}),
        ("vote.neighbours=2", {"tuned": 1}),
        ("rerank.ratio=0.8", {"pairs": PAIRS, "tuned": 1}),
        ("rerank.tolerance=0.03", {"pairs": PAIRS, "tuned": 1}),
        ("rerank.matcher=none", {"tuned": 1}),
        ("keypoints.max_keypoints=48", {"keypoints": PHOTOGRAPHS, "pairs": PAIRS, "tuned": 1}),
        ("embed.words=6", {"embeddings": PHOTOGRAPHS, "tuned": 1}),
        ("embed.dimensions=8", {"tuned": 1}),
        ("seed=1", {"embeddings": PHOTOGRAPHS, "tuned": 1}),
        ("data.max_missing=0.5", {}),
        ("embed.batch_size=3", {}),
        ("name=another", {}),
    ],
)
def test_a_changed_setting_makes_again_what_depends_on_it(
    data: Path, again: Path, monkeypatch: pytest.MonkeyPatch, assignment: str, expected: dict[str, int]
) -> None:
    counts = count_work(monkeypatch)
    predict(data, again, assignment)
    assert dict(+counts) == expected


def test_pseudo_queries_are_kept_and_made_again_where_they_are_missing_or_of_other_settings(
    data: Path, first: tuple[Path, bytes], again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = again / "validation.safetensors"
    whole = kept.read_bytes()
    part = read_pseudo_queries(RunFolder(again))["NewtID"]
    assert part.gallery_id is not None
    assert part.splits.identity.tolist() == [f"NewtID_{animal}" for animal in range(4) for _ in range(3)]
    counts = count_work(monkeypatch)
    kept.unlink()
    assert predict(data, again) == first[1]
    assert kept.read_bytes() == whole
    flip_last_byte(kept)
    assert predict(data, again) == first[1]
    assert kept.read_bytes() == whole
    assert dict(+counts) == {}
    predict(data, again, "retrieve.top_k=3")
    assert kept.read_bytes() != whole
    assert predict(data, again) == first[1]
    assert kept.read_bytes() == whole
    assert dict(+counts) == {"tuned": 1}


def test_a_reused_run_says_what_a_fresh_one_says(data: Path, again: Path, tmp_path: Path) -> None:
    settings = ("keypoints.max_keypoints=40", "retrieve.top_k=4")
    assert predict(data, again, *settings) == predict(data, tmp_path / "fresh", *settings)
    assert artefacts(again) == artefacts(tmp_path / "fresh")


def test_going_back_to_earlier_settings_finds_earlier_work(
    data: Path, first: tuple[Path, bytes], again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(data, again, "rerank.ratio=0.8")
    counts = count_work(monkeypatch)
    assert predict(data, again) == first[1]
    assert dict(+counts) == {}


def test_photographs_set_aside_by_a_setting_do_not_leave_a_stale_decision(
    data: Path, again: Path, tmp_path: Path
) -> None:
    predict(data, again, "data.max_pixels=25000")
    predict(data, tmp_path / "fresh", "data.max_pixels=25000")
    assert len(read_csv(again / "set_aside.csv")) > 3
    assert artefacts(again) == artefacts(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("path", "described"),
    [("images/NewtID/1_3.jpg", {"thumbnails": 1, "keypoints": 1, "embeddings": 1, "pairs": 12, "tuned": 1}),
     ("images/NewtID/1_0.jpg", {"thumbnails": 1, "keypoints": 1, "embeddings": 17, "pairs": 5 + 11, "tuned": 1})],
)  # fmt: skip
def test_a_changed_photograph_is_never_served_stale(
    data: Path, again: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, described: dict[str, int]
) -> None:
    changed = Path(shutil.copytree(data, tmp_path / "changed"))
    store(changed / path, [0, 0, 3], 9)  # now it shows animal 3
    counts = count_work(monkeypatch)
    submission = predict(changed, again)
    assert dict(+counts) == described
    assert submission == predict(changed, tmp_path / "fresh")
    assert artefacts(again) == artefacts(tmp_path / "fresh")


def test_a_decision_is_applied_to_its_own_settings_and_refused_for_others(
    data: Path, first: tuple[Path, bytes], again: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision = Path(shutil.copy(first[0] / "decision.json", tmp_path / "mine.json"))
    counts = count_work(monkeypatch)
    assert predict(data, again, decision=decision) == first[1]
    assert dict(+counts) == {}
    assert predict(data, tmp_path / "elsewhere", decision=decision) == first[1]
    assert counts["tuned"] == 0
    for assignment in ("rerank.ratio=0.8", "embed.words=6", "keypoints.max_keypoints=48", "retrieve.top_k=3"):
        with pytest.raises(
            StaleArtefactError, match=r"decision was fitted on scores of settings .* leave the decision out"
        ):
            predict(data, again, assignment, decision=decision)


def test_a_decision_that_calls_everybody_new(
    data: Path, first: tuple[Path, bytes], again: Path, tmp_path: Path
) -> None:
    import json

    content = json.loads((first[0] / "decision.json").read_text())
    del content["digest"]  # the content is changed on purpose
    for part in (*content["datasets"].values(), content["pooled"]):
        part["threshold"] = 1.0
    (tmp_path / "shy.json").write_text(json.dumps(content))
    submission = predict(data, again, decision=tmp_path / "shy.json").decode()
    assert submission.count("new_individual") == QUERIES


def test_a_decision_made_on_other_data_sets_is_told(
    data: Path, first: tuple[Path, bytes], again: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import json

    content = json.loads((first[0] / "decision.json").read_text())
    del content["digest"]  # the content is changed on purpose
    names = sorted(content["datasets"])
    content["datasets"] = {"Elsewhere": content["datasets"][names[0]]}
    (tmp_path / "other.json").write_text(json.dumps(content))
    predict(data, again, decision=tmp_path / "other.json")
    told = [one.getMessage() for one in caplog.records if "has no settings for this data set" in one.getMessage()]
    assert [one.split(":")[0] for one in told] == names
    assert "the decision was made on Elsewhere and has" in told[0]


def rewritten(data: Path, target: Path, **cells: str) -> Path:
    """A copy of the data with some cells of every query's row replaced."""
    shutil.copytree(data, target)
    rows = read_csv(data / "metadata.csv")
    for row in rows:
        if row["split"] == "query":
            row.update(cells)
    write_csv(target / "metadata.csv", list(rows[0]), [list(row.values()) for row in rows])
    return target


def test_an_identity_planted_on_the_queries_changes_nothing(
    data: Path, first: tuple[Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = rewritten(data, tmp_path / "planted", identity="NewtID_0")
    assert predict(planted, tmp_path / "run") == first[1]
    assert artefacts(tmp_path / "run") == artefacts(first[0])
    stranger = rewritten(data, tmp_path / "stranger", identity="nobody you know")
    counts = count_work(monkeypatch)
    assert predict(stranger, tmp_path / "run") == first[1]
    assert dict(+counts) == {}


def test_the_truth_beside_the_table_changes_nothing(data: Path, first: tuple[Path, bytes], tmp_path: Path) -> None:
    blind = Path(shutil.copytree(data, tmp_path / "blind"))
    (blind / "truth.csv").unlink()
    assert predict(blind, tmp_path / "run") == first[1]
    assert artefacts(tmp_path / "run") == artefacts(first[0])


def flip_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_damaged_files_cost_time_but_no_answer(
    data: Path, first: tuple[Path, bytes], again: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("keypoints", "thumbnails", "embeddings"):
        flip_last_byte(sorted((again / kind).rglob("*.safetensors"))[0])
    for path in (again / "pairs").iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    shutil.rmtree(again / "decisions")
    counts = count_work(monkeypatch)
    assert predict(data, again) == first[1]
    assert artefacts(again) == artefacts(first[0])
    assert counts["keypoints"] == counts["thumbnails"] == counts["tuned"] == 1
    assert 0 < counts["pairs"] <= 12  # those of the one frame that was cut
    counts.clear()
    assert predict(data, again) == first[1]
    assert dict(+counts) == {}


@pytest.mark.parametrize("matcher", ["mutual-nearest", "none"])
@pytest.mark.parametrize(("individuals", "gallery_images"), [(1, 3), (3, 1), (1, 1)])
def test_galleries_too_small_to_tune_on_are_answered_by_default(
    tmp_path: Path, matcher: str, individuals: int, gallery_images: int
) -> None:
    data = make_tiny_data(
        tmp_path / "data", datasets=("NewtID",), individuals=individuals, gallery_images=gallery_images, unknown=1
    )
    submission = predict(data, tmp_path / "run", f"rerank.matcher={matcher}").decode().splitlines()
    assert len(submission) == 1 + individuals + 1
    assert '"fitted_on": "default"' in (tmp_path / "run" / "decision.json").read_text()


def test_a_network_takes_the_place_of_the_weight_free_model(data: Path, tmp_path: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    settings = ("embed.model=timm:test_resnet", f"embed.weights={tmp_path}/w.safetensors", "embed.image_size=64")
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "w.safetensors")
        submission = predict(data, tmp_path / "run", *settings)
        assert predict(data, tmp_path / "run", *settings) == submission
        assert len(submission.splitlines()) == 1 + QUERIES
    stores = [path for path in (tmp_path / "run" / "embeddings").iterdir() if "-" not in path.name]
    assert len(stores) == 2  # weights with other bytes under the same name are other weights
