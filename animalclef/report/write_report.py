"""Write the report of a run: one HTML file, or a folder with thumbnails for many queries."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from animalclef.data.submission import Truth
from animalclef.errors import OutputError
from animalclef.evaluation.evaluate import Interval, evaluate_run, truth_of_run
from animalclef.evaluation.outcomes import judge
from animalclef.report.evidence import evidence_of
from animalclef.report.explanations import Explanations
from animalclef.report.match_view import Matches
from animalclef.report.query_cards import (
    explained_pairs,
    matches_of,
    photograph_table,
    photographs_of,
    queries_of,
    shown_candidates,
)
from animalclef.report.summary import Page, summarise
from animalclef.report.thumbnails import Copy, copies_within, copy_photographs, data_address, failure_of_bucket
from animalclef.runtime.atomic_files import check_writable, write_bytes, write_text
from animalclef.runtime.output_guard import REPORT_SIGN, check_output
from animalclef.runtime.progress import Progress
from animalclef.runtime.remote_files import where_to_look
from animalclef.runtime.wording import counted
from animalclef.store.finished_run import FinishedRun

__all__ = ["SINGLE_FILE_QUERIES", "Written", "render_page", "write_report"]

SINGLE_FILE_QUERIES = 500
_COPIES_BYTES, _MATCHES_BYTES = 17_000_000, 5_000_000  # of a single file; copies are a third more as text
_LONG_SIDE_ALONE, _LONG_SIDE_BESIDE = 560, 360
_CHUNK = 50  # queries whose matches lie in one file


@dataclass(frozen=True)
class Written:
    """The report's page, and notes for its reader."""

    page: Path
    notes: list[str]


def write_report(
    run: FinishedRun,
    truth: Path | Truth | None,
    out: Path | None,
    candidates: int,
    workers: int,
    progress: Progress,
    *,
    matched: int | None = None,
    masks: Path | None = None,
    weights: Path | None = None,
    explained: int = 0,
    layer: str | None = None,
    single_up_to: int = SINGLE_FILE_QUERIES,
) -> Written:
    """Write the report of a run; for more than `single_up_to` queries a folder with `index.html`.

    Beside a query are its `candidates` best individuals, each by its best photograph. Matched keypoints are kept for
    the first `matched` of them, or for all; those outside the `masks` are marked. For the first `explained` queries the
    page shows which regions the embedding matched with the best candidate, at the `layer` of its network. Published
    weights are searched for in the folder `weights` first.

    Raises:
        ConfigError: the embedder has no such layer.
        DataError: the truth is of other data.
        SubmissionError: the truth file is not right.
        OutputError: the place cannot be written to, or holds something else.
    """
    explanations = Explanations(run, layer, weights) if explained else None
    alone = len(run.images.queries) <= single_up_to
    target = _target(run, out, alone=alone)
    answers, retrieval = None, None
    if truth is not None:
        answers = judge(truth_of_run(run, truth), run.images, run.ranked, run.predictions)
        retrieval = evaluate_run(run, truth)
    shown = shown_candidates(run, answers, candidates)
    kept = Matches(run, masks, weights)
    matches = matches_of(run, kept, shown, workers, progress, _MATCHES_BYTES if alone else None, matched)
    agreed = {} if explanations is None else explained_pairs(run, shown[:explained], explanations, progress)
    wanted = photographs_of(run, shown)
    evidence = evidence_of(run, answers) if len(run.images.gallery) else []  # without names nothing is decided
    page = summarise(run, answers, retrieval, evidence, wanted)
    if alone:
        copies = copies_within(run, wanted, _LONG_SIDE_ALONE, _COPIES_BYTES, workers, progress)
        sources = {name: data_address("image/jpeg", copy.jpeg) for name, copy in copies.items() if copy is not None}
    else:
        copies = _write_copies(run, wanted, target.parent, workers, progress)
        sources = {name: f"thumbnails/{_file_name(run, name)}" for name, copy in copies.items() if copy is not None}
        _write_matches(matches, target.parent)
    data = {
        "scores": list(run.ranked.columns),
        "photographs": photograph_table(run, wanted, copies, sources),
        "queries": queries_of(run, answers, shown, {image_id: number for number, image_id in enumerate(wanted)}),
        **({"matches": matches} if alone else {"chunk": _CHUNK}),
        "explained": agreed,
    }
    if not alone:
        write_text(target.parent / "data.js", f"window.animalclefData = {_json(data)};\n")
    write_text(target, render_page(page, data if alone else None))
    return Written(target, _notes(run, wanted, copies))


