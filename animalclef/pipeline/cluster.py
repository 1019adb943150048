"""Cluster the photographs without a name: attach them to known individuals, and partition the rest."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from animalclef.clustering.choose_rule import count_interval, counts_of
from animalclef.clustering.constraints import NOTHING_SAID, Constraints, Forest, constrained
from animalclef.clustering.learn_rules import Evidence, LearnedRule, learn_rules
from animalclef.clustering.partition import Partitioner, attach
from animalclef.config import Config
from animalclef.data.encounters import Encounters
from animalclef.data.table import LoadedTable
from animalclef.decision.fusion import fuse
from animalclef.errors import RunError
from animalclef.pipeline.candidate_search import CandidateSearch
from animalclef.pipeline.cluster_evidence import ClusterJob, evidence_of, pools_of, used_columns, without_names
from animalclef.pipeline.features import encounters_of, extract_all_features
from animalclef.pipeline.image_contents import Contents
from animalclef.pipeline.match import match_pairs, skipped_matchers
from animalclef.pipeline.prepare_photographs import prepare_photographs
from animalclef.pipeline.run_context import RunContext, open_context
from animalclef.runtime.progress import Progress
from animalclef.store.cluster_file import write_clusters
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import ImageTable, Predictions, RankedCandidates, StrArray
from animalclef.structures.clusters import ClusterCount, Clusters, Links

__all__ = ["cluster_new_ones", "cluster_queries", "cluster_run", "cluster_unnamed", "job_of_run", "ranked_of_run"]

_SHOWN = 0.05  # probability from which a pair of two clusters is kept
_STRICT, _LOOSE = 0.85, 0.31  # probabilities at which the null model accepts 1% and 15% of strangers


def cluster_queries(
    asked: ImageTable, ranked: RankedCandidates, job: ClusterJob, constraints: Constraints = NOTHING_SAID
) -> Clusters:
    """Return the individual on every query of `asked`: known ones of the database, and new ones.

    Raises:
        DataError: a constraint names a photograph that is not there, or constraints contradict each other.
    """
    return _clustered(asked.queries, job.features.images.queries, ranked, job, constraints)


def cluster_new_ones(
    asked: ImageTable, predictions: Predictions, job: ClusterJob, constraints: Constraints = NOTHING_SAID
) -> Clusters:
    """Return the individual on every query: as it was named, and new ones grouped by individual.

    Raises:
        DataError: a constraint names a photograph that is not there, or constraints contradict each other.
    """
    answer = dict(zip(predictions.image_id, predictions.identity, strict=True))
    queries = job.features.images.queries
    new = queries.select(np.array([answer[one] is None for one in queries.image_id], dtype=bool))
    return _clustered(asked.queries, new, None, job, constraints, answer)


def cluster_unnamed(
    loaded: LoadedTable, contents: Contents, context: RunContext, constraints: Constraints = NOTHING_SAID
) -> tuple[Clusters, ClusterJob]:
    """Return the individual on every photograph of a table in which nobody has a name, and what it rests on.

    Raises:
        DataError: nothing can be read, or a constraint cannot be used.
    """
    contents, context = replace(contents, images=without_names(contents.images)), replace(context, groups_all=True)
    with context.timed("prepare"):
        contents, context = prepare_photographs(contents, context)
    with context.timed("describe"):
        features = extract_all_features(contents, context)
    encounters = contents.encounters or encounters_of(features, context.config)
    job = ClusterJob(features, encounters, CandidateSearch(features, context), None, context)
    with context.timed("cluster"):
        return _clustered(loaded.images, features.images, None, job, constraints), job


def cluster_run(
    run: FinishedRun,
    config: Config,
    constraints: Constraints = NOTHING_SAID,
    *,
    everybody: bool = True,
    device: str = "auto",
    weights: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Clusters:
    """Return the individual on every query of a run, and keep it in the run's folder.

    `config` are the run's settings with other ones for clustering. With `everybody` known individuals are attached
    anew, and all queries are grouped; without it the run's names stay, and the new ones are grouped.

    Raises:
        RunError: the run has no features of its own, or its photographs have moved.
        DataError: a constraint cannot be used.
    """
    with run.folder.claimed():
        job = job_of_run(run, config, device, weights, workers, progress)
        if job.decision is None:
            clusters = _clustered(run.images, job.features.images, None, job, constraints)
        elif everybody:
            clusters = cluster_queries(run.images, ranked_of_run(run, job), job, constraints)
        else:
            clusters = cluster_new_ones(run.images, run.predictions, job, constraints)
        write_clusters(run.folder, clusters)
    return clusters


def job_of_run(
    run: FinishedRun,
    config: Config,
    device: str = "auto",
    weights: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> ClusterJob:
    """Open a finished run's photographs, features and models again; what its stores hold is not computed.

    Of a run without names the photographs are a database in which each is an individual of its own.

    Raises:
        RunError: the run was fused from others.
    """
    if "root" not in run.settings:
        raise RunError(f"{run.path}: a run that was fused from others has no features. Give one of its parts.")
    context = open_context(config, run.folder, device, weights, workers, progress, given=run.decision)
    rows = csv.DictReader(io.StringIO(run.encounters))
    encounters = Encounters({row["image_id"]: row["encounter"] for row in rows}, ())
    images, is_named = run.images.select(run.used), bool(len(run.images.gallery))
    contents = Contents(images if is_named else without_names(images), run.skipped, encounters, run.data)
    features = extract_all_features(contents, context)
    search = CandidateSearch(features, context)
    return ClusterJob(features, encounters, search, run.decision if is_named else None, context)


def ranked_of_run(run: FinishedRun, job: ClusterJob) -> RankedCandidates:
    """Return the candidates of the run's queries with the lead of the best; after a budget without the lead."""
    if job.context.config.budget.spend is not None:
        return run.ranked
    features, context = job.features, job.context
    [shortlist] = job.search.shortlists(features.images.queries)
    scores = match_pairs(shortlist, features, context, None, skipped_matchers(run.decision, features, context))
    return fuse(scores, features.images, run.decision)


