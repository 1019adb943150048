"""From one vector per image to ranked candidates and answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from animalclef.runtime.wording import counted
from animalclef.structures.arrays import (
    FloatArray,
    Floats,
    Integers,
    StrArray,
    check_rows,
    check_shape,
    select_rows,
    text_array,
)
from animalclef.structures.images import Skipped

__all__ = ["Embeddings", "PairScores", "Predictions", "RankedCandidates", "Shortlist", "Votes"]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One unit vector per image; `model` names what made them. Whole numbers as image_id become texts.

    >>> Embeddings("vlad", np.array(["1", "2"], object), np.eye(2, 16, dtype=np.float32))
    Embeddings(2 images x 16, made by vlad)
    """

    model: str
    image_id: StrArray  # (n,)
    values: FloatArray  # (n, d), rows of length 1
    skipped: tuple[Skipped, ...] = ()  # photographs of a data set that could not be used, and have no row

    def __post_init__(self) -> None:
        if not isinstance(self.image_id, np.ndarray) or any(not isinstance(one, str) for one in self.image_id):
            object.__setattr__(self, "image_id", text_array([_id_text(one) for one in self.image_id]))
        if not isinstance(self.values, np.ndarray):
            object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float32))
        check_shape("values", self.values, (len(self.image_id), None))

    def __repr__(self) -> str:
        return f"Embeddings({counted(len(self.image_id), 'image')} x {self.values.shape[1]}, made by {self.model})"

    def of(self, image_id: StrArray) -> FloatArray:
        """The vectors of the given images, (len(image_id), d).

        Raises:
            KeyError: one has none.
        """
        row_of = {one: row for row, one in enumerate(self.image_id)}
        return np.asarray(self.values[[row_of[one] for one in image_id]], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Shortlist:
    """The most similar gallery images of every query, best first; unused slots hold index -1 and NaN.

    >>> ids = np.array(["1", "2", "3"], object)
    >>> Shortlist(ids[:1], ids, np.array([[2, 1]], np.int32), np.array([[0.9, 0.8]], np.float32))
    Shortlist(1 query, the best 2 of 3 gallery images each)
    """

    query_id: StrArray  # (q,)
    gallery_id: StrArray  # (g,) what the indices point into
    index: NDArray[np.int32]  # (q, k)
    similarity: FloatArray  # (q, k)
    vote: FloatArray | None = None  # (q, k) where local descriptors voted, else None

    def __post_init__(self) -> None:
        check_shape("index", self.index, (len(self.query_id), None))
        check_shape("similarity", self.similarity, self.index.shape)
        if self.vote is not None:
            check_shape("vote", self.vote, self.index.shape)
        if self.index.size and int(self.index.max()) >= len(self.gallery_id):
            raise ValueError(f"index: expected values below {len(self.gallery_id)}, got {int(self.index.max())}.")

    @property
    def pair_count(self) -> int:
        """The number of filled slots."""
        return int((self.index >= 0).sum())

    def __repr__(self) -> str:
        gallery = counted(len(self.gallery_id), "gallery image")
        return f"Shortlist({counted(len(self.query_id), 'query')}, the best {self.index.shape[1]} of {gallery} each)"

    def select(self, rows: NDArray[np.generic]) -> Shortlist:
        """Return the lists of the given queries (indices or a mask), in that order."""
        return select_rows(self, rows, "query_id", "index", "similarity", "vote")


@dataclass(frozen=True, eq=False)
class Votes:
    """How much the local descriptors of one query speak for gallery images; images without a vote are left out."""

    image: Integers  # (n,) rows of the gallery, rising
    values: FloatArray  # (n,) above 0

    def __post_init__(self) -> None:
        check_rows(self, len(self.image), "values")

    def of(self, image: NDArray[np.integer]) -> FloatArray:
        """Return the votes of images, in their shape; 0 where there is none.

        >>> Votes(np.array([1, 4]), np.array([2.5, 0.5], np.float32)).of(np.array([4, 0, 1])).tolist()
        [0.5, 0.0, 2.5]
        """
        if not len(self.image):
            return np.zeros(image.shape, np.float32)
        place = np.minimum(np.searchsorted(self.image, image), len(self.image) - 1)
        return np.where(self.image[place] == image, self.values[place], np.float32(0))


@dataclass(frozen=True, eq=False)
class PairScores:
    """Raw scores of image pairs, long and sparse; a NaN says that the pair has no such score.

    >>> PairScores(np.array(["1"], object), np.array(["2"], object), {"inliers": np.ones(1, np.float32)})
    PairScores(1 pair: inliers)
    """

    query_id: StrArray  # (p,)
    gallery_id: StrArray  # (p,)
    columns: Mapping[str, FloatArray] = field(default_factory=dict)  # each (p,)

    def __post_init__(self) -> None:
        check_shape("gallery_id", self.gallery_id, (len(self.query_id),))
        for name, values in self.columns.items():
            check_shape(name, values, (len(self.query_id),))

    def __len__(self) -> int:
        return len(self.query_id)

    def __repr__(self) -> str:
        return f"PairScores({counted(len(self), 'pair')}: {', '.join(self.columns)})"


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
    probability: Floats  # (p,) in [0, 1]
    columns: Mapping[str, FloatArray] = field(default_factory=dict)  # raw scores, each (p,)
    identity_probability: Floats = None  # type: ignore[assignment]  # (p,) in [0, 1]
    lead: Floats = None  # type: ignore[assignment]  # (p,)

    def __post_init__(self) -> None:
        if self.identity_probability is None:
            object.__setattr__(self, "identity_probability", self.probability)
        if self.lead is None:
            object.__setattr__(self, "lead", np.full(len(self.query_id), np.inf))
        names = ("gallery_id", "identity", "dataset", "probability", "identity_probability", "lead")
        check_rows(self, len(self.query_id), *names)
        if not np.all((self.probability >= 0) & (self.probability <= 1)):
            raise ValueError("probability: expected values in [0, 1].")

    def __len__(self) -> int:
        return len(self.query_id)

    def __repr__(self) -> str:
        queries = counted(len(set(self.query_id)), "query")
        return f"RankedCandidates({counted(len(self), 'candidate')} of {queries}: {', '.join(self.columns)})"

    @property
    def individuals(self) -> dict[str, dict[str, float]]:
        """Return for each query its candidate individuals with their probability, best first."""
        found: dict[str, dict[str, float]] = {}
        for query, who, probability in zip(self.query_id, self.identity, self.identity_probability, strict=True):
            found.setdefault(query, {}).setdefault(who, float(probability))
        return found


@dataclass(frozen=True, eq=False)
class Predictions:
    """One answer per query; `None` is an animal that the gallery does not know.

    >>> Predictions(np.array(["1", "2"], object), np.array(["Luna", None], object), np.array([0.9, 0.1]))
    Predictions(2 queries: 1 named, 1 new)
    """

    image_id: StrArray  # (q,)
    identity: StrArray  # (q,) str or None
    probability: Floats  # (q,) of the best candidate, 0 where there was none
    reviewed: StrArray | None = None  # (q,) what people said of it: "named", "excluded", "grouped" or ""

    def __post_init__(self) -> None:
        check_rows(self, len(self.image_id), "identity", "probability", "reviewed")

    def __repr__(self) -> str:
        named = len(list(self.named()))
        return f"Predictions({counted(len(self.image_id), 'query')}: {named} named, {len(self.image_id) - named} new)"

    def named(self) -> Iterable[str]:
        """The identities given out."""
        return (identity for identity in self.identity if identity is not None)


def _id_text(image_id: object) -> str:
    if isinstance(image_id, bool) or not isinstance(image_id, (str, int, np.integer)):
        raise TypeError(f"image_id: expected texts or whole numbers, got {type(image_id).__name__}.")
    return str(image_id)
