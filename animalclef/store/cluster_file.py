"""`clusters.csv`, `clusters.json` and `cluster_links.csv` of a run folder: the individual on every query, and why."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np

from animalclef.data.table_file import read_table
from animalclef.errors import AnimalClefError, RunError
from animalclef.runtime.atomic_files import write_csv, write_text
from animalclef.store.finished_run import FinishedRun
from animalclef.store.run_folder import RunFolder
from animalclef.structures.arrays import text_array
from animalclef.structures.clusters import ClusterCount, Clusters, Links

__all__ = ["read_clusters", "write_clusters"]

_COLUMNS = ("image_id", "dataset", "cluster", "individual")
_LINKS = ("first", "second", "probability")


def write_clusters(folder: RunFolder, clusters: Clusters | None) -> None:
    """Write the files; without clusters, remove those of an earlier run."""
    counts, links = folder.path / "clusters.json", folder.path / "cluster_links.csv"
    if clusters is None:
        for path in (folder.clusters, counts, links):
            path.unlink(missing_ok=True)
        return
    columns = (clusters.image_id, clusters.dataset, clusters.label, clusters.name)
    write_csv(folder.clusters, _COLUMNS, zip(*columns, strict=True))
    probability = [f"{p:.4f}" for p in clusters.links.probability.tolist()]
    write_csv(links, _LINKS, zip(clusters.links.first, clusters.links.second, probability, strict=True))
    content = {name: asdict(count) for name, count in clusters.counts.items()}
    write_text(counts, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


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
        columns = {name: text_array(table.column(name)) for name in _COLUMNS}
        number = np.array([int(label.rpartition("_")[2]) for label in columns["cluster"]], dtype=np.int64)
        links, counts = _links(folder), _counts(folder)
        if not {*links.first, *links.second} <= set(columns["image_id"]):
            raise ValueError("a link is of no query")
    except (AnimalClefError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder.clusters}: not what a run wrote ({error}). Run the same command again.") from error
    who = text_array([name if name in known else None for name in columns["individual"]])
    skipped = frozenset(one.image_id for one in run.skipped)
    return Clusters(columns["image_id"], columns["dataset"], number, who, counts, frozenset(known), links, skipped)


def _links(folder: RunFolder) -> Links:
    """Return the links between queries; none where an earlier version made the run."""
    path = folder.path / "cluster_links.csv"
    if not path.is_file():
        return Links()
    table = read_table(path)
    first, second = (text_array(table.column(name)) for name in _LINKS[:2])
    return Links(first, second, np.array(table.column(_LINKS[2]), dtype=np.float64))


def _counts(folder: RunFolder) -> dict[str, ClusterCount]:
    path = folder.path / "clusters.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: ClusterCount(**one) for name, one in content.items()}
