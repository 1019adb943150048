"""The result of clustering: labels, names, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from animalclef.structures.clusters import Clusters, LinkedPairs


def texts(*values: str | None) -> np.ndarray:
    return np.array(values, dtype=object)


def test_new_individuals_are_numbered_over_all_data_sets_and_no_name_is_given_twice() -> None:
    clusters = Clusters(
        texts("1", "2", "3", "4", "5"), texts("A", "A", "B", "B", "A"), np.array([0, 1, 0, 1, 1]),
        texts("new_1", None, None, "Bo", None),
    )  # fmt: skip
    assert clusters.name.tolist() == ["new_1", "new_2", "new_3", "Bo", "new_2"]
    assert clusters.label.tolist() == ["cluster_A_0", "cluster_A_1", "cluster_B_0", "cluster_B_1", "cluster_A_1"]
    assert list(clusters.table.individual) == clusters.name.tolist()
    assert repr(clusters) == "Clusters(5 photographs, 4 individuals, 3 of them on one photograph)"
    assert "new_3" in clusters._repr_html_()
    assert clusters.new_names == {"2": "new_2", "3": "new_3", "5": "new_2"}


def test_shapes_and_the_order_of_pairs_are_checked() -> None:
    with pytest.raises(ValueError, match="number: expected shape"):
        Clusters(texts("1"), texts("A"), np.zeros(2, dtype=np.int64), texts(None))
    with pytest.raises(ValueError, match="rows below those of second"):
        LinkedPairs(texts("1", "2"), np.array([1]), np.array([1]), {})
    empty = Clusters(texts(), texts(), np.zeros(0, dtype=np.int64), texts())
    assert len(empty.table) == 0
    assert "0 photographs" in repr(empty)


def test_a_name_of_the_database_is_never_that_of_a_new_individual() -> None:
    clusters = Clusters(
        texts("1", "2"), texts("A", "A"), np.array([0, 1]), texts(None, None), taken=frozenset({"new_1"})
    )
    assert clusters.name.tolist() == ["new_2", "new_3"]


def test_a_skipped_photograph_is_nobody_and_counts_nowhere() -> None:
    clusters = Clusters(
        texts("1", "2", "3"), texts("A", "A", "A"), np.array([0, 1, 2]), texts(None, None, None),
        skipped=frozenset({"2"}),
    )  # fmt: skip
    assert clusters.name.tolist() == clusters.table.individual.tolist() == ["new_1", None, "new_2"]
    assert clusters.new_names == {"1": "new_1", "3": "new_2"}
    assert len(set(clusters.label)) == 3
    assert repr(clusters) == "Clusters(3 photographs, 1 skipped, 2 individuals, 2 of them on one photograph)"
