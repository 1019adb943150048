"""Cut photographs to their animals; the box and the content key of each are kept, so that no file is read twice."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from animalclef.config import fingerprint
from animalclef.config.prepare import Mode
from animalclef.data.decode import UnreadableImageError, upright_size_wh
from animalclef.data.hashing import derived_key
from animalclef.data.masks import Masks, read_mask
from animalclef.errors import DataError
from animalclef.pipeline.background_events import BackgroundLinks, link_by_background
from animalclef.pipeline.image_contents import keyed
from animalclef.pipeline.outlines import Outlines, outlines_of
from animalclef.pipeline.run_context import RunContext
from animalclef.prepare.body_box import cut_out_box
from animalclef.runtime.regular_files import is_gone
from animalclef.runtime.wording import counted
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable
from animalclef.structures.arrays import BoolArray

__all__ = ["cut_and_link", "prepared_table"]

logger = logging.getLogger(__name__)


def cut_and_link(
    images: ImageTable, modes: Mapping[str, Mode], given: Masks | None, context: RunContext
) -> tuple[ImageTable, BoolArray, BackgroundLinks]:
    """Return the table with each photograph cut as its data set's mode says, which rows are kept, and links.

    A database photograph that is gone is left out, with a warning, unless it was cut the same way before. Photographs
    of the data sets that are cut are linked by their backgrounds.

    Raises:
        DataError: a query is gone, or a given mask cannot be read.
    """
    cut = np.array([modes[name] != "whole" for name in images.dataset], dtype=bool)
    if not cut.any():
        return images, np.ones(len(images), dtype=bool), BackgroundLinks({})
    outlines = outlines_of(images.select(cut), context)
    prepared, kept = _cut(images, outlines, modes, given, context)
    if not context.config.prepare.events:
        return prepared, kept, BackgroundLinks({})
    return prepared, kept, link_by_background(images.select(cut & kept).gallery, outlines.mask, context)


def prepared_table(
    images: ImageTable, outlines: Outlines, modes: Mapping[str, Mode], margin: float, given: Masks | None = None
) -> ImageTable:
    """Return the table with a box and a mask for each photograph as the mode of its data set wants them.

    Boxes of the table and the `given` masks, of the table or of a folder, go before the outlines. The key of a row
    whose box changed is "": its content key must be computed anew.

    Raises:
        DataError: a photograph is no longer there, or a given mask cannot be read.
    """
    boxes, keys, masks = images.bbox_xywhr.copy(), images.key.copy(), _masks_of(images)
    for row, (key, dataset) in enumerate(zip(images.key, images.dataset, strict=True)):
        mode = modes.get(dataset, "whole")
        if mode == "whole" or np.isfinite(boxes[row]).all():
            continue
        own = "" if given is None else given.source[row]
        mask = read_mask(images, row, own, _size_wh(images, row)) if own else None
        if mask is None:
            mask, masks[row] = outlines.mask(key), outlines.text(key)
        if mask is not None and mode != "masked":
            boxes[row] = cut_out_box(mask, _size_wh(images, row), margin, along_body=mode == "along-body")
            keys[row] = "" if np.isfinite(boxes[row]).all() else key
    return replace(images, bbox_xywhr=boxes, key=keys, mask=masks if (masks != "").any() else None)


def _size_wh(images: ImageTable, row: int) -> tuple[int, int]:
    try:
        return upright_size_wh(images.root / images.path[row])
    except UnreadableImageError as error:
        raise DataError(f"{error} Start again when it is there.") from error


def _cut(
    images: ImageTable, outlines: Outlines, modes: Mapping[str, Mode], given: Masks | None, context: RunContext
) -> tuple[ImageTable, BoolArray]:
    """Cut what was never cut before, keep it, and return all rows that are not gone."""
    store, margin = ShardStore(context.folder.store("cuts", fingerprint(1))), context.config.prepare.margin
    recipes = _recipes(images, outlines, modes, margin, given)
    absent = set(store.verify(recipes.values()))
    kept = np.array([
        images.is_query[row] or recipes.get(row) not in absent or not is_gone(images.root / images.path[row])
        for row in range(len(images))
    ], dtype=bool)  # fmt: skip
    if not kept.all():
        gone = images.path[~kept]
        count = counted(len(gone), "database photograph")
        logger.warning("Left out %s: missing, and never cut out before (first in the table: %s).", count, gone[0])
    new = np.array([row for row in np.flatnonzero(kept).tolist() if row not in recipes or recipes[row] in absent], int)
    some = None if given is None else given.select(new)
    made = keyed(prepared_table(images.select(new), outlines, modes, margin, some), context.workers)
    boxes, keys, masks = images.bbox_xywhr.copy(), images.key.copy(), _masks_of(images)
    boxes[new], keys[new], before = made.bbox_xywhr, made.key, masks[new]
    masks[new] = _masks_of(made)
    outlined = masks[new] != before
    store.put({
        recipes[row]: {"box": boxes[row], "key": np.frombuffer(keys[row].encode(), np.uint8), "outlined": found[None]}
        for row, found in zip(new.tolist(), outlined, strict=True) if row in recipes
    })  # fmt: skip
    for row in recipes.keys() - set(new.tolist()):
        if kept[row]:
            entry = store.get(recipes[row])
            boxes[row], keys[row] = entry["box"], entry["key"].tobytes().decode()
            masks[row] = outlines.text(images.key[row]) if entry["outlined"][0] else masks[row]
    cut = replace(images, bbox_xywhr=boxes, key=keys, mask=masks if (masks != "").any() else None)
    return cut.select(kept), kept


def _recipes(
    images: ImageTable, outlines: Outlines, modes: Mapping[str, Mode], margin: float, given: Masks | None
) -> dict[int, str]:
    """Return what each row's cut depends on, for rows whose box is found with the help of the file."""
    recipes = {}
    for row, (key, dataset) in enumerate(zip(images.key, images.dataset, strict=True)):
        mode = modes.get(dataset, "whole")
        if mode == "whole" or np.isfinite(images.bbox_xywhr[row]).all():
            continue
        own, outline = "" if given is None else str(given.digest[row]), outlines.text(key)
        if own or (outline and mode != "masked"):
            recipes[row] = derived_key(key, mode, repr(margin), own, outline)
    return recipes


def _masks_of(images: ImageTable) -> np.ndarray:
    return np.full(len(images), "", dtype=object) if images.mask is None else images.mask.copy()
