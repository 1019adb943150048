"""The decision of a run: pseudo-queries from the gallery, matched like queries, and the study over them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from animalclef.config import Config, fingerprint
from animalclef.data.encounters import Encounters, find_encounters
from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.decision_model import Decision, load_decision
from animalclef.decision.tune import tune
from animalclef.errors import StaleArtefactError
from animalclef.pipeline.features import FeatureSet
from animalclef.pipeline.image_contents import gallery_digest
from animalclef.pipeline.match import Matching
from animalclef.pipeline.pseudo_query_lists import build_pseudo_queries
from animalclef.pipeline.shortlist import Shortlisting
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.progress import Progress
from animalclef.store.pseudo_query_file import Stamp, holds_pseudo_queries, write_pseudo_queries
from animalclef.store.run_folder import RunFolder

__all__ = ["Deciding", "encounters_of", "pseudo_queries"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Deciding:
    """Finds the decision for some scores; one tuned before on the same, by the same versions, is used again."""

    config: Config
    run: RunFolder
    shortlist: Shortlisting
    match: Matching
    progress: Progress
    timed: Callable[[str], AbstractContextManager[None]]

    def __call__(self, described: FeatureSet, encounters: Encounters, data_digest: str, scores_id: str) -> Decision:
        config, gallery = self.config, gallery_digest(described.images)
        versions = [metadata.version(name) for name in ("optuna", "scikit-learn", "numpy", "faiss-cpu")]
        seen = [data_digest, described.images.key.tolist(), sorted(encounters.of.items())]
        seen += [sorted(described.learnt)] if described.learnt else []
        made_by = [scores_id, described.embeddings.model, self.match.name, *versions]
        made = fingerprint(5, seen, made_by, config.decide, config.retrieve, config.vote, config.seed)
        path, stamp = self.run.decision_of(made), Stamp(made, scores_id, data_digest)
        known = self._known(path)
        if known is not None and holds_pseudo_queries(self.run, made):
            return known
        with self.timed("validate"):
            pseudo = pseudo_queries(described, encounters, config, self.shortlist, self.match)
            write_pseudo_queries(self.run, pseudo, stamp)
        if known is not None:
            return known
        with self.timed("tune"):
            decision = tune(pseudo, config.decide, config.seed, scores_id, gallery, self.progress)
        write_text(path, decision.model_dump_json(indent=1) + "\n")
        return decision

    def _known(self, path: Path) -> Decision | None:
        """The decision tuned before, where its file is there and whole."""
        try:
            return load_decision(path) if path.is_file() else None
        except StaleArtefactError as error:
            logger.warning("%s It is tuned again.", error)
            return None


def encounters_of(
    described: FeatureSet, config: Config, links: Sequence[tuple[str, str, int]] = ()
) -> Encounters:
    """Return which gallery photographs belong to one event; `links` are pairs with the same background."""
    gallery = described.images.gallery
    thumbnails = {key: described.thumbnail(key) for key in dict.fromkeys(gallery.key)}
    return find_encounters(gallery, thumbnails, config.encounters, links)


def pseudo_queries(
    described: FeatureSet, encounters: Encounters, config: Config, shortlist: Shortlisting, match: Matching
) -> dict[str, PseudoQueries]:
    """Gallery photographs matched against the gallery: with their own encounter hidden, and with their individual."""
    played = build_pseudo_queries(encounters, config, shortlist)
    known, unknown = match(played.as_known, described), match(played.as_unknown, described)
    return played.laid_out(known, unknown, config.retrieve.top_k)
