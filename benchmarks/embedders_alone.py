"""Embedders beside each other, alone and added, as stage one on database photographs.

    python benchmarks/embedders_alone.py --data DIR --run DIR --embedder vlad=rootsift-vlad \
        --embedder lite=embedder-lite --seeds 0 1 2

Pseudo-queries and open-set splits of the database are drawn as `predict` draws them, one draw per seed; each sees the
gallery of its data set without its own encounter. Printed per data set: rank-1 of the pseudo-queries that can be found,
and the best open-set score over thresholds on the similarity. Two embedders are added as well: the weighted mean of
their cosines (PCA-whitened ones and a network's have other spreads, so three weights are shown). No truth is read.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from compact_matcher import measured, show
from rich.console import Console

from animalclef.cli.printing import RichProgress
from animalclef.config import Config, load_config
from animalclef.data.encounters import Encounters
from animalclef.data.pseudo_query import choose_pseudo_queries, open_set_splits
from animalclef.data.sources import find_source
from animalclef.data.table import LoadedTable, load_table
from animalclef.decision.pseudo_query_scores import lay_out
from animalclef.pipeline.embed_only import Embedding
from animalclef.pipeline.features import FeatureSet, encounters_of
from animalclef.retrieval.knn import retrieve
from animalclef.structures import Embeddings, PairScores, Shortlist

WEIGHTS = (0.25, 0.5, 0.75)  # of the first of two


def main() -> None:
    """Embed, look for pseudo-queries, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder that keeps the embeddings")
    parser.add_argument("--embedder", action="append", required=True, metavar="NAME=MODEL")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    loaded = load_table(find_source(arguments.data))
    made = {}
    for one in arguments.embedder:
        name, _, model = one.partition("=")
        config = load_config(None, [f"embed.model={model}", "retrieve.top_k=2000"])
        made[name] = extract_features(loaded, config, arguments.run, arguments.workers)
    described = next(iter(made.values()))
    encounters = encounters_of(described, config)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in arguments.seeds:
        for name, embeddings in together({name: one.embeddings for name, one in made.items()}).items():
            for dataset, figures in figures_of(described, encounters, embeddings, config, seed).items():
                found.setdefault((dataset, name), []).append(figures)
    show(found)


def extract_features(loaded: LoadedTable, config: Config, run: Path, workers: int) -> FeatureSet:
    """The named database photographs, embedded."""
    return Embedding(config, "cpu", workers, RichProgress(Console()), run=run).extract_features(loaded, queries=False)


def together(made: dict[str, Embeddings]) -> dict[str, Embeddings]:
    """Each embedding, and the first with each other by their weighted mean cosine."""
    first, *others = made
    parts = dict(made)
    for other in others:
        theirs = made[other].of(made[first].image_id)
        for weight in WEIGHTS:
            values = np.concatenate([np.sqrt(weight) * made[first].values, np.sqrt(1 - weight) * theirs], axis=1)
            parts[f"{weight} {first} + {other}"] = replace(made[first], values=values)
    return parts


def figures_of(
    described: FeatureSet, encounters: Encounters, embeddings: Embeddings, config: Config, seed: int
) -> dict[str, tuple[float, float]]:
    """Rank-1 and best open-set score by data set."""
    gallery, figures = described.images.gallery, {}
    for name in gallery.datasets:
        table = gallery.select(gallery.dataset == name)
        pseudo = choose_pseudo_queries(table, encounters.of, config.decide, seed)
        splits = open_set_splits(pseudo, table, encounters.of, config.decide, seed)
        hidden, _ = encounters.hidden_from(pseudo, table)
        scores = as_scores(retrieve(pseudo, table, embeddings, config.retrieve, hidden))
        figures[name] = measured(lay_out(scores, gallery, splits, config.retrieve.top_k))["similarity"]
    return figures


def as_scores(shortlist: Shortlist) -> PairScores:
    """A shortlist's similarities as scores of pairs."""
    kept = shortlist.index >= 0
    query = np.repeat(shortlist.query_id, kept.sum(axis=1))
    return PairScores(query, shortlist.gallery_id[shortlist.index[kept]], {"similarity": shortlist.similarity[kept]})


if __name__ == "__main__":
    main()
