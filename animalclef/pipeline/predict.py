"""Predict: from a table of photographs to an answer for every query, in five steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from animalclef.clustering.constraints import NOTHING_SAID, Constraints
from animalclef.data.encounters import Encounters
from animalclef.data.hashing import equal_queries, two_names
from animalclef.data.table import LoadedTable
from animalclef.decision.decide import decide
from animalclef.decision.decision_model import Decision
from animalclef.decision.fusion import fuse
from animalclef.decision.reviewed_answers import apply_reviewed
from animalclef.decision.sanity_checks import sanity_warnings
from animalclef.decision.strangers import confidence_sentences
from animalclef.decision.transfer import prior_decision
from animalclef.errors import ConfigError, DataError
from animalclef.pipeline.budget import Spent, settle_budget, spent_on
from animalclef.pipeline.candidate_search import ranks_of_sources
from animalclef.pipeline.cluster import cluster_new_ones, cluster_queries, cluster_unnamed
from animalclef.pipeline.cluster_evidence import ClusterJob
from animalclef.pipeline.decide import tune_decision
from animalclef.pipeline.features import FeatureSet, extract_all_features
from animalclef.pipeline.image_contents import Contents, gallery_digest
from animalclef.pipeline.match import match_pairs, skipped_matchers
from animalclef.pipeline.preparation_table import preparation_of
from animalclef.pipeline.prepare_photographs import prepare_photographs
from animalclef.pipeline.run_context import RunContext
from animalclef.pipeline.shortlists import Shortlists, make_shortlists
from animalclef.runtime.atomic_files import write_text
from animalclef.runtime.digests import with_digests
from animalclef.runtime.remote_files import address_of
from animalclef.store.cluster_file import write_clusters
from animalclef.store.pseudo_query_file import read_pseudo_queries
from animalclef.structures import (
    ImageTable,
    PairScores,
    Predictions,
    RankedCandidates,
    ReviewedPairs,
    Shortlist,
    Skipped,
)
from animalclef.structures.arrays import rows_in
from animalclef.structures.clusters import Clusters

__all__ = ["Outcome", "group_unnamed", "identify", "predict"]

_FEW_PAIRS = 1000  # a smaller plain number was probably meant as minutes


@dataclass(frozen=True, eq=False)
class Outcome:
    """The answers of a run, and what they rest on."""

    predictions: Predictions
    ranked: RankedCandidates
    decision: Decision
    set_aside: list[Skipped]
    seconds: dict[str, float]
    weights: str | None  # digest of the embedding network's weights, None without one
    device: str | None  # None where the outcome was read from a run folder, which holds neither this nor the weights
    matcher_weights: str | None = None  # digest of the matching network's weights
    warnings: tuple[str, ...] = ()  # answers that are far from what validation saw
    data_warnings: tuple[str, ...] = ()  # what is odd in the data; printed already
    reviewed: ReviewedPairs = field(default_factory=ReviewedPairs)  # what people answered, as it was used
    clusters: Clusters | None = None  # the individual on every query; None where new ones were not grouped
    spent: Spent | None = None  # pairs that a budget let be matched; None without one


def predict(
    loaded: LoadedTable,
    contents: Contents,
    context: RunContext,
    constraints: Constraints = NOTHING_SAID,
    *,
    everybody: bool = False,
) -> Outcome:
    """Answer every query, and keep everything in the run folder; with a decision given nothing is tuned.

    A clustering task, or a call for `everybody`, groups all queries by individual; else the new ones are grouped.
    `constraints` are what people said of pairs: without them, what the context says.

    Raises:
        DataError: no gallery photograph has an identity, or constraints contradict each other.
        ConfigError: a budget is set, and all queries are to be grouped.
    """
    made_by = "cluster" if everybody else "predict"
    everybody = everybody or loaded.is_clustering
    if everybody and context.config.budget.spend is not None:
        raise ConfigError("budget.spend: grouping all queries matches them with each other. Leave the budget out.")
    if (pairs := context.config.budget.pairs) is not None and pairs < _FEW_PAIRS:
        context.warn(f"A budget of {pairs} means pairs of photographs, and that is very few. For minutes: {pairs}min.")
    for sentence in [] if context.given is None else confidence_sentences(context.given):
        context.warn(sentence)
    outcome, shortlists, context = identify(loaded, contents, replace(context, groups_all=everybody))
    if constraints is NOTHING_SAID:
        there = {*loaded.images.queries.image_id, *shortlists.features.images.image_id}
        constraints = _constraints(outcome.reviewed, outcome.predictions, there, everybody=everybody)
    outcome = replace(
        outcome, clusters=_clusters(outcome, loaded, shortlists, context, constraints, everybody=everybody)
    )
    lists = {**shortlists.by_source, "shortlist": shortlists.queries}
    _write_run(outcome, loaded, shortlists.features, shortlists.encounters, lists, context, made_by)
    return outcome


def group_unnamed(
    loaded: LoadedTable, contents: Contents, context: RunContext, constraints: Constraints = NOTHING_SAID
) -> Clusters:
    """Group the photographs of a table in which nobody has a name, and keep everything in the run folder.

    The run that is written has all of them as queries without candidates, each answered as new.

    Raises:
        DataError: nothing can be read, or a constraint cannot be used.
    """
    clusters, job = cluster_unnamed(loaded, contents, context, constraints)
    features, context = job.features, job.context
    asked = loaded.images.with_columns(is_query=np.ones(len(loaded.images), dtype=bool))
    nobody = np.zeros(0, dtype=object)
    ranked = RankedCandidates(nobody, nobody, nobody, nobody, np.zeros(0))
    decision = Decision(
        scores=context.scores_id, gallery="", seed=context.config.seed, datasets={}, pooled=prior_decision([]),
        preparation=preparation_of(context.config),
    )  # fmt: skip
    answers = Predictions(asked.image_id, np.full(len(asked), None, dtype=object), np.zeros(len(asked)))
    outcome = Outcome(
        answers, ranked, decision, features.set_aside, context.seconds, weights=None, device="cpu", clusters=clusters
    )
    _write_run(outcome, replace(loaded, images=asked), features, job.encounters, {}, context, "cluster")
    return clusters


def identify(loaded: LoadedTable, contents: Contents, context: RunContext) -> tuple[Outcome, Shortlists, RunContext]:
    """Answer every query without writing results; return the answers, and the context with what was chosen.

    Raises:
        DataError: no gallery photograph has an identity.
    """
    if not len(loaded.images.gallery):
        where = loaded.source.table or loaded.source.root
        raise DataError(
            f"{where}: no database rows with an identity, so nobody can be recognised. "
            "`animalclef cluster` groups photographs without names."
        )
    if context.given is not None:
        context.given.check(context.scores_id, loaded.images.gallery.datasets)
    said = () if context.reviewed is None else context.reviewed.warnings
    context.warnings.extend((*two_names(contents.images), *said))  # logged where the files and the review were read
    for sentence in equal_queries(contents.images):
        context.warn(sentence)
    with context.timed("prepare"):
        contents, context = prepare_photographs(contents, context)
    with context.timed("describe"):
        features = extract_all_features(contents, context)
    _warn_about_data(loaded.images, features, context)
    with context.timed("match"):
        shortlists = make_shortlists(features, context, contents.encounters)
        allowance = settle_budget(shortlists, context)
    decision = context.given or tune_decision(shortlists, allowance, context)
    with context.timed("match"):
        skipped = skipped_matchers(decision, features, context) if allowance is None else {}
        scores = match_pairs(shortlists.queries, features, context, allowance, skipped)
    return _answer(scores, decision, loaded, features, context), shortlists, context


def _clusters(
    outcome: Outcome, loaded: LoadedTable, shortlists: Shortlists, context: RunContext, constraints: Constraints, *,
    everybody: bool,
) -> Clusters | None:  # fmt: skip
    """Return who the new ones are to each other, or the individual on every query."""
    job = ClusterJob(shortlists.features, shortlists.encounters, shortlists.search, outcome.decision, context)
    with context.timed("cluster"):
        if everybody:
            return cluster_queries(loaded.images, outcome.ranked, job, constraints)
        if not context.config.cluster.new_ones or context.config.budget.spend is not None:
            return None
        return cluster_new_ones(loaded.images, outcome.predictions, job, constraints)


def _answer(
    scores: PairScores, decision: Decision, loaded: LoadedTable, features: FeatureSet, context: RunContext
) -> Outcome:
    """Rank the candidates of every query and name its individual."""
    ranked = fuse(scores, features.images, decision)
    predictions = decide(ranked, loaded.images.queries, decision)
    reviewed = context.reviewed or ReviewedPairs()
    predictions = apply_reviewed(predictions, ranked, loaded.images, decision, reviewed)
    pseudo = {}
    if context.given is None:
        context.folder.finished.unlink(missing_ok=True)  # an earlier answer; the pseudo-queries are already this one's
        pseudo = read_pseudo_queries(context.folder)
    network = context.models.network
    return Outcome(
        predictions, ranked, decision, features.set_aside, context.seconds,
        weights=None if network is None else network.digest,
        matcher_weights=next(iter(map(str, context.models.made_by)), None),
        device="cpu" if network is None else network.device,
        warnings=tuple(sanity_warnings(predictions, features.images, pseudo, decision)),
        data_warnings=(*map(str, loaded.problems), *context.warnings),
        reviewed=reviewed, spent=spent_on(scores, pseudo, context),
    )  # fmt: skip


def _constraints(reviewed: ReviewedPairs, predictions: Predictions, there: set[str], *, everybody: bool) -> Constraints:
    """Return what people said of pairs; where new ones alone are grouped, pairs with a named one are settled.

    Database photographs that can no longer be decoded are not `there`.
    """
    answers = zip(predictions.image_id, predictions.identity, strict=True)
    new = {one for one, who in answers if who is None}
    wanted = there if everybody else there & new
    same, different = (
        [pair for pair in pairs if wanted.issuperset(pair)] for pairs in (reviewed.same, reviewed.different)
    )
    return Constraints(same, different)


def _write_run(
    outcome: Outcome, loaded: LoadedTable, features: FeatureSet, encounters: Encounters,
    lists: Mapping[str, Shortlist], context: RunContext, made_by: str,
) -> None:  # fmt: skip
    """Write what later commands read; `finished.json` last."""
    folder = context.folder
    folder.finished.unlink(missing_ok=True)
    folder.sources.unlink(missing_ok=True)  # of an earlier run; without names there are none
    if lists:
        folder.write_sources(ranks_of_sources(lists, features.images))
    folder.write_set_aside(features.set_aside)
    folder.write_encounters(encounters)
    write_text(folder.decision, outcome.decision.text)
    folder.write_table(_as_prepared(loaded.images, features.images), features.by_content())
    folder.write_order(loaded.submission_id)
    folder.write_candidates(outcome.ranked)
    folder.write_answers(outcome.predictions)
    write_clusters(folder, outcome.clusters)
    counts = {"photographs": len(features.images), "query pairs": len(outcome.ranked)}
    if outcome.spent is not None:
        counts["query pairs matched"] = outcome.spent.query_pairs_matched
    folder.write_timings(context.seconds, counts | {"pairs in the log": sum(map(len, context.logs))})
    settings = {"scores": context.scores_id, "data": features.digest, "config": context.config.model_dump(mode="json")}
    root = loaded.source.root.resolve()
    settings |= {"made_by": made_by, "root": str(root)}
    if (address := address_of(root)) != str(root):
        settings["address"] = address  # of a bucket: readers on other machines find the photographs by it
    if loaded.is_clustering:
        settings["task"] = "clustering"
    if context.reviewed is not None:
        settings["reviewed"] = outcome.reviewed.digest
    if features.local.extractor:
        settings["keypoints"] = features.local.stores[""].folder.relative_to(folder.path).as_posix()
    write_text(folder.finished, json.dumps(with_digests(settings, folder.path), indent=1) + "\n")


def _as_prepared(asked: ImageTable, images: ImageTable) -> ImageTable:
    """Return all rows that were asked for, with the boxes and masks of those that were used."""
    rows = rows_in(asked.image_id, images.image_id)
    boxes = asked.bbox_xywhr.copy()
    boxes[rows] = images.bbox_xywhr
    masks = np.full(len(asked), "", dtype=object) if asked.mask is None else asked.mask.copy()
    masks[rows] = "" if images.mask is None else images.mask
    return replace(asked, bbox_xywhr=boxes, mask=masks if (masks != "").any() else None)


def _warn_about_data(asked: ImageTable, features: FeatureSet, context: RunContext) -> None:
    """Warn of data that cannot be answered, or not as well as they could be."""
    images, given, in_catalogue = features.images, context.given, context.fitted_on is not None
    if not len(asked.queries) and not in_catalogue:
        context.warn("There are no queries; the submission has a header and no rows.")
    for name in sorted(set(asked.queries.datasets) - set(images.gallery.datasets)):
        count = int((asked.queries.dataset == name).sum())
        context.warn(
            f"{name}: no usable database photograph with an identity; its queries ({count}) are all answered as new."
        )
    fits = given is None or context.models.network is not None or in_catalogue  # a catalogue keeps both, as it grows
    if given is not None and not fits and given.gallery != gallery_digest(images):
        context.warn(
            "The decision was fitted on another gallery, and so was its weight-free embedding. Tune a new one at times."
        )
    known = set(given.datasets) if given is not None else set(images.gallery.datasets)
    for name in sorted(set(images.queries.datasets) & set(images.gallery.datasets) - known):
        context.warn(
            f"{name}: the decision was made on {', '.join(sorted(known)) or 'none'} and has no settings for this data "
            f"set; its queries are answered by the pooled ones. Leave the decision out to tune one on {name}. If these "
            "are the same animals, give the data set the same name (rename its folder, or set the column dataset)."
        )
