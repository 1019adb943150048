"""Ledger, diff and ensemble as a user meets them, over finished runs of a drawn data set."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY_SETTINGS, make_tiny_data, read_csv
from tiny_run import copy_run
from typer.testing import CliRunner, Result

from animalclef.cli import app
from animalclef.errors import AnimalClefError, DataError, RunError, StaleArtefactError, SubmissionError
from animalclef.pipeline.ensemble import read_ensemble
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.store.run_folder import RunFolder

NEIGHBOURS = (".config.yaml", ".decision.json", ".manifest.json", ".metrics.json")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)


def predict(data: Path, run: Path, out: Path, *assignments: str, more: tuple[str, ...] = ()) -> dict[str, Any]:
    settings = [part for one in (*TINY_SETTINGS, *assignments) for part in ("--set", one)]
    result = call("predict", "--data", data, "--run", run, "--out", out, "--json", *settings, *more)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, `plain` and `strict`, over one data set, with their submissions."""
    place = tmp_path_factory.mktemp("place")
    data = make_tiny_data(place / "data", individuals=4, unknown=1)
    predict(data, place / "runs" / "plain", place / "submissions" / "plain" / "submission.csv")
    shutil.copytree(place / "runs" / "plain", place / "runs" / "strict")
    changed = ("rerank.ratio=0.8", "embed.dimensions=8")
    predict(data, place / "runs" / "strict", place / "submissions" / "strict" / "submission.csv", *changed)
    return place


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def shown() -> list[dict[str, Any]]:
    return list(json.loads(call("ledger", "show", "--json").stdout))


