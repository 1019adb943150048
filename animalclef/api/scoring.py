"""`retrieve`, `retrieval_metrics`, `competition_score`: candidates by embedding, and how good answers are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from animalclef.api.datasets import PathLike, check_kind
from animalclef.api.scored_frames import answers_of, answers_of_frame, truth_of_frame
from animalclef.data.submission import Truth, read_submission
from animalclef.evaluation.evaluate import score_answers, truth_of_file
from animalclef.metrics.competition import Score
from animalclef.metrics.retrieval_metrics import Candidates, RetrievalFigures, one_against_all, query_against_gallery
from animalclef.retrieval.large_gallery import exact_search
from animalclef.runtime.threads import cores
from animalclef.structures import Embeddings, Shortlist
from animalclef.structures.arrays import Integers

__all__ = ["competition_score", "retrieval_metrics", "retrieve"]

Answers = PathLike | pd.DataFrame | Mapping[str, str | None]
_NOBODY = ""  # in place of the name of an individual that nobody named
_ALIKE = 0.05  # how far, relative to its length, a vector may move between two computations of one photograph
Vectors = Embeddings | np.ndarray[tuple[int, int], np.dtype[np.float32]]


def retrieve(queries: Embeddings, gallery: Embeddings, *, k: int = 100) -> Shortlist:
    """Rank the `k` most similar gallery images of every query, by exact inner product, whatever the gallery's size.

    `index` (q, k) numbers the images of the gallery and `similarity` (q, k) is the inner product, which is the cosine
    of vectors of length 1; unused slots hold -1 and NaN. `k` is at most the number of gallery images: a larger one
    gives all of them. An image with a query's own image_id is never its candidate.

    Vectors of your own become embeddings by `animalclef.structures.Embeddings(model, image_id, values)`. They are
    compared as they are: rows of another length than 1 are not shortened.

    Raises:
        TypeError: an argument is of another kind.
        ValueError: `k` is below 1; the embeddings are of different models or lengths; a vector holds NaN or infinity;
            an image_id is repeated, or stands for other vectors among the queries and in the gallery.

    Example:
        >>> embeddings = Embedder("rootsift-vlad", words=8, dimensions=16).embed(photographs)
        >>> shortlist = retrieve(embeddings, embeddings, k=3)
        >>> shortlist
        Shortlist(12 queries, the best 3 of 12 gallery images each)
        >>> shortlist.index.shape, bool((shortlist.index[:, 0] != np.arange(12)).all())
        ((12, 3), True)
    """
    check_kind("k", k, (int, np.integer), "a whole number")
    if k < 1:
        raise ValueError(f"k: expected at least 1, got {k}.")
    own = _own_rows(queries, gallery)
    shown = min(int(k), len(gallery.image_id))
    most = min(shown + bool((own >= 0).any()), len(gallery.image_id))
    if not most or not len(own):
        nothing = np.zeros((len(own), shown))
        return Shortlist(queries.image_id, gallery.image_id, nothing.astype(np.int32), nothing.astype(np.float32))
    query_vectors, gallery_vectors = (np.ascontiguousarray(one.values, np.float32) for one in (queries, gallery))
    found, scores = exact_search(query_vectors, gallery_vectors, most, workers=cores())
    is_own = found == own[:, None]
    order = np.lexsort((found, -scores, is_own), axis=1)[:, :shown]
    index = np.take_along_axis(np.where(is_own, -1, found), order, axis=1).astype(np.int32)
    similarity = np.take_along_axis(np.where(is_own, np.float32(np.nan), scores), order, axis=1)
    return Shortlist(queries.image_id, gallery.image_id, index, similarity)


def retrieval_metrics(
    embeddings: Vectors,
    identity: Sequence[str | None],
    *,
    gallery: Vectors | None = None,
    gallery_identity: Sequence[str | None] | None = None,
) -> RetrievalFigures:
    """Return rank-1, rank-5, rank-10, rank-20 and mAP: every image against all others, or against a gallery.

    `embeddings` is (n, d) with one `identity` each. `.mean` is a mapping from the measure's name to its value. An image
    without a name (None, "" or NaN) is no query and matches nobody; among the images searched it distracts.

    Raises:
        ValueError: shapes do not fit, nobody has a name, or only one of `gallery` and `gallery_identity` is given.

    Example:
        >>> vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], dtype=np.float32)
        >>> retrieval_metrics(vectors, ["a", "a", "b", "b"]).mean["rank-1"]
        1.0
    """
    if (gallery is None) != (gallery_identity is None):
        raise ValueError("expected gallery and gallery_identity, or neither.")
    queries = _candidates("identity", embeddings, identity)
    named = queries.identity != _NOBODY
    if gallery is not None and gallery_identity is not None:
        return query_against_gallery(queries.select(named), _candidates("gallery_identity", gallery, gallery_identity))
    if named.all():
        return one_against_all(queries)
    searched = replace(queries, event=np.arange(len(named)))  # no image sees its own event, which is itself
    return query_against_gallery(searched.select(named), searched)


def competition_score(truth: PathLike | pd.DataFrame, predictions: Answers, *, merge_case: bool = True) -> Score:
    """Return the score of AnimalCLEF 2025: the mean over data sets of sqrt(BAKS * BAUS).

    `truth` has the columns image_id, identity, dataset and known (1 or 0): a file or a DataFrame. `predictions` is a
    submission, or a mapping from image_id to an identity, `None` for a new individual. `.overall` is the score,
    `.datasets` has BAKS and BAUS of each data set. With `merge_case` names that differ by case or spaces alone are the
    same. A data set without a query of a known (or of a new) individual scores 0, as the organisers compute it; a
    warning says so.

    Raises:
        SubmissionError: a file or a table is not right, the truth is empty, or a query has no answer.

    Example:
        >>> truth = pd.DataFrame({"image_id": ["1", "2"], "identity": ["Ada", "Bo"], "dataset": "Newts",
        ...                       "known": [1, 0]})
        >>> competition_score(truth, {"1": "Ada", "2": None}).overall
        1.0
    """
    return score_answers(
        _truth(truth, merge_case), _answers(predictions), "predictions", "truth", merge_case=merge_case
    )


def _truth(truth: PathLike | pd.DataFrame, merge_case: bool) -> Truth:
    if not isinstance(truth, pd.DataFrame):
        check_kind("truth", truth, (str, os.PathLike), "a truth file or a DataFrame")
        return truth_of_file(Path(truth), merge_case=merge_case)
    return truth_of_frame(truth, merge_case=merge_case)


def _answers(predictions: Answers) -> Mapping[str, str | None]:
    if isinstance(predictions, Mapping):
        return answers_of(predictions, predictions.values())
    if not isinstance(predictions, pd.DataFrame):
        expected = "a submission file, a DataFrame, or a mapping from image_id to identity"
        check_kind("predictions", predictions, (str, os.PathLike), expected)
        return read_submission(Path(predictions))
    return answers_of_frame(predictions)


def _candidates(name: str, embeddings: Vectors, identity: Sequence[str | None]) -> Candidates:
    values = embeddings.values if isinstance(embeddings, Embeddings) else np.asarray(embeddings, dtype=np.float32)
    who = np.array([_NOBODY if pd.isna(one) or not str(one).strip() else str(one) for one in identity], dtype=object)
    if len(who) != len(values):
        raise ValueError(f"{name}: expected one for each of {len(values)} embeddings, got {len(who)}.")
    if (who == _NOBODY).all():
        raise ValueError(f"{name}: expected the name of at least one individual, got none.")
    return Candidates(values, who, np.full(len(who), "all", dtype=object))


def _own_rows(queries: Embeddings, gallery: Embeddings) -> Integers:
    """Check that embeddings can be compared; return each query's own row in the gallery, -1 where it is not there."""
    expected = "Embeddings (of arrays: animalclef.structures.Embeddings(model, image_id, values), rows of length 1)"
    for name, given in (("queries", queries), ("gallery", gallery)):
        check_kind(name, given, Embeddings, expected)
        ids = given.image_id
        if len(set(ids)) < len(ids):
            twice = next(one for one, count in Counter(ids).items() if count > 1)
            raise ValueError(f"{name}: image_id {twice} is there more than once; give each image an id of its own.")
        if given.values.size and not np.isfinite([given.values.min(), given.values.max()]).all():
            bad = next(one for one, vector in zip(ids, given.values, strict=True) if not np.isfinite(vector).all())
            raise ValueError(f"{name}: the vector of image_id {bad} holds NaN or infinity; leave the image out.")
    if queries.model != gallery.model:
        raise ValueError(f"expected embeddings of one model, got {queries.model} and {gallery.model}.")
    lengths = queries.values.shape[1], gallery.values.shape[1]
    if lengths[0] != lengths[1]:
        raise ValueError(f"expected vectors of one length, got {lengths[0]} of queries and {lengths[1]} of gallery.")
    row_of = {image_id: row for row, image_id in enumerate(gallery.image_id)}
    own = np.array([row_of.get(one, -1) for one in queries.image_id], dtype=np.int64)
    for row in [] if queries is gallery else np.flatnonzero(own >= 0).tolist():
        theirs = gallery.values[own[row]]
        if np.linalg.norm(queries.values[row] - theirs) > _ALIKE * np.linalg.norm(theirs):
            raise ValueError(
                f"image_id {queries.image_id[row]} is in queries and gallery with other vectors; give them different "
                "ids."
            )
    return own
