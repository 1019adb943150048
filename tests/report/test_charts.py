"""What the charts are drawn from, and that they say it in words."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rows import strings
from tiny_run import copy_run

from animalclef.data.pseudo_query import OpenSetSplits, PseudoQueries
from animalclef.report import FinishedRun, load_run
from animalclef.report.charts import Plot, charts_of
from animalclef.report.evidence import Evidence, evidence_of


def drawing(plot: Plot, description: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(str(plot.render(description)).partition("<div")[0])


def test_values_stand_where_the_axes_say() -> None:
    plot = Plot((0, 2), (0, 10), "x", "y")
    plot.line([0, 1, 2], [0, 5, 10], "known")
    points = drawing(plot).find("polyline").get("points").split()  # type: ignore[union-attr]
    (x0, y0), (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in points)
    assert x1 == pytest.approx((x0 + x2) / 2)
    assert y1 == pytest.approx((y0 + y2) / 2)
    assert y0 > y2  # up is up


def test_names_and_descriptions_are_escaped() -> None:
    shown = drawing(Plot((0, 1), (0, 1), "<b>", "a & b"), 'query "<script>"')
    assert shown.get("aria-label") == 'query "<script>"'
    assert {text.text for text in shown.findall("text")} >= {"<b>", "a & b"}


def test_an_axis_without_width_is_drawn_all_the_same() -> None:
    plot = Plot((0, 0), (0, float(np.float64(0))), "x", "y")
    plot.bars([0, 1], [0], "known")
    assert drawing(plot) is not None


def test_without_truth_and_pseudo_queries_only_the_distribution(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    run = copy_run(tiny_run[1], tmp_path / "run")
    (run / "validation.safetensors").unlink()
    found = evidence_of(load_run(run), None)
    assert [(one.dataset, one.source) for one in found] == [
        ("CatID", "queries, truth unknown"), ("NewtID", "queries, truth unknown")
    ]  # fmt: skip
    assert [figure.title for figure in charts_of(found[0])] == ["Best individual"]


def test_without_truth_validation_is_drawn_as_the_decision_has_it(tiny_run: tuple[Path, Path]) -> None:
    run = load_run(tiny_run[1])
    for one in evidence_of(run, None):
        assert one.source == "pseudo-queries"
        assert one.threshold == run.decision.of(one.dataset).threshold
        assert len(charts_of(one)) == 4


def test_pseudo_queries_that_validation_kept_are_drawn(
    tiny_run: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    same = np.array([[True, False], [False, True], [False, False]])
    every = np.ones_like(same)
    splits = OpenSetSplits(
        strings("p1", "p2", "p3"),
        strings("a", "b", "c"),
        np.array([[True, True, False]]),
        np.array([[False, False, True]]),
    )
    scores = np.array([[9, 1], [2, 8], [3, 1]], dtype=np.float32)
    columns = dict.fromkeys(("matches", "inliers", "inlier_weight", "consistency", "vote"), scores) | {
        "similarity": scores / 10
    }
    kept = PseudoQueries(
        columns, same, every, every, every & ~same, splits,
        identity=np.array([["a", "b"], ["a", "b"], ["d", "e"]], dtype=object),
    )  # fmt: skip
    monkeypatch.setattr(FinishedRun, "pseudo_queries", {"CatID": kept})
    cats, newts = evidence_of(load_run(tiny_run[1]), None)
    assert (cats.source, newts.source) == ("pseudo-queries", "queries, truth unknown")
    assert cats.ranks is not None
    assert len(cats.known) == 2
    assert cats.ranks.tolist() == [1, 1]  # the larger score is the likelier, whatever the calibrators
    assert len(charts_of(cats)) == 4


def test_a_legend_shows_a_line_as_it_is_drawn() -> None:
    plot = Plot((0, 1), (0, 1), "x", "y")
    plot.line([0, 1], [0, 1], "unknown", "BAUS")
    plot.bars([0, 1], [1], "known", "known")
    plot.mark(0.5, "threshold")
    legend = ElementTree.fromstring("<div" + str(plot.render("")).partition("<div")[2])
    shown = {key.findtext("svg").__class__ and key[0].tail: key[0][0].get("class") for key in legend}
    assert shown == {"BAUS": "line unknown", "known": "bar known", "threshold": "mark"}


def test_captions_tell_the_figures() -> None:
    evidence = Evidence("lynx", "queries, truth unknown", 0.5, np.zeros(0), np.array([0.2, 0.7]))
    figure = charts_of(evidence)[0]
    assert figure.caption == "2 queries, median 0.45, 50% reach the threshold. Threshold 0.500."
