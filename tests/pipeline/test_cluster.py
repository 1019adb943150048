"""Clustering through a whole run: who the new ones are, a clustering task, photographs without any name."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from rows import strings
from tiny import TINY_SETTINGS, make_tiny_data, read_csv, write_csv
from typer.testing import CliRunner
from whole_run import count_work

import animalclef
from animalclef.cli import app
from animalclef.config import load_config
from animalclef.errors import ConfigError, DataError, OutputError
from animalclef.pipeline.predict import _constraints
from animalclef.structures import Predictions, ReviewedPairs

CONFIG_ARGUMENTS = [*TINY_SETTINGS, "retrieve.top_k=12"]
CONFIG = load_config(None, CONFIG_ARGUMENTS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight animals with four photographs each in the database and two queries each, and four unknown ones."""
    return make_tiny_data(
        tmp_path_factory.mktemp("cluster") / "data", datasets=("NewtID",), individuals=8, gallery_images=4, unknown=4,
        queries=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(data: Path) -> animalclef.Run:
    return animalclef.predict(data, config=CONFIG, run_dir=data.parent / "run", workers=1)


def as_2026(data: Path, folder: Path) -> Path:
    """The same photographs as a clustering task: splits train and test, a sample with the column cluster."""
    rows = read_csv(data / "metadata.csv")
    for row in rows:
        row["split"] = "test" if row["split"] == "query" else "train"
    write_csv(folder / "metadata.csv", list(rows[0]), [list(row.values()) for row in rows])
    order = [row["image_id"] for row in rows if row["split"] == "test"][::-1]
    write_csv(folder / "sample_submission.csv", ("image_id", "cluster"), [(one, "x") for one in order])
    (folder / "images").symlink_to(data / "images")
    return folder


@pytest.fixture(scope="module")
def run_2026(data: Path) -> animalclef.Run:
    """A finished run of the clustering task."""
    task = as_2026(data, data.parent / "task")
    return animalclef.predict(task, config=CONFIG, run_dir=data.parent / "run-2026", workers=1)


def truth_of(data: Path) -> dict[str, str]:
    return {row["image_id"]: row["identity"] for row in read_csv(data / "truth.csv")}


def test_predict_says_who_the_new_ones_are_and_the_submission_stays(run: animalclef.Run, data: Path) -> None:
    run.to_submission(data.parent / "who.csv")
    submission = {row["image_id"]: row["identity"] for row in read_csv(data.parent / "who.csv")}
    answers = read_csv(data.parent / "who.answers.csv")
    groups: dict[str, set[str]] = defaultdict(set)
    for row in answers:
        new = row["answer"] == "new"
        assert (submission[row["image_id"]] == "new_individual") == new
        assert row["individual"].startswith("new_") if new else row["individual"] == row["answer"]
        if new:
            groups[row["individual"]].add(truth_of(data)[row["image_id"]])
    assert all(len(whose) == 1 for whose in groups.values())  # no group mixes two animals
    assert len(groups) < sum(row["answer"] == "new" for row in answers)  # and some have two photographs
    assert run.clusters is not None
    assert list(run.clusters.columns) == ["image_id", "dataset", "cluster", "individual"]


def test_a_clustering_task_gets_its_submission_and_passes_validation(
    run_2026: animalclef.Run, data: Path, tmp_path: Path
) -> None:
    made, task = run_2026, data.parent / "task"
    target = made.to_submission(tmp_path / "submission.csv")
    rows = read_csv(target)
    assert [row["image_id"] for row in rows] == [row["image_id"] for row in read_csv(task / "sample_submission.csv")]
    assert all(row["cluster"].startswith("cluster_NewtID_") for row in rows)
    checked = CliRunner().invoke(app, ["validate", str(target), "--data", str(task)])
    assert checked.exit_code == 0, checked.output
    truth = truth_of(data)
    own = Counter(row["cluster"] for row in rows)
    assert 1 < len(own) < len(rows)
    scored = CliRunner().invoke(
        app, ["score", "--truth", str(data / "truth.csv"), "--submission", str(target), "--json"]
    )
    figures = json.loads(scored.output)
    assert figures["score"] == figures["datasets"]["NewtID"]["ari"] > 0.5
    assert figures["datasets"]["NewtID"]["individuals"] == len(set(truth.values()))
    assert made.finished.settings["task"] == "clustering"
    again = animalclef.load_run(made.path).to_submission(tmp_path / "again.csv")
    assert again.read_bytes() == target.read_bytes()


def test_a_finished_run_is_clustered_without_computing_anything_twice(
    run: animalclef.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = animalclef.cluster(run.path, workers=1)
    counts = count_work(monkeypatch)
    second = animalclef.cluster(run.path, config=animalclef.load_config(run.config, "cluster.cut=0.9999"), workers=1)
    assert counts == {}
    assert first.number.max() <= second.number.max()
    assert all(count.rule["cut"] == 0.9999 for count in second.counts.values())
    with pytest.raises(ConfigError, match="only settings of the group cluster"):
        animalclef.cluster(run.path, config=animalclef.load_config(run.config, "rerank.ratio=0.7"))
    with pytest.raises(ConfigError, match=r"^prepare\.mode: a finished run keeps .* load_config\(run\.config"):
        animalclef.cluster(run.path, config=CONFIG)  # as it was given; the run's own says what was done


def test_a_finished_run_is_clustered_with_a_file_of_other_settings(run: animalclef.Run, tmp_path: Path) -> None:
    settings = tmp_path / "strict.yaml"
    settings.write_text("cluster: {cut: 0.9999}\n")
    clusters = animalclef.cluster(run, config=str(settings), workers=1)
    assert all(count.rule["cut"] == 0.9999 for count in clusters.counts.values())
    command = ["cluster", "--run", str(run.path), "--out", str(tmp_path / "c.csv"), "--workers", "1", "--set"]
    done = CliRunner().invoke(app, [*command, "cluster.cut=0.9999"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [row["cluster"] for row in read_csv(tmp_path / "c.csv")] == clusters.label.tolist()
    with pytest.raises(ConfigError, match=r"^seed: a finished run keeps its features"):
        CliRunner().invoke(app, [*command, "seed=7"], catch_exceptions=False)


def test_constraints_hold_and_contradictions_are_refused(run: animalclef.Run, data: Path) -> None:
    truth = truth_of(data)
    same = defaultdict(list)
    for image_id, who in truth.items():
        same[who].append(image_id)
    (a, b), (c, d) = (ids for who, ids in sorted(same.items())[-2:])
    clusters = animalclef.cluster(run, must_link=[(a, c)], cannot_link=[(a, b), (c, d)], workers=1)
    label = dict(zip(clusters.image_id, clusters.label, strict=True))
    assert label[a] == label[c]
    assert label[a] != label[b]
    assert label[c] != label[d]
    named = next(row for row in read_csv(data / "metadata.csv") if row["split"] == "database")
    clusters = animalclef.cluster(run, must_link=[(a, named["image_id"])], workers=1)
    assert dict(zip(clusters.image_id, clusters.individual, strict=True))[a] == named["identity"]
    with pytest.raises(DataError, match="contradict each other"):
        animalclef.cluster(run, must_link=[(a, b), (b, c)], cannot_link=[(a, c)], workers=1)
    with pytest.raises(DataError, match="the data have no photograph 999"):
        animalclef.cluster(run, must_link=[(a, "999")], workers=1)


def nameless(data: Path, folder: Path) -> list[dict[str, str]]:
    """Make a table of the queries without any name, and return its rows."""
    rows = [row for row in read_csv(data / "metadata.csv") if row["split"] == "query"]
    write_csv(
        folder / "photographs.csv",
        ("image_id", "path", "identity"),
        [(row["image_id"], row["path"], "") for row in rows],
    )
    (folder / "images").symlink_to(data / "images")
    return rows


def test_photographs_without_any_name_are_grouped(data: Path, tmp_path: Path) -> None:
    rows = nameless(data, tmp_path / "nameless")
    settings = [part for one in CONFIG_ARGUMENTS for part in ("--set", one)]
    places = ["--data", str(tmp_path / "nameless"), "--run", str(tmp_path / "run"), "--out", str(tmp_path / "c.csv")]
    done = CliRunner().invoke(app, ["cluster", *places, "--workers", "1", *settings], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "individuals" in done.output
    assert "from the null model of strangers" in done.output
    found = read_csv(tmp_path / "c.csv")
    assert [row["image_id"] for row in found] == [row["image_id"] for row in rows]
    assert {row["individual"][:4] for row in found} == {"new_"}
    together = defaultdict(set)
    for row in found:
        together[row["cluster"]].add(truth_of(data)[row["image_id"]])
    assert sum(len(whose) == 1 for whose in together.values()) >= len(together) - 1
    assert len(together) < len(found)


def test_a_run_without_names_is_shown_reviewed_and_grouped_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nameless(data, tmp_path / "nameless")
    stale = tmp_path / "run" / "sources.csv"
    animalclef.cluster(tmp_path / "nameless", config=CONFIG, run_dir=tmp_path / "run", workers=1)
    stale.write_text("query_id,gallery_id,identity,shortlist\n", encoding="utf-8")  # of an earlier run with names
    first = animalclef.cluster(tmp_path / "nameless", config=CONFIG, run_dir=tmp_path / "run", workers=1)
    assert not stale.exists()
    work = count_work(monkeypatch)
    run = animalclef.load_run(tmp_path / "run")
    again = animalclef.cluster(run, workers=1)
    assert again.table.equals(first.table)
    assert not work["pairs"]
    assert run.clusters is not None
    assert run.clusters.equals(first.table)
    assert run.predictions.identity.isna().all()
    assert run.summary["new_individuals"] == len(first) == 24
    one, other = (first.image_id[first.number == number][0] for number in (0, 1))
    joined = animalclef.cluster(run, must_link=[(one, other)], workers=1)
    label_of = dict(zip(joined.image_id, joined.label, strict=True))
    assert label_of[one] == label_of[other]
    stricter = animalclef.cluster(run, config=animalclef.load_config(run.config, "cluster.cut=0.999999"), workers=1)
    assert len(set(stricter.label)) >= len(set(first.label))
    page = run.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert 'href="#individuals"' in page
    assert 'href="#charts"' not in page
    assert "nobody is named here" in page
    assert '"group": "new_1"' in page
    places = ["review", str(tmp_path / "run"), "--sheet", str(tmp_path / "sheet.html"), "--who", "Ada"]
    done = CliRunner().invoke(app, places, catch_exceptions=False)
    assert "no more are open" in done.output
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(sheet.read_text(encoding="utf-8").replace(",\n", ",different\n", 1), encoding="utf-8")
    places = ["review", str(tmp_path / "run"), "--answers", str(sheet), "--who", "Ada"]
    assert CliRunner().invoke(app, places, catch_exceptions=False).exit_code == 0
    asked = read_csv(sheet)[0]
    log, out = str(tmp_path / "run.review.jsonl"), str(tmp_path / "after.csv")
    places = ["cluster", "--run", str(tmp_path / "run"), "--reviewed", log, "--out", out]
    assert CliRunner().invoke(app, places, catch_exceptions=False).exit_code == 0
    label = {row["image_id"]: row["cluster"] for row in read_csv(Path(out))}
    assert label[asked["query"]] != label[asked["candidate"]]
    in_python = animalclef.cluster(run, reviewed=log, workers=1).table
    assert dict(zip(in_python.image_id, in_python.cluster, strict=True)) == label


def test_a_database_without_queries_is_not_taken_for_one_without_names(data: Path, tmp_path: Path) -> None:
    rows = [row for row in read_csv(data / "metadata.csv") if row["split"] != "query"]
    cells = [(row["image_id"], row["path"], row["identity"], "database") for row in rows]
    write_csv(tmp_path / "named" / "metadata.csv", ("image_id", "path", "identity", "split"), cells)
    (tmp_path / "named" / "images").symlink_to(data / "images")
    run = animalclef.predict(tmp_path / "named", config=CONFIG, run_dir=tmp_path / "run", workers=1)
    page = run.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "nobody is named here" not in page
    assert "No truth was given" in page


def test_one_photograph_two_copies_of_it_and_no_query(data: Path, tmp_path: Path) -> None:
    row = read_csv(data / "metadata.csv")[0]
    (tmp_path / "images").symlink_to(data / "images")

    def cluster(rows: list[tuple[object, str, str]], run: str, **said: list[tuple[str, str]]) -> list[str]:
        write_csv(tmp_path / "photographs.csv", ("image_id", "path", "identity"), rows)
        return animalclef.cluster(tmp_path, config=CONFIG, run_dir=tmp_path / run, workers=1, **said).name.tolist()

    copies = [(1, row["path"], ""), (2, row["path"], "")]
    assert cluster(copies[:1], "one") == ["new_1"]
    assert cluster(copies, "two") == ["new_1", "new_1"]
    assert cluster(copies, "two", cannot_link=[("1", "2")]) == ["new_1", "new_2"]
    named = [(row["image_id"], row["path"], row["identity"]) for row in read_csv(data / "metadata.csv")]
    assert cluster([cells for cells in named if cells[2]], "nobody") == []


def test_new_ones_are_not_grouped_where_the_settings_say_so(data: Path, run: animalclef.Run) -> None:
    config = load_config(None, [*CONFIG_ARGUMENTS, "cluster.new_ones=false"])
    made = animalclef.predict(data, config=config, run_dir=data.parent / "run-plain", workers=1)
    assert made.clusters is None
    assert made.predictions.equals(run.predictions)


def test_grouping_everybody_leaves_an_identification_run_as_it_is(
    data: Path, run: animalclef.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clusters = animalclef.cluster(data, config=CONFIG, workers=1)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-clusters")
    assert set(clusters.table.image_id) == {row["image_id"] for row in read_csv(run.path / "clusters.csv")}
    made = animalclef.load_run(folder)
    assert "task" not in made.finished.settings
    assert read_csv(made.to_submission(tmp_path / "submission.csv"))[0].keys() == {"image_id", "identity"}


def test_a_run_of_predict_is_not_overwritten_and_one_of_cluster_is_made_again(
    data: Path, run: animalclef.Run, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    settings = [part for one in CONFIG_ARGUMENTS for part in ("--set", one)]
    places = ["--data", str(data), "--run", str(run.path), "--out", str(tmp_path / "c.csv")]
    told = "a finished run of predict, .* Use another run folder. To group the photographs of that run, leave"
    with pytest.raises(OutputError, match=told):
        CliRunner().invoke(app, ["cluster", *places, "--workers", "1", *settings], catch_exceptions=False)
    with pytest.raises(OutputError, match=told):
        animalclef.cluster(data, config=CONFIG, run_dir=run.path, workers=1)
    assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before
    places[3] = str(tmp_path / "own")
    for _ in range(2):  # the same command may be given again
        done = CliRunner().invoke(app, ["cluster", *places, "--workers", "1", *settings], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    of_cluster = (tmp_path / "own" / "finished.json").read_bytes()
    with pytest.raises(OutputError, match=r"own: this folder holds a finished run of cluster, and predict would"):
        animalclef.predict(data, config=CONFIG, run_dir=tmp_path / "own", workers=1)
    assert (tmp_path / "own" / "finished.json").read_bytes() == of_cluster
    (tmp_path / "own" / "finished.json").write_text("{")  # nobody knows what made it
    with pytest.raises(OutputError, match="own: this folder holds a finished run"):
        animalclef.cluster(data, config=CONFIG, run_dir=tmp_path / "own", workers=1)


def test_a_clustering_task_with_a_budget_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"budget\.spend: grouping all queries"):
        animalclef.predict(as_2026(data, tmp_path / "task"), config=CONFIG, run_dir=tmp_path / "run", budget=5)


def test_runs_of_a_clustering_task_are_not_fused(run_2026: animalclef.Run, run: animalclef.Run) -> None:
    with pytest.raises(DataError, match="a run of a clustering task"):
        animalclef.ensemble([run_2026.path, run.path])


def test_pairs_of_photographs_that_cannot_be_used_any_more_are_left_out() -> None:
    answers = Predictions(strings("1", "2"), strings("Ada", None), np.zeros(2))
    said = ReviewedPairs(same=(("1", "9"), ("1", "2")), different=(("2", "8"),))
    there = {"1", "2", "8"}  # photograph 9 of the database cannot be decoded
    found = _constraints(said, answers, there, everybody=True)
    assert (list(found.must_link), list(found.cannot_link)) == ([("1", "2")], [("2", "8")])
    found = _constraints(said, answers, there, everybody=False)  # pairs of new ones alone
    assert (list(found.must_link), list(found.cannot_link)) == ([], [])
