"""Cut photographs to their animals; the box and the content key of each are kept, so that no file is read twice."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from animalclef.config import fingerprint
from animalclef.config.prepare import Mode
from animalclef.data.hashing import derived_key
from animalclef.data.masks import Masks
from animalclef.pipeline.image_contents import keyed
from animalclef.pipeline.outlines import Outlines
from animalclef.pipeline.run_context import RunContext
from animalclef.prepare.cut_out import prepared_table
from animalclef.runtime.regular_files import is_gone
from animalclef.runtime.wording import counted
from animalclef.store.shard_store import ShardStore
from animalclef.structures import ImageTable
from animalclef.structures.arrays import BoolArray

__all__ = ["cut_photographs"]

logger = logging.getLogger(__name__)


def cut_photographs(
    images: ImageTable, outlines: Outlines, modes: Mapping[str, Mode], given: Masks | None, context: RunContext
) -> tuple[ImageTable, BoolArray]:
    """Return the table as the modes of its data sets prepare it, with content keys, and which rows are kept.

    A database photograph that is gone is left out, with a warning, unless it was cut the same way before.

    Raises:
        DataError: a query is gone, or a given mask cannot be read.
    """
    store, margin = ShardStore(context.folder.store("cuts", fingerprint(1))), context.config.prepare.margin
    recipes: dict[int, str] = {}  # of the rows whose file says how they are cut
    for row, (key, dataset) in enumerate(zip(images.key, images.dataset, strict=True)):
        mode = modes.get(dataset, "whole")
        if mode == "whole" or np.isfinite(images.bbox_xywhr[row]).all():
            continue
        own, outline = "" if given is None else str(given.digest[row]), outlines.text(key)
        if own or (outline and mode != "masked"):
            recipes[row] = derived_key(key, mode, repr(margin), own, outline)
    lacking = set(store.verify(recipes.values()))
    kept = np.array([
        images.is_query[row] or recipes.get(row) not in lacking or not is_gone(images.root / images.path[row])
        for row in range(len(images))
    ], dtype=bool)  # fmt: skip
    if not kept.all():
        gone = images.path[~kept]
        count = counted(len(gone), "database photograph")
        logger.warning("Left out %s: missing, and never cut out before (first in the table: %s).", count, gone[0])
    return _assembled(images, kept, recipes, outlines, modes, given, margin, store, context.workers), kept


def _assembled(
    images: ImageTable, kept: BoolArray, recipes: Mapping[int, str], outlines: Outlines, modes: Mapping[str, Mode],
    given: Masks | None, margin: float, store: ShardStore, workers: int,
) -> ImageTable:  # fmt: skip
    """Cut what the store lacks, keep it there, and return all kept rows."""
    absent = set(store.missing(recipes.values()))
    new = np.array([row for row in np.flatnonzero(kept).tolist() if row not in recipes or recipes[row] in absent], int)
    some = None if given is None else given.select(new)
    made = keyed(prepared_table(images.select(new), outlines.text, outlines.mask, modes, margin, some), workers)
    boxes, keys = images.bbox_xywhr.copy(), images.key.copy()
    masks = np.full(len(images), "", dtype=object) if images.mask is None else images.mask.copy()
    boxes[new], keys[new] = made.bbox_xywhr, made.key
    outlined = np.zeros(len(images), dtype=bool)
    if made.mask is not None:
        outlined[new] = made.mask != masks[new]
        masks[new] = made.mask
    store.put({
        recipes[row]: {
            "box": boxes[row], "key": np.frombuffer(keys[row].encode(), np.uint8), "outlined": outlined[row : row + 1]
        }
        for row in new.tolist() if row in recipes
    })  # fmt: skip
    for row in recipes.keys() - set(new.tolist()):
        if kept[row]:
            entry = store.get(recipes[row])
            boxes[row], keys[row] = entry["box"], entry["key"].tobytes().decode()
            masks[row] = outlines.text(images.key[row]) if entry["outlined"][0] else masks[row]
    cut = replace(images, bbox_xywhr=boxes, key=keys, mask=masks if (masks != "").any() else None)
    return cut.select(kept)
