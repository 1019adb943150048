"""The report in Chromium, from disk: it opens, filters, sorts, pages, shows a match, and obeys the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser
from tiny import read_csv
from tiny_run import EVIL

from animalclef.report import load_run
from animalclef.report.write_report import write_report
from animalclef.runtime.progress import Silent

pytestmark = pytest.mark.browser

DESKTOP, PHONE = (1400, 900), (390, 844)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module", params=["file", "folder"])
def page(request: pytest.FixtureRequest, tiny_run: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same report as one file and as a folder."""
    out = tmp_path_factory.mktemp("report") / "seen"
    alone = {"file": 500, "folder": 3}[request.param]
    data, run = tiny_run
    return write_report(load_run(run), data / "truth.csv", out, 5, 2, Silent(), single_up_to=alone).page


@pytest.fixture(autouse=True)
def nothing_is_complained_of_or_fetched(chromium: Browser) -> Iterator[None]:
    chromium.complaints()
    yield
    assert chromium.complaints() == []
    assert chromium.requests() == []


def shown_ids(chromium: Browser) -> list[str]:
    """Return the ids of the queries on the present page."""
    return [label.removeprefix("query ") for label in chromium.run(
        "return [...document.querySelectorAll('.card')].map(card => card.getAttribute('aria-label'))"
    )]  # fmt: skip


def test_it_opens_and_lists_every_query(chromium: Browser, page: Path, tiny_run: tuple[Path, Path]) -> None:
    chromium.open(page)
    queries = [row["image_id"] for row in read_csv(tiny_run[0] / "truth.csv")]
    assert shown_ids(chromium) == queries
    assert chromium.one("#count").text == "14 of 14 queries"
    assert len(chromium.all("#charts figure > svg")) == 8
    assert chromium.run("return [...document.images].filter(image => !image.alt).length") == 0
    chromium.one("#queries").location_once_scrolled_into_view  # noqa: B018 - reading it scrolls
    assert chromium.until(
        "const image = document.querySelector('.card img'); return image.complete && image.naturalWidth"
    )