def _clustered(
    asked: ImageTable,
    images: ImageTable,
    ranked: RankedCandidates | None,
    job: ClusterJob,
    constraints: Constraints,
    answer: Mapping[str, str | None] | None = None,
) -> Clusters:
    """Cluster the usable ones among the photographs asked for; one that could not be used is nobody.

    `answer` names individuals that are settled; known individuals are attached where they are `ranked`.
    """
    constraints.check([*asked.image_id, *job.features.images.image_id])
    config, attaches = job.context.config, ranked is not None
    evidence = evidence_of(images, ranked, job) if len(images) else {}
    pools = pools_of(job, attaches=attaches) if job.decision is not None and len(images) else {}
    columns = used_columns(evidence, job)
    rules = learn_rules(evidence, pools, columns, config.cluster.given, config.seed, attaches=attaches)
    gallery = job.features.images.gallery
    of: dict[str, tuple[object, ...]] = {}
    known: dict[str, str] = {one: who for one, who in (answer or {}).items() if who is not None}
    whose = {**dict(zip(gallery.image_id, gallery.identity, strict=True)), **known} if job.decision is not None else {}
    counts: dict[str, ClusterCount] = {}
    links: list[tuple[StrArray, StrArray, NDArray[np.float64]]] = []
    key_of = dict(zip(images.image_id, images.key, strict=True))
    for name, learned in rules.items():
        ids = evidence[name].pairs.image_id
        forest = constrained(ids.tolist(), constraints, whose)
        _join_copies([key_of[one] for one in ids], forest)
        parts = _partitioner(evidence[name], learned, forest)
        numbers = parts.at(learned.rule.cut)
        who_of = {number: who for row, number in enumerate(numbers.tolist()) if (who := forest.name(row)) is not None}
        names = [who_of.get(number) for number in numbers.tolist()]
        links.append(_links(evidence[name], parts, numbers))
        of |= {one: (name, number) for one, number in zip(ids, numbers.tolist(), strict=True)}
        known |= {one: who for one, who in zip(ids, names, strict=True) if who is not None}
        counts[name] = _count(learned, parts, numbers, names)
    joined = Links(*(np.concatenate(parts) for parts in zip(*links, strict=True))) if links else Links()
    skipped = frozenset(asked.image_id) - set(job.features.images.image_id)
    taken = frozenset(map(str, whose.values()))
    return replace(_assembled(asked, of, known, counts), taken=taken, links=joined, skipped=skipped)


