"""The compact LightGlue as re-ranker beside verified mutual nearest neighbours, on database photographs alone.

    python benchmarks/compact_matcher.py --data DIR --work DIR --weights FILE.safetensors --seeds 0 1 2

Pseudo-queries are drawn from the database as `predict` draws them, one split of the database per seed; each sees its
shortlist without its own encounter. Both matchers score the same pairs of the same features. Pairs are kept in
`--work`, so that an interrupted run goes on. Printed per data set and score: rank-1 of pseudo-queries whose individual
is in the shortlist or not (a missed shortlist counts as wrong), and the best open-set score over thresholds.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kornia.feature.lightglue import filter_matches
from rich.console import Console

from animalclef.cli.printing import RichProgress
from animalclef.config import Config, load_config
from animalclef.data.pseudo_query import PseudoQueries, choose_pseudo_queries, open_set_splits
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.decision.pseudo_query_scores import lay_out
from animalclef.matching.lightglue.loading import LightGlueConfig, load_lightglue, network_inputs
from animalclef.matching.nearest_neighbour import MutualNearest, agreeing
from animalclef.metrics.threshold_sweep import Answers, Roles, midpoints, sweep
from animalclef.pipeline.features import FeatureSet, encounters_of, extract_all_features
from animalclef.pipeline.image_contents import read_contents
from animalclef.pipeline.run_context import open_context
from animalclef.retrieval.knn import retrieve
from animalclef.store.run_folder import RunFolder
from animalclef.structures import LocalFeatures, PairScores, Shortlist
from animalclef.training.matcher.lightglue_training import Batch, forward

LEVELS = (0.01, 0.05, 0.1, 0.2)  # matches are verified from each of these confidences on
COLUMNS = (
    "matches", "inliers", "inlier_weight", "lg_matches", "lg_confidence",
    *(f"lg_inliers_{level}" for level in LEVELS), *(f"lg_verified_{level}" for level in LEVELS),
)  # fmt: skip


def main() -> None:
    """Describe, match, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pseudo-queries", type=int, default=120)
    parser.add_argument("--top-k", type=int, default=60)
    parser.add_argument("--datasets", nargs="*")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = [f"decide.pseudo_queries={arguments.pseudo_queries}", f"retrieve.top_k={arguments.top_k}"]
    config = load_config(None, shape)
    described = extract_features(arguments.data, arguments.work, config)
    part = "-".join(arguments.datasets or ["all"])
    matcher = Both(arguments.weights, arguments.work, part, described, config)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in arguments.seeds:
        for name, pseudo in laid_out(described, config, seed, matcher, arguments.datasets).items():
            for column, figures in measured(pseudo).items():
                found.setdefault((name, column), []).append(figures)
        show(found)


def extract_features(data: Path, work: Path, config: Config) -> FeatureSet:
    """Every photograph of a data set, described in a run folder."""
    loaded = load_table(find_source(data))
    progress = RichProgress(Console())
    contents = read_contents(loaded, config, 1, progress)
    folder = RunFolder(work)
    with folder.claimed():
        folder.open(overwrite=False)
        return extract_all_features(contents, open_context(config, folder, "cpu", progress=progress))


def laid_out(
    described: FeatureSet, config: Config, seed: int, matcher: Both, only: Sequence[str] | None
) -> dict[str, PseudoQueries]:
    """Pseudo-queries of one split of the database, every pair of their shortlists scored by both matchers."""
    gallery, encounters = described.images.gallery, encounters_of(described, config)
    laid = {}
    for name in only or gallery.datasets:
        table = gallery.select(gallery.dataset == name)
        pseudo = choose_pseudo_queries(table, encounters.of, config.decide, seed)
        splits = open_set_splits(pseudo, table, encounters.of, config.decide, seed)
        hidden, _ = encounters.hidden_from(pseudo, table)
        shortlist = retrieve(pseudo, table, described.embeddings, config.retrieve, hidden)
        laid[name] = lay_out(matcher.score(shortlist), gallery, splits, config.retrieve.top_k)
    return laid