def test_html_in_a_name_is_shown_as_text(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    assert any(EVIL in text for text in chromium.texts(".candidate .who"))
    assert chromium.driver.title == f"{'run'} – animalclef report"


def test_filters_work_together(chromium: Browser, page: Path, tiny_run: tuple[Path, Path]) -> None:
    chromium.open(page)
    chromium.choose("dataset", "NewtID")
    newts = [row["image_id"] for row in read_csv(tiny_run[0] / "truth.csv") if row["dataset"] == "NewtID"]
    assert shown_ids(chromium) == newts
    chromium.choose("outcome", "right")
    right = shown_ids(chromium)
    assert set(chromium.texts(".card .badge")) <= {"right"}
    chromium.choose("outcome", "errors")
    assert sorted([*right, *shown_ids(chromium)]) == sorted(newts)
    chromium.choose("outcome", "")
    chromium.choose("search", "newtid_3")
    assert all("NewtID_3" in text for text in chromium.texts(".card header"))
    chromium.choose("search", "nobody at all")
    assert chromium.one("#count").text == "0 of 14 queries"


def test_queries_are_sorted_by_confidence(chromium: Browser, page: Path, unknown_image: str) -> None:
    chromium.open(page)
    number = "parseFloat(/best individual ([0-9.e-]+)/.exec(card.textContent)[1])"
    script = f"return [...document.querySelectorAll('.card')].map(card => {number})"
    chromium.choose("order", "falling")
    falling = chromium.run(script)
    assert falling == sorted(falling, reverse=True)
    assert shown_ids(chromium)[-1] == unknown_image  # without candidates: probability 0
    chromium.choose("order", "rising")
    assert chromium.run(script) == falling[::-1]


def test_a_query_without_candidates_says_so(chromium: Browser, page: Path, unknown_image: str) -> None:
    chromium.open(page)
    chromium.choose("search", unknown_image)
    assert "No candidates" in " ".join(chromium.texts(".card"))
    assert "photograph missing" in " ".join(chromium.texts(".card"))


def test_a_match_opens_steps_and_closes(chromium: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    chromium.open(page)
    candidate = chromium.one(".card .candidate")
    chromium.run("arguments[0].querySelector('button').click()", candidate)
    assert chromium.until("return document.querySelectorAll('#pair image').length === 2")
    drawn = len(chromium.all("#pair g.found"))
    inliers = int(chromium.run("return [...arguments[0].querySelectorAll('dd')][2].textContent", candidate))
    assert drawn >= inliers > 3  # inliers of several at one place are counted once
    assert chromium.run("return getComputedStyle(document.querySelector('#pair g line:last-of-type')).stroke") != "none"
    chromium.run("arguments[0].click()", chromium.one("#show-outliers"))
    outliers = len(chromium.all("#pair g.outlier"))  # of one candidate, or of the next
    title = chromium.one("#match-title").text
    chromium.press(Keys.ARROW_RIGHT)
    assert chromium.until("return document.getElementById('match-title').textContent.includes(', individual 2, ')")
    assert chromium.until(f"return {outliers} + document.querySelectorAll('#pair g.outlier').length > 0")
    chromium.press(Keys.ARROW_LEFT)
    chromium.press(Keys.ARROW_LEFT)  # the first one: stays
    assert chromium.one("#match-title").text == title
    chromium.press("n")
    assert chromium.until("return !document.getElementById('match-title').textContent.startsWith(arguments[0])"
                          .replace("arguments[0]", repr(" ".join(title.split(" ")[:2]) + " ")))  # fmt: skip
    chromium.press(Keys.ESCAPE)
    assert chromium.until("return !document.getElementById('match').open")
    # the dialogue's `close` event, which gives the focus back, comes after `open` has turned false
    assert chromium.until("return document.activeElement.closest('.card')?.dataset.query === '1'")


@pytest.mark.parametrize("alone", [500, 3], ids=["file", "folder"])
def test_what_the_embedding_agreed_on_is_a_layer(
    chromium: Browser, tiny_run: tuple[Path, Path], tmp_path: Path, alone: int
) -> None:
    run = load_run(tiny_run[1])
    page = write_report(run, None, tmp_path / "explained", 5, 1, Silent(), explained=1, single_up_to=alone).page
    chromium.open(page)
    chromium.run("arguments[0].click()", chromium.one(".card .candidate button"))
    assert chromium.until("return document.querySelectorAll('#heat image').length === 2")
    same = "return [...document.querySelectorAll('#pair image')].map(one => 'x y width height'.split(' ').map(name => one.getAttribute(name)).join())"  # noqa: E501
    left, right, left_heat, right_heat = chromium.run(same)
    assert (left, right) == (left_heat, right_heat)  # each overlay covers its photograph
    assert chromium.run("return document.querySelectorAll('#heat line').length") > 0
    assert chromium.run("return document.querySelector('#heat ~ g.found') !== null")  # keypoint lines lie above it
    assert "cosine" in chromium.one("#heat-cosine").text
    chromium.run("arguments[0].click()", chromium.one("#show-heat"))
    assert chromium.until("return document.querySelectorAll('#heat').length === 0")
    assert chromium.run("return document.querySelectorAll('#pair image').length") == 2
    chromium.run("arguments[0].click()", chromium.one("#show-heat"))
    assert chromium.until("return document.querySelectorAll('#heat image').length === 2")
    chromium.run("document.querySelector('[data-step=next]').click()")  # only the best candidate is explained
    assert chromium.until("return document.getElementById('show-heat').parentElement.hidden")
    assert chromium.run("return document.querySelectorAll('#heat').length") == 0


def test_the_keyboard_goes_through_the_queries(chromium: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    chromium.open(page)
    focused = "return document.activeElement.getAttribute('aria-label')"
    ids = shown_ids(chromium)
    chromium.press("n")
    chromium.press("n")
    assert chromium.run(focused) == f"query {ids[1]}"
    chromium.press("p")
    assert chromium.run(focused) == f"query {ids[0]}"
    chromium.press(Keys.ENTER)
    assert chromium.until("return document.getElementById('match').open")
    chromium.press(Keys.ESCAPE)
    assert chromium.until("return !document.getElementById('match').open")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_and_can_be_read(chromium: Browser, page: Path, size: tuple[int, int], *, dark: bool) -> None:
    chromium.open(page, width=size[0], height=size[1], dark=dark)
    assert chromium.run("return document.documentElement.scrollWidth") <= size[0]
    read = ("h1", "h2", ".small", "td", ".card h3", ".badge", ".candidate dt", "a", ".key")
    assert {name: ratio for name in read if (ratio := chromium.contrast(name)) < 4.5} == {}
    dark_ground = chromium.run("return getComputedStyle(document.body).backgroundColor")
    assert (dark_ground == "rgb(21, 24, 28)") is dark
    chromium.run("arguments[0].click()", chromium.one(".candidate button"))
    assert chromium.until("return document.querySelector('#pair svg')")
    box = chromium.run(
        "const b = document.getElementById('match').getBoundingClientRect(); return [b.left, b.right, b.height]"
    )
    assert box[0] >= 0
    assert box[1] <= size[0]
    assert box[2] <= size[1]


def test_pages_are_turned(chromium: Browser, tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    """With more queries than a page takes: the drawn ones, repeated in the page's data."""
    import json

    data, run = tiny_run
    page = write_report(load_run(run), data / "truth.csv", tmp_path / "seen", 2, 2, Silent(), single_up_to=3).page
    script = page.parent / "data.js"
    content = json.loads(script.read_text().removeprefix("window.animalclefData = ").rstrip(";\n"))
    content["queries"] = content["queries"] * 5
    script.write_text(f"window.animalclefData = {json.dumps(content)};")
    chromium.open(page)
    assert [text.strip() for text in chromium.texts(".page-number")] == ["1 of 3", "1 of 3"]
    assert len(chromium.all(".card")) == 25
    chromium.run("document.querySelector('[data-page=\"1\"]').click()")
    assert chromium.texts(".page-number")[0] == "2 of 3"
    chromium.run("document.querySelector('[data-page=\"1\"]').click()")
    assert len(chromium.all(".card")) == 20
    assert chromium.run("return document.querySelector('[data-page=\"1\"]').disabled")
    chromium.press("n")  # the first of this page
    chromium.press("p")  # the last of the page before
    assert chromium.texts(".page-number")[0] == "2 of 3"


def test_photographs_that_are_gone_leave_placeholders(
    chromium: Browser, tiny_run: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    page = write_report(load_run(tiny_run[1], tmp_path / "elsewhere"), None, tmp_path / "r.html", 3, 2, Silent()).page
    chromium.open(page)
    assert len(chromium.all(".card .absent")) > 14
    chromium.run("arguments[0].click()", chromium.one(".candidate button"))
    assert chromium.until("return document.querySelectorAll('#pair rect').length === 2")
    assert chromium.all("#pair g.found")
