"""Viewpoints told from embeddings, on vectors made up for it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from rows import Row, embeddings_of, image_table

from animalclef.prepare.viewpoints import ViewClassifier, cross_validate, fit_classifier, label_views
from animalclef.structures import Embeddings, ImageTable

VECTOR_OF = {"left": (1.0, 0.0), "right": (-1.0, 0.0), "top": (0.0, 2.0)}


def herd(
    individuals: int, views: tuple[str, ...] = ("left", "right"), noise: float = 0.1, dataset: str = "lynx"
) -> tuple[list[Row], list[list[float]]]:
    """Each individual from each of its views, near the vector of that view."""
    rng = np.random.default_rng(3)
    rows = [Row(f"{dataset}{who}{view}", f"i{who}", view, dataset) for who in range(individuals) for view in views]
    return rows, [list(np.array(VECTOR_OF[row.viewpoint]) + noise * rng.normal(size=2)) for row in rows]


def of(rows: list[Row], values: list[list[float]]) -> tuple[ImageTable, Embeddings]:
    images = image_table(rows)
    return images, embeddings_of(images, values)


def strings(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def test_absent_viewpoints_are_filled_and_given_ones_stay() -> None:
    rows, values = herd(6)
    rows += [Row("q0"), Row("g0", "i9"), Row("odd", "i9", "left")]
    values += [[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]  # the last is called left and looks like right
    images, embeddings = of(rows, values)
    labels = label_views(images, embeddings, 0.6, seed=0)
    told = dict(zip(labels.image_id, labels.viewpoint, strict=True))
    assert (told["q0"], told["g0"], told["odd"]) == ("left", "right", "left")
    assert list(labels.viewpoint[:12]) == list(images.viewpoint[:12])
    assert np.isfinite(labels.confidence).tolist() == [False] * 12 + [True, True, False]
    assert set(labels.filled()) == {"q0", "g0"}
    [quality] = labels.quality
    assert (quality.labelled, quality.absent, quality.filled, quality.viewpoints) == (13, 2, 2, ("left", "right"))
    assert quality.majority == pytest.approx(7 / 13)
    assert quality.accuracy == pytest.approx(12 / 13)  # all but the odd one


def test_what_is_not_sure_stays_absent_with_its_confidence() -> None:
    rows, values = herd(6)
    images, embeddings = of([*rows, Row("between", "i0")], [*values, [0.0, 0.0]])
    labels = label_views(images, embeddings, 0.9, seed=0)
    assert labels.viewpoint[-1] == ""
    assert labels.best[-1] in ("left", "right")
    view, confidence = labels.filled()["between"]
    assert view == ""
    assert 0.5 <= confidence < 0.9
    assert labels.quality[0].filled == 0


def test_three_viewpoints() -> None:
    rows, values = herd(6, ("left", "right", "top"))
    images, embeddings = of([*rows, Row("q")], [*values, [0.0, 2.0]])
    labels = label_views(images, embeddings, 0.5, seed=0)
    assert labels.viewpoint[-1] == "top"
    assert labels.quality[0].majority == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([Row("a", "x"), Row("b", "y")], "no photograph has a viewpoint"),
        ([Row("a", "x", "left"), Row("b", "y", "left"), Row("c", "z")], "left is the only viewpoint"),
        ([Row("a", "x", "left"), Row("b", "x", "right"), Row("c", "z")], "too few named photographs"),
        ([Row("a", None, "left"), Row("b", None, "right"), Row("c", "z")], "too few named photographs"),
    ],
)
def test_where_nothing_can_be_learnt_all_stays(rows: list[Row], why: str) -> None:
    images, embeddings = of(rows, [[float(place), 1.0] for place in range(len(rows))])
    labels = label_views(images, embeddings, 0, seed=0)
    assert why in labels.quality[0].why_not
    assert list(labels.viewpoint) == list(images.viewpoint)
    assert np.isnan(labels.confidence).all()
    assert math.isnan(labels.quality[0].accuracy)


def test_noise_is_no_better_than_the_majority_and_fills_nothing() -> None:
    rows, _ = herd(8)
    images, embeddings = of([*rows, Row("q")], [[1.0, 1.0]] * 17)
    labels = label_views(images, embeddings, 0, seed=0)
    assert "no better" in labels.quality[0].why_not
    assert labels.viewpoint[-1] == ""


def test_data_sets_are_learnt_apart() -> None:
    rows, values = herd(6)
    others, other_values = herd(6, dataset="newt")
    turned = [[-x, y] for x, y in other_values]  # what is left for lynxes is right for newts
    images, embeddings = of(
        [*rows, *others, Row("l"), Row("n", dataset="newt")], [*values, *turned, [1.0, 0.0], [1.0, 0.0]]
    )
    labels = label_views(images, embeddings, 0.5, seed=0)
    assert labels.viewpoint[-2:].tolist() == ["left", "right"]
    assert [one.dataset for one in labels.quality] == ["lynx", "newt"]


def test_labelled_queries_teach_but_are_not_measured_on() -> None:
    rows, values = herd(6)
    wrong = [Row(f"q{place}", None, "left") for place in range(3)]
    images, embeddings = of([*rows, *wrong, Row("g", "i0")], [*values, *[[-1.0, 0.0]] * 3, [1.0, 0.0]])
    quality = label_views(images, embeddings, 0.5, seed=0).quality[0]
    assert (quality.labelled, quality.accuracy) == (15, 1.0)


def test_an_individual_is_never_on_both_sides() -> None:
    """Every individual has a vector and a viewpoint of its own: what is learnt of one says nothing of another."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(20), 4)
    vectors = np.eye(20, dtype=np.float32)[who]
    view = strings(*["left" if one else "right" for one in rng.permutation([0, 1] * 10)[who]])
    names = strings(*[f"i{one}" for one in who])
    told, _ = cross_validate(vectors, view, names, seed=0)
    right = told == view
    assert right.mean() < 0.7  # 1.0 where an individual's other photographs give it away
    assert (fit_classifier(vectors, view, 1.0)(vectors)[0] == view).all()


