"""Does the validated score hold? A synthetic AnimalCLEF 2025, drawn again and again.

    python benchmarks/synthetic_2025.py [--draws 50] [--out rows.csv]

Three data sets with the galleries, individuals, singletons, queries and unknown shares of 2025. Score columns come from
a model of same and different pairs in which individuals differ: some are hard, some look like others. The project's own
code chooses pseudo-queries, tunes on them alone, fuses and decides; the validated score is then held against the true
one. One core; nothing is read from disk.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from animalclef.config import DecideConfig
from animalclef.data.pseudo_query import PseudoQueries, choose_pseudo_queries, open_set_splits
from animalclef.decision.decide import decide
from animalclef.decision.decision_model import Decision
from animalclef.decision.fusion import fuse
from animalclef.decision.pseudo_query_scores import lay_out
from animalclef.decision.tune import tune
from animalclef.metrics.bootstrap import interval_over_individuals, mean_interval
from animalclef.metrics.competition import ScoreKernel
from animalclef.runtime.progress import Silent
from animalclef.structures import ImageTable, PairScores

TOP_K = 50


@dataclass(frozen=True)
class Set2025:
    """One data set: its size, and how well its individuals can be told apart."""

    name: str
    gallery: int
    individuals: int
    singletons: int
    queries: int
    unknown: float  # share of queries
    unknown_individuals: int
    signal: float  # how far a same pair's similarity lies above a different pair's
    pattern: float  # log of the inliers that a same pair adds
    encounters: int = 5  # photographs of one gallery encounter
    harder: float = 0.0  # by how much a query's similarity to its own individual falls behind a gallery photograph's


SETS = (
    Set2025("LynxID2025", 2957, 77, 0, 946, 0.27, 25, 1.6, 1.3),
    Set2025("SalamanderID2025", 1388, 587, 310, 689, 0.30, 110, 2.6, 2.4, 1),
    Set2025("SeaTurtleID2022", 8729, 438, 0, 500, 0.50, 100, 2.2, 1.6),
)


@dataclass(frozen=True)
class World:
    """Individuals of one data set, known ones first: how hard each is, and how alike two of them are."""

    hard: np.ndarray  # (n,)
    alike: np.ndarray  # (n, n) symmetric


def main() -> None:
    """Draw, tune, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="Seed of the first draw.")
    parser.add_argument("--unknown", type=float, default=None, help="Unknown share of the queries, in place of 2025's.")
    parser.add_argument(
        "--no-singletons", action="store_true", help="And every gallery photograph on a day of its own."
    )
    parser.add_argument("--harder", type=float, default=0.0, help="Queries harder than gallery photographs by this.")
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    sets = [one if arguments.unknown is None else replace(one, unknown=arguments.unknown) for one in SETS]
    sets = [replace(one, singletons=0, encounters=1) if arguments.no_singletons else one for one in sets]
    sets = [replace(one, harder=arguments.harder) for one in sets]
    config = DecideConfig()
    rows: list[dict[str, object]] = []
    start = time.perf_counter()
    for draw in range(arguments.first, arguments.first + arguments.draws):
        rows += one_draw(sets, config, draw)
        print(f"draw {draw}: {time.perf_counter() - start:.0f} s", flush=True)
        if arguments.out is not None:
            with arguments.out.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
    report(rows)


def one_draw(sets: list[Set2025], config: DecideConfig, draw: int) -> list[dict[str, object]]:
    """Validated and true score of every data set, and of their mean."""
    rows, measured = [], {}
    for number, one in enumerate(sets):
        rng = np.random.default_rng([draw, number])
        tables, encounter_of, world, who = individuals_of(one, rng)
        gallery, queries = tables
        pseudo_table = choose_pseudo_queries(gallery, encounter_of, config, draw)
        splits = open_set_splits(pseudo_table, gallery, encounter_of, config, draw)
        scores = scores_of(pseudo_table, gallery, who, world, one, rng, hide=encounter_of)
        pseudo = {one.name: lay_out(scores, gallery, splits, TOP_K, encounter_of)}
        decision = tune(pseudo, config, draw, "synthetic", "synthetic", Silent())
        true = true_score(queries, gallery, who, world, one, decision, rng)
        found = decision.of(one.name).validation
        assert found is not None
        low, high = interval_of(pseudo[one.name], gallery, decision, found.nested, found.tuned)
        measured[one.name] = (found.nested, low, high, true, found.tuned)
        rows.append(row_of(draw, one.name, *measured[one.name]))
    mean = mean_interval([values[:3] for values in measured.values()])
    assert mean is not None
    true, tuned = (float(np.mean([values[place] for values in measured.values()])) for place in (3, 4))
    return [*rows, row_of(draw, "mean", *mean, true, tuned)]


