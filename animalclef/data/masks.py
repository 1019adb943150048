"""Where the animal is on each photograph: from a folder of masks, or from the table."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from animalclef.data.decode import UnreadableImageError, crop, upright_size_wh
from animalclef.data.segmentation_cells import draw_segmentation, is_segmentation
from animalclef.errors import DataError
from animalclef.runtime.regular_files import read_regular
from animalclef.structures import FloatArray, ImageTable, StrArray

__all__ = ["Masks", "encode_mask", "find_masks", "inside", "mask_path", "mask_paths", "read_mask"]

logger = logging.getLogger(__name__)

_SIZE = re.compile(r'\{"size":\[(\d+),(\d+)\]')  # of run lengths, as `mask_column` writes them

BoolArray = NDArray[np.bool_]
_NO_PICTURE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True, eq=False)
class Masks:
    """What says where the animal is, per row of a table."""

    source: StrArray  # (n,) a file's full path, or a segmentation as JSON; "" where there is none
    digest: StrArray  # (n,) of its content, "" where there is none

    def select(self, rows: NDArray[np.generic]) -> Masks:
        """The given rows (indices or a mask), in that order."""
        return Masks(self.source[rows], self.digest[rows])


def encode_mask(mask: BoolArray) -> str:
    """Return a mask (h, w) as COCO run lengths in JSON, as a cell of the `segmentation` column holds it.

    >>> encode_mask(np.array([[False, True], [True, True]]))
    '{"size":[2,2],"counts":[1,3]}'
    """
    values = np.concatenate([[False], mask.T.ravel()])  # COCO counts down the columns, and begins with the background
    changes = np.flatnonzero(np.diff(values, prepend=False)) - 1
    counts = np.diff(changes, prepend=0, append=mask.size).tolist()
    return json.dumps({"size": list(mask.shape), "counts": counts}, separators=(",", ":"))


def find_masks(images: ImageTable, folder: Path | None, *, report: bool = True) -> Masks | None:
    """The mask of every row that has one, the folder's before the table's; `None` where no row has.

    Without `report`, for masks that were found before, nothing is logged and no file's shape is looked at.

    Raises:
        DataError: the folder is not there or has no mask for any photograph, or a file is absent, no mask, or has
            another shape than its photograph.
    """
    if folder is not None and not folder.is_dir():
        raise DataError(f"{folder}: no such folder of masks (keypoints.masks). `animalclef mask` makes one.")
    source = np.full(len(images), "", dtype=object)
    files = dict(
        zip(images.path, [None] * len(images) if folder is None else mask_paths(folder, list(images.path)), strict=True)
    )
    for row, path in enumerate(images.path):
        named = "" if images.mask is None else images.mask[row]
        file = files[path]
        if file is not None and file.is_file():
            source[row] = str(file)
        elif named:
            source[row] = named if is_segmentation(named) else str(images.root / named)
    source = _fitting(images, source, report=report)
    count = int((source != "").sum())
    if folder is not None and not count:
        raise DataError(
            f"{folder}: no mask for any photograph; expected for example {mask_path(folder, images.path[0])}."
        )
    if not count:
        return None
    if count < len(images) and report:
        level = logging.INFO if folder is None else logging.WARNING  # a table may well give masks to some alone
        logger.log(
            level, "%d of %d photographs have no mask, so nothing of them is masked.", len(images) - count, len(images)
        )
    return Masks(source, np.array([_digest(one) for one in source], dtype=object))


def _fitting(images: ImageTable, source: StrArray, *, report: bool) -> StrArray:
    """Return the masks without run lengths of another shape than their photographs; files of another are refused."""
    for row in np.flatnonzero(source != "").tolist() if report else ():
        if not is_segmentation(source[row]):
            _check_file(images, row, source[row])
    unfit = [row for row in np.flatnonzero(source != "").tolist() if _is_unfit(images, row, source[row])]
    if unfit and report:
        logger.warning(
            "%d segmentations have not the shape of their photographs, so they are left out (first: of %s).",
            len(unfit), images.path[unfit[0]],
        )  # fmt: skip
    source[unfit] = ""
    return source


def _check_file(images: ImageTable, row: int, source: str) -> None:
    """Refuse a file whose header is no picture's, or has another shape than the photograph."""
    try:
        with Image.open(source) as image:
            size_wh = image.size
        _check_shape(source, size_wh, upright_size_wh(images.root / images.path[row]))
    except (UnreadableImageError, FileNotFoundError):
        return  # of the photograph: it is skipped, with its reason; of the mask: its content cannot be read, either
    except _NO_PICTURE as error:
        raise _no_mask(source, error) from error


