"""Clusters of a finished run's queries beside baselines on the same probabilities and on the same embedding.

    python benchmarks/clusters.py RUN TRUTH_CSV [--set cluster.neighbours=50 ...]

`ours` is what `animalclef cluster --run RUN` makes, chosen without the truth. `starter` is that of the competition:
DBSCAN with min_samples 2 on 1 - p, or on 1 - cosine, each outlier alone, at its four published distances and at the
oracle's. `average linkage` is taken at the oracle's cut, and at the cut that gives the true number of individuals. The
oracles see the truth; nothing in the package reads this. Pairs that the run has not matched yet are matched, so give it
a copy.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from animalclef.clustering.constraints import NOTHING_SAID, Forest
from animalclef.clustering.learn_rules import learn_rules
from animalclef.clustering.partition import Partitioner
from animalclef.config import load_config
from animalclef.evaluation.evaluate import truth_of_run
from animalclef.metrics.clustering_metrics import ClusterScore, score_clusters
from animalclef.pipeline.cluster import cluster_queries, job_of_run, ranked_of_run
from animalclef.pipeline.cluster_evidence import evidence_of, pools_of, used_columns
from animalclef.runtime.progress import Silent
from animalclef.store.finished_run import load_run

STARTER = (0.2, 0.24, 0.3, 0.4)
FINE = np.round(np.linspace(0.01, 0.99, 99), 2)

Floats = NDArray[np.float64]


def main() -> None:
    """Print one line for each data set and way of clustering."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    run = load_run(arguments.run)
    config = load_config(None, arguments.assignments, None, base=run.config)
    job = job_of_run(run, config, workers=os.cpu_count() or 1, progress=Silent())
    ranked = ranked_of_run(run, job)
    start, before = time.perf_counter(), sum(map(len, job.context.logs))
    clusters = cluster_queries(run.images, ranked, job, NOTHING_SAID)
    matched = sum(map(len, job.context.logs)) - before
    print(f"clustered in {time.perf_counter() - start:.0f} s; {matched:,} pairs were not in the log")
    queries = job.features.images.queries
    evidence, pools = evidence_of(queries, ranked, job), pools_of(job, attaches=True)
    rules = learn_rules(evidence, pools, used_columns(evidence, job), config.cluster.given, config.seed, attaches=True)
    truth = truth_of_run(run, arguments.truth)
    who_of = dict(zip(truth.image_id, truth.identity, strict=True))
    label_of = dict(zip(clusters.image_id, clusters.label, strict=True))
    print(f"{'data set':18}{'way':36}{'ARI':>7}{'AMI':>7}{'prec.':>7}{'recall':>7}{'clusters':>9}{'true':>6}")
    for name, one in evidence.items():
        ids = one.pairs.image_id.tolist()
        who = np.array([who_of[image_id] for image_id in ids])
        show(name, "ours", score_clusters(who, np.array([label_of[image_id] for image_id in ids])))
        count = clusters.counts[name]
        print(f"{'':18}  rule {count.rule}, {count.clusters} clusters [{count.low}, {count.high}]")
        p = rules[name].model.probability(one.pairs, one.nulls)
        distance = np.ones((len(ids), len(ids)))
        distance[one.pairs.first, one.pairs.second] = distance[one.pairs.second, one.pairs.first] = 1 - p
        vectors = job.features.embeddings.of(one.pairs.image_id)
        linkage = Partitioner(Forest(len(ids)), one.pairs.first, one.pairs.second, p)
        ways = {f"average linkage, cut {cut}": linkage.at(cut) for cut in FINE.tolist()}
        best(name, "average linkage, oracle's cut", who, ways)
        nearest = min(FINE.tolist(), key=lambda cut: abs(len(set(linkage.at(cut).tolist())) - len(set(who))))
        show(name, "average linkage, true number", score_clusters(who, linkage.at(nearest)))
        for what, table in (("p", distance), ("cosine", np.clip(1 - vectors @ vectors.T, 0, 2).astype(float))):
            starters = {f"starter on {what}, {eps}": dbscan(table, eps) for eps in STARTER}
            mean = np.mean([score_clusters(who, labels).ari for labels in starters.values()])
            print(f"{name:18}{f'starter on {what}, mean of four':36}{mean:7.3f}")
            best(name, f"starter on {what}, best of four", who, starters)
            best(name, f"starter on {what}, oracle", who, {str(eps): dbscan(table, eps) for eps in FINE.tolist()})


def dbscan(distance: Floats, eps: float) -> NDArray[np.int64]:
    """Return the clusters of the competition's starter: outliers are alone."""
    np.fill_diagonal(distance, 0)
    labels = DBSCAN(eps=eps, min_samples=2, metric="precomputed").fit_predict(distance)
    return np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)


def best(name: str, way: str, who: NDArray[np.str_], ways: dict[str, NDArray[np.int64]]) -> None:
    """Print the way with the best ARI."""
    scores = {key: score_clusters(who, labels) for key, labels in ways.items()}
    key = max(scores, key=lambda one: scores[one].ari)
    show(name, f"{way} ({key.rpartition(' ')[2]})", scores[key])


def show(name: str, way: str, score: ClusterScore) -> None:
    """Print one line."""
    figures = "".join(f"{value:7.3f}" for value in (score.ari, score.ami, score.precision, score.recall))
    print(f"{name:18}{way:36}{figures}{score.clusters:9}{score.individuals:6}")


if __name__ == "__main__":
    main()