def _links(
    evidence: Evidence, parts: Partitioner, numbers: NDArray[np.int64]
) -> tuple[StrArray, StrArray, NDArray[np.float64]]:
    """Return the pairs of one cluster, and other ones that are probable enough to be shown."""
    pairs, probability = evidence.pairs, parts.probability
    kept = (numbers[pairs.first] == numbers[pairs.second]) | (probability >= _SHOWN)
    return pairs.image_id[pairs.first[kept]], pairs.image_id[pairs.second[kept]], probability[kept]


def _join_copies(keys: Sequence[str], forest: Forest) -> None:
    """Join exact copies of one photograph, unless a person said that they show two individuals."""
    first: dict[str, int] = {}
    for row, key in enumerate(keys):
        if forest.may_join(first.setdefault(key, row), row):
            forest.join(first[key], row)


def _partitioner(evidence: Evidence, learned: LearnedRule, forest: Forest) -> Partitioner:
    """Return the partitions at every cut, after photographs were attached to known individuals."""
    rule, known, pairs = learned.rule, evidence.known, evidence.pairs
    if rule.attach is not None:
        attach(forest, known.name, known.probability, known.lead, rule.attach, rule.margin)
    probability = learned.model.probability(pairs, evidence.nulls)
    return Partitioner(forest, pairs.first, pairs.second, probability)


def _count(
    learned: LearnedRule, parts: Partitioner, numbers: NDArray[np.int64], names: Sequence[str | None]
) -> ClusterCount:
    """Return the number of clusters with its interval, and the rule."""
    sizes = np.bincount(numbers) if len(numbers) else np.zeros(0, dtype=np.int64)
    clusters, known = len(sizes), len({who for who in names if who is not None})
    if len(learned.ratios):
        low, high = count_interval(learned.ratios, counts_of(parts, learned.rule.alike))
    else:
        high, low, _ = counts_of(parts, (_STRICT, _LOOSE)).tolist()
    return ClusterCount(
        photographs=len(numbers),
        clusters=clusters,
        singletons=int((sizes == 1).sum()),
        known=known,
        low=min(clusters, max(known, 1, math.floor(low))),  # the groups' own number is one of the estimates
        high=max(clusters, min(math.ceil(high), len(numbers))),
        rule={**asdict(learned.rule), **learned.validation},
    )


def _assembled(
    asked: ImageTable,
    of: Mapping[str, tuple[object, ...]],
    known: Mapping[str, str],
    counts: Mapping[str, ClusterCount],
) -> Clusters:
    """Number the clusters of every data set in table order."""
    number = np.zeros(len(asked), dtype=np.int64)
    individual = np.full(len(asked), None, dtype=object)
    seen: dict[str, dict[object, int]] = {}
    for row, (image_id, dataset) in enumerate(zip(asked.image_id, asked.dataset, strict=True)):
        individual[row] = known.get(image_id)
        key: object = ("known", known[image_id]) if image_id in known else of.get(image_id, ("alone", image_id))
        numbers = seen.setdefault(dataset, {})
        number[row] = numbers.setdefault(key, len(numbers))
    return Clusters(asked.image_id, asked.dataset, number, individual, counts)
