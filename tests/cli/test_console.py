"""What the command line prints: the panels of --help, tables at 80 columns, sentences."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from evaluation_cases import decision_by_hand
from rich.console import Console
from typer.testing import CliRunner

from animalclef.cli import app, console
from animalclef.cli.app import PANELS
from animalclef.cli.predict import _single_members
from animalclef.decision.decision_model import Summary
from animalclef.evaluation.evaluate import Group, Interval, RetrievalReport, SourceRecall
from animalclef.metrics.clustering_metrics import ClusterScore, ClusterScores
from animalclef.pipeline.run_context import Plan
from animalclef.structures.clusters import ClusterCount


def commands(group: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every command with its path, groups left out."""
    if not hasattr(group, "commands"):
        return [(path, group)]
    return [one for name, command in group.commands.items() for one in commands(command, f"{path} {name}".strip())]


ALL = commands(typer.main.get_command(app))


def test_every_command_stands_in_a_panel() -> None:
    listed = {name for names in PANELS.values() for name in names}
    assert {path.split(" ")[0] for path, _ in ALL} <= listed
    shown = CliRunner().invoke(app, ["--help"]).output
    places = [shown.index(f"─ {panel} ") for panel in PANELS]
    assert places == sorted(places)
    assert "Other" not in shown
    assert shown.index("│ predict ") < shown.index("│ validate ") < shown.index("│ report ")


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_help_loses_no_placeholder(path: str, command: Any) -> None:
    """Markdown takes <...> for HTML and drops it."""
    texts = [command.help or "", *(getattr(one, "help", None) or "" for one in command.params)]
    assert [text for text in texts if re.search(r"(?<!`)<\w[^>`]*>", text)] == [], path


@pytest.mark.parametrize("path", [path for path, _ in ALL if path != "demo"])  # which has two long names for one option
def test_help_has_room_for_its_texts_at_80_columns(path: str) -> None:
    shown = CliRunner().invoke(app, [*path.split(), "--help"], env={"COLUMNS": "80"}).output
    (place,) = [line.index("Show this message") for line in shown.splitlines() if "--help" in line and "│" in line]
    assert place <= 52
    assert not re.search(r"…|<(bool|str|int)|BOOLEAN|INTEGER|--no-overwrite", shown.partition("Options ─")[2])


def test_a_run_folder_in_the_wrong_place_gets_a_hint() -> None:
    for arguments, hint in (
        (["report", "--run", "x"], "--run. Give the folder alone: animalclef report RUN."),
        (["predict", "x"], "(x). A run folder is given as --run RUN."),
    ):
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
        assert done.exit_code == 2
        assert hint in done.output.replace("'", "")  # click quotes it, or not, by its version
    done = CliRunner().invoke(app, ["predict", "--rn", "x"], env={"COLUMNS": "120"})
    assert all(name in done.output for name in ("No such option", "--rn", "--json", "--run"))


def printed(table: object, width: int = 80) -> list[str]:
    out = Console(width=width, record=True, file=StringIO())
    out.print(table)
    return out.export_text().splitlines()


def test_tables_fit_80_columns_without_broken_words() -> None:
    interval = Interval(0.675, 0.49, 0.83)
    measures = dict.fromkeys(("rank-1", "rank-5", "rank-20", "rank-25", "mAP"), interval)
    groups = [Group("SalamanderID2025", view, 1234, 99, measures) for view in (None, "right", "")]
    recall = dict.fromkeys((f"recall@{k}" for k in (1, 10, 25, 100)), 0.5)
    report = RetrievalReport(groups, [SourceRecall("SalamanderID2025", "embedding", 1234, recall)])
    lines = printed(console.retrieval_table(report))
    assert [line.split()[:3] for line in lines if "1234" in line] == [
        ["SalamanderID2025", "1234", "0.675"], ["right", "1234", "0.675"], ["no", "viewpoint", "1234"],
    ]  # fmt: skip
    assert sum("0.49–0.83" in line for line in lines) == 3
    assert printed(console.recall_table(report))[-1 - 1].split() == [
        "SalamanderID2025",
        "embedding",
        "1234",
        *["0.500"] * 4,
    ]
    counts = {"gallery": 1388, "queries": 689, "individuals": 587, "singletons": 310, "dated": 2077}
    part = {**counts, "viewpoints": {"top": 2000, "": 77}}
    lines = printed(
        console.statistics_table({"photographs": 2077, "task": "x", "datasets": {"SalamanderID2025": part}})
    )
    assert any(line.split()[:2] == ["SalamanderID2025", "1,388"] for line in lines)
    assert any("individuals" in line for line in lines)


