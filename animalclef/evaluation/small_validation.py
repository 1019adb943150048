"""Warn about a validation score that rests on few photographs or individuals."""

from __future__ import annotations

from animalclef.decision.decision_model import Decision

__all__ = ["small_validation_notes"]

_PSEUDO_QUERIES, _INDIVIDUALS = 50, 20  # below either the score and the threshold are rough guesses


def small_validation_notes(decision: Decision) -> list[str]:
    """Return one sentence for every data set that was validated on few pseudo-queries or individuals."""
    notes = []
    for name, part in sorted(decision.datasets.items()):
        seen = part.validation
        if seen is not None and (seen.pseudo_queries < _PSEUDO_QUERIES or seen.individuals < _INDIVIDUALS):
            notes.append(
                f"{name}: validated on only {seen.pseudo_queries} photographs of {seen.individuals} individuals; "
                "treat its score, its interval and its threshold as rough guesses."
            )
    return notes
