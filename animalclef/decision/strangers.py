"""How a decision treats strangers: database photographs compared with all other individuals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.calibrators import log_odds_of
from animalclef.decision.decision_model import DatasetDecision, Decision, Strangers
from animalclef.decision.fusion import fuse_lists
from animalclef.decision.null_model import fit_null, look_alikes, nulls_of, weights_by_individual
from animalclef.decision.trial_evaluator import numbered
from animalclef.metrics.bootstrap import wilson_interval
from animalclef.runtime.wording import counted
from animalclef.structures.arrays import Floats

__all__ = [
    "confidence_sentences",
    "look_alike_sentences",
    "measured_on_strangers",
    "with_own_threshold",
]


_STRICTEST, _LOOSEST = 0.01, 0.15  # false acceptance that a threshold learned elsewhere may have in a data set
_PSEUDO_QUERIES, _INDIVIDUALS = 50, 20  # below either the score and the threshold are rough guesses


def with_own_threshold(decision: DatasetDecision, part: PseudoQueries) -> DatasetDecision:
    """Return a transferred decision with its threshold moved to where the data set's own strangers allow it.

    Between 1% and 15% of new individuals may be accepted as known ones, by the null model of the fused score.
    """
    best = _strangers_log_odds(decision, part)
    null = fit_null(best, weights_by_individual(part))
    if not null.photographs or decision.threshold in (0.0, 1.0):
        return decision
    inside = min(max(log_odds_of(decision.threshold), null.quantile(1 - _LOOSEST)), null.quantile(1 - _STRICTEST))
    return decision.model_copy(update={"threshold": float(1 / (1 + np.exp(-np.clip(inside, -30, 30))))})


def measured_on_strangers(decision: DatasetDecision, part: PseudoQueries) -> Strangers | None:
    """Return the share of strangers that the decision calls new, with an interval; `None` without photographs."""
    if not len(part):
        return None
    best = _strangers_log_odds(decision, part)
    threshold = float(np.log(max(decision.threshold, 1e-300)) - np.log1p(-min(decision.threshold, 1 - 1e-16)))
    weight = weights_by_individual(part)
    new = float((weight * ~(best >= threshold)).sum() / weight.sum())
    individuals = len(set(part.splits.identity.tolist()))
    low, high = wilson_interval(new, individuals)
    null = fit_null(best, weight)
    accepted = float(null.false_acceptance(np.array(threshold))) if null.photographs else 0.0
    return Strangers(
        photographs=len(part), individuals=individuals, new=new, low=low, high=high, false_acceptance=accepted
    )


def confidence_sentences(decision: Decision) -> list[str]:
    """Return a sentence for each data set whose decision rests on little, with how sure it is."""
    sentences = []
    for name, part in sorted(decision.datasets.items()):
        seen, strangers = part.validation, part.strangers
        about = "" if strangers is None else (
            f"; {strangers.new:.0%} of new individuals are expected to be recognised as new "
            f"(95% interval {strangers.low:.0%} to {strangers.high:.0%})"
        )  # fmt: skip
        if seen is None and strangers is not None:
            source = "a prior" if part.fitted_on == "default" else "the other data sets, in scale-free units,"
            sentences.append(
                f"{name}: too few individuals have two encounters to tune a decision, so it comes from {source} and "
                f"from how alike the {_counts(strangers.photographs, strangers.individuals)} are{about}; "
                "there is no estimate of how many known animals will be found."
            )
        elif seen is not None and (seen.pseudo_queries < _PSEUDO_QUERIES or seen.individuals < _INDIVIDUALS):
            sentences.append(
                f"{name}: validated on only {_counts(seen.pseudo_queries, seen.individuals)}, so its score "
                f"{seen.nested:.2f} ({seen.low or 0:.2f} to {1 if seen.high is None else seen.high:.2f}) and its "
                f"threshold are rough guesses{about}."
            )
    return sentences


def _counts(photographs: int, individuals: int) -> str:
    return f"{counted(photographs, 'photograph')} of {counted(individuals, 'individual')}"


def look_alike_sentences(parts: Mapping[str, PseudoQueries], limit: int = 3) -> list[str]:
    """Return a sentence for each data set in which two names may be one animal."""
    sentences = []
    for name, part in sorted(parts.items()):
        pairs = look_alikes(part, nulls_of(part), limit)
        if pairs:
            listed = "; ".join(
                f"{one.first} and {one.second} (photographs {one.first_image} and {one.second_image})" for one in pairs
            )
            sentences.append(
                f"{name}: more alike than different individuals ever are, so perhaps one animal under two names: "
                f"{listed}. Look at the photographs; if they show one animal, give it one name."
            )
    return sentences


def _strangers_log_odds(decision: DatasetDecision, part: PseudoQueries) -> Floats:
    """Return, (p,), the log-odds of the best identity that each pseudo-query finds without its own individual.

    One whose lead is below the decision's margin is no answer, and counts as log-odds of minus infinity.
    """
    _, identity, lead = fuse_lists(part.columns, part.as_unknown, numbered(part), part.agrees, decision)
    named = part.as_unknown & (lead >= decision.margin)[:, None]
    best = np.where(named, identity, 0.0).max(axis=1, initial=0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(best) - np.log1p(-np.minimum(best, 1 - 1e-16)))
