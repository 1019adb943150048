"""Hold the answers of a run against what its own validation was answered."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.decision.decide import decide
from animalclef.decision.decision_model import Decision
from animalclef.decision.fusion import fuse
from animalclef.decision.sanity_checks import Seen, pairs_of, surprises
from animalclef.structures import ImageTable, Predictions

__all__ = ["sanity_warnings"]


def sanity_warnings(
    predictions: Predictions, images: ImageTable, pseudo: Mapping[str, PseudoQueries], decision: Decision
) -> list[str]:
    """What is odd about the answers, data set by data set; `images` are the photographs that could be used."""
    answer = dict(zip(predictions.image_id, predictions.identity, strict=True))
    queries, gallery = images.queries, images.gallery
    sentences = []
    for name, part in sorted(pseudo.items()):
        asked = queries.image_id[queries.dataset == name]
        if len(part) and len(asked) and part.gallery_id is not None:
            answers = np.array([answer[image_id] for image_id in asked], dtype=object)
            mine = gallery.select(gallery.dataset == name)
            sentences += surprises(name, answers, _seen(part, mine, decision))
    return sentences


def _seen(part: PseudoQueries, gallery: ImageTable, decision: Decision) -> Seen:
    splits, row_of = part.splits, gallery.row_of
    asked = gallery.select(np.array([row_of[image_id] for image_id in splits.image_id], dtype=np.int64))
    answers = []
    for seen in (part.as_known, part.as_unknown):
        answers.append(decide(fuse(pairs_of(part, seen), gallery, decision), asked, decision).identity)
    nobody = np.zeros(len(part), dtype=bool)
    known = splits.is_known.any(axis=0) if len(splits.is_known) else nobody
    individuals = len(set(gallery.identity))
    return Seen(
        as_known=answers[0][known],
        as_unknown=answers[1],
        individuals_known=len(set(splits.identity[known])),
        individuals_unknown=len(set(splits.identity)),
        gallery_individuals=individuals,
        photographs_each=len(gallery) / individuals,
    )
