"""The report shows who the queries were grouped with, and which groups are doubtful."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import browser
from tiny import make_tiny_data
from whole_run import predict

from animalclef.errors import RunError
from animalclef.report.individual_sheets import individual_sheets
from animalclef.report.write_report import write_report
from animalclef.runtime.progress import Silent
from animalclef.store.cluster_file import read_clusters, write_clusters
from animalclef.store.finished_run import FinishedRun, load_run
from animalclef.structures.clusters import Clusters, Links


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    data = make_tiny_data(tmp_path_factory.mktemp("sheets") / "data", datasets=("NewtID",), individuals=4, unknown=2)
    predict(data, data.parent / "run")
    return load_run(data.parent / "run")


def grouped(run: FinishedRun, number: list[int], links: dict[tuple[int, int], float]) -> list[str]:
    """Write groups of the run's queries, and return their ids; `links` are between their places."""

    queries = run.images.queries
    ids = queries.image_id
    first, second = (ids[[pair[at] for pair in links]] for at in (0, 1))
    who = np.full(len(ids), None, dtype=object)
    joined = Links(first, second, np.array(list(links.values()), dtype=float))
    write_clusters(run.folder, Clusters(ids, queries.dataset, np.array(number), who, links=joined))
    return [str(one) for one in ids]


def test_clusters_come_back_with_their_links(run: FinishedRun) -> None:
    ids = grouped(run, [0, 0, 0, 1, 2, 3], {(0, 1): 0.91234, (1, 2): 0.4})
    kept = read_clusters(run)
    assert kept is not None
    assert kept.links.first.tolist() == [ids[0], ids[1]]
    assert kept.links.probability.tolist() == [0.9123, 0.4]
    (run.path / "cluster_links.csv").write_text(f"first,second,probability\n{ids[0]},gone,0.5\n")
    with pytest.raises(RunError, match="a link is of no query"):
        read_clusters(run)
    grouped(run, [0, 0, 0, 1, 2, 3], {(0, 1): 0.9})
    (run.path / "clusters.json").write_text("[]\n")
    with pytest.raises(RunError, match=r"clusters.csv: not what a run wrote"):
        read_clusters(run)
    write_clusters(run.folder, None)
    assert read_clusters(run) is None
    assert not (run.path / "cluster_links.csv").exists()


def test_sheets_merges_and_splits_of_a_data_set(run: FinishedRun) -> None:
    ids = grouped(run, [0, 0, 0, 1, 2, 3], {(0, 1): 0.9, (1, 2): 0.4, (2, 4): 0.3})
    shown = ["other", *ids]  # a photograph of the page that is no query
    (one,) = individual_sheets(run, shown)
    assert (one.name, one.individuals, one.known, one.singletons, one.hidden) == ("NewtID", 4, 0, 3, 0)
    (sheet,) = one.sheets
    assert (sheet.name, sheet.total, list(sheet.photographs)) == ("new_1", 3, [1, 2, 3])
    (merge,) = one.merges
    assert (merge.photographs, merge.doubt.photographs, merge.names) == ((2, 3), (2, 1), ("new_1", "new_1"))
    (split,) = one.splits
    assert split.photographs == (3, 5)
    assert split.names == ("new_1", "new_3")


def test_the_page_names_them_and_a_run_without_groups_has_no_such_part(run: FinishedRun, tmp_path: Path) -> None:
    grouped(run, [0, 0, 0, 1, 2, 3], {(0, 1): 0.9, (1, 2): 0.4, (2, 4): 0.3})
    page = write_report(run, None, tmp_path / "report.html", 3, 1, Silent()).page.read_text(encoding="utf-8")
    assert "NewtID: 4 individuals" in page
    assert "<b>new_1</b> may be two individuals: 2 and 1 photographs" in page
    assert "<b>new_3</b> (1) may be one individual" in page
    write_clusters(run.folder, None)
    page = write_report(run, None, tmp_path / "report.html", 3, 1, Silent()).page.read_text(encoding="utf-8")
    assert 'id="individuals"' not in page


@pytest.mark.browser
def test_contact_sheets_are_drawn_when_they_are_opened(run: FinishedRun, tmp_path: Path) -> None:
    ids = grouped(run, [0, 0, 0, 1, 2, 3], {(0, 1): 0.9, (1, 2): 0.4, (2, 4): 0.3})
    page = write_report(run, None, tmp_path / "report.html", 3, 1, Silent()).page
    with browser(tmp_path / "profile") as chromium:
        for width in (1400, 390):
            chromium.open(page, width=width)
            shown = "return [...document.querySelectorAll('#individuals img')].map(image => image.alt)"
            doubtful = [f"query {ids[at]}" for at in (1, 2, 2, 4)]
            assert chromium.run(shown) == doubtful
            chromium.run("document.querySelector('#individuals details:not([open])').open = true")
            assert chromium.until(f"return document.querySelectorAll('#individuals img').length === {4 + 3}")
            assert chromium.run(shown)[4:] == [f"query {ids[at]}" for at in (0, 1, 2)]
            assert chromium.run("return document.documentElement.scrollWidth <= window.innerWidth")
        assert chromium.complaints() == []
