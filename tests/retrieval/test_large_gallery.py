"""Galleries that are larger than the memory: an inverted file with a measured recall."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from animalclef.engine.work import ThisMachine, Work
from animalclef.retrieval import large_gallery
from animalclef.retrieval.large_gallery import build_index, cells_for, search_gallery
from animalclef.structures import FloatArray


def unit_vectors(count: int, seed: int) -> FloatArray:
    """Vectors (count, 16) about 50 centres, as embeddings of individuals are."""
    centres = np.random.default_rng(9).normal(size=(50, 16))
    rng = np.random.default_rng(seed)
    values = centres[rng.integers(0, 50, count)] + 0.4 * rng.normal(size=(count, 16))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


GALLERY, QUERY = unit_vectors(3000, 1), unit_vectors(60, 2)


def shares_found(found: np.ndarray, most: int) -> float:
    exact = np.argsort(-(QUERY @ GALLERY.T), axis=1, kind="stable")[:, :most]
    return float(np.mean([np.isin(one, two).mean() for one, two in zip(exact, found, strict=True)]))


def test_what_fits_the_memory_is_searched_exactly() -> None:
    found, scores = search_gallery(QUERY, GALLERY, 7, memory_gb=1, least_recall=0.5)
    assert shares_found(found, 7) == 1.0
    assert np.allclose(scores, -np.sort(-(QUERY @ GALLERY.T), axis=1)[:, :7], atol=1e-6)


@pytest.mark.parametrize(("memory_gb", "kind"), [(1e-4, "IndexIVFScalarQuantizer"), (1e-5, "IndexIVFPQ")])
def test_what_does_not_fit_reaches_the_recall_that_is_asked_for_and_says_so(
    memory_gb: float, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found, scores = search_gallery(QUERY, GALLERY, 100, memory_gb=memory_gb, least_recall=0.9)
    assert shares_found(found, 100) >= 0.9
    assert "recall@100" in caplog.text
    assert type(build_index(GALLERY, memory_gb)).__name__ == kind
    assert np.allclose(scores, np.take_along_axis(QUERY @ GALLERY.T, found, axis=1), atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()
    again, _ = search_gallery(QUERY, GALLERY, 100, memory_gb=memory_gb, least_recall=0.9)
    assert np.array_equal(found, again)


def test_a_recall_that_cells_cannot_reach_is_reached_by_exact_search(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(large_gallery, "suggest", lambda *given: (np.full((len(given[1]), 5), -1), None))
    with caplog.at_level(logging.WARNING):
        found, _ = search_gallery(QUERY, GALLERY, 5, memory_gb=1e-4, least_recall=0.98)
    assert shares_found(found, 5) == 1.0
    assert "the search is exact" in caplog.text


@pytest.mark.parametrize("memory_gb", [1, 1e-4])  # exact; an inverted file, whose recall is measured exactly
def test_exact_search_of_several_blocks_goes_over_threads_and_the_engine(
    memory_gb: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_gallery, "_BLOCK", 1000)
    monkeypatch.setattr(large_gallery, "_AT_ONCE", 25)
    searched, works, exact = [], [], large_gallery._exact
    monkeypatch.setattr(
        large_gallery, "_exact", lambda query, *rest: searched.append(len(query)) or exact(query, *rest)
    )

    class Engine(ThisMachine):
        def ordered(self, work: Work[Any, Any], chunks: Iterable[Any]) -> Iterator[Any]:
            works.append(work.with_threads(3))
            return works[-1].run(chunks)

    found, scores = search_gallery(QUERY, GALLERY, 7, memory_gb=memory_gb, least_recall=0.9, workers=2, engine=Engine())
    assert [work.workers for work in works] == [3]
    assert sorted(searched) == sorted([25, 25, 10] * 3)  # 60 queries against three blocks
    again, the_same = search_gallery(QUERY, GALLERY, 7, memory_gb=memory_gb, least_recall=0.9)
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(scores, the_same)


def test_a_query_with_too_few_suggestions_is_exact() -> None:
    index = build_index(GALLERY[:400], 1e-5)
    found, _ = large_gallery.suggest(index, QUERY, GALLERY[:400], 300, probes=1)
    assert (found >= 0).all()
    assert [len(set(row)) for row in found.tolist()] == [300] * len(QUERY)


def test_an_empty_gallery_and_the_sizes_of_the_guidelines() -> None:
    found, scores = search_gallery(QUERY[:2], GALLERY[:0], 5, memory_gb=1, least_recall=0.98)
    assert found.shape == scores.shape == (2, 0)
    assert [cells_for(count) for count in (1, 1000, 10**6, 10**6 + 1, 10**7 + 1)] == [1, 25, 4000, 65_536, 262_144]
