"""Folders that show few animals, without names: groups of `animalclef cluster` beside the names.

    python benchmarks/few_animals.py DATA [--most 8] [--individuals 1 3 12]

Of each data set of DATA, folders are made from its database: at most `--most` photographs of each of the individuals
with most photographs, one animal alone, then of three others; with 12 or more individuals one photograph of each. No
name is given to the program. Photographs are linked, not copied.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

import animalclef
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.structures import ImageTable

ONE_EACH = 12  # from so many individuals on


def main() -> None:
    """Print photographs, individuals, groups and the adjusted Rand index of every folder."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--most", type=int, default=8)
    parser.add_argument("--individuals", type=int, nargs="+", default=[1, 3, 12])
    arguments = parser.parse_args()
    gallery = load_table(find_source(arguments.data)).images.gallery
    print("| data set | photographs | individuals | groups | adjusted Rand index |\n| --- | --- | --- | --- | --- |")
    for dataset in gallery.datasets:
        for rows in folders(gallery, dataset, arguments.individuals, arguments.most):
            who = gallery.identity[rows].astype(str)
            with tempfile.TemporaryDirectory() as made:
                photographs = Path(made) / "photographs"
                photographs.mkdir()
                for row in rows:
                    source = (gallery.root / gallery.path[row]).resolve()
                    (photographs / f"{gallery.image_id[row]}{source.suffix}").symlink_to(source)
                clusters = animalclef.cluster(animalclef.load_dataset(photographs), run_dir=Path(made) / "run")
            label_of = {Path(one).stem: label for one, label in zip(clusters.image_id, clusters.label, strict=True)}
            label = [label_of[str(one)] for one in gallery.image_id[rows]]
            found = f"{len(rows)} | {len(set(who))} | {len(set(label))} | {adjusted_rand_score(who, label):.3f}"
            print(f"| {dataset} | {found} |", flush=True)


def folders(gallery: ImageTable, dataset: str, individuals: list[int], most: int) -> list[list[int]]:
    """Return the rows of each folder; no individual is in two of them."""
    mine = np.flatnonzero(gallery.dataset == dataset)
    names, counts = np.unique(gallery.identity[mine].astype(str), return_counts=True)
    order = names[np.lexsort((names, -counts))].tolist()
    made, start = [], 0
    for count in individuals:
        chosen, each = order[start : start + count], most if count < ONE_EACH else 1
        start += count
        made.append([int(row) for who in chosen for row in mine[gallery.identity[mine] == who][:each]])
    return made


if __name__ == "__main__":
    main()
