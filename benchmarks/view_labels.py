"""How often `label-views` is right: viewpoints that the table knows are taken away and told again.

    python benchmarks/view_labels.py --data DIR --dataset SpottedCatDemo --run DIR --seeds 0 1 2 [--set embed.model=...]

Of one data set a share of the viewpoints is blanked, database and queries alike. Printed per seed: the accuracy that
is announced (held-out individuals, what is left), the real one on the blanked, and both from the least confidence on.
With `--write NAME` the first seed's tables are written beside the photographs: NAME-blank.csv and NAME-filled.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from animalclef.cli.printing import RichProgress
from animalclef.config import load_config
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.data.table_file import read_table
from animalclef.pipeline.embed_only import Embedding
from animalclef.prepare.viewpoints import ViewLabels, label_views
from animalclef.runtime.atomic_files import write_csv
from animalclef.structures import ImageTable


def main() -> None:
    options = _options()
    config = load_config(None, options.set)
    loaded = load_table(find_source(options.data))
    embedding = Embedding(config, options.device, options.workers, RichProgress(Console(stderr=True)), run=options.run)
    described = embedding.extract_features(loaded, queries=True)
    images = described.images.select(described.images.dataset == options.dataset)
    print("| seed | announced | real | majority | sure announced | right of sure announced | sure | right of sure |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for seed in options.seeds:
        blank = np.random.default_rng([seed, 40]).random(len(images)) < options.blank
        given = images.with_columns(viewpoint=np.where(blank, "", images.viewpoint).astype(object))
        labels = label_views(given, described.embeddings, options.confidence, seed)
        print(_row(seed, images, blank, labels))
        if options.write and seed == options.seeds[0]:
            _write(loaded.source.table, options.write, images.image_id[blank], labels)


def _row(seed: int, images: ImageTable, blank: np.ndarray, labels: ViewLabels) -> str:
    [told] = labels.quality
    sure = blank & (labels.viewpoint != "")
    right_of_sure = float((labels.viewpoint[sure] == images.viewpoint[sure]).mean()) if sure.any() else float("nan")
    right = labels.best[blank] == images.viewpoint[blank]
    real = float("nan") if told.why_not else float(right.mean())
    cells = (told.accuracy, real, told.majority, told.sure, told.sure_accuracy,
             float(sure[blank].mean()), right_of_sure)  # fmt: skip
    return f"| {seed} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |"


def _write(table: Path, name: str, blanked: np.ndarray, labels: ViewLabels) -> None:
    source = read_table(table)
    viewpoint = dict(zip(labels.image_id, labels.viewpoint, strict=True))
    for kind, filled in (("blank", dict.fromkeys(blanked, "")), ("filled", viewpoint)):
        rows = [row | {"orientation": filled.get(row["image_id"], row["orientation"])} for row in source.rows]
        path = table.with_name(f"{name}-{kind}.csv")
        write_csv(path, source.columns, [[row[column] for column in source.columns] for row in rows])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--blank", type=float, default=0.4)
    parser.add_argument("--confidence", type=float, default=0.8)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--write")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
