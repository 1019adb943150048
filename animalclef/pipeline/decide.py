"""Step three: tune the decision on pseudo-queries, gallery photographs that are matched like queries."""

from __future__ import annotations

import logging
from pathlib import Path

from animalclef.config import fingerprint
from animalclef.decision.decision_model import Decision, load_decision
from animalclef.decision.tune import tune
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
    """Return the decision for the run's scores; one tuned before on the same, by the same versions, is used again."""
    config, features = context.config, shortlists.features
    made = _made_by(shortlists, allowance, context)
    path, stamp = context.folder.decision_of(made), Stamp(made, context.scores_id, features.digest)
    known = _known(path)
    if known is not None and holds_pseudo_queries(context.folder, made):
        return known
    with context.timed("validate"):
        roles = shortlists.pseudo.as_known, shortlists.pseudo.as_unknown
        known_scores, unknown_scores = (match_pairs(one, features, context, allowance) for one in roles)
        pseudo = shortlists.pseudo.laid_out(known_scores, unknown_scores, config.retrieve.top_k)
        write_pseudo_queries(context.folder, pseudo, stamp)
    if known is not None:
        return known
    with context.timed("tune"):
        gallery = gallery_digest(features.images)
        decision = tune(
            pseudo, config.decide, config.seed, context.scores_id, gallery, context.progress, engine=context.engine
        )
    decision = decision.model_copy(update={"preparation": preparation_of(config)})
    write_text(path, decision.model_dump_json(indent=1) + "\n")
    return decision


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
