"""Make the README's pictures from the demo run that `make demo` leaves: python docs/pictures.py

docs/images/demo.jpg is `animalclef show` of a query, docs/images/report.jpg what Chromium shows of `animalclef report`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from animalclef.report import draw_query, write_picture
from animalclef.report.write_report import write_report
from animalclef.runtime.progress import Silent
from animalclef.store.finished_run import load_run

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from browser import browser  # noqa: E402

RUN, TRUTH, SHOWN = Path("runs/demo"), Path(".demo/truth.csv"), "172"


def main() -> None:
    """Write both pictures."""
    run = load_run(RUN)
    write_picture(ROOT / "docs/images/demo.jpg", draw_query(run, SHOWN, candidates=4))
    with tempfile.TemporaryDirectory() as folder:
        page = write_report(run, TRUTH, Path(folder) / "report.html", 5, 2, Silent()).page
        with browser(Path(folder) / "profile") as chromium:
            summary = photograph(chromium, page, "")
            match = photograph(chromium, page, "document.querySelector('.candidate.same:first-child button').click()")
    write_picture(ROOT / "docs/images/report.jpg", np.hstack([half(summary), half(match)]))


def photograph(chromium, page: Path, script: str) -> np.ndarray:
    """What the browser shows after a script, RGB."""
    chromium.open(page, width=1400, height=900)
    chromium.run(script)
    time.sleep(1)  # until pictures in view are decoded
    return np.ascontiguousarray(
        cv2.imdecode(np.frombuffer(chromium.driver.get_screenshot_as_png(), np.uint8), 1)[:, :, ::-1]
    )


def half(picture: np.ndarray) -> np.ndarray:
    """At half its size."""
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
