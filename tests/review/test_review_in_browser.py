"""The review page in Chromium: it asks, saves, goes back, zooms both photographs, and obeys the keyboard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser
from served import Served, served

pytestmark = pytest.mark.browser

DESKTOP, PHONE = (1400, 900), (390, 844)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "review.jsonl"


@pytest.fixture
def page(tiny_run: tuple[Path, Path], log: Path, chromium: Browser) -> Iterator[Served]:
    """A page that complains of nothing, and fetches nothing from elsewhere."""
    chromium.complaints()
    with served(tiny_run[1], log) as one:
        yield one
        assert [said for said in chromium.complaints() if "404" not in said] == []  # the photograph that is missing
        assert [url for url in chromium.requests() if not url.startswith(one.address)] == []
        chromium.driver.get("about:blank")


def open_page(chromium: Browser, page: Served, size: tuple[int, int] = DESKTOP, *, dark: bool = False) -> None:
    chromium.open_address(page.address, width=size[0], height=size[1], dark=dark)
    assert chromium.until("return !document.getElementById('pair').hidden")
    loaded = "[...document.querySelectorAll('.view img')].every(image => image.complete && image.naturalWidth)"
    assert chromium.until(f"return {loaded}")


def saved(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()[1:]] if log.exists() else []


def status(chromium: Browser) -> str:
    return str(chromium.run("return document.getElementById('status').textContent"))


def test_it_shows_two_photographs_with_their_matches(chromium: Browser, page: Served) -> None:
    open_page(chromium, page)
    assert chromium.one("#question").text == "Is this the same animal?"
    assert "changes the name with probability" in chromium.one("#reason").text
    alts = chromium.run("return [...document.images].map(image => image.alt)")
    assert all(alts)
    assert alts[0].startswith("left: photograph ")
    assert "2024-" in alts[1]  # its date
    assert chromium.until("return document.querySelectorAll('#lines line').length > 3")
    assert int(chromium.one("#match-text").text.split()[0]) >= len(chromium.all("#lines line"))
    assert len(chromium.all(".strip[data-side='1'] button")) == 4  # the candidate and its other photographs
    for name, lines, points in (("points", 0, True), ("off", 0, False), ("lines", 4, True)):
        chromium.press("m")
        assert chromium.one("#match-mode").text == name
        assert len(chromium.all("#lines line")) >= lines
        assert bool(chromium.all("#lines circle")) is points


@pytest.mark.parametrize(("key", "said"), [("s", "same"), ("d", "different"), ("t", "unsure")])
def test_a_key_answers_and_what_is_said_to_be_saved_is_on_the_disk(
    chromium: Browser, page: Served, log: Path, key: str, said: str
) -> None:
    open_page(chromium, page)
    before = chromium.run("return document.querySelector('.view img').src")
    chromium.press(key)
    assert chromium.until("return document.getElementById('status').textContent.startsWith('Saved')")
    [line] = saved(log)
    assert (line["said"], line["who"]) == (said, "Ada")
    assert all(one["image_id"] in status(chromium) for one in line["pair"])
    assert "1 answered, about" in chromium.one("#progress-text").text
    chromium.press("u")
    assert chromium.until("return document.getElementById('status').textContent.startsWith('Undone')")
    assert chromium.run("return document.querySelector('.view img').src") == before
    assert [one["kind"] for one in saved(log)] == ["answer", "undo"]


def test_buttons_do_the_same_and_skip_goes_on(chromium: Browser, page: Served, log: Path) -> None:
    open_page(chromium, page)
    first = chromium.run("return document.querySelector('.view img').src")
    chromium.run("document.querySelector('[data-do=skip]').click()")
    assert chromium.until(f"return document.querySelector('.view img').src !== '{first}'")
    assert saved(log) == []
    chromium.run("document.querySelector('[data-said=different]').click()")
    assert chromium.until("return document.getElementById('status').textContent.startsWith('Saved')")
    assert saved(log)[0]["said"] == "different"


def test_both_photographs_zoom_and_move_together(chromium: Browser, page: Served) -> None:
    open_page(chromium, page)
    shares = """return [...document.querySelectorAll('.view')].map(box => {
      const image = box.querySelector('img');
      return [(box.clientWidth / 2 - image.offsetLeft) / image.offsetWidth, (box.clientHeight / 2 - image.offsetTop) / image.offsetHeight, image.offsetWidth];
    })"""  # noqa: E501
    start = chromium.run(shares)
    for key in ("+", "+"):
        chromium.press(key)
    from selenium.webdriver.common.keys import Keys

    chromium.press(Keys.ARROW_RIGHT)
    (left, right) = chromium.run(shares)
    assert left[2] == pytest.approx(start[0][2] * 2.25, rel=0.02)
    assert right[2] == pytest.approx(start[1][2] * 2.25, rel=0.02)
    assert left[0] > start[0][0] + 0.02
    assert left[:2] == pytest.approx(right[:2], abs=0.02)
    wheel = "deltaY: -1, clientX: at.left + 50, clientY: at.top + 50, cancelable: true"
    chromium.run(
        "const box = document.querySelectorAll('.view')[1]; const at = box.getBoundingClientRect();"
        f"box.dispatchEvent(new WheelEvent('wheel', {{{wheel}}}))"
    )
    assert chromium.run(shares)[0][2] > left[2]
    chromium.press("0")
    assert chromium.run(shares) == start


def test_another_photograph_of_the_candidate_can_be_answered(chromium: Browser, page: Served, log: Path) -> None:
    open_page(chromium, page)
    before = chromium.run("return document.querySelectorAll('.view img')[1].src")
    chromium.press(".")
    assert chromium.run("return document.querySelectorAll('.view img')[1].src") != before
    assert chromium.run("return document.querySelectorAll('.strip[data-side=\"1\"] [aria-pressed=true]').length") == 1
    chromium.press("s")
    assert chromium.until("return document.getElementById('status').textContent.startsWith('Saved')")
    row = page.session.run.row_of[saved(log)[0]["pair"][1]["image_id"]]
    assert not before.endswith(f"photograph/{row}/1400")


def test_a_contradiction_is_shown_and_settled(chromium: Browser, page: Served) -> None:
    first, second = (one["row"] for one in page.page("state")["question"]["animals"])
    images = page.session.run.images
    other = next(
        row for row in range(len(images))
        if images.identity[row] not in (None, images.identity[second]) and images.dataset[row] == images.dataset[first]
    )  # fmt: skip
    for row in (second, other):
        page.page("answer", {"first": first, "second": row, "said": "same"})
    chromium.open_address(page.address)
    assert chromium.until("return !document.getElementById('show-conflicts').hidden")
    chromium.press("c")
    text = chromium.one(".conflict p").text
    assert "one animal under two names, or a wrong answer?" in text
    assert str(images.identity[other]) in text
    names = [str(images.image_id[row]) for row in (first, other)]
    button = next(
        one for one in chromium.all(".conflict button") if sorted(one.text.split(" and ")) == sorted(names)
    )  # fmt: skip
    button.click()
    assert chromium.until("return document.getElementById('reason').textContent.includes('replaces all earlier')")
    chromium.press("d")
    assert chromium.until("return document.getElementById('show-conflicts').hidden")


def test_an_answer_that_is_not_saved_is_not_called_saved(chromium: Browser, page: Served, log: Path) -> None:
    open_page(chromium, page)
    log.mkdir()  # a folder in its place: nothing can be written
    chromium.press("s")
    assert chromium.until("return document.getElementById('status').classList.contains('error')")
    assert status(chromium).startswith("Not saved: ")
    assert chromium.run("return !document.querySelector('[data-said=same]').disabled")
    chromium.complaints()


def test_html_in_a_name_is_shown_as_text(chromium: Browser, page: Served) -> None:
    images = page.session.run.images
    row = next(row for row in range(len(images)) if "<script>" in str(images.identity[row]))
    query = next(row for row in range(len(images)) if images.is_query[row] and images.dataset[row] == "CatID")
    page.page("answer", {"first": query, "second": row, "said": "same"})
    page.page("undo", {"first": 0})
    open_page(chromium, page)
    chromium.run(f"fetch('pair/{query}/{row}').then(reply => reply.json()).then(pair => {{ window.seen = pair; }})")
    assert "<script>" in chromium.until("return window.seen && window.seen.animals[1].identity")
    assert chromium.driver.title == "run – animalclef review"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_and_can_be_read(chromium: Browser, page: Served, size: tuple[int, int], *, dark: bool) -> None:
    open_page(chromium, page, size, dark=dark)
    assert chromium.run("return document.documentElement.scrollWidth") <= size[0]
    read = ("h1", "h2", "#reason", "figcaption", "#match-text", ".who", "h3", "[data-said=same]", "[data-do=undo]")
    assert {name: ratio for name in read if (ratio := chromium.contrast(name)) < 4.5} == {}
    places = "return ['.pane', '.answers', '[data-do=undo]'].map(name => document.querySelector(name).getBoundingClientRect()).map(at => [at.left, at.right, at.top, at.bottom])"  # noqa: E501
    for left, right, top, bottom in chromium.run(places):
        assert left >= 0
        assert right <= size[0]
        assert top >= 0
        assert bottom <= size[1]  # photographs and buttons are in view together
    panes = chromium.run(
        "return [...document.querySelectorAll('.pane')].map(one => one.getBoundingClientRect().bottom)"
    )
    answers = chromium.run("return document.querySelector('.actions').getBoundingClientRect().top")
    assert max(panes) <= answers + 30


@pytest.mark.parametrize(("together", "size"), [(False, DESKTOP), (True, PHONE)])
def test_two_new_individuals_are_asked_about(
    chromium: Browser, page: Served, log: Path, *, together: bool, size: tuple[int, int]
) -> None:
    session, images = page.session, page.session.run.images
    rows = [row for row in range(len(images)) if images.is_query[row] and images.dataset[row] == "NewtID"][:3]
    first, second, mate = (str(images.image_id[row]) for row in rows)
    names = {first: "new_7", second: "new_7" if together else "new_8", mate: "new_8"}
    session._new, session._queue._label = names, dict(names)
    session._queue._link = {(first, second): 0.0 if together else 0.99}
    predictions = session.run.predictions
    for row, one in enumerate(predictions.image_id):
        predictions.identity[row] = None if one in names else predictions.identity[row]
    session._queue._options = {}
    session._known = None
    open_page(chromium, page, size)
    captions = [one.text for one in chromium.all("figcaption")]
    assert captions[0].startswith(f"{first} · new individual (new_7)")
    assert captions[1].startswith(f"{second} · new individual ({names[second]})")
    reason = chromium.one("#reason").text
    assert reason.startswith(f"Both are submitted as new, {'grouped as one individual' if together else 'as two'}")
    assert len(chromium.all(".strip[data-side='1'] button")) == (0 if together else 2)  # it and its mate
    chromium.press("s")
    assert chromium.until("return document.getElementById('status').textContent.startsWith('Saved')")
    [line] = saved(log)
    assert {one["image_id"] for one in line["pair"]} == {first, second}
    assert (line["shown"]["name"], line["shown"]["probability"]) == (None, 0.0 if together else 0.99)
