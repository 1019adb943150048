"""A query that could not be read shows no individual, wherever individuals are listed or counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import animalclef as ac
from animalclef.evaluation.evaluate_clusters import score_clusters_of_run
from animalclef.report.individual_sheets import individual_sheets


def test_it_has_a_row_and_no_individual(tiny_run: tuple[Path, Path], unknown_image: str) -> None:
    run = ac.load_run(tiny_run[1])
    table = run.clusters
    assert table is not None
    individual = dict(zip(table.image_id, table.individual, strict=True))
    assert individual.pop(unknown_image) is None
    assert None not in individual.values()
    counts = json.loads((run.path / "clusters.json").read_text())
    assert len({one for one in individual.values() if one.startswith("new_")}) == sum(
        one["clusters"] - one["known"] for one in counts.values()
    )


def test_clustering_anew_numbers_it_no_more(tiny_run: tuple[Path, Path], unknown_image: str, tmp_path: Path) -> None:
    shutil.copytree(tiny_run[1], tmp_path / "run")
    clusters = ac.cluster(tmp_path / "run")
    assert dict(zip(clusters.image_id, clusters.name, strict=True))[unknown_image] is None
    lines = (tmp_path / "run" / "clusters.csv").read_text().splitlines()
    [mine] = [line for line in lines if line.startswith(f"{unknown_image},")]
    assert mine.endswith(",")


def test_it_counts_neither_in_evaluate_nor_in_the_report(tiny_run: tuple[Path, Path]) -> None:
    run = ac.load_run(tiny_run[1]).finished
    scores = score_clusters_of_run(run, tiny_run[0] / "truth.csv")
    assert scores is not None
    queries = run.images.queries
    assert sum(part.photographs for part in scores.datasets.values()) == len(queries) - 1
    shown = individual_sheets(run, queries.image_id.tolist())
    assert {one.name: one.individuals for one in shown} == {
        name: part.clusters for name, part in scores.datasets.items()
    }
