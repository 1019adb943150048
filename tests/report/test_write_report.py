"""The report's files: what is in them, and what happens where something is missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tiny import read_csv, write_csv
from tiny_run import EVIL, copy_run
from typer.testing import CliRunner

from animalclef.cli import app
from animalclef.errors import DataError, OutputError, RunError, StaleArtefactError
from animalclef.evaluation.outcomes import OUTCOMES
from animalclef.matching.nearest_neighbour import distinct_places
from animalclef.report import Matches, load_run
from animalclef.report.write_report import write_report
from animalclef.runtime.progress import Silent


class _Outline(HTMLParser):
    """Tags and their attributes; the text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data


def data_of(page: Path) -> Any:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def write(
    run: Path, out: Path, truth: Path | None = None, data: Path | None = None, **options: Any
) -> tuple[Path, Any]:
    written = write_report(load_run(run, data), truth, out, 5, 2, Silent(), **options)
    return written.page, written.notes


def test_one_file_holds_everything(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = tiny_run
    page, notes = write(run, tmp_path / "report.html", data / "truth.csv")
    assert notes == []
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    content = data_of(page)
    assert len(content["queries"]) == 14
    assert {query["outcome"] for query in content["queries"]} <= set(OUTCOMES)
    first = content["queries"][0]
    assert [one[1] for one in first["candidates"]][:5] == [1, 2, 3, 4, 5]  # ranks of individuals
    assert content["scores"] == ["similarity", "matches", "inliers", "inlier_weight", "consistency", "vote"]
    best, matches = first["candidates"][0], content["matches"][0][0]
    run = load_run(tiny_run[1])
    own = run.rows_of[run.images.queries.image_id[0]].start
    both = (run.ranked.identity_probability[own], run.ranked.probability[own])
    assert best[4:6] == pytest.approx(both, rel=1e-3)  # of the individual, then of the photograph
    assert len(matches) == 6 * best[6 + content["scores"].index("matches")]
    pair = Matches(run).of(run.images.queries.image_id[0], run.ranked.gallery_id[own])
    assert pair is not None
    assert sum(flag for flag in matches[5::6]) == pair.is_inlier.sum()
    assert len(distinct_places(pair)) == best[6 + content["scores"].index("inliers")]
    assert all(0 <= value <= 1000 for value in matches)
    assert all(photo["source"].startswith("data:image/jpeg;base64,") for photo in content["photographs"][:5])


def test_nothing_is_fetched_from_elsewhere(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    page, _ = write(tiny_run[1], tmp_path / "report.html", tiny_run[0] / "truth.csv")
    text = page.read_text()
    addresses = [value for _, attributes in _Outline(text).tags for name, value in attributes.items()
                 if name in ("src", "href") and value]  # fmt: skip
    assert all(value.startswith(("#", "data:")) for value in addresses)
    assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_html_in_a_name_is_text(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    page, _ = write(tiny_run[1], tmp_path / "report.html", tiny_run[0] / "truth.csv")
    text = page.read_text()
    assert EVIL not in text
    assert "\\u003cscript\\u003edocument.title" in text
    assert EVIL in {photo["identity"] for photo in data_of(page)["photographs"]}
    folder, _ = write(tiny_run[1], tmp_path / "folder", tiny_run[0] / "truth.csv", single_up_to=3)
    assert EVIL not in (folder.parent / "data.js").read_text()


def test_the_table_of_confusions_escapes_names(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    run = copy_run(tiny_run[1], tmp_path / "run")
    rows = read_csv(run / "answers.csv")
    rows[0]["identity"] = EVIL
    write_csv(run / "answers.csv", list(rows[0]), [list(row.values()) for row in rows])
    page, _ = write(run, tmp_path / "report.html", tiny_run[0] / "truth.csv")
    assert "<script>document.title" not in page.read_text()
    assert "<script>document.title" in _Outline(page.read_text()).text


def test_many_queries_make_a_folder(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    page, _ = write(tiny_run[1], tmp_path / "seen.html", tiny_run[0] / "truth.csv", single_up_to=3)
    assert page == tmp_path / "seen" / "index.html"
    assert {path.name for path in page.parent.iterdir()} == {"index.html", "data.js", "thumbnails", "matches"}
    content = json.loads((page.parent / "data.js").read_text().removeprefix("window.animalclefData = ").rstrip(";\n"))
    sources = {photo["source"] for photo in content["photographs"]} - {None}
    assert {f"thumbnails/{path.name}" for path in (page.parent / "thumbnails").iterdir()} == sources
    (page.parent / "thumbnails" / "old.jpg").touch()
    again, _ = write(tiny_run[1], tmp_path / "seen", tiny_run[0] / "truth.csv", single_up_to=3)
    assert again == page
    assert not (page.parent / "thumbnails" / "old.jpg").exists()


def test_a_single_file_keeps_to_its_size(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    from animalclef.report.query_cards import matches_of, photographs_of, shown_candidates
    from animalclef.report.thumbnails import copies_within

    run = load_run(tiny_run[1])
    shown = shown_candidates(run, None, 20)
    matches = matches_of(run, Matches(run), shown, 2, Silent(), most_bytes=10_000)
    every = matches_of(run, Matches(run), shown, 2, Silent())
    small, whole = (len(json.dumps(one, separators=(",", ":"))) for one in (matches, every))
    assert small < 11_000 < whole
    assert all(one is not None and len(one) % 6 == 0 for part in matches for one in part)
    assert any(flag for part in matches for one in part for flag in one[5::6])
    copies = copies_within(run, photographs_of(run, shown), 160, 60_000, 2, Silent())
    assert 30_000 < sum(len(copy.jpeg) for copy in copies.values() if copy) <= 60_000
    wide = next(copy.size_wh for copy in copies.values() if copy)
    assert max(wide) < 160
    assert 1.1 < wide[0] / wide[1] < 1.7  # never square, and it keeps its shape


def test_matches_of_the_first_candidates_only(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    page, _ = write(tiny_run[1], tmp_path / "report.html", matched=1)
    first, *others = data_of(page)["matches"][0]
    assert first
    assert others == [None] * 4


def test_a_folder_of_something_else_is_left_alone(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "index.html").write_text("<h1>Mine</h1>")
    with pytest.raises(OutputError, match="holds something else"):
        write(tiny_run[1], tmp_path / "diary", single_up_to=3)


def test_a_page_of_something_else_is_left_alone(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html>my page</html>")
    for out in (tmp_path, tmp_path / "index.html"):
        with pytest.raises(OutputError, match=r"index\.html: this file is no report that animalclef wrote"):
            write(tiny_run[1], out)
    assert (tmp_path / "index.html").read_text() == "<html>my page</html>"


def test_the_same_run_gives_the_same_bytes(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    one, _ = write(tiny_run[1], tmp_path / "one.html", tiny_run[0] / "truth.csv")
    other, _ = write(tiny_run[1], tmp_path / "other.html", tiny_run[0] / "truth.csv")
    assert one.read_bytes() == other.read_bytes()


def test_without_truth_the_same_less_the_outcomes(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    page, _ = write(tiny_run[1], tmp_path / "report.html")
    query = data_of(page)["queries"][0]
    assert not {"truth", "outcome", "rank", "known"} & set(query)
    outline = _Outline(page.read_text())
    assert "No truth was given" in outline.text
    assert "Best individual" in outline.text
    assert "Confusions" not in outline.text
    assert not [one for tag, one in outline.tags if tag == "select" and one.get("name") == "outcome"]


def test_a_query_without_candidates(tiny_run: tuple[Path, Path], unknown_image: str, tmp_path: Path) -> None:
    page, notes = write(tiny_run[1], tmp_path / "report.html", tiny_run[0] / "truth.csv")
    content = data_of(page)
    query = next(one for one in content["queries"] if content["photographs"][one["photo"]]["id"] == unknown_image)
    assert (query["candidates"], query["answer"], query["outcome"]) == ([], None, "right")
    assert content["photographs"][query["photo"]]["source"] is None
    assert notes == []  # it was set aside; that is told in its own table
    assert "not a readable image" in _Outline(page.read_text()).text


def test_photographs_that_have_moved_are_told(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = (
        Path(shutil.copytree(tiny_run[0], tmp_path / "data")),
        copy_run(tiny_run[1], tmp_path / "run"),
    )
    settings = json.loads((run / "finished.json").read_text())
    (run / "finished.json").write_text(json.dumps(settings | {"root": str(tmp_path / "gone")}))
    page, notes = write(run, tmp_path / "report.html", data / "truth.csv")
    assert len(notes) == 1
    assert re.search(
        r"Changed or removed since the run: .* of .* photograph.*gone.*give their folder with --data", notes[0]
    )
    content = data_of(page)
    assert {photo["source"] for photo in content["photographs"]} == {None}
    assert content["matches"][0][0]  # keypoints are the run's own
    found, notes = write(run, tmp_path / "found.html", data / "truth.csv", data)
    assert notes == []
    assert data_of(found)["photographs"][0]["source"]


def test_a_photograph_that_changed_is_not_shown(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_run[0], tmp_path / "data"))
    rows = [row for row in read_csv(data / "metadata.csv") if row["split"] == "query"]
    shutil.copyfile(data / rows[1]["path"], data / rows[0]["path"])
    _, notes = write(tiny_run[1], tmp_path / "report.html", data / "truth.csv", data)
    assert "1 of " in notes[0]
    assert rows[0]["path"] in notes[0]


def test_an_interrupted_run_is_refused(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    run = copy_run(tiny_run[1], tmp_path / "run")
    (run / "finished.json").unlink()
    result = CliRunner().invoke(app, ["report", str(run)])
    assert isinstance(result.exception, DataError)
    assert "no finished run" in str(result.exception)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "kind", "sentence"),
    [
        ("finished.json", "{", RunError, "not a file of a finished run.*Expecting property name"),
        ("finished.json", "{}", RunError, "another version"),
        ("finished.json", '{"config": {}}', RunError, "another version"),
        ("finished.json", "[1]", RunError, "not a file of a finished run of this version"),
        (
            "finished.json",
            '{"scores": "a", "data": 3, "config": {}}',
            RunError,
            "root or address is no text",
        ),
        ("finished.json", '{"scores": "a", "data": "b", "config": {"colour": "red"}}', RunError, "another version"),
        ("candidates.csv", "", RunError, "candidates.csv: not a file of a finished run"),
        ("candidates.csv", "query_id,what\n1,2\n", RunError, "columns dataset, gallery_id, identity, .* are missing"),
        (
            "candidates.csv",
            "query_id,gallery_id,identity,dataset,probability\n1,2,a,b,7\n",
            RunError,
            "expected values in",
        ),
        ("answers.csv", "image_id,identity,probability\n1,a,0.5\n", RunError, "answers.csv: not a file of a finished"),
        ("table.csv", "image_id\n1\n", RunError, "table.csv: not a file of a finished run"),
        ("decision.json", "[]", StaleArtefactError, "not a decision file"),
    ],
)
def test_damaged_run_folders(
    tiny_run: tuple[Path, Path], tmp_path: Path, name: str, content: str, kind: type[Exception], sentence: str
) -> None:
    run = copy_run(tiny_run[1], tmp_path / "run")
    (run / name).write_text(content)
    with pytest.raises(kind, match=sentence):
        load_run(run)


def test_a_run_that_noted_no_answers_is_decided_again(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    run = copy_run(tiny_run[1], tmp_path / "run")
    noted = load_run(run).predictions
    (run / "answers.csv").unlink()
    again = load_run(run).predictions
    assert list(again.identity) == list(noted.identity)
    assert again.probability == pytest.approx(noted.probability)


def test_the_truth_of_other_data_is_refused(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("image_id,identity,dataset,known\nz9,a,b,1\n")
    with pytest.raises(DataError, match=r"1 of its queries are not in .*z9"):
        write(tiny_run[1], tmp_path / "report.html", tmp_path / "truth.csv")


def test_a_run_without_matching_has_no_lines(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    run = copy_run(tiny_run[1], tmp_path / "run")
    shutil.rmtree(run / "keypoints")
    page, _ = write(run, tmp_path / "report.html")
    assert data_of(page)["matches"][0] == [None] * 5


def test_the_command_says_where_the_report_is(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = ["report", str(tiny_run[1]), "--truth", str(tiny_run[0] / "truth.csv"), "--candidates", "2"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "r.html"), "--json"], catch_exceptions=False)
    assert json.loads(result.stdout) == {"report": str(tmp_path / "r.html"), "notes": []}
    assert max(len(query["candidates"]) for query in data_of(tmp_path / "r.html")["queries"]) <= 3
