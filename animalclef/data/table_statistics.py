"""What is in a table, counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from animalclef.data.dates import day_of
from animalclef.data.table import LoadedTable

__all__ = ["count_images"]


def count_images(loaded: LoadedTable) -> dict[str, Any]:
    """Photographs, individuals, singletons, dates and viewpoints per data set and split."""
    images = loaded.images
    datasets = {}
    for name in images.datasets:
        mine = images.select(images.dataset == name)
        per_individual = Counter(mine.gallery.identity)
        datasets[name] = {
            "gallery": len(mine) - len(mine.queries),
            "queries": len(mine.queries),
            "individuals": len(per_individual),
            "singletons": sum(count == 1 for count in per_individual.values()),
            "dated": sum(day_of(date) is not None for date in mine.date),
            "viewpoints": dict(sorted(Counter(mine.viewpoint).items())),
        }
    return {
        "task": "clustering" if loaded.is_clustering else "identification",
        "photographs": len(images),
        "datasets": datasets,
        "warnings": [str(problem) for problem in loaded.problems],
    }