def test_runs_stand_in_the_ledger_with_what_changed_and_the_boards_scores(here: Path) -> None:
    first, second = shown()[:2]
    assert (first["command"], first["changed"]) == ("predict", {})
    assert set(second["changed"]) - {"decision"} == {"rerank.ratio", "embed.dimensions"}
    assert second["changed"]["embed.dimensions"] == [16, 8]
    metrics = json.loads((here / "submissions" / "strict" / "submission.metrics.json").read_text())
    manifest = json.loads((here / "submissions" / "strict" / "submission.manifest.json").read_text())
    assert second["validation"]["score"] == pytest.approx(metrics["validation_score"])
    assert second["submission_sha256"] == manifest["submission_sha256"]
    assert second["new_share"] == metrics["new_individuals"] / metrics["queries"]
    assert metrics["warnings"][0].startswith("CatID: validated on only ")
    assert [one[:40] for one in second["warnings"]] == [one[:40] for one in metrics["warnings"]]
    assert call("ledger", "add", "--public", "0.51").exit_code == 0
    sent = here / "submissions" / "plain" / "submission.csv"
    assert call("ledger", "add", "--public", "0.4", "--note", "[early]", "--submission", sent).exit_code == 0
    boards = [run["board"] for run in shown()[:2]]
    if (here / "submissions" / "strict" / "submission.csv").read_bytes() != sent.read_bytes():
        assert boards == [{"public": 0.4, "note": "[early]"}, {"public": 0.51}]
    table = call("ledger", "show").stdout
    assert "0.400" in table
    assert "[early]" in table
    assert "embed.dimensions 16 -> 8" in table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to add"),
        (("--public", "0.5", "--submission", "absent.csv"), "absent.csv: no such file"),
        (("--public", "0.5", "--submission", "data/truth.csv"), "no run wrote data/truth.csv"),
        (("--public", "0.5", "--ledger", "data"), "no such ledger"),
    ],
)
def test_what_cannot_be_noted_is_told(here: Path, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        call("ledger", "add", *arguments)


def test_a_ledger_elsewhere_or_none(here: Path, tmp_path: Path) -> None:
    run, out = here / "runs" / "plain", tmp_path / "out.csv"
    predict(here / "data", run, out, more=("--no-ledger",))
    assert not (tmp_path / "ledger.jsonl").exists()
    bytes_before, figures = out.read_bytes(), out.with_suffix(".metrics.json").read_bytes()
    predict(here / "data", run, out, more=("--ledger", str(tmp_path / "mine" / "kept.jsonl")))
    assert len((tmp_path / "mine" / "kept.jsonl").read_text().splitlines()) == 1
    assert out.read_bytes() == bytes_before
    assert out.with_suffix(".metrics.json").read_bytes() == figures  # warnings of what was kept come again
    (tmp_path / "blocked").touch()
    predict(here / "data", run, out, more=("--ledger", str(tmp_path / "blocked" / "kept.jsonl")))  # a warning, no end


def test_diff_of_files_with_data_runs_and_truth(here: Path, tmp_path: Path) -> None:
    a, b = here / "submissions" / "plain" / "submission.csv", tmp_path / "b.csv"
    lines = a.read_text().splitlines()
    number, name = next((row, line.split(",")[1]) for row, line in enumerate(lines[1:], 1) if "new_ind" not in line)
    lines[number] = lines[number].split(",")[0] + ",new_individual"
    b.write_text("\n".join(lines) + "\n")
    out, truth = tmp_path / "rows.csv", here / "data" / "truth.csv"
    run = here / "runs" / "plain"
    result = call("diff", a, b, "--run", run, "--truth", truth, "--out", out, "--json")
    content = json.loads(result.stdout)
    assert (content["queries"], content["differ"]) == (10, 1)
    (count,) = content["counts"]
    assert (count["a"], count["b"], count["cause"]) == ("a name", "new", "threshold or candidate")
    assert count["a_right"] + count["b_right"] + count["neither"] == 1
    (row,) = read_csv(out)
    assert (row["a"], row["b"], row["dataset"]) == (name, "new_individual", "NewtID" if "Newt" in name else "CatID")
    told = call("diff", a, b, "--data", here / "data").stdout
    assert "1 of 10 answers differ." in told
    assert "0 of 10 answers differ." in call("diff", a, a).stdout
    with pytest.raises(SubmissionError, match="is no query of"):
        call("diff", a, here / "data" / "sample_submission.csv", "--data", make_tiny_data(tmp_path / "other"))


def test_two_submissions_in_one_folder_keep_their_own_settings(here: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    predict(here / "data", here / "runs" / "plain", one)
    predict(here / "data", here / "runs" / "strict", other, "rerank.ratio=0.8", "embed.dimensions=8")
    assert "ratio: 0.9" in one.with_suffix(".config.yaml").read_text()
    assert "ratio: 0.8" in other.with_suffix(".config.yaml").read_text()
    digests = {json.loads(path.with_suffix(".manifest.json").read_text())["submission_sha256"] for path in (one, other)}
    assert digests == {hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, other)}
    assert call("diff", one, other, "--run", "runs/plain", "--run", "runs/strict").exit_code == 0
    lines = one.read_text().splitlines()
    first, _, answer = lines[1].partition(",")
    one.write_text("\n".join([lines[0], f"{first},{answer}x", *lines[2:]]) + "\n")
    with pytest.raises(RunError, match=r"plain: its answers are not those of .*one\.csv"):
        call("diff", one, other, "--run", "runs/plain", "--run", "runs/strict")


def test_a_submission_whose_run_was_changed_is_explained_by_the_files_beside_it(here: Path, tmp_path: Path) -> None:
    run, one, other = tmp_path / "run", tmp_path / "one.csv", tmp_path / "other.csv"
    shutil.copytree(here / "runs" / "plain", run)
    predict(here / "data", run, one, more=("--no-ledger",))
    threshold = json.loads(one.with_suffix(".decision.json").read_text())["datasets"]["CatID"]["threshold"]
    predict(here / "data", run, other, "decide.threshold=0.9999", more=("--no-ledger",))
    content = json.loads(call("diff", one, other, "--run", run, "--json").stdout)
    assert content["differ"]
    assert {row["cause"] for row in content["rows"]} == {"threshold"}
    assert all(threshold <= row["a_probability"] < 0.9999 for row in content["rows"] if row["dataset"] == "CatID")
    [note] = content["notes"]
    assert note.startswith(f"{run} was changed since {one} was written, or did not write it. The causes come from the ")
    alone = json.loads(call("diff", one, other, "--json").stdout)
    assert ([row["cause"] for row in alone["rows"]], alone["notes"]) == ([row["cause"] for row in content["rows"]], [])
    one.with_suffix(".manifest.json").unlink()
    with pytest.raises(RunError, match=r"its answers are not those of .*one\.csv"):
        call("diff", one, other, "--run", run, "--run", run)
    assert json.loads(call("diff", one, other, "--run", run, "--json").stdout)["rows"][0]["a_probability"] is None


def test_an_ensemble_answers_like_predict_and_keeps_a_run(here: Path, tmp_path: Path) -> None:
    runs = ["runs/plain", "runs/strict"]
    out, kept = tmp_path / "e" / "submission.csv", tmp_path / "run"
    result = call("ensemble", *runs, "--out", out, "--run", kept, "--json", "--no-ledger")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert set(said["runs"]) == {"plain", "strict"}
    assert call("validate", out, "--data", "data").exit_code == 0
    truth = {row["image_id"]: row["identity"] if row["known"] == "1" else "new_individual"
             for row in read_csv(here / "data" / "truth.csv")}  # fmt: skip
    assert sum(truth[row["image_id"]] == row["identity"] for row in read_csv(out)) >= 8
    assert all(out.with_suffix(ending).is_file() for ending in NEIGHBOURS)
    manifest = json.loads(out.with_suffix(".manifest.json").read_text())
    assert [one["run"] for one in manifest["runs"].values()] == runs
    weights = json.loads(out.with_suffix(".decision.json").read_text())["datasets"]["NewtID"]["weights"]
    assert set(weights) >= {f"{run}:{name}" for run in ("plain", "strict") for name in ("similarity", "inliers")}
    again = call("ensemble", *runs, "--out", tmp_path / "again.csv", "--run", tmp_path / "other", "--no-ledger")
    assert again.exit_code == 0
    assert (tmp_path / "again.csv").read_bytes() == out.read_bytes()
    assert call("evaluate", "--run", kept, "--truth", here / "data" / "truth.csv").exit_code == 0
    assert list(read_pseudo_queries(RunFolder(kept))) == ["CatID", "NewtID"]


def test_an_ensemble_marks_skipped_photographs_as_predict_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",))
    broken = [row for row in read_csv(data / "metadata.csv") if row["split"] == "query"][-1]
    (data / broken["path"]).write_bytes(b"no photograph")
    predict(data, tmp_path / "plain", tmp_path / "plain.csv")
    predict(data, tmp_path / "strict", tmp_path / "strict.csv", "rerank.ratio=0.8")
    assert call("ensemble", "plain", "strict", "--out", "fused.csv", "--run", "kept", "--no-ledger").exit_code == 0
    fused, plain = ({row["image_id"]: row for row in read_csv(tmp_path / f"{name}.answers.csv")}
                    for name in ("fused", "plain"))  # fmt: skip
    reason = plain[broken["image_id"]]["skipped"]
    assert reason
    assert {one: row["skipped"] for one, row in fused.items() if row["skipped"]} == {broken["image_id"]: reason}
    assert fused[broken["image_id"]]["individual"] == ""
    assert json.loads((tmp_path / "fused.manifest.json").read_text())["set_aside"] == 1


def refused(*runs: Path, error: type[AnimalClefError] = DataError) -> str:
    with pytest.raises(error) as told:
        read_ensemble(list(runs))
    return str(told.value)


def test_runs_that_cannot_be_fused_are_refused(here: Path, tmp_path: Path) -> None:
    plain, strict = here / "runs" / "plain", here / "runs" / "strict"
    assert "expected two or more" in refused(plain)
    assert "given twice" in refused(plain, here / "runs" / "strict" / ".." / "plain")
    copy = copy_run(plain, tmp_path / "copy")
    assert "the same scores as" in refused(plain, copy)
    other = copy_run(strict, tmp_path / "other")
    (other / "encounters.csv").write_text("image_id,encounter\n")
    assert "other encounters" in refused(plain, other)
    (other / "validation.safetensors").unlink()
    assert "no stored pseudo-queries" in refused(plain, other, error=StaleArtefactError)
    finished = other / "finished.json"
    finished.write_text(finished.read_text().replace('"data": "', '"data": "x'))
    shutil.copyfile(strict / "validation.safetensors", other / "validation.safetensors")
    assert "other settings or data" in refused(plain, other, error=StaleArtefactError)
    kept = json.loads((strict / "finished.json").read_text())
    kept["config"]["rerank"]["geometry"] = "affine"
    finished.write_text(json.dumps({name: kept[name] for name in kept if name not in ("digest", "files")}))
    assert "settings of another version" in refused(plain, other, error=RunError)
    finished.write_text("{}")
    assert "settings of another version" in refused(plain, other, error=RunError)
    finished.unlink()
    assert "no finished run" in refused(plain, other, error=RunError)


def test_a_run_over_other_data_is_refused(here: Path, tmp_path: Path) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("CatID",), individuals=4, unknown=1, seed=1)
    predict(data, tmp_path / "run", tmp_path / "out.csv", more=("--no-ledger",))
    assert "other photographs or another table" in refused(here / "runs" / "plain", tmp_path / "run")