def test_the_validation_score_comes_with_its_interval_and_optimism() -> None:
    whole = Summary(nested=0.8, low=0.6, high=0.9, optimism=0.1)
    [line] = console.honesty_lines(decision_by_hand(0.5).model_copy(update={"summary": whole}))
    assert line.startswith("Validation score 0.800, 95% interval 0.600 to 0.900 over individuals.")
    assert line.endswith("the score is 0.100 higher (optimism).")


def test_what_to_do_after_predict() -> None:
    summary = {"queries": 10, "new_individuals": 4, "individuals_named": 3}
    assert not any("ledger" in line for line in console.answer_lines(summary, Path("s.csv"), Path("runs/demo")))
    lines = console.answer_lines(summary, Path("s.csv"), Path("runs/demo"), competes=True)
    assert "ledger add" in lines[-1]
    assert lines[:2] == ["10 queries: 6 named (3 individuals), 4 new.", "Submission: s.csv"]
    assert console.answer_lines(summary, Path("s.csv"), Path("runs/demo"), 1)[0] == (
        "10 queries: 6 named (3 individuals), 4 new, 1 of them because the photograph could not be read."
    )
    assert lines[3].startswith("Next: animalclef report runs/demo ")
    names = {line.removeprefix("Next:").split()[1] for line in lines[3:]}
    assert names <= {path.split(" ")[0] for path, _ in ALL}


@pytest.mark.parametrize(("machines", "said"), [(1, "on 1 machine: about"), (3, "on 3 machines: about")])
def test_the_plan_of_a_cluster_counts_its_machines(machines: int, said: str) -> None:
    plan = Plan(10, 10, 100, 7200.0, 5.0, machines=machines, network_megabytes=7.0)
    assert f", {said} " in console.plan_sentence(plan)


def test_an_ensemble_that_is_one_run_says_so() -> None:
    plain = decision_by_hand(0.5)
    curve = plain.pooled.calibrators["s"]
    weights = {"a:inliers": 0.7, "a:similarity": 0.3, "b:inliers": 0.001}
    part = plain.pooled.model_copy(update={"weights": weights, "calibrators": dict.fromkeys(weights, curve)})
    both = part.model_copy(update={"weights": {"a:inliers": 0.7, "b:inliers": 0.3}})
    decision = plain.model_copy(update={"datasets": {"LynxID": part, "NewtID": both}})
    assert _single_members(decision, ["LynxID", "NewtID"]) == [
        "LynxID: only the scores of a have weight, so the other runs change nothing."
    ]


def test_a_decision_shows_its_largest_weights_and_counts_the_others() -> None:
    plain = decision_by_hand(0.5)
    weights = {"similarity": 0.12, "inliers": 0.6, "matches": 0.001, "similarity:embedder-lite": 0.08, "vote": 0.2}
    curves = dict.fromkeys(weights, plain.pooled.calibrators["s"])
    part = plain.pooled.model_copy(update={"weights": weights, "calibrators": curves})
    table = console.decision_table(plain.model_copy(update={"datasets": {"LynxID": part}}), ["LynxID"])
    assert "inliers 0.60, vote 0.20, 2 more" in " ".join(" ".join(printed(table, width=100)).split())


def test_equal_ends_of_the_number_of_individuals_are_one_number() -> None:
    one = ClusterCount(photographs=12, clusters=1, known=0, singletons=0, low=1, high=1, rule={})
    [line] = console.count_lines({"birds": one}, "photograph")
    assert line == (
        "birds: 12 photographs are grouped as 1 individual, 0 on one photograph alone. Their true number: about 1, "
        "or far fewer, because photographs of one animal that match badly stay apart "
        "(from the null model of strangers)."
    )
    alone = ClusterCount(photographs=1, clusters=1, known=0, singletons=1, low=1, high=1, rule={})
    [line] = console.count_lines({"birds": alone}, "photograph", " of new individuals")
    assert line.startswith("birds: 1 photograph of new individuals is grouped as 1 individual, 1 on one photograph")


def test_a_figure_that_does_not_exist_is_a_dash() -> None:
    """Seven photographs of seven individuals in seven clusters have no pair to be right about."""
    one = ClusterScore(ari=1.0, ami=1.0, precision=float("nan"), recall=float("nan"), photographs=7, clusters=7,
                       individuals=7)  # fmt: skip
    lines = printed(console.cluster_score_table(ClusterScores({"NewtID": one})), width=100)
    [line] = [line for line in lines if "NewtID" in line]
    assert line.split() == ["NewtID", "1.000", "1.000", "-", "-", "7", "7", "7"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_told(more: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "animalclef", "config", "show", *more], stdout=full, stderr=subprocess.PIPE,
            text=True, check=False, env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    told = "error: standard output cannot be written (No space left on device). Free some space, or send it elsewhere."
    assert (ran.returncode, " ".join(ran.stderr.split())) == (2, told)
