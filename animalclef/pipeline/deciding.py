"""The decision of a run: pseudo-queries from the gallery, matched like queries, and the study over them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from animalclef.config import Config, fingerprint
from animalclef.data.encounters import Encounters, find_encounters
from animalclef.data.splits import choose_pseudo_queries, open_set_splits
from animalclef.decision import Decision, load_decision
from animalclef.errors import StaleArtefactError
from animalclef.evaluation.tune import tune
from animalclef.data.pseudo_queries import PseudoQueries
from animalclef.evaluation.validation import lay_out
from animalclef.pipeline.contents import gallery_digest
from animalclef.pipeline.describing import Described
from animalclef.pipeline.matching import Matching
from animalclef.progress import Progress
from animalclef.stages.retrieve import retrieve
from animalclef.store.files import write_text
from animalclef.store.run import RunFolder

__all__ = ["Deciding", "encounters_of", "pseudo_queries"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Deciding:
    """Finds the decision for some scores; one tuned before on the same, by the same versions, is used again."""

    config: Config
    run: RunFolder
    match: Matching
    progress: Progress
    timed: Callable[[str], AbstractContextManager[None]]

    def __call__(self, described: Described, encounters: Encounters, data_digest: str, scores_id: str) -> Decision:
        config, gallery = self.config, gallery_digest(described.images)
        versions = [metadata.version(name) for name in ("optuna", "scikit-learn", "numpy", "faiss-cpu")]
        seen = [data_digest, described.images.key.tolist(), sorted(encounters.of.items())]
        made_by = [scores_id, described.embeddings.model, self.match.name, *versions]
        path = self.run.decision_of(fingerprint(2, seen, made_by, config.decide, config.retrieve, config.seed))
        if path.is_file():
            try:
                return load_decision(path)
            except StaleArtefactError as error:
                logger.warning("%s It is tuned again.", error)
        with self.timed("validate"):
            pseudo = pseudo_queries(described, encounters, config, self.match)
        with self.timed("tune"):
            decision = tune(pseudo, config.decide, config.seed, scores_id, gallery, self.progress)
        write_text(path, decision.model_dump_json(indent=1) + "\n")
        return decision


def encounters_of(described: Described, config: Config) -> Encounters:
    """Which gallery photographs belong to one event."""
    gallery = described.images.gallery
    thumbnails = {key: described.thumbnail(key) for key in dict.fromkeys(gallery.key)}
    return find_encounters(gallery, thumbnails, config.encounters)


def pseudo_queries(
    described: Described, encounters: Encounters, config: Config, match: Matching
) -> dict[str, PseudoQueries]:
    """Gallery photographs matched against the gallery, their own encounter hidden."""
    gallery = described.images.gallery
    chosen, splits = [], {}
    for name in gallery.datasets:
        table = gallery.select(gallery.dataset == name)
        pseudo = choose_pseudo_queries(table, encounters.of, config.decide, config.seed)
        splits[name] = open_set_splits(pseudo, table, encounters.of, config.decide, config.seed)
        chosen.append(pseudo.image_id)
    queries = gallery.select(np.isin(gallery.image_id.astype(str), np.concatenate(chosen).astype(str)))
    hidden, own = encounters.hidden_from(queries, gallery)
    shortlist = retrieve(queries, gallery, described.embeddings, config.retrieve, hidden, own)
    scores = match(shortlist, described)
    return {name: lay_out(scores, gallery, split, config.retrieve.top_k) for name, split in splits.items()}
