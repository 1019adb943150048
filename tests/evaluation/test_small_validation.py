"""The warning about a validation on few photographs."""

from __future__ import annotations

import pytest
from evaluation_cases import decision_by_hand

from animalclef.decision.decision_model import Validation
from animalclef.decision.strangers import confidence_sentences


@pytest.mark.parametrize(("photographs", "individuals", "warned"), [(12, 4, True), (50, 19, True), (50, 20, False)])
def test_few_photographs_or_individuals_are_named(photographs: int, individuals: int, *, warned: bool) -> None:
    decision = decision_by_hand(0.5)
    seen = Validation(pseudo_queries=photographs, individuals=individuals, tuned=0.9, nested=0.8, baks=0.8, baus=0.8)
    part = decision.pooled.model_copy(update={"validation": seen})
    notes = confidence_sentences(decision.model_copy(update={"datasets": {"LynxID": part, "NewtID": decision.pooled}}))
    expected = f"LynxID: validated on only {photographs} photographs of {individuals} individuals, so its score 0.80"
    assert [note.startswith(expected) for note in notes] == [True] * warned