def _target(run: FinishedRun, out: Path | None, *, alone: bool) -> Path:
    """Return the page to write, or raise; anything that is already there must be a report."""
    given = out or run.path / ("report.html" if alone else "report")
    is_page = given.suffix.lower() in (".html", ".htm")
    if not is_page and given.suffix.lstrip(".").isalnum() and not given.suffix[1:].isdigit() and not given.is_dir():
        raise OutputError(
            f"{given}: a report is a page (.html) or a folder. Give a name with .html, or without ending."
        )
    if alone:
        target = given if is_page else given / "index.html"
    else:
        target = (given.with_suffix("") if is_page else given) / "index.html"
    if target.is_dir():
        raise OutputError(f"{target}: this is a folder. Choose another name.")
    if not alone and target.parent.is_dir() and any(target.parent.iterdir()) and not _is_report(target):
        raise OutputError(f"{target.parent}: this folder holds something else. Choose a new one.")
    check_output(target, "report")
    check_writable(target.parent)
    return target


def _is_report(page: Path) -> bool:
    """Check that a report was written, or begun, in the folder of a page."""
    mine = {"index.html", "data.js", "thumbnails", "matches"}
    if page.is_file():
        return REPORT_SIGN in page.read_text(encoding="utf-8", errors="replace")[:2000]
    return {path.name for path in page.parent.iterdir()} <= mine


def _file_name(run: FinishedRun, image_id: str) -> str:
    """Return the name of a thumbnail: by row, as an id may hold any character and two rows may show one file."""
    return f"{run.row_of[image_id]:06d}.jpg"


def _write_copies(
    run: FinishedRun, wanted: Sequence[str], folder: Path, workers: int, progress: Progress
) -> Mapping[str, Copy | None]:
    """Write thumbnails beside the page, and remove those of an earlier report."""

    def store(image_id: str, copy: Copy) -> Copy:
        write_bytes(folder / "thumbnails" / _file_name(run, image_id), copy.jpeg)
        return Copy(b"", copy.size_wh)

    copies = dict(copy_photographs(run, wanted, _LONG_SIDE_BESIDE, workers, progress, store))
    _remove_others(folder / "thumbnails", {_file_name(run, name) for name, copy in copies.items() if copy is not None})
    return copies


def _write_matches(matches: Sequence[Any], folder: Path) -> None:
    """Write matches in files of 50 queries each, so that the page reads only the files it needs."""
    kept = set()
    for number, start in enumerate(range(0, len(matches), _CHUNK)):
        name = f"{number:04d}.js"
        kept.add(name)
        content = _json(matches[start : start + _CHUNK])
        write_text(folder / "matches" / name, f"window.animalclefMatches({number}, {content});\n")
    _remove_others(folder / "matches", kept)


def _remove_others(folder: Path, kept: set[str]) -> None:
    for path in folder.glob("*") if folder.is_dir() else []:
        if path.name not in kept and path.suffix in (".jpg", ".js"):
            path.unlink(missing_ok=True)


def _json(content: Any) -> str:
    """Return JSON that may stand in a script: `<` is escaped."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _notes(run: FinishedRun, wanted: Sequence[str], copies: Mapping[str, Copy | None]) -> list[str]:
    skipped = {item.image_id for item in run.skipped}
    absent = [name for name in wanted if copies.get(name) is None and name not in skipped]
    if not absent:
        return []
    if failure := failure_of_bucket(run, absent):
        count = counted(len(wanted), "photograph")
        return [f"Not shown: {len(absent):,} of {count}; the report has placeholders. {failure}"]
    first = run.images.root / run.images.path[run.row_of[absent[0]]]
    return [
        f"Changed or removed since the run: {len(absent):,} of {counted(len(wanted), 'photograph')} (first: {first}); "
        f"the report shows placeholders. {where_to_look(first)}"
    ]


def render_page(page: Page, data: Any) -> str:
    """Render the HTML; without `data` the page reads `data.js` beside it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("animalclef.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "interval": _interval}
    return environment.get_template("report.html.j2").render(
        page=page, data=data, sign=Markup(REPORT_SIGN), style=_asset("report.css"), script=_asset("report.js")
    )


def _asset(name: str) -> Markup:
    """Return the text of a file of the package."""
    return Markup(resources.files("animalclef.report").joinpath("assets", name).read_text(encoding="utf-8"))


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _interval(value: Interval | None) -> str:
    return "–" if value is None else f"{value.mean:.3f} [{value.low:.2f}, {value.high:.2f}]"
