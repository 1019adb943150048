"""Where the animal is on each photograph: from a folder of masks, or from the table."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from animalclef.data.decode import UnreadableImageError, crop, upright_size_wh
from animalclef.data.segmentation_cells import draw_segmentation, is_segmentation
from animalclef.errors import DataError
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.remote_files import fetch
from animalclef.structures import FloatArray, ImageTable, StrArray
from animalclef.structures.arrays import BoolArray, select_rows, text_array

__all__ = ["Masks", "encode_mask", "find_masks", "inside", "mask_path", "mask_paths", "read_mask"]

logger = logging.getLogger(__name__)

_WARNED = 10  # photographs whose segmentations are left out are named with a warning
_left_out: set[Path] = set()

_NO_PICTURE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True, eq=False)
class Masks:
    """What says where the animal is, per row of a table."""

    source: StrArray  # (n,) a file's full path, or a segmentation as JSON; "" where there is none
    digest: StrArray  # (n,) of its content, "" where there is none

    def select(self, rows: NDArray[np.generic]) -> Masks:
        """Return the given rows (indices or a mask), in that order."""
        return select_rows(self, rows, "source", "digest")


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
    """Return the mask of every row that has one, the folder's before the table's; `None` where no row has.

    Without `report`, for some photographs of a table whose masks were found before, nothing is logged, the shape of
    files is not looked at, and none of the photographs needs a mask.

    Raises:
        DataError: the folder is not there or has no mask for any photograph, or a file is absent, no mask, the mask of
            one of two photographs, or has another shape than its photograph.
    """
    if folder is not None and not folder.is_dir():
        raise DataError(f"{folder}: no such folder of masks (keypoints.masks). `animalclef mask` makes one.")
    source = np.full(len(images), "", dtype=object)
    files = {} if folder is None else _files_in(folder, images.path, report=report)
    for row, path in enumerate(images.path):
        named = "" if images.mask is None else images.mask[row]
        if path in files:
            source[row] = str(files[path])
        elif named:
            source[row] = named if is_segmentation(named) else str(images.root / named)
    absent = int((source == "").sum())
    if report:
        _check_files(images, source)
        if folder is not None and absent == len(images):
            example = mask_path(folder, images.path[0])
            raise DataError(f"{folder}: no mask for any photograph; expected for example {example}.")
        if 0 < absent < len(images):
            level = logging.INFO if folder is None else logging.WARNING  # a table may well give masks to some alone
            sentence = "%d of %d photographs have no mask, so nothing of them is masked."
            logger.log(level, sentence, absent, len(images))
    return Masks(source, text_array([_digest(one) for one in source])) if absent < len(images) else None


def _files_in(folder: Path, paths: StrArray, *, report: bool) -> dict[str, Path]:
    """Return the file of every photograph that has one: a.jpg.png, or a.png if no other photograph is called a.

    A trial on some photographs finds the masks of all by the first name. With `report` two files for one photograph, or
    one for two, are an error.
    """
    claims: dict[Path, dict[str, None]] = defaultdict(dict)
    for path in paths:
        claims[mask_path(folder, path)][path] = None
    found: dict[str, Path] = {}
    for file, photographs in claims.items():
        own = {path: folder / f"{path}.png" for path in photographs}
        found |= {path: one for path, one in own.items() if one not in claims and one.is_file()}
        left = [path for path in photographs if path not in found]
        if report and len(photographs) == 1 and not left and file.is_file():
            path = next(iter(photographs))
            raise DataError(f"{path} has two masks, {found[path]} and {file}. Remove the one that is out of date.")
        if left and len(photographs) == 1 and file.is_file():
            found[left[0]] = file
        elif left and report and file.is_file():
            names = " and ".join(f"{path}.png" for path in photographs)
            raise DataError(f"{file}: the mask of {' or of '.join(photographs)}? Call their masks {names}.")
    return found


def _check_files(images: ImageTable, source: StrArray) -> None:
    """Refuse a file whose header is no picture's, or has another shape than the photograph."""
    for row, name in enumerate(source):
        if not name or is_segmentation(name):
            continue
        try:
            with _opened(Path(name)) as image:
                size_wh = image.size
            whole_wh = upright_size_wh(images.root / images.path[row])
        except (UnreadableImageError, FileNotFoundError):
            continue  # the photograph is skipped, with its reason; of an absent mask the content cannot be read, either
        except _NO_PICTURE as error:
            raise _no_mask(name, error) from error
        if not _same_shape(size_wh, whole_wh):
            raise DataError(f"{name}: {_shapes(whole_wh, size_wh)}. Make it again.")


