"""The whole of `predict` at the size of a competition, on its real table with a rendered photograph at every path.

    python benchmarks/scale_competition.py --table DIR_WITH_THE_REAL_METADATA --work DIR [--every 10] [--set ...]

Both tables work: AnimalCLEF 2025 (names) and 2026 (clusters). Each individual is rendered a few times by
`animalclef.synthetic`; each of its photographs is one of those, cropped, turned and relit. Two thirds of the queries
show an individual of the database, the others new ones. `predict` runs in a process of its own; `validate` checks what
it wrote. Wall and processor time, peak memory and the stages are printed. Memory is told twice: what the process owns,
looked at twice a second, and all of it, with the pages of the stores' files that the system takes back at will.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.synthetic.coats import Animal
from animalclef.synthetic.photograph import photograph
from animalclef.synthetic.species import DEMO_SPECIES, PatternStyle, Species
from animalclef.synthetic.visits import draw_visit

CAT, NEWT, TURTLE = DEMO_SPECIES
LIZARD = replace(NEWT, pattern=PatternStyle("reticulated", wavelength=0.12, coverage=0.45))
RENDERINGS, PHOTOGRAPHS_EACH = 8, 4  # of one individual at most; photographs that share one
KNOWN, NEW_EACH = 0.65, 3  # share of the queries; queries of a new individual


def main() -> None:
    """Render, run, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="use every so manyeth row")
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    data, submission = arguments.work / "data", arguments.work / "submission.csv"
    start = time.perf_counter()
    render_all(arguments.table, data, arguments.every)
    print(f"rendering: {time.perf_counter() - start:.0f} s (not part of the figure)", flush=True)
    program = [sys.executable, "-m", "animalclef"]
    command = [*program, "predict", "--data", str(data), "--run", str(arguments.work / "run"), "--out", str(submission)]
    command += [part for one in arguments.assignments for part in ("--set", one)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    owned = peak_owned(command)
    wall, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    subprocess.run([*program, "validate", str(submission), "--data", str(data)], check=True)
    seconds = json.loads(submission.with_suffix(".manifest.json").read_text())["seconds"]
    print(f"wall: {wall / 60:.1f} min, processor: {processor / 60:.1f} min")
    print(f"peak memory: {owned:.2f} GB owned, {used.ru_maxrss / 1e6:.2f} GB with pages of files")
    print(f"stages: {seconds}")


def peak_owned(command: list[str]) -> float:
    """Run a command; return the most GB that no file stands behind."""
    most = 0.0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = max(most, int(status.partition("RssAnon:")[2].split()[0]) / 1e6) if "RssAnon:" in status else most
            time.sleep(0.5)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return most


@dataclass(frozen=True)
class Individual:
    """An animal, and where its photographs go."""

    animal: Animal
    paths: tuple[Path, ...]


def render_all(table: Path, data: Path, every: int) -> None:
    """Write the table, or every so manyeth row of it, with a photograph for each row that has none yet."""
    data.mkdir(parents=True, exist_ok=True)
    kept = thinned(table / "metadata.csv", data / "metadata.csv", lambda row, _: row % every == 0)
    thinned(table / "sample_submission.csv", data / "sample_submission.csv", lambda _, image_id: image_id in kept)
    images = load_table(find_source(data)).images
    rng = np.random.default_rng(0)
    names = {name: sorted(set(images.gallery.identity[images.gallery.dataset == name])) for name in images.datasets}
    new = dict.fromkeys(images.datasets, 0)
    paths: dict[tuple[str, str], list[Path]] = {}
    for path, dataset, identity in zip(images.path, images.dataset, images.identity, strict=True):
        who = identity
        if who is None and names[dataset] and rng.random() < KNOWN:
            who = names[dataset][int(rng.integers(len(names[dataset])))]
        elif who is None:
            new[dataset] += 1
            who = f"new {new[dataset] // NEW_EACH}"
        paths.setdefault((dataset, who), []).append(data / path)
    jobs = [Individual(Animal(species_of(dataset), tuple(f"{dataset} {who}".encode())), tuple(mine))
            for (dataset, who), mine in paths.items()]  # fmt: skip
    with ProcessPoolExecutor() as pool:
        list(pool.map(render, jobs, chunksize=8))


def thinned(source: Path, target: Path, keep: Callable[[int, str], bool]) -> set[str]:
    """Copy the rows of a CSV file that are to be kept, by number and image_id; return their image_ids."""
    with source.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    rows = [row for number, row in enumerate(rows) if keep(number, row[0])]
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return {row[0] for row in rows}


def species_of(dataset: str) -> Species:
    """Return the species whose photographs stand for a data set's."""
    for word, species in (("Lynx", CAT), ("Salamander", NEWT), ("Turtle", TURTLE)):
        if word in dataset:
            return species
    return LIZARD


def render(one: Individual) -> None:
    """Write the photographs of one individual: a few renderings, each cropped, turned and relit."""
    if all(path.is_file() for path in one.paths):
        return
    cv2.setNumThreads(1)
    animal, rng = one.animal, np.random.default_rng([*one.animal.seed, 3])
    count = min(-(-len(one.paths) // PHOTOGRAPHS_EACH) + 1, RENDERINGS, len(one.paths))
    pictures = []
    for number in range(count):
        visit = draw_visit(animal.species, (7, int(rng.integers(40))), "2020-01-01", rng)
        side = animal.species.sides[number % len(animal.species.sides)]
        pictures.append(photograph(animal, visit, side, rng).pixels)
    for place, path in enumerate(one.paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(varied(pictures[place % count], rng))


def varied(picture: np.ndarray, rng: np.random.Generator) -> bytes:
    """Return a JPEG of a picture, cropped by up to a sixth, turned and relit."""
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 6)), float(rng.uniform(1.0, 1.2)))
    turn[:, 2] += rng.normal(0, 0.02, 2) * (width, height)
    turned = cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    relit = turned * rng.uniform(0.75, 1.2) + rng.normal(0, 4, turned.shape)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 95))]
    encoded = cv2.imencode(".jpg", np.clip(relit, 0, 255).astype(np.uint8)[:, :, ::-1], quality)[1]
    return bytes(encoded.tobytes())


if __name__ == "__main__":
    main()