class Both:
    """Scores pairs with both matchers, and remembers them."""

    def __init__(self, weights: Path, work: Path, part: str, described: FeatureSet, config: Config) -> None:
        model = load_lightglue(weights, "sift")
        self.network, self.config = model.network.eval(), model.config
        self.described, self.nearest, self.rerank = described, MutualNearest(config.rerank), config.rerank
        self.key_of = dict(zip(described.images.image_id, described.images.key, strict=True))
        self.features: dict[str, LocalFeatures] = {}
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
        self.path = work / f"both-{digest}-{part}.npz"
        self.known: dict[str, np.ndarray[Any, Any]] = {}
        if self.path.is_file():
            stored = np.load(self.path)
            self.known = dict(zip(stored["pair"].tolist(), stored["scores"], strict=True))

    def score(self, shortlist: Shortlist) -> PairScores:
        """Every pair of a shortlist."""
        query_id, gallery_id, similarity, rows = [], [], [], []
        with RichProgress(Console()).task("matching", len(shortlist.query_id), "queries") as advance:
            for query, index, values in zip(shortlist.query_id, shortlist.index, shortlist.similarity, strict=True):
                kept = index >= 0
                candidates = shortlist.gallery_id[index[kept]]
                rows.append(self._scores(self.key_of[query], [self.key_of[one] for one in candidates]))
                query_id += [query] * len(candidates)
                gallery_id += candidates.tolist()
                similarity.append(values[kept])
                advance(1)
        pairs = list(self.known)
        np.savez(self.path, pair=np.array(pairs), scores=np.stack([self.known[pair] for pair in pairs]))
        whole = np.concatenate(rows)
        columns = {name: whole[:, place] for place, name in enumerate(COLUMNS)}
        columns["similarity"] = np.concatenate(similarity)
        return PairScores(np.array(query_id, dtype=object), np.array(gallery_id, dtype=object), columns)

    def _scores(self, query: str, candidates: Sequence[str]) -> np.ndarray[Any, Any]:
        names = ["|".join(sorted((query, one))) for one in candidates]
        new = [row for row, name in enumerate(names) if name not in self.known]
        for start in range(0, len(new), 1):
            part = new[start : start + 1]
            theirs = [self._features(candidates[row]) for row in part]
            mine = self._features(query)
            nearest = self.nearest.match(mine, theirs)
            network = self._network(mine, theirs)
            for row, near, far in zip(part, nearest, network, strict=True):
                self.known[names[row]] = np.concatenate([near, far]).astype(np.float32)
        return np.stack([self.known[name] for name in names]) if names else np.zeros((0, len(COLUMNS)), np.float32)

    def _features(self, key: str) -> LocalFeatures:
        if key not in self.features:
            self.features[key] = self.described.local(key)
        return self.features[key]

    def _network(self, mine: LocalFeatures, theirs: Sequence[LocalFeatures]) -> list[np.ndarray[Any, Any]]:
        """Counts of one image against some others."""
        scores = [np.zeros(2 + 2 * len(LEVELS), dtype=np.float32)] * len(theirs)
        filled = [place for place, one in enumerate(theirs) if len(one)]
        if not len(mine) or not filled:
            return scores
        others = [theirs[place] for place in filled]
        first, second = (padded(images, self.config) for images in ([mine] * len(others), others))
        pairs = [(a, b) for a, b in zip(first, second, strict=True)]
        nothing = torch.zeros(0)
        with torch.inference_mode():
            batch = Batch(pairs[0], pairs[1], pairs[2], (nothing, nothing), ())
            assignment = forward(self.network, batch, last_only=True).log_assignments[-1]
            partner, _, confidence, _ = filter_matches(assignment, LEVELS[0])
        for row, (place, other) in enumerate(zip(filled, others, strict=True)):
            partners = partner[row].numpy()[: len(mine)]
            rows = np.flatnonzero((partners >= 0) & (partners < len(other)))
            scores[place] = self._counts(mine, other, rows, partners[rows], confidence[row].numpy()[rows])
        return scores

    def _counts(
        self, mine: LocalFeatures, other: LocalFeatures, rows: Any, columns: Any, confidence: Any
    ) -> np.ndarray[Any, Any]:
        from_xy, to_xy, goal = mine.keypoints_xy[rows], other.keypoints_xy[columns], other
        if other.key < mine.key:  # the geometric check always runs the same way
            from_xy, to_xy, goal = to_xy, from_xy, mine
        tolerance_px = self.rerank.tolerance * max(goal.image_size_wh)
        counted, weighed = [], []
        for level in LEVELS:
            sure = confidence >= level
            inlier = agreeing(from_xy[sure], to_xy[sure], tolerance_px)
            counted.append(inlier.sum())
            weighed.append(confidence[sure][inlier].sum())
        likely = confidence >= 0.1
        return np.array([likely.sum(), confidence[likely].sum(), *counted, *weighed], dtype=np.float32)


def padded(images: Sequence[LocalFeatures], shape: LightGlueConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Descriptors, places as the network reads them, and masks of some images."""
    inputs = [network_inputs(one, shape) for one in images]
    most = max(len(one) for one in images)
    descriptors = np.zeros((len(images), most, shape.input_dim), np.float32)
    places = np.zeros((len(images), most, inputs[0][0].shape[1]), np.float32)
    mask = np.zeros((len(images), most), dtype=bool)
    for row, (points, described) in enumerate(inputs):
        places[row, : len(points)], descriptors[row, : len(points)] = points, described
        mask[row, : len(points)] = True
    return torch.from_numpy(descriptors), torch.from_numpy(places), torch.from_numpy(mask)


def measured(pseudo: PseudoQueries) -> dict[str, tuple[float, float]]:
    """Rank-1 over pseudo-queries with another encounter in the gallery, and the best open-set score, per column."""
    findable = pseudo.splits.is_known.any(axis=0)
    figures = {}
    together = {f"inliers + {name}": pseudo.columns["inliers"] + pseudo.columns[name]
                for name in ("lg_inliers_0.05", "lg_inliers_0.1") if name in pseudo.columns}  # fmt: skip
    for name, values in {**pseudo.columns, **together}.items():
        seen = np.where(np.isnan(values), -np.inf, values)
        order = np.lexsort((-np.nan_to_num(pseudo.columns["similarity"], nan=-9), -seen), axis=1)[:, 0]
        right = pseudo.same[np.arange(len(seen)), order] & np.isfinite(seen.max(axis=1))
        value = seen + 1e-6 * np.nan_to_num(pseudo.columns["similarity"], nan=0)
        known, unknown = (np.where(role, value, -np.inf).max(axis=1) for role in (pseudo.as_known, pseudo.as_unknown))
        answers = Answers(known, right, unknown)
        swept = sweep(answers, Roles.of(pseudo.splits), midpoints([answers])) if pseudo.can_be_scored else None
        best = 0.0 if swept is None else swept.score.max()
        figures[name] = (float(right[findable].mean()) if findable.any() else float("nan"), float(best))
    return figures


def show(found: dict[tuple[str, str], list[tuple[float, float]]]) -> None:
    """Means over seeds, and each seed's rank-1."""
    for (name, column), figures in sorted(found.items()):
        rank, score = np.array(figures).T
        each = " ".join(f"{value:.3f}" for value in rank)
        print(f"{name:14} {column:25} rank-1 {rank.mean():.3f} ({each})  open-set {score.mean():.3f}", flush=True)
    print(flush=True)


if __name__ == "__main__":
    main()
