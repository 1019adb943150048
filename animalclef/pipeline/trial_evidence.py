"""Measure what speaks for a preparation without any label: how large the animal is, and where matches lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from animalclef.data.masks import inside
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.pipeline.features import FeatureSet
from animalclef.pipeline.models import AnyMatcher
from animalclef.pipeline.outlines import Outlines
from animalclef.prepare.body_box import body_box, is_whole
from animalclef.prepare.variant_choice import Evidence
from animalclef.structures import ImageTable
from animalclef.structures.arrays import BoolArray

__all__ = ["lie_at_any_angle", "off_animal_share", "other_viewpoint_share", "outline_evidence"]

_SPECK = 0.01  # of a photograph; an outline that is smaller does not stand out
_VERIFIED = 6.0  # inliers from which a pair counts as verified
_LEAST_PAIRS = 10  # fewer say nothing
_MOST_PAIRS = 60
_LONG = 1.8  # a body's length over its width: longer ones have a direction
_ANY_ANGLE = 0.5  # mean length of the bodies' doubled directions: below it they lie at any angle
_LEAST_BODIES, _MOST_BODIES = 10, 60

Mask = Callable[[str], BoolArray | None]


def outline_evidence(images: ImageTable, outlines: Outlines) -> Evidence:
    """Return how many photographs have an outline, how much of them the animal fills, and how bodies lie.

    A speck is no animal that stands out.
    """
    masks = [mask for key in images.key if (mask := outlines.mask(key)) is not None and mask.mean() >= _SPECK]
    return Evidence(
        photographs=len(images),
        outlined=len(masks) / max(len(images), 1),
        filled=float(np.median([mask.mean() for mask in masks])) if masks else None,
        uniform=float(np.mean([outlines.is_uniform(key) for key in images.key])) if len(images) else None,
        any_angle=lie_at_any_angle(masks),
    )


def lie_at_any_angle(masks: Sequence[BoolArray]) -> bool:
    """Whether animals are longer than wide and point in all directions, as those seen from above or below do.

    A body's direction has no head end here: angles are doubled, and the mean of their unit vectors is short.
    """
    places = np.unique(np.linspace(0, max(len(masks) - 1, 0), min(len(masks), _MOST_BODIES)).astype(np.int64))
    boxes = [body_box(masks[place]) for place in places if is_whole(masks[place])]
    if len(boxes) < _LEAST_BODIES or 2 * len(boxes) < len(places):
        return False
    long = np.array([height / max(width, 1e-6) for _, _, width, height, _ in boxes])
    doubled = 2 * np.array([rotation_rad for *_, rotation_rad in boxes])
    return bool(np.median(long) >= _LONG and np.hypot(np.cos(doubled).mean(), np.sin(doubled).mean()) < _ANY_ANGLE)


def off_animal_share(part: PseudoQueries, whole: FeatureSet, matcher: AnyMatcher, mask_of: Mask) -> float | None:
    """Return the share of verified matches with an end off the animal; `None` where too few pairs are verified.

    Of each pseudo-query the best candidate of another individual is looked at, so that none of the matches can be
    right. `whole` are the features of whole photographs, which masks belong to.
    """
    column = part.columns.get("inliers")
    if column is None or part.gallery_id is None:
        return None
    matching_key = dict(zip(whole.images.image_id, whole.images.key, strict=True))
    values = np.where(part.as_unknown & ~part.same, np.nan_to_num(column, nan=-1.0), -1.0)
    best = values.argmax(axis=1)
    rows = np.flatnonzero(values[np.arange(len(part)), best] >= _VERIFIED)[:_MOST_PAIRS]
    off = []
    for row in rows.tolist():
        keys = [matching_key[one] for one in (part.splits.image_id[row], part.gallery_id[row, best[row]])]
        masks = [mask_of(whole.local.wanted[key].content_key) for key in keys]
        if masks[0] is None or masks[1] is None:
            continue
        ends = [whole.local(key) for key in keys]
        found = matcher.correspondences(ends[0], ends[1])
        first = inside(masks[0], found.query_xy, ends[0].image_size_wh)
        second = inside(masks[1], found.gallery_xy, ends[1].image_size_wh)
        if found.is_inlier.any():
            off.append(float(1 - (first & second)[found.is_inlier].mean()))
    return float(np.mean(off)) if len(off) >= _LEAST_PAIRS else None


def other_viewpoint_share(part: PseudoQueries) -> float | None:
    """Return the share of verified right candidates that show another viewpoint, divided by their share of all right
    candidates; `None` where viewpoints do not differ or too few are verified.

    It is near 1 where all sides look alike, and near 0 where each side has a pattern of its own.
    """
    column = part.columns.get("inliers")
    right = part.same & part.as_known
    differs = right & ~part.agrees
    if column is None or differs.sum() < _LEAST_PAIRS or (right & part.agrees).sum() < _LEAST_PAIRS:
        return None
    verified = np.nan_to_num(column, nan=0.0) >= _VERIFIED
    usual, found = differs.sum() / right.sum(), (right & verified)
    if found.sum() < _LEAST_PAIRS:
        return None
    return float((differs & verified).sum() / found.sum() / usual)
