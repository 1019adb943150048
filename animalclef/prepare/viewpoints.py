"""Viewpoints that the table does not say, told from the embeddings of those that it does.

A viewpoint is input, not truth: labelled queries teach too. The accuracy is measured on database photographs of
individuals that took no part in the fit, nor in the choice of its strength.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from animalclef.structures import Embeddings, FloatArray, ImageTable, StrArray
from animalclef.structures.arrays import Floats, Integers, check_shape

__all__ = ["ViewClassifier", "ViewLabels", "ViewQuality", "cross_validate", "fit_classifier", "label_views"]

_STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)  # values of C, the inverse regularisation, to choose from
_FOLDS = 5  # of individuals, to measure the accuracy on
_INNER_FOLDS = 3  # to choose C on


@dataclass(frozen=True)
class ViewQuality:
    """What was learnt in one data set; figures are NaN where `why_not` says that nothing was."""

    dataset: str
    labelled: int
    absent: int
    filled: int
    viewpoints: tuple[str, ...]
    accuracy: float = float("nan")  # of held-out individuals' photographs
    majority: float = float("nan")  # of always saying the most frequent viewpoint
    sure: float = float("nan")  # share of the held-out photographs from the least confidence on
    sure_accuracy: float = float("nan")  # of those
    why_not: str = ""


@dataclass(frozen=True, eq=False)
class ViewLabels:
    """A viewpoint for every photograph where the table or the classifier says one."""

    image_id: StrArray  # (n,)
    viewpoint: StrArray  # (n,) as given, or filled, or ""
    best: StrArray  # (n,) the classifier's best viewpoint, also below the least confidence; "" where not asked
    confidence: Floats  # (n,) its probability; NaN where not asked
    quality: tuple[ViewQuality, ...]

    def __post_init__(self) -> None:
        for name in ("viewpoint", "best", "confidence"):
            check_shape(name, getattr(self, name), (len(self.image_id),))

    def filled(self) -> dict[str, tuple[str, float]]:
        """Viewpoint ("" where it is not sure enough) and confidence of what the classifier was asked, by image_id."""
        asked = np.isfinite(self.confidence)
        pairs = zip(self.viewpoint[asked], self.confidence[asked].tolist(), strict=True)
        return dict(zip(self.image_id[asked], pairs, strict=True))


@dataclass(frozen=True, eq=False)
class ViewClassifier:
    """Logistic regression on centred embeddings, all their coordinates on one scale."""

    viewpoints: StrArray  # (c,)
    mean: Floats  # (d,)
    scale: float
    weights: Floats  # (c, d)
    bias: Floats  # (c,)

    def __call__(self, vectors: FloatArray) -> tuple[StrArray, Floats]:
        """The most probable viewpoint of every row, and its probability."""
        probability = self.probability(vectors)
        return self.viewpoints[probability.argmax(axis=1)], probability.max(axis=1)

    def probability(self, vectors: FloatArray) -> Floats:
        """(n, c) of every viewpoint."""
        logits = (vectors - self.mean) / self.scale @ self.weights.T + self.bias
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), dtype=np.float64)

    def surprise(self, vectors: FloatArray, viewpoint: StrArray) -> float:
        """Sum of minus the logarithm of what the right viewpoints were given, a millionth at the least."""
        place = {view: number for number, view in enumerate(self.viewpoints)}
        given = self.probability(vectors)
        told = [given[row, place[view]] if view in place else 0.0 for row, view in enumerate(viewpoint)]
        return float(-np.log(np.maximum(told, 1e-6)).sum())


def label_views(images: ImageTable, embeddings: Embeddings, least_confidence: float, seed: int) -> ViewLabels:
    """Fill the absent viewpoints of each data set from `least_confidence` on; those given stay as they are.

    A data set stays as it is where nothing can be learnt: fewer than two viewpoints, or fewer than two individuals with
    one, or an accuracy no better than always saying the most frequent.

    Raises:
        KeyError: a photograph has no embedding.
    """
    vectors = embeddings.of(images.image_id)
    best, confidence = np.full(len(images), "", dtype=object), np.full(len(images), np.nan)
    quality = []
    for name in images.datasets:
        rows = np.flatnonzero(images.dataset == name)
        best[rows], confidence[rows], how_good = _of_dataset(
            name, images.select(rows), vectors[rows], least_confidence, seed
        )
        quality.append(how_good)
    viewpoint = np.where(confidence >= least_confidence, best, images.viewpoint)
    return ViewLabels(images.image_id, viewpoint, best, confidence, tuple(quality))


def _of_dataset(
    name: str, images: ImageTable, vectors: FloatArray, least_confidence: float, seed: int
) -> tuple[StrArray, Floats, ViewQuality]:
    """The best viewpoint and its probability where one is absent, and how good they are."""
    view, absent = images.viewpoint, images.viewpoint == ""
    best, confidence = np.full(len(images), "", dtype=object), np.full(len(images), np.nan)
    named = np.flatnonzero(~absent & images.is_named)
    quality = _quality(name, images, vectors, named, least_confidence, seed)
    if absent.any() and not quality.why_not:
        strength = _best_strength(vectors[named], view[named], images.identity[named], seed)
        best[absent], confidence[absent] = fit_classifier(vectors[~absent], view[~absent], strength)(vectors[absent])
    return best, confidence, replace(quality, filled=int((confidence >= least_confidence).sum()))


def _quality(
    name: str, images: ImageTable, vectors: FloatArray, named: Integers, least_confidence: float, seed: int
) -> ViewQuality:
    """What held-out individuals say of a classifier; `named` are the labelled rows with a name."""
    count = Counter(images.viewpoint.tolist())
    absent = count.pop("", 0)
    nothing = ViewQuality(name, len(images) - absent, absent, 0, tuple(sorted(count)))
    view, who = images.viewpoint[named], images.identity[named]
    if len(count) < 2:
        why = f"{min(count)} is the only viewpoint" if count else "no photograph has a viewpoint"
        return replace(nothing, why_not=why)
    if len(set(who)) < 2 or len(set(view)) < 2:
        return replace(nothing, why_not="too few named photographs have a viewpoint to measure the accuracy on")
    told, confidence = cross_validate(vectors[named], view, who, seed)
    right, sure = told == view, confidence >= least_confidence
    accuracy, majority = float(right.mean()), max(Counter(view.tolist()).values()) / len(view)
    return replace(
        nothing,
        accuracy=accuracy,
        majority=majority,
        sure=float(sure.mean()),
        sure_accuracy=float(right[sure].mean()) if sure.any() else float("nan"),
        why_not="" if accuracy > majority else "no better than always saying the most frequent viewpoint",
    )


def cross_validate(
    vectors: FloatArray, viewpoint: StrArray, individual: StrArray, seed: int
) -> tuple[StrArray, Floats]:
    """Viewpoint and confidence of every row, by classifiers that were fitted, and their C chosen, on other individuals.

    At least two individuals are expected.
    """
    told, sure = np.empty(len(vectors), dtype=object), np.zeros(len(vectors))
    for rest, held in _folds(individual, _FOLDS, seed):
        strength = _best_strength(vectors[rest], viewpoint[rest], individual[rest], seed)
        told[held], sure[held] = fit_classifier(vectors[rest], viewpoint[rest], strength)(vectors[held])
    return told, sure


def fit_classifier(vectors: FloatArray, viewpoint: StrArray, strength: float) -> ViewClassifier:
    """A logistic regression with C = `strength`; with a single viewpoint it always says that one.

    Coordinates are not standardised one by one: an embedding's weak ones are mostly noise.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    mean = vectors.mean(axis=0, dtype=np.float64)
    scale = float(np.sqrt(vectors.var(axis=0, dtype=np.float64).mean())) or 1.0
    viewpoints = np.array(sorted(set(viewpoint)), dtype=object)
    if len(viewpoints) == 1:
        return ViewClassifier(viewpoints, mean, scale, np.zeros((1, vectors.shape[1])), np.zeros(1))
    model = LogisticRegression(C=strength, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a little short of the optimum serves as well
        model.fit((vectors - mean) / scale, np.searchsorted(viewpoints.astype(str), viewpoint.astype(str)))
    weights, bias = model.coef_, model.intercept_
    if len(viewpoints) == 2:  # one logit, that of the second
        weights, bias = np.concatenate([0 * weights, weights]), np.concatenate([0 * bias, bias])
    return ViewClassifier(viewpoints, mean, scale, weights, bias)


def _best_strength(vectors: FloatArray, viewpoint: StrArray, individual: StrArray, seed: int) -> float:
    """The C whose classifiers are least surprised over folds of individuals, so that confidences hold too."""
    folds = list(_folds(individual, _INNER_FOLDS, seed + 1))

    def surprise(strength: float) -> float:
        parts = [(fit_classifier(vectors[rest], viewpoint[rest], strength), held) for rest, held in folds]
        return sum(classifier.surprise(vectors[held], viewpoint[held]) for classifier, held in parts)

    return min(_STRENGTHS, key=surprise)


def _folds(individual: StrArray, folds: int, seed: int) -> Iterator[tuple[Integers, Integers]]:
    """Rows to fit on and rows held out, so that no individual is on both sides; nothing for a single individual."""
    names: Sequence[str] = sorted(set(individual))
    order = np.random.default_rng([seed, 17]).permutation(len(names))
    place = dict(zip(names, order.tolist(), strict=True))
    fold = np.array([place[name] for name in individual], dtype=np.int64) % folds
    if len(names) > 1:
        for one in np.unique(fold):
            yield np.flatnonzero(fold != one), np.flatnonzero(fold == one)
