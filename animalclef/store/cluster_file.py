"""`clusters.csv`, `clusters.json` and `links.csv` of a run folder: the individual on every query, how it was found."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import asdict
from pathlib import Path

import numpy as np

from animalclef.data.csv_text import read_table
from animalclef.errors import AnimalClefError, RunError
from animalclef.runtime.atomic_files import write_csv, write_text
from animalclef.store.finished_run import FinishedRun
from animalclef.store.run_folder import RunFolder
from animalclef.structures import PairScores
from animalclef.structures.clusters import Clusters, links_of

__all__ = ["is_clustering", "read_clusters", "write_clusters"]

_COLUMNS = ("image_id", "dataset", "cluster", "individual")
_LINK = ("first", "second", "probability")


def write_clusters(folder: RunFolder, clusters: Clusters | None) -> None:
    """Write the files; without clusters, remove those of an earlier run."""
    counts, links = folder.path / "clusters.json", folder.path / "links.csv"
    if clusters is None:
        for one in (folder.clusters, counts, links):
            one.unlink(missing_ok=True)
        return
    columns = (clusters.image_id, clusters.dataset, clusters.label, clusters.name)
    write_csv(folder.clusters, _COLUMNS, zip(*columns, strict=True))
    pairs = clusters.links or links_of([])
    probability = [f"{one:.6f}" for one in pairs.columns["probability"]]
    write_csv(links, _LINK, zip(pairs.query_id, pairs.gallery_id, probability, strict=True))
    content = {name: asdict(count) for name, count in clusters.counts.items()}
    write_text(counts, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def is_clustering(run: FinishedRun) -> bool:
    """Return whether a run's submission holds clusters instead of names."""
    return run.settings.get("task") == "clustering"


def read_clusters(run: FinishedRun) -> Clusters | None:
    """Return the individual on every query of a run, `None` where it did not group its new ones.

    Raises:
        RunError: the file is damaged.
    """
    folder, known = run.folder, set(run.images.gallery.identity)
    if not folder.clusters.is_file():
        return None
    try:
        table = read_table(folder.clusters)
        columns = {name: np.array(table.column(name), dtype=object) for name in _COLUMNS}
        number = np.array([int(label.rpartition("_")[2]) for label in columns["cluster"]], dtype=np.int64)
        links = _read_links(folder.path / "links.csv", run.row_of)
    except (AnimalClefError, KeyError, ValueError) as error:
        raise RunError(f"{folder.clusters}: not what a run wrote ({error}). Run the same command again.") from error
    who = np.array([name if name in known else None for name in columns["individual"]], dtype=object)
    return Clusters(columns["image_id"], columns["dataset"], number, who, taken=frozenset(known), links=links)


def _read_links(path: Path, known: Container[str]) -> PairScores | None:
    """Return the links of a run; `None` where an earlier version wrote none."""
    if not path.is_file():
        return None
    first, second, probability = (read_table(path).column(name) for name in _LINK)
    if not all(one in known for one in (*first, *second)):
        raise ValueError(f"{path.name} names other photographs")
    return links_of(list(zip(first, second, map(float, probability), strict=True)))
