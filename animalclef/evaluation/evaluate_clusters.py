"""Score clusters against a truth file: after every choice has been made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from animalclef.data.submission import Truth, read_cluster_submission
from animalclef.data.table_file import read_table
from animalclef.errors import RunError, SubmissionError
from animalclef.evaluation.evaluate import truth_of_file, truth_of_run
from animalclef.metrics.clustering_metrics import ClusterScores, score_datasets
from animalclef.runtime.wording import counted
from animalclef.store.cluster_file import read_clusters
from animalclef.store.finished_run import FinishedRun

__all__ = ["holds_clusters", "score_cluster_file", "score_clusters_of_run"]


def holds_clusters(path: Path) -> bool:
    """Return whether a submission is one of a clustering task: it has the column cluster.

    Raises:
        DataError: the file is absent or empty, or no CSV.
    """
    return "cluster" in read_table(path).columns


def score_cluster_file(truth_path: Path, submission_path: Path, *, merge_case: bool = True) -> ClusterScores:
    """Compare the clusters of a file (image_id, cluster) with the truth; the competition's score is the mean ARI.

    Raises:
        SubmissionError: a file is not right, or a photograph of the truth has no cluster.
    """
    truth, labels = truth_of_file(truth_path, merge_case=merge_case), read_cluster_submission(submission_path)
    return _scored(truth, labels, f"{submission_path}", f"{truth_path}")


def score_clusters_of_run(run: FinishedRun, truth_path: Path) -> ClusterScores | None:
    """Compare the clusters that a run keeps with the truth; `None` where it keeps none.

    A photograph that was skipped does not count, unless a person named it.

    Raises:
        DataError: the truth is of other data.
        RunError: the run's clusters are damaged.
    """
    clusters = read_clusters(run)
    if clusters is None:
        return None
    labels = dict(zip(clusters.image_id, clusters.label, strict=True))
    left_out = [one for one, who in zip(clusters.image_id, clusters.name, strict=True) if who is None]
    truth = truth_of_run(run, truth_path)
    used = ~np.isin(truth.image_id.astype(str), left_out)
    truth = Truth(truth.image_id[used], truth.identity[used], truth.dataset[used], truth.known[used])
    try:
        return _scored(truth, labels, f"{run.folder.clusters}", f"{truth_path}")
    except SubmissionError as error:
        raise RunError(str(error)) from error


def _scored(truth: Truth, labels: Mapping[str, str], submission: str, truth_file: str) -> ClusterScores:
    if not len(truth.image_id):
        raise SubmissionError(f"{truth_file}: no rows; expected one for every photograph.")
    missing = [image_id for image_id in truth.image_id if image_id not in labels]
    if missing:
        raise SubmissionError(
            f"{submission}: no cluster for {counted(len(missing), 'photograph')} of {truth_file} (first: {missing[0]})."
        )
    return score_datasets(
        truth.identity, np.array([labels[one] for one in truth.image_id], dtype=object), truth.dataset
    )
