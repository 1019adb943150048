"""The whole of `predict` at the size of AnimalCLEF 2025: 15,209 rows, 2,135 queries, small rendered photographs.

    python benchmarks/scale_2025.py --table DIR_WITH_THE_REAL_METADATA --work DIR

Renders one small textured photograph at every path of the real table (about 200 px, an individual's texture warped and
relit), runs `predict` in a process of its own, checks the answer and prints wall time, peak memory and pairs a second.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from shutil import copyfile

import cv2
import numpy as np

from animalclef.data.sources import find_source
from animalclef.data.table import load_table


def main() -> None:
    """Render, run, check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    data = arguments.work / "data"
    start = time.perf_counter()
    render_all(arguments.table, data)
    print(f"rendering: {time.perf_counter() - start:.0f} s (not part of the figure)", flush=True)
    submission = arguments.work / "submission.csv"
    command = [sys.executable, "-m", "animalclef", "predict", "--data", str(data), "--out", str(submission)]
    command += [
        "--run",
        str(arguments.work / "run"),
        *(part for one in arguments.assignments for part in ("--set", one)),
    ]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    wall = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    ids = [line.split(",")[0] for line in submission.read_text().splitlines()[1:]]
    sample = [line.split(",")[0] for line in (data / "sample_submission.csv").read_text().splitlines()[1:]]
    in_order = ids == sample
    seconds = json.loads(submission.with_suffix(".manifest.json").read_text())["seconds"]
    print(f"rows: {len(ids)}, in the sample's order: {in_order}")
    print(f"wall: {wall / 60:.1f} min, peak memory: {peak:.2f} GB, stages: {seconds}")
    if not in_order:
        raise SystemExit("the submission does not follow the sample")


def render_all(table: Path, data: Path) -> None:
    """A photograph for every row; an individual's rows share a texture, queries take one of their data set's."""
    data.mkdir(parents=True, exist_ok=True)
    for name in ("metadata.csv", "sample_submission.csv"):
        copyfile(table / name, data / name)
    images = load_table(find_source(data)).images
    rng = np.random.default_rng(0)
    names = {
        dataset: sorted(set(images.gallery.identity[images.gallery.dataset == dataset])) for dataset in images.datasets
    }
    jobs = []
    for row, (path, dataset, identity) in enumerate(zip(images.path, images.dataset, images.identity, strict=True)):
        known = identity or (str(rng.choice(names[dataset])) if rng.random() < 0.65 else f"unknown-{row}")
        jobs.append((data / path, known, row))
    with ProcessPoolExecutor() as pool:
        list(pool.map(render_one, jobs, chunksize=200))


def render_one(job: tuple[Path, str, int]) -> None:
    """Write one photograph, unless it is there."""
    path, identity, row = job
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    coat = _texture(np.random.default_rng(list(identity.encode())))
    rng = np.random.default_rng([7, row])
    width, height = (int(side) for side in rng.integers(150, 260, 2))
    turn = cv2.getRotationMatrix2D((128, 128), float(rng.normal(0, 12)), float(rng.uniform(0.8, 1.15)))
    turn[:, 2] += rng.normal(0, 10, 2)
    ground = cv2.GaussianBlur(rng.integers(0, 255, (256, 256, 3)).astype(np.uint8), (0, 0), 3)
    body = cv2.ellipse(np.zeros((256, 256), np.uint8), (128, 128), (115, 80), 0, 0, 360, 255, -1)
    coat, body = cv2.warpAffine(coat, turn, (256, 256)), cv2.warpAffine(body, turn, (256, 256))
    picture = np.where(body[:, :, None] > 127, coat, ground).astype(np.float32)
    picture = picture * rng.uniform(0.6, 1.2) + rng.normal(0, 6, picture.shape)
    picture = cv2.resize(np.clip(picture, 0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    path.write_bytes(encoded.tobytes())


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Blotches on a coat, (256, 256, 3)."""
    field = cv2.GaussianBlur(rng.normal(0, 1, (256, 256)).astype(np.float32), (0, 0), 5)
    spots = (field > 0.6 * field.std()).astype(np.float32)
    coat = np.array([60, 120, 170]) * (1 - spots[:, :, None]) + np.array([30, 40, 50]) * spots[:, :, None]
    return coat.astype(np.uint8)


if __name__ == "__main__":
    main()
