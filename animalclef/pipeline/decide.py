"""Step three: tune the decision on pseudo-queries, gallery photographs that are matched like queries."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from animalclef.config import fingerprint
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.decision_model import Decision, load_decision
from animalclef.decision.tune import tune, tuning_warnings
from animalclef.errors import StaleArtefactError
from animalclef.pipeline.image_contents import gallery_digest
from animalclef.pipeline.match import Allowance, match_pairs
from animalclef.pipeline.models import library_versions
from animalclef.pipeline.preparation_table import preparation_of
from animalclef.pipeline.run_context import RunContext
from animalclef.pipeline.shortlists import Shortlists
from animalclef.runtime.atomic_files import write_text
from animalclef.store.pseudo_query_file import Stamp, holds_pseudo_queries, write_pseudo_queries

__all__ = ["tune_decision"]

logger = logging.getLogger(__name__)


def tune_decision(shortlists: Shortlists, allowance: Allowance | None, context: RunContext) -> Decision:
    """Return the decision for the run's scores; one tuned before on the same, by the same versions, is used again.

    Warnings about the data are kept beside it, and given again with it.
    """
    made = _made_by(shortlists, allowance, context)
    path = context.folder.decision_of(made)
    warned, decision = path.with_suffix(".warnings.json"), _known(path)
    if decision is None or not holds_pseudo_queries(context.folder, made):
        pseudo, sentences = _validated(shortlists, allowance, context, made)
        if decision is None:
            decision = _tuned(pseudo, shortlists, context)
            sentences += tuning_warnings(decision, pseudo, context.config.decide)
            write_text(warned, json.dumps(sentences, ensure_ascii=False, indent=1) + "\n")
            write_text(path, decision.text)
    for sentence in _sentences(warned):
        context.warn(sentence)
    return decision


def _validated(
    shortlists: Shortlists, allowance: Allowance | None, context: RunContext, made: str
) -> tuple[dict[str, PseudoQueries], list[str]]:
    """Match the pseudo-queries and keep them; return them, and warnings about them."""
    config, features, warned = context.config, shortlists.features, list[str]()
    with context.timed("validate"):
        roles = shortlists.pseudo.as_known, shortlists.pseudo.as_unknown
        known_scores, unknown_scores = (match_pairs(one, features, context, allowance) for one in roles)
        pseudo = shortlists.pseudo.laid_out(known_scores, unknown_scores, config.retrieve.top_k, warned.append)
        write_pseudo_queries(context.folder, pseudo, Stamp(made, context.scores_id, features.digest))
    return pseudo, warned


def _tuned(pseudo: Mapping[str, PseudoQueries], shortlists: Shortlists, context: RunContext) -> Decision:
    config, gallery = context.config, gallery_digest(shortlists.features.images)
    with context.timed("tune"):
        decision = tune(
            pseudo, config.decide, config.seed, context.scores_id, gallery, context.progress, engine=context.engine
        )
    return decision.model_copy(update={"preparation": preparation_of(config)})


def _made_by(shortlists: Shortlists, allowance: Allowance | None, context: RunContext) -> str:
    """Return a digest of all that the decision depends on."""
    config, features = context.config, shortlists.features
    images, encounters, embedder, *trained_on = features.seen(shortlists.encounters)
    matching = " ".join(log.path.name for log in context.logs)
    matching += "" if allowance is None else f" {allowance.name}"
    seen = [features.digest, images, encounters, *trained_on]
    made_by = [context.scores_id, embedder, matching, *library_versions()]
    return fingerprint(7, seen, made_by, config.decide, config.retrieve, config.vote, config.seed)


def _known(path: Path) -> Decision | None:
    """Return the decision tuned before, where its file is there and whole."""
    try:
        return load_decision(path) if path.is_file() else None
    except StaleArtefactError as error:
        logger.warning("%s It is tuned again.", error)
        return None


def _sentences(path: Path) -> list[str]:
    """Return the warnings kept with a decision; a file that is not there or damaged holds none."""
    try:
        return TypeAdapter(list[str]).validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return []