def _is_unfit(images: ImageTable, row: int, source: str) -> bool:
    """Return whether run lengths have another shape than their photograph."""
    size = _SIZE.match(source)
    if size is None:
        return False
    try:
        return not _same_shape((int(size[2]), int(size[1])), upright_size_wh(images.root / images.path[row]))
    except UnreadableImageError:
        return False  # the photograph is skipped, with its reason


def mask_path(folder: Path, path: str) -> Path:
    """Where the mask of a photograph lies in a folder of masks: under the photograph's own path, as a PNG."""
    return (folder / path).with_suffix(".png")


def mask_paths(folder: Path, paths: Sequence[str]) -> list[Path]:
    """Return where the mask of each photograph lies; of a.jpg and a.png: a.jpg.png, a.png.png."""
    endings: dict[Path, set[str]] = defaultdict(set)
    for path in paths:
        endings[mask_path(folder, path)].add(path)
    return [
        folder / f"{path}.png" if len(endings[mask_path(folder, path)]) > 1 else mask_path(folder, path)
        for path in paths
    ]


def read_mask(images: ImageTable, row: int, source: str, size_wh: tuple[int, int]) -> BoolArray:
    """(h, w), true on the animal, over the row's image (cut to its box) of `size_wh` pixels, at any scale.

    Raises:
        DataError: the mask cannot be read, or has not the photograph's shape.
    """
    box = images.bbox_xywhr[row]
    boxed = bool(np.isfinite(box).all())
    whole_wh = upright_size_wh(images.root / images.path[row]) if boxed else size_wh
    if is_segmentation(source):
        mask, name = draw_segmentation(json.loads(source), whole_wh), f"the segmentation of {images.path[row]}"
    else:
        mask, name = _read_file(Path(source)), source
    _check_shape(name, mask.shape[::-1], whole_wh)
    if not boxed:
        return mask
    full = cv2.resize(mask.astype(np.uint8), whole_wh, interpolation=cv2.INTER_NEAREST)
    return crop(full, None, box)[0] > 0


def inside(mask: BoolArray, keypoints_xy: FloatArray, size_wh: tuple[int, int]) -> BoolArray:
    """Which keypoints of an image of `size_wh` lie on a mask of any scale."""
    height, width = mask.shape
    places = np.floor((keypoints_xy + 0.5) * (width / size_wh[0], height / size_wh[1])).astype(np.int64)
    column, row = np.clip(places, 0, (width - 1, height - 1)).T
    return np.asarray(mask[row, column])


def _digest(source: str) -> str:
    if not source:
        return ""
    try:
        content = source.encode() if is_segmentation(source) else read_regular(Path(source))
    except OSError as error:
        raise DataError(f"{source}: this mask cannot be read ({error.strerror}). Fix the table or the file.") from error
    return hashlib.sha256(content).hexdigest()


def _read_file(path: Path) -> BoolArray:
    """Brighter than half the brightest value; of a file with transparency, what is opaque."""
    try:
        with Image.open(path) as image:
            if "A" in image.getbands():
                values = np.asarray(image.getchannel("A"))
            else:
                values = np.asarray(image if image.mode in ("P", "L", "I", "I;16") else image.convert("L"))
    except _NO_PICTURE as error:
        raise _no_mask(str(path), error) from error
    brightest = values.max(initial=0)
    return np.asarray(values > brightest / 2) if brightest > 0 else np.zeros(values.shape, dtype=bool)


def _no_mask(source: str, error: Exception) -> DataError:
    return DataError(f"{source}: not a readable mask ({type(error).__name__}). Make it again.")


def _check_shape(name: str, have_wh: tuple[int, ...], want_wh: tuple[int, int]) -> None:
    if not _same_shape(have_wh, want_wh):
        want, have = (f"{width} x {height}" for width, height in (want_wh, have_wh))
        raise DataError(f"{name}: expected the shape of its photograph, {want} or scaled, got {have}. Make it again.")


def _same_shape(one_wh: tuple[int, ...], other_wh: tuple[int, int]) -> bool:
    """Whether one size is the other one scaled and rounded."""
    (width, height), (other_width, other_height) = one_wh, other_wh
    off_wh = (abs(height * other_width / other_height - width), abs(width * other_height / other_width - height))
    return any(off <= min(1, 0.05 * side) for off, side in zip(off_wh, (width, height), strict=True))
