"""What flows between the stages: frozen, typed and checked on the way in.

`query` and `gallery` are the two sides of the table (the competition files call the gallery `database`, or `train`).
A missing identity is `None`. Rows are addressed by `image_id`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Correspondences",
    "DecodedImage",
    "Embeddings",
    "FloatArray",
    "ImageTable",
    "LocalFeatures",
    "PairScores",
    "Predictions",
    "RankedCandidates",
    "SetAside",
    "Shortlist",
    "StrArray",
    "Votes",
]

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
StrArray = NDArray[np.object_]


def _check_shape(name: str, array: NDArray[np.generic], expected: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(expected) and all(
        want is None or want == have for want, have in zip(expected, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected shape {expected}, got {array.shape}.")


@dataclass(frozen=True, eq=False)
class ImageTable:
    """One row per photograph (or per box in a photograph).

    `bbox_xywhr` holds x, y, width, height in pixels of the upright photograph and a clockwise rotation in radians
    about the box's centre; a row of NaN means the whole photograph. `key` is the content key of the row's pixels
    (file bytes and box), empty until the files have been read.
    """

    root: Path
    image_id: StrArray  # (n,) str, unique
    path: StrArray  # (n,) str, relative to root
    dataset: StrArray  # (n,) str
    is_query: BoolArray  # (n,)
    identity: StrArray  # (n,) str, or None: every query, and gallery rows without a name
    date: StrArray  # (n,) str YYYY-MM-DD..., "" where absent
    viewpoint: StrArray  # (n,) str, "" where absent
    species: StrArray  # (n,) str, "" where absent
    encounter: StrArray  # (n,) str, "" where absent
    bbox_xywhr: FloatArray  # (n, 5)
    key: StrArray  # (n,) str
    mask: StrArray | None = None  # (n,) path of a mask relative to root, or a segmentation as JSON; "" where absent

    def __post_init__(self) -> None:
        n = len(self.image_id)
        if self.mask is not None:
            _check_shape("mask", self.mask, (n,))
        for name in ("path", "dataset", "is_query", "identity", "date", "viewpoint", "species", "encounter", "key"):
            _check_shape(name, getattr(self, name), (n,))
        _check_shape("bbox_xywhr", self.bbox_xywhr, (n, 5))
        if len(set(self.image_id)) != n:
            raise ValueError("image_id: expected unique values.")
        if any(name is not None for name in self.identity[self.is_query]):
            raise ValueError("identity: a query's identity must be None; it is never read.")

    def __len__(self) -> int:
        return len(self.image_id)

    @property
    def datasets(self) -> list[str]:
        """Data set names, sorted."""
        return sorted(set(self.dataset))

    @property
    def row_of(self) -> dict[str, int]:
        """Row number of each image_id."""
        return {image_id: row for row, image_id in enumerate(self.image_id)}

    def select(self, rows: NDArray[np.generic]) -> ImageTable:
        """The given rows (indices or a mask), in that order."""
        columns = {
            name: getattr(self, name)[rows]
            for name in ("image_id", "path", "dataset", "is_query", "identity", "date", "viewpoint", "species")
        }
        rest = {name: getattr(self, name)[rows] for name in ("encounter", "bbox_xywhr", "key")}
        return ImageTable(root=self.root, **columns, **rest, mask=None if self.mask is None else self.mask[rows])

    def viewpoints_agree(self, query_id: StrArray, gallery_id: StrArray) -> BoolArray:
        """Which pairs share their viewpoint; one that is not known agrees with all."""
        viewpoint = dict(zip(self.image_id, self.viewpoint, strict=True))
        pairs = zip(query_id, gallery_id, strict=True)
        agree = [
            viewpoint[one] == viewpoint[other] or not viewpoint[one] or not viewpoint[other] for one, other in pairs
        ]
        return np.array(agree, dtype=bool)

    def with_columns(self, **columns: NDArray[np.generic]) -> ImageTable:
        """A copy with some columns replaced."""
        return replace(self, **columns)  # type: ignore[arg-type]

    @property
    def queries(self) -> ImageTable:
        """The rows to be answered."""
        return self.select(self.is_query)

    @property
    def gallery(self) -> ImageTable:
        """The rows that can be answers: not a query, and with a name."""
        named = np.array([identity is not None for identity in self.identity], dtype=bool)
        return self.select(~self.is_query & named)


@dataclass(frozen=True)
class SetAside:
    """A photograph that could not be used, and why."""

    image_id: str
    path: str
    split: str
    reason: str


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """Pixels of one row, upright, cropped to its box."""

    pixels: NDArray[np.uint8]  # (H, W, 3) RGB
    alpha: NDArray[np.uint8] | None  # (H, W), None where the file has no transparency
    original_size_wh: tuple[int, int]  # before any reduction, after cropping

    def __post_init__(self) -> None:
        _check_shape("pixels", self.pixels, (None, None, 3))
        if self.alpha is not None:
            _check_shape("alpha", self.alpha, self.pixels.shape[:2])


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One unit vector per image; `model` names what made them."""

    model: str
    image_id: StrArray  # (n,)
    values: FloatArray  # (n, d), rows of length 1

    def __post_init__(self) -> None:
        _check_shape("values", self.values, (len(self.image_id), None))


@dataclass(frozen=True, eq=False)
class Shortlist:
    """The most similar gallery images of every query, best first; unused slots hold index -1 and NaN."""

    query_id: StrArray  # (q,)
    gallery_id: StrArray  # (g,) what the indices point into
    index: NDArray[np.int32]  # (q, k)
    similarity: FloatArray  # (q, k)
    vote: FloatArray | None = None  # (q, k) where local descriptors voted, else None

    def __post_init__(self) -> None:
        _check_shape("index", self.index, (len(self.query_id), None))
        _check_shape("similarity", self.similarity, self.index.shape)
        if self.vote is not None:
            _check_shape("vote", self.vote, self.index.shape)
        if self.index.size and int(self.index.max()) >= len(self.gallery_id):
            raise ValueError(f"index: expected values below {len(self.gallery_id)}, got {int(self.index.max())}.")

    @property
    def pair_count(self) -> int:
        """How many slots are filled."""
        return int((self.index >= 0).sum())


