"""A drawn data set of blotchy animals, small enough for every test to have its own."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["TINY_SETTINGS", "make_masks", "make_tiny_data", "photograph", "read_csv", "write_csv"]

# `--set` arguments that make a whole run of a tiny data set a matter of a second or two.
TINY_SETTINGS = (
    "decide.trials=4", "decide.splits=2", "decide.folds=2", "embed.words=8", "embed.dimensions=16",
    "embed.long_side=96", "embed.step=12", "embed.bin_sizes=[6]", "embed.local_dimensions=16",
    "keypoints.max_keypoints=64", "prepare.mode=whole", "embed.members=[]",
)  # fmt: skip

COLUMNS = ("image_id", "identity", "path", "date", "orientation", "species", "split", "dataset")


@dataclass(frozen=True)
class _Row:
    identity: str
    path: str
    date: str
    split: str
    dataset: str
    known: bool


def make_tiny_data(
    folder: Path,
    *,
    datasets: Sequence[str] = ("NewtID", "CatID"),
    individuals: int = 5,
    gallery_images: int = 3,
    queries: int = 1,
    unknown: int = 2,
    dated: bool = True,
    seed: int = 0,
) -> Path:
    """Draw a data set in the AnimalCLEF layout and return its folder.

    Each data set has `individuals` known animals with `gallery_images` gallery photographs and `queries` queries each,
    and `unknown` further animals with `queries` queries each (at least one). Image ids count from 0 through the table;
    the identity of animal 2 of NewtID is `NewtID_2`. The photographs of one animal have dates a month apart, or none.
    """
    rows: list[_Row] = []
    for number, dataset in enumerate(datasets):
        for animal in range(individuals + unknown):
            known = animal < individuals
            splits = ["database"] * (gallery_images if known else 0)
            splits += ["query"] * (queries if known else max(queries, 1))
            for place, split in enumerate(splits):
                path = f"images/{dataset}/{animal}_{place}.jpg"
                _store(folder / path, photograph([seed, number, animal], place))
                date = f"2024-{place % 12 + 1:02d}-15" if dated else ""
                rows.append(_Row(f"{dataset}_{animal}", path, date, split, dataset, known))
    _write_tables(folder, rows)
    return folder


def photograph(individual: Sequence[int], view: int) -> NDArray[np.uint8]:
    """One (H, W, 3) BGR photograph of an animal's blotches, 120 to 200 pixels a side and never square."""
    coat = _coat(np.random.default_rng([1, *individual]))
    rng = np.random.default_rng([2, *individual, view])
    width, height = int(rng.integers(160, 201)), int(rng.integers(120, 156))
    turn = cv2.getRotationMatrix2D((128, 128), float(rng.uniform(-12, 12)), float(rng.uniform(0.8, 1.0)))
    turn[:, 2] += np.array([width, height]) / 2 - 128 + rng.uniform(-8, 8, 2)
    picture = cv2.warpAffine(coat, turn, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.float64)
    picture = picture * rng.uniform(0.8, 1.1) + rng.normal(0, 4, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a plain comma-separated file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a plain comma-separated file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _coat(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blotches of two sizes in a colour of the animal's own."""
    coarse = cv2.GaussianBlur(rng.normal(size=(256, 256)), (0, 0), 9)
    fine = cv2.GaussianBlur(rng.normal(size=(256, 256)), (0, 0), 4)
    blotched = (coarse / coarse.std() > 0.3) ^ (fine / fine.std() > 1.2)
    ground, mark = rng.uniform(140, 220, 3), rng.uniform(20, 90, 3)
    coat = np.where(blotched[:, :, None], mark, ground)
    return cv2.GaussianBlur(coat, (0, 0), 0.8).astype(np.uint8)


def _store(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes())


def _write_tables(folder: Path, rows: list[_Row]) -> None:
    cells = [
        (number, row.identity if row.split == "database" else "", row.path, row.date, "", "", row.split, row.dataset)
        for number, row in enumerate(rows)
    ]
    queries = [(number, row) for number, row in enumerate(rows) if row.split == "query"]
    write_csv(folder / "metadata.csv", COLUMNS, cells)
    sample = [(number, "new_individual") for number, _ in queries]
    write_csv(folder / "sample_submission.csv", ("image_id", "identity"), sample)
    truth = [(number, row.identity, row.dataset, int(row.known)) for number, row in queries]
    write_csv(folder / "truth.csv", ("image_id", "identity", "dataset", "known"), truth)


def make_masks(data: Path, folder: Path, share: float = 0.8) -> Path:
    """For every photograph a mask whose left part, `share` of the width, is the animal."""
    for row in read_csv(data / "metadata.csv"):
        height, width = cv2.imread(str(data / row["path"])).shape[:2]
        mask = np.zeros((height, width), np.uint8)
        mask[:, : round(width * share)] = 255
        path = (folder / row["path"]).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), mask)
    return folder