def test_a_classifier_by_hand() -> None:
    """One number, symmetric about 3: the border lies there, and far away the confidence nears 1."""
    vectors = np.array([[1.0], [2.0], [4.0], [5.0], [1.0], [5.0]], dtype=np.float32)
    classifier = fit_classifier(vectors, strings("a", "a", "b", "b", "a", "b"), 1.0)
    told, sure = classifier(np.array([[2.9], [3.1], [-50.0], [3.0]], dtype=np.float32))
    assert told[:3].tolist() == ["a", "b", "a"]
    assert sure[2] > 0.999
    assert sure[3] == pytest.approx(0.5, abs=1e-6)


def test_a_classifier_is_surprised_by_what_it_thought_improbable() -> None:
    """Three to one for left; a viewpoint that it never saw counts as a millionth."""
    even = ViewClassifier(strings("left", "right"), np.zeros(1), 1.0, np.zeros((2, 1)), np.log([3.0, 1.0]))
    vectors = np.zeros((3, 1), dtype=np.float32)
    np.testing.assert_allclose(even.probability(vectors), [[0.75, 0.25]] * 3)
    expected = -math.log(0.75) - math.log(0.25) - math.log(1e-6)
    assert even.surprise(vectors, strings("left", "right", "top")) == pytest.approx(expected)


def test_weak_coordinates_are_not_blown_up() -> None:
    """The side is in the strong coordinate of 60; standardised one by one, noise would outvote it."""
    rng = np.random.default_rng(1)
    rows, values = herd(10, noise=0.3)
    noise = 0.05 * rng.normal(size=(len(rows), 60))
    vectors = np.concatenate([np.array(values)[:, :1], noise], axis=1).astype(np.float32)
    view, who = strings(*[row.viewpoint for row in rows]), strings(*[str(row.identity) for row in rows])
    told, _ = cross_validate(vectors, view, who, seed=0)
    assert (told == view).mean() == 1.0


def test_a_column_that_never_changes_and_one_viewpoint() -> None:
    vectors = np.array([[1.0, 7.0], [2.0, 7.0], [4.0, 7.0]], dtype=np.float32)
    told, sure = fit_classifier(vectors, strings("a", "a", "b"), 1.0)(vectors)
    assert np.isfinite(sure).all()
    only = fit_classifier(vectors, strings("a", "a", "a"), 1.0)(vectors)
    assert (only[0].tolist(), only[1].tolist()) == (["a"] * 3, [1.0] * 3)
    assert len(told) == 3


def test_the_same_seed_tells_the_same() -> None:
    rows, values = herd(6, noise=1.0)
    images, embeddings = of([*rows, Row("q")], [*values, [0.3, 0.0]])
    one, two = (label_views(images, embeddings, 0.5, seed=4) for _ in range(2))
    assert one.quality == two.quality
    np.testing.assert_array_equal(one.confidence, two.confidence)


def test_an_image_without_an_embedding_is_told() -> None:
    rows, values = herd(2)
    images, embeddings = of(rows, values)
    fewer = replace(embeddings, image_id=embeddings.image_id[1:], values=embeddings.values[1:])
    with pytest.raises(KeyError):
        label_views(images, fewer, 0.8, seed=0)
