"""Images without a name in `retrieval_metrics`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from animalclef.api.scoring import retrieval_metrics

TURN = np.radians([0, 10, 12, 90])
VECTORS = np.stack([np.cos(TURN), np.sin(TURN)], axis=1).astype(np.float32)


@pytest.mark.parametrize("nobody", [None, "", " ", float("nan")])
def test_unnamed_ones_are_no_queries_match_nobody_and_distract(nobody: Any) -> None:
    found = retrieval_metrics(VECTORS, ["Ada", nobody, nobody, "Ada"])
    [part] = found.species
    assert (part.queries, part.alone, part.individuals, part.candidates) == (2, 0, 1, 4)
    assert (found.mean["rank-1"], found.mean["rank-5"]) == (0.0, 1.0)
    assert found.mean["mAP"] == pytest.approx(1 / 3)  # two unnamed ones are nearer to either


def test_unnamed_ones_of_a_gallery_match_nobody() -> None:
    found = retrieval_metrics(VECTORS[:2], ["Ada", None], gallery=VECTORS[2:], gallery_identity=[None, "Ada"])
    assert (found.mean["rank-1"], found.mean["mAP"], found.species[0].queries) == (0.0, 0.5, 1)


@pytest.mark.parametrize("names", [[None] * 4, [""] * 4])
def test_somebody_needs_a_name(names: list[str | None]) -> None:
    with pytest.raises(ValueError, match=r"^identity: expected the name of at least one individual, got none"):
        retrieval_metrics(VECTORS, names)
    with pytest.raises(ValueError, match=r"^gallery_identity: expected the name of at least one individual, got none"):
        retrieval_metrics(VECTORS, ["Ada"] * 4, gallery=VECTORS, gallery_identity=names)