def mask_path(folder: Path, path: str) -> Path:
    """Return where the mask of a photograph lies in a folder of masks: under the photograph's own path, as a PNG."""
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


def read_mask(images: ImageTable, row: int, source: str, size_wh: tuple[int, int]) -> BoolArray | None:
    """Return (h, w), true on the animal, over the row's image (cut to its box) of `size_wh` pixels, at any scale.

    A segmentation that has not the photograph's shape is left out with a warning: `None`.

    Raises:
        DataError: a file's mask cannot be read, or has not the photograph's shape.
    """
    box = images.bbox_xywhr[row]
    boxed = bool(np.isfinite(box).all())
    whole_wh = upright_size_wh(images.root / images.path[row]) if boxed else size_wh
    mask = draw_segmentation(json.loads(source), whole_wh) if is_segmentation(source) else _read_file(Path(source))
    if not _same_shape(mask.shape[::-1], whole_wh):
        shape = _shapes(whole_wh, mask.shape[::-1])
        if not is_segmentation(source):
            raise DataError(f"{source}: {shape}. Make it again.")
        _warn_left_out(images.root / images.path[row], shape)
        return None
    if not boxed:
        return mask
    full = cv2.resize(mask.astype(np.uint8), whole_wh, interpolation=cv2.INTER_NEAREST)
    return crop(full, None, box)[0] > 0


def _warn_left_out(photograph: Path, shape: str) -> None:
    if photograph not in _left_out:
        _left_out.add(photograph)
        level = logging.WARNING if len(_left_out) <= _WARNED else logging.INFO
        logger.log(level, "The segmentation of %s is left out: %s.", photograph, shape)


def inside(mask: BoolArray, keypoints_xy: FloatArray, size_wh: tuple[int, int]) -> BoolArray:
    """Return which keypoints of an image of `size_wh` lie on a mask of any scale."""
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
    """Return what is brighter than half the brightest value; of a file with transparency, what is opaque."""
    try:
        with _opened(path) as image:
            if "A" in image.getbands():
                values = np.asarray(image.getchannel("A"))
            else:
                values = np.asarray(image if image.mode in ("P", "L", "I", "I;16") else image.convert("L"))
    except _NO_PICTURE as error:
        raise _no_mask(str(path), error) from error
    brightest = values.max(initial=0)
    return np.asarray(values > brightest / 2) if brightest > 0 else np.zeros(values.shape, dtype=bool)


def _opened(path: Path) -> Image.Image:
    """Open a mask; one in a bucket that is not here comes from there."""
    fetched = None if path.exists() else fetch(path)
    return Image.open(path if fetched is None else BytesIO(fetched))


def _no_mask(source: str, error: Exception) -> DataError:
    return DataError(f"{source}: not a readable mask ({type(error).__name__}). Make it again.")


def _shapes(want_wh: tuple[int, int], have_wh: tuple[int, ...]) -> str:
    want, have = (f"{width} x {height}" for width, height in (want_wh, have_wh))
    return f"expected the shape of its photograph, {want} or scaled, got {have}"


def _same_shape(one_wh: tuple[int, ...], other_wh: tuple[int, int]) -> bool:
    """Return whether one size is the other one scaled and rounded."""
    (width, height), (other_width, other_height) = one_wh, other_wh
    off_wh = (abs(height * other_width / other_height - width), abs(width * other_height / other_width - height))
    return any(off <= min(1, 0.05 * side) for off, side in zip(off_wh, (width, height), strict=True))
