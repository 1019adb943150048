"""Make a mask of every photograph of a table, each once."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from animalclef.config import DataConfig
from animalclef.data.decode import UnreadableImageError, decode
from animalclef.data.hashing import content_key, derived_key
from animalclef.data.masks import mask_paths
from animalclef.errors import OutputError
from animalclef.prepare.segmenters import Box, Segmenter
from animalclef.runtime.atomic_files import write_bytes
from animalclef.runtime.progress import Progress
from animalclef.runtime.regular_files import read_regular
from animalclef.runtime.threads import one_thread_each, worker_threads
from animalclef.structures import WHOLE_XYWHR, DecodedImage, FloatArray, ImageTable
from animalclef.structures.arrays import BoolArray

__all__ = ["Made", "make_masks"]

_AT_ONCE = 32  # photographs that are decoded before they are segmented
_KEY = "animalclef"  # the PNG's text that says what a mask was made of


@dataclass(frozen=True)
class Made:
    """Counts of masks. An unclear photograph, on which no animal was found, has a mask that keeps everything."""

    masks: int  # the unclear ones among them
    kept: int  # were there already
    unclear: tuple[str, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Photograph:
    """A photograph that is to be segmented."""

    key: str  # of its content, its boxes and the segmenter
    content: bytes
    boxes: Sequence[FloatArray]  # (5,) each: x, y, width, height in pixels, and rotation


def make_masks(
    images: ImageTable, folder: Path, segmenter: Segmenter, workers: int, progress: Progress, *, overwrite: bool = False
) -> Made:
    """Write a PNG per photograph to `folder`, bright on the animal.

    A mask names the photograph's content and the segmenter. One that is there is kept, unless it names others, or with
    `overwrite`; a mask from elsewhere names nothing and is always kept. Copies of one photograph are segmented once. A
    photograph with boxes gets one mask that holds the animals of all of them. Transparency is taken for the mask.

    Raises:
        OutputError: a file cannot be written, or a file that is no mask is there.
    """
    boxes: dict[str, list[FloatArray]] = defaultdict(list)
    for path, box in zip(images.path, images.bbox_xywhr, strict=True):
        boxes[str(path)] += [box] if np.isfinite(box).all() else []
    paths = list(boxes)
    files = dict(zip(paths, mask_paths(folder, paths), strict=True))
    unclear, unreadable, kept = [], [], 0
    with progress.task("making masks", len(paths), "images") as advance:
        for start in range(0, len(paths), _AT_ONCE):
            chunk = paths[start : start + _AT_ONCE]
            found = _read(images.root, chunk, boxes, segmenter.fingerprint)
            unreadable += [path for path in chunk if path not in found]
            todo = {path: one for path, one in found.items() if not _is_kept(files[path], one.key, overwrite)}
            kept += len(found) - len(todo)
            masks = _segment(todo, segmenter, workers)
            for path, one in todo.items():
                mask = masks[one.key]
                if mask is None:
                    unreadable.append(path)
                    continue
                if not mask.any():
                    unclear.append(path)
                _write(files[path], mask if mask.any() else ~mask, one.key)
            advance(len(chunk))
    made = len(paths) - kept - len(unreadable)
    return Made(made, kept, tuple(unclear), tuple(unreadable))


def _read(
    root: Path, paths: Sequence[str], boxes: Mapping[str, Sequence[FloatArray]], fingerprint: str
) -> dict[str, _Photograph]:
    """The photographs that can be read, by path."""
    found = {}
    for path in paths:
        try:
            content = read_regular(root / path)
        except OSError:
            continue
        own = [box.tobytes().hex() for box in boxes[path]]
        found[path] = _Photograph(
            derived_key(content_key(content, WHOLE_XYWHR), fingerprint, *own), content, boxes[path]
        )
    return found


def _is_kept(path: Path, key: str, overwrite: bool) -> bool:
    """Return whether a mask is there that was made with this key, or that does not say what it was made of."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        is_ours = f"tEXt{_KEY}\0".encode() in file.read(4096)
    try:
        with Image.open(path) as image:
            return not is_ours or (not overwrite and image.info.get(_KEY) == key)
    except (OSError, SyntaxError, ValueError) as error:
        if is_ours:
            return False  # damaged: made again
        raise OutputError(f"{path}: this file is no mask, so it is not overwritten. Remove it first.") from error


def _segment(todo: Mapping[str, _Photograph], segmenter: Segmenter, workers: int) -> dict[str, BoolArray | None]:
    """Masks by key, empty where no animal was found, `None` where the photograph cannot be decoded."""
    different = {one.key: one for one in todo.values()}
    with one_thread_each(), worker_threads(workers) as pool:
        decoded = dict(zip(different, pool.map(_decoded, different.values()), strict=True))
    masks: dict[str, BoolArray | None] = {key: None for key, image in decoded.items() if image is None}
    asked: list[tuple[str, NDArray[np.uint8], Box | None]] = []
    for key, image in decoded.items():
        if image is None:
            continue
        masks[key] = np.zeros(image.pixels.shape[:2], dtype=bool)
        if image.opaque is not None:
            masks[key] = image.opaque
            continue
        scale = image.pixels.shape[1] / image.original_size_wh[0]
        bounds: list[Box | None] = [_upright_bounds(box, scale) for box in different[key].boxes]
        asked += [(key, image.pixels, box) for box in bounds or [None]]
    found = segmenter.segment([pixels for _, pixels, _ in asked], [box for _, _, box in asked]) if asked else []
    for (key, pixels, box), mask in zip(asked, found, strict=True):
        before = masks[key]
        if before is not None:
            masks[key] = before | (mask if mask.any() or box is None else _filled(box, pixels.shape))
    return masks


def _decoded(photograph: _Photograph) -> DecodedImage | None:
    config = DataConfig()
    try:
        return decode(photograph.content, WHOLE_XYWHR, config.decode_long_side, config.max_pixels)
    except UnreadableImageError:
        return None


def _filled(box: Box, shape: tuple[int, ...]) -> BoolArray:
    """The whole of a box in which no animal was found."""
    whole = np.zeros(shape[:2], dtype=bool)
    left, top, right, bottom = (max(0, round(side)) for side in box)
    whole[top:bottom, left:right] = True
    return whole


def _write(path: Path, mask: BoolArray, key: str) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text(_KEY, key)
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG", pnginfo=text)
    write_bytes(path, file.getvalue())


def _upright_bounds(box_xywhr: FloatArray, scale: float) -> Box:
    """Left, top, right and bottom of a box that may be turned."""
    x, y, width, height, rotation_rad = (float(value) for value in box_xywhr)
    cos, sin = abs(np.cos(rotation_rad)), abs(np.sin(rotation_rad))
    half_x, half_y = (width * cos + height * sin) / 2, (width * sin + height * cos) / 2
    centre_x, centre_y = x + width / 2, y + height / 2
    left, top, right, bottom = (
        float(side * scale) for side in (centre_x - half_x, centre_y - half_y, centre_x + half_x, centre_y + half_y)
    )
    return left, top, right, bottom
