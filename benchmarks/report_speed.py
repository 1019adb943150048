"""`report` at the size of AnimalCLEF 2025: 2,135 queries with 20 candidates each, and how its page scrolls.

    make demo
    python benchmarks/report_speed.py --run runs/demo --work DIR [--browser]

Makes a run of 15,209 rows from the demo's: every row shows one of the demo's photographs and has its keypoints, every
query gets 20 candidates drawn at random. Each is decoded, copied and written, and every pair is matched, as in earnest.
With --browser (needs Chromium) the page is opened from disk and scrolled from top to bottom.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from animalclef.cli.printing import RichProgress
from animalclef.report import load_run
from animalclef.report.write_report import write_report

GALLERY, QUERIES, CANDIDATES = 13_074, 2_135, 20

SCROLL = """
const done = arguments[0], gaps = []; let last = performance.now(), y = 0;
const step = now => { gaps.push(now - last); last = now; y += 120; window.scrollTo(0, y);
  y < document.documentElement.scrollHeight ? requestAnimationFrame(step) : done(gaps.slice(2)) };
requestAnimationFrame(step);
"""


def main() -> None:
    """Build the run, write its report, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--browser", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.work / "run"
    enlarge(arguments.run, folder)
    from rich.console import Console

    wall, cpu = time.perf_counter(), time.process_time()
    run = load_run(folder, arguments.data)
    truth = arguments.work / "truth.csv"
    page = write_report(
        run, truth, arguments.work / "report", CANDIDATES, arguments.workers, RichProgress(Console(stderr=True))
    ).page
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    files = [path for path in page.parent.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    pairs = sum(len(rows) for rows in (range(part.start, part.stop) for part in run.rows_of.values()))
    print(
        f"{QUERIES:,} queries, {pairs:,} pairs: wall {wall:.0f} s, processor {cpu:.0f} s, peak memory {memory:.2f} GB"
    )
    print(f"{len(files):,} files, {size:.0f} MB; data.js {(page.parent / 'data.js').stat().st_size / 1e6:.1f} MB")
    if arguments.browser:
        scroll(page)


def enlarge(small: Path, folder: Path) -> None:
    """A run of the competition's size whose rows are rows of a small one, again and again."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table = pd.read_csv(small / "table.csv", dtype=str, keep_default_na=False)
    rng = np.random.default_rng(0)
    parts = []
    for split, count in (("gallery", GALLERY), ("query", QUERIES)):
        rows = table[table["split"] == split]
        parts.append(rows.iloc[np.arange(count) % len(rows)])
    big = pd.concat(parts, ignore_index=True)
    big["image_id"] = [str(number) for number in range(len(big))]
    big.to_csv(folder / "table.csv", index=False)
    lines, truth = [], []
    gallery = dict(iter(big[big["split"] == "gallery"].groupby("dataset")))
    for query_id, dataset in big.loc[big["split"] == "query", ["image_id", "dataset"]].itertuples(index=False):
        drawn = gallery[dataset].iloc[rng.permutation(len(gallery[dataset]))[:CANDIDATES]]
        sure = np.sort(rng.beta(0.5, 2, len(drawn)))[::-1]
        for one, who, probability in zip(drawn["image_id"], drawn["identity"], sure, strict=True):
            lines.append((query_id, one, who, dataset, probability, *rng.random(2).round(4), *rng.integers(0, 90, 2)))
        truth.append((query_id, drawn["identity"].iloc[rng.integers(0, 3)], dataset, int(rng.random() < 0.7)))
    scores = ("similarity", "inlier_weight", "matches", "inliers")
    columns = ["query_id", "gallery_id", "identity", "dataset", "probability", *scores]
    pd.DataFrame(lines, columns=columns).to_csv(folder / "candidates.csv", index=False)
    columns = ["image_id", "identity", "dataset", "known"]
    pd.DataFrame(truth, columns=columns).to_csv(folder.parent / "truth.csv", index=False)
    for name in ("decision.json", "finished.json", "set_aside.csv"):
        shutil.copyfile(small / name, folder / name)
    shutil.copytree(small / "keypoints", folder / "keypoints")


def scroll(page: Path) -> None:
    """Open the page from disk and scroll through it, a step a frame."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from browser import browser

    with tempfile.TemporaryDirectory() as profile, browser(Path(profile)) as chromium:
        start = time.perf_counter()
        chromium.open(page)
        opened = time.perf_counter() - start
        chromium.driver.set_script_timeout(120)
        gaps = np.array(chromium.driver.execute_async_script(SCROLL))
        start = time.perf_counter()
        chromium.choose("order", "falling")
        sorting = time.perf_counter() - start
        told = ", ".join(f"{name} {value:.0f} ms" for name, value in zip(
            ("median", "95%", "longest"), np.quantile(gaps, [0.5, 0.95, 1]), strict=True))  # fmt: skip
        print(f"opened in {opened:.1f} s; {len(gaps)} frames scrolled: {told}; sorted anew in {sorting:.2f} s")
        print(json.dumps(chromium.complaints()))


if __name__ == "__main__":
    main()
