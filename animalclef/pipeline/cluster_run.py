"""Cluster the queries of a finished run: its features, shortlists and matched pairs are used again."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from animalclef.clustering.constraints import NOTHING_SAID, Constraints
from animalclef.config import Config
from animalclef.data.encounters import Encounters
from animalclef.decision.fusion import fuse
from animalclef.errors import RunError
from animalclef.pipeline.candidate_search import CandidateSearch
from animalclef.pipeline.cluster import cluster_new_ones, cluster_queries
from animalclef.pipeline.cluster_evidence import ClusterJob
from animalclef.pipeline.features import extract_all_features
from animalclef.pipeline.image_contents import Contents
from animalclef.pipeline.match import match_pairs, skipped_matchers
from animalclef.pipeline.run_context import open_context
from animalclef.runtime.progress import Progress
from animalclef.store.cluster_file import write_clusters
from animalclef.store.finished_run import FinishedRun
from animalclef.structures import RankedCandidates
from animalclef.structures.clusters import Clusters

__all__ = ["cluster_run", "job_of_run", "ranked_of_run"]


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
        if everybody:
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

    Raises:
        RunError: the run was fused from others.
    """
    if "root" not in run.settings:
        raise RunError(f"{run.path}: a run that was fused from others has no features. Give one of its parts.")
    context = open_context(config, run.folder, device, weights, workers, progress, given=run.decision)
    rows = csv.DictReader(io.StringIO(run.encounters))
    encounters = Encounters({row["image_id"]: row["encounter"] for row in rows}, ())
    contents = Contents(run.images.select(run.used), run.skipped, encounters, run.data)
    features = extract_all_features(contents, context)
    return ClusterJob(features, encounters, CandidateSearch(features, context), run.decision, context)


def ranked_of_run(run: FinishedRun, job: ClusterJob) -> RankedCandidates:
    """Return the candidates of the run's queries with the lead of the best; after a budget without the lead."""
    if job.context.config.budget.spend is not None:
        return run.ranked
    features, context = job.features, job.context
    [shortlist] = job.search.shortlists(features.images.queries)
    scores = match_pairs(shortlist, features, context, None, skipped_matchers(run.decision, features, context))
    return fuse(scores, features.images, run.decision)