@dataclass(frozen=True, eq=False)
class Votes:
    """How much the local descriptors of every query speak for every gallery image; 0 where none does."""

    query_id: StrArray  # (q,)
    gallery_id: StrArray  # (g,)
    values: FloatArray  # (q, g)

    def __post_init__(self) -> None:
        _check_shape("values", self.values, (len(self.query_id), len(self.gallery_id)))


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """Keypoints of one image with a descriptor each; `key` is the image's content key."""

    key: str
    keypoints_xy: FloatArray  # (m, 2) pixels of the image at its original size
    descriptors: NDArray[np.generic]  # (m, d)
    scale: FloatArray  # (m,) diameter in pixels
    orientation_rad: FloatArray  # (m,)
    image_size_wh: tuple[int, int]
    confidence: FloatArray | None = None  # (m,) detection score, the higher the surer; None where there is none
    extractor: str = "sift"  # descriptors of different extractors cannot be compared

    def __post_init__(self) -> None:
        m = len(self.keypoints_xy)
        _check_shape("keypoints_xy", self.keypoints_xy, (m, 2))
        _check_shape("descriptors", self.descriptors, (m, None))
        _check_shape("scale", self.scale, (m,))
        _check_shape("orientation_rad", self.orientation_rad, (m,))
        if self.confidence is not None:
            _check_shape("confidence", self.confidence, (m,))

    def __len__(self) -> int:
        return len(self.keypoints_xy)

    def select(self, rows: NDArray[np.generic]) -> LocalFeatures:
        """The given keypoints (indices or a mask), in that order."""
        names = ("keypoints_xy", "descriptors", "scale", "orientation_rad")
        confidence = None if self.confidence is None else self.confidence[rows]
        return replace(self, confidence=confidence, **{name: getattr(self, name)[rows] for name in names})


@dataclass(frozen=True, eq=False)
class Correspondences:
    """Matched keypoints of one pair of images, for drawing; the scores of a pair are counted from these."""

    query_xy: FloatArray  # (n, 2) pixels of the query at its original size
    gallery_xy: FloatArray  # (n, 2)
    confidence: FloatArray  # (n,) in [0, 1]
    is_inlier: BoolArray  # (n,) agrees with the one transform that most follow

    def __post_init__(self) -> None:
        n = len(self.query_xy)
        _check_shape("query_xy", self.query_xy, (n, 2))
        _check_shape("gallery_xy", self.gallery_xy, (n, 2))
        _check_shape("confidence", self.confidence, (n,))
        _check_shape("is_inlier", self.is_inlier, (n,))

    def __len__(self) -> int:
        return len(self.query_xy)


@dataclass(frozen=True, eq=False)
class PairScores:
    """Raw scores of image pairs, long and sparse; a NaN says that the pair has no such score."""

    query_id: StrArray  # (p,)
    gallery_id: StrArray  # (p,)
    columns: Mapping[str, FloatArray] = field(default_factory=dict)  # each (p,)

    def __post_init__(self) -> None:
        _check_shape("gallery_id", self.gallery_id, (len(self.query_id),))
        for name, values in self.columns.items():
            _check_shape(name, values, (len(self.query_id),))

    def __len__(self) -> int:
        return len(self.query_id)


@dataclass(frozen=True, eq=False)
class RankedCandidates:
    """Candidates of every query, queries in table order, best candidate first.

    `identity_probability` is that of the identity with all its candidates gathered, `lead` how far the query's best
    identity is ahead of the second in log-odds; left out, each candidate speaks for itself and the lead is infinite.
    """

    query_id: StrArray  # (p,)
    gallery_id: StrArray  # (p,)
    identity: StrArray  # (p,)
    dataset: StrArray  # (p,)
    probability: NDArray[np.float64]  # (p,) in [0, 1]
    columns: Mapping[str, FloatArray] = field(default_factory=dict)  # raw scores, each (p,)
    identity_probability: NDArray[np.float64] = None  # type: ignore[assignment]  # (p,) in [0, 1]
    lead: NDArray[np.float64] = None  # type: ignore[assignment]  # (p,)

    def __post_init__(self) -> None:
        if self.identity_probability is None:
            object.__setattr__(self, "identity_probability", self.probability)
        if self.lead is None:
            object.__setattr__(self, "lead", np.full(len(self.query_id), np.inf))
        for name in ("gallery_id", "identity", "dataset", "probability", "identity_probability", "lead"):
            _check_shape(name, getattr(self, name), (len(self.query_id),))
        if not np.all((self.probability >= 0) & (self.probability <= 1)):
            raise ValueError("probability: expected values in [0, 1].")

    def __len__(self) -> int:
        return len(self.query_id)


@dataclass(frozen=True, eq=False)
class Predictions:
    """One answer per query; `None` is an animal that the gallery does not know."""

    image_id: StrArray  # (q,)
    identity: StrArray  # (q,) str or None
    probability: NDArray[np.float64]  # (q,) of the best candidate, 0 where there was none

    def __post_init__(self) -> None:
        _check_shape("identity", self.identity, (len(self.image_id),))
        _check_shape("probability", self.probability, (len(self.image_id),))

    def named(self) -> Iterable[str]:
        """The identities given out."""
        return (identity for identity in self.identity if identity is not None)
