"""Write the demo data set in the layout of AnimalCLEF 2025."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from animalclef.errors import OutputError
from animalclef.runtime.atomic_files import check_writable, write_csv, write_text
from animalclef.runtime.processes import in_processes
from animalclef.runtime.progress import Progress, Silent
from animalclef.synthetic.photograph import Photograph, photograph
from animalclef.synthetic.plan import DemoConfig, Oddity, Shot, plan_demo

__all__ = ["COLUMNS", "TINY_SIZE_WH", "render_demo"]

logger = logging.getLogger(__name__)

_VERSION = 1
"""Raised whenever the same config would give other files."""

COLUMNS = ("image_id", "identity", "path", "date", "orientation", "species", "split", "dataset")
_STAMP = "demo.json"

TINY_SIZE_WH = (16, 11)
_ORIENTATION_TAG, _TURN_RIGHT = 0x0112, 6


def render_demo(
    directory: Path,
    config: DemoConfig = DemoConfig(),  # noqa: B008
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Render the data set into `directory` and return it; a folder of the same config is kept.

    The folder appears whole or not at all, and its files depend on the config alone.

    Raises:
        OutputError: `directory` holds something else, or cannot be written to.
        ValueError: `workers` is below 1.
    """
    if workers < 1:
        raise ValueError(f"Expected at least one worker, got {workers}.")
    if _is_done(directory, config):
        return directory
    check_writable(directory.parent)
    workshop = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        draft = workshop / "draft"
        draft.mkdir()
        _render_into(draft, config, workers, progress or Silent())
        draft.replace(directory)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    logger.info("rendered the demonstration data into %s", directory)
    return directory


def _stamp(config: DemoConfig) -> dict[str, object]:
    return {"generator": _VERSION, "config": config.model_dump(mode="json")}


def _is_done(directory: Path, config: DemoConfig) -> bool:
    """Return whether `directory` is this demo; False when it is absent or empty."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return False
    stamp, held = directory / _STAMP, "other things"
    if stamp.is_file():
        held = "a demo of other settings or of another version"
        with suppress(ValueError):  # a stamp that cannot be read
            if json.loads(stamp.read_text(encoding="utf-8")) == _stamp(config):
                return True
    raise OutputError(f"{directory}: holds {held}. Choose another directory, or remove this one first.")


def _render_into(root: Path, config: DemoConfig, workers: int, progress: Progress) -> None:
    shots = plan_demo(config)
    batches = [(root, tuple(group)) for _, group in groupby(shots, key=lambda shot: shot.animal.seed)]
    with progress.task("rendering photographs", len(shots), "images") as advance:
        for count in in_processes(_render_batch, batches, workers):
            advance(count)
    rows = sorted(shots, key=lambda shot: shot.image_id)
    queries = [shot for shot in rows if shot.split == "query"]
    write_csv(root / "metadata.csv", COLUMNS, map(_row, rows))
    submission = [(shot.image_id, "new_individual") for shot in queries]
    write_csv(root / "sample_submission.csv", ("image_id", "identity"), submission)
    truth = [(shot.image_id, shot.identity, shot.dataset, int(shot.known)) for shot in queries]
    write_csv(root / "truth.csv", ("image_id", "identity", "dataset", "known"), truth)
    write_text(root / _STAMP, json.dumps(_stamp(config), indent=2) + "\n")


def _render_batch(batch: tuple[Path, tuple[Shot, ...]]) -> int:
    root, shots = batch
    for shot in shots:
        rng = np.random.default_rng(shot.seed)
        photo = photograph(shot.animal, shot.visit, shot.side, rng)
        _store_photograph(root / shot.path, photo, shot.oddity, rng)
    return len(shots)


def _row(shot: Shot) -> tuple[object, ...]:
    identity = shot.identity if shot.split == "database" else ""
    place = shot.path, shot.date, shot.orientation
    return shot.image_id, identity, *place, shot.species_name, shot.split, shot.dataset


def _store_photograph(path: Path, photo: Photograph, oddity: Oddity, rng: np.random.Generator) -> None:
    """Write a photograph as JPEG of varying quality, or as its oddity asks.

    `tiny` shrinks it to 16 x 11 pixels, `grey` has a single channel, `exif` stores it lying on its side with an
    Orientation tag, `cutout` is a PNG with transparent background.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = int(rng.integers(55, 96))
    picture = Image.fromarray(photo.pixels)
    if oddity == "cutout":
        Image.fromarray(np.dstack([photo.pixels, photo.mask])).save(path, "PNG")
    elif oddity == "tiny":
        picture.resize(TINY_SIZE_WH, Image.Resampling.LANCZOS).save(path, "JPEG", quality=90)
    elif oddity == "grey":
        picture.convert("L").save(path, "JPEG", quality=quality)
    elif oddity == "exif":
        exif = Image.Exif()
        exif[_ORIENTATION_TAG] = _TURN_RIGHT
        picture.transpose(Image.Transpose.ROTATE_90).save(path, "JPEG", quality=quality, exif=exif)
    else:
        picture.save(path, "JPEG", quality=quality)