def row_of(
    draw: int, name: str, nested: float, low: float, high: float, true: float, tuned: float
) -> dict[str, object]:
    """One line of the table of draws."""
    return {"draw": draw, "dataset": name, "nested": nested, "low": low, "high": high, "true": true, "tuned": tuned}


def individuals_of(
    one: Set2025, rng: np.random.Generator
) -> tuple[tuple[ImageTable, ImageTable], dict[str, str], World, dict[str, int]]:
    """Gallery and query tables, the gallery's encounters, the individuals, and the number of each photograph's."""
    n = one.individuals + one.unknown_individuals
    alike = rng.normal(size=(n, n)).astype(np.float32)
    world = World(rng.normal(size=n).astype(np.float32), np.triu(alike, 1) + np.triu(alike, 1).T)
    often = one.individuals - one.singletons
    share = rng.dirichlet(np.full(often, 2.0))
    images = np.ones(one.individuals, dtype=np.int64)
    images[:often] += 1 + rng.multinomial(one.gallery - one.singletons - 2 * often, share)
    gallery_who = np.repeat(np.arange(one.individuals), images)
    unknown = round(one.unknown * one.queries)
    seen = rng.permutation(one.individuals)[: max(1, one.individuals * 4 // 5)]  # singletons are asked for as well
    strangers = one.individuals + rng.integers(0, one.unknown_individuals, unknown)
    query_who = np.concatenate([rng.choice(seen, one.queries - unknown), strangers])
    order = np.cumsum(images) - images
    encounter_of = {
        f"g{row}": f"{who}/{(row - order[who]) // one.encounters}" for row, who in enumerate(gallery_who.tolist())
    }
    gallery = table(one.name, [f"g{row}" for row in range(one.gallery)], [f"i{who}" for who in gallery_who])
    queries = table(one.name, [f"q{row}" for row in range(one.queries)], [None] * one.queries)
    who = dict(zip([*gallery.image_id, *queries.image_id], [*gallery_who, *query_who], strict=True))
    return (gallery, queries), encounter_of, world, who


def table(dataset: str, image_id: list[str], identity: list[str | None]) -> ImageTable:
    """Photographs without files."""
    n = len(image_id)
    names = {"image_id": image_id, "identity": identity, "path": image_id, "dataset": [dataset] * n}
    names |= {name: [""] * n for name in ("date", "viewpoint", "species", "encounter", "key")}
    columns = {}
    for name, values in names.items():
        columns[name] = np.empty(n, dtype=object)
        columns[name][:] = values
    is_query = np.array([who is None for who in identity], dtype=bool)
    return ImageTable(root=Path(), is_query=is_query, bbox_xywhr=np.full((n, 5), np.nan, np.float32), **columns)


def scores_of(
    asked: ImageTable,
    gallery: ImageTable,
    who: dict[str, int],
    world: World,
    one: Set2025,
    rng: np.random.Generator,
    hide: dict[str, str] | None = None,
) -> PairScores:
    """Similarity over the whole gallery, the best of it, and inliers of those pairs.

    A same pair gains `signal` less what makes its individual hard, and less what the query's own quality takes; a
    different pair lies as high as the two individuals look alike. `hide` keeps a pseudo-query from its own encounter;
    it sees `TOP_K` photographs of others besides its own.
    """
    mine = np.array([who[image_id] for image_id in gallery.image_id])
    events = np.array([(hide or {}).get(image_id, "") for image_id in gallery.image_id])
    query_id, gallery_id, similarity, inliers = [], [], [], []
    for image_id in asked.image_id:
        i = who[image_id]
        same = mine == i
        quality = rng.normal()
        gain = one.signal + 0.5 * world.hard[i] + 0.4 * quality - (one.harder if hide is None else 0.0)
        value = rng.standard_normal(len(mine), dtype=np.float32) * 0.8 + 0.4 * world.alike[i, mine] + gain * same
        if hide is not None:
            value[events == hide[image_id]] = -np.inf
        k = TOP_K + (int((same & np.isfinite(value)).sum()) if hide is not None else 0)
        best = np.argpartition(-value, min(k, len(value) - 1))[:k]
        best = best[np.argsort(-value[best], kind="stable")]
        best = best[np.isfinite(value[best])]
        noise = rng.normal(size=len(best)) * 0.7
        found = one.pattern + 0.7 * world.hard[i] + 0.4 * quality + noise
        rate = 4 * np.exp(0.15 * world.alike[i, mine[best]]) + same[best] * np.exp(found)
        query_id += [image_id] * len(best)
        gallery_id.append(gallery.image_id[best])
        similarity.append(value[best])
        inliers.append(rng.poisson(rate).astype(np.float32))
    columns = {"similarity": np.concatenate(similarity), "inliers": np.concatenate(inliers)}
    return PairScores(np.array(query_id, dtype=object), np.concatenate(gallery_id), columns)


def true_score(
    queries: ImageTable,
    gallery: ImageTable,
    who: dict[str, int],
    world: World,
    one: Set2025,
    decision: Decision,
    rng: np.random.Generator,
) -> float:
    """The official score of the queries, by the pipeline's own last two stages."""
    images = joined(queries, gallery)
    ranked = fuse(scores_of(queries, gallery, who, world, one, rng), images, decision)
    answers = decide(ranked, queries, decision).identity
    number = np.array([who[image_id] for image_id in queries.image_id])
    identity = np.array([f"i{i}" for i in number], dtype=object)
    kernel = ScoreKernel(identity, queries.dataset, number < one.individuals)
    return kernel.overall(kernel.encode(answers))


def joined(queries: ImageTable, gallery: ImageTable) -> ImageTable:
    """Both as one table."""
    names = ("image_id", "path", "dataset", "is_query", "identity", "date", "viewpoint", "species", "encounter", "key")
    columns = {name: np.concatenate([getattr(queries, name), getattr(gallery, name)]) for name in names}
    boxes = np.concatenate([queries.bbox_xywhr, gallery.bbox_xywhr])
    return ImageTable(root=Path(), bbox_xywhr=boxes, **columns)


def interval_of(
    pseudo: PseudoQueries, gallery: ImageTable, decision: Decision, nested: float, tuned: float
) -> tuple[float, float]:
    """What the decision says of itself, or else the tuned choice's interval around the nested score."""
    said = decision.of(gallery.dataset[0]).validation
    low, high = getattr(said, "low", None), getattr(said, "high", None)
    if low is not None and high is not None:
        return low, high
    splits = pseudo.splits
    asked = gallery.select(np.isin(gallery.image_id.astype(str), splits.image_id.astype(str)))
    hits = []
    for seen in (pseudo.as_known, pseudo.as_unknown):
        rows, slots = np.nonzero(seen)
        columns = {name: values[rows, slots] for name, values in pseudo.columns.items()}
        assert pseudo.gallery_id is not None
        scores = PairScores(splits.image_id[rows], pseudo.gallery_id[rows, slots], columns)
        hits.append(decide(fuse(scores, gallery, decision), asked, decision).identity)
    new = np.array([answer is None for answer in hits[1]], dtype=bool)
    low, high = interval_over_individuals(hits[0] == splits.identity, new, splits)
    return low + nested - tuned, high + nested - tuned


def report(rows: list[dict[str, object]]) -> None:
    """The table of docs/lab/experiments.md."""
    print(
        "| data set | true score | validated | bias | its standard error | sd of the error | covered | width | tuned |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in dict.fromkeys(str(row["dataset"]) for row in rows):
        mine = [row for row in rows if row["dataset"] == name]
        nested, low, high, true, tuned = (
            np.array([float(str(row[key])) for row in mine]) for key in ("nested", "low", "high", "true", "tuned")
        )
        error = nested - true
        covered = np.mean((low <= true) & (true <= high))
        numbers = (true.mean(), nested.mean(), error.mean(), error.std() / np.sqrt(len(error)), error.std())
        cells = " | ".join(f"{number:+.3f}" if number is numbers[2] else f"{number:.3f}" for number in numbers)
        print(f"| {name} | {cells} | {covered:.0%} | {np.mean(high - low):.3f} | {tuned.mean():.3f} |")


if __name__ == "__main__":
    main()
