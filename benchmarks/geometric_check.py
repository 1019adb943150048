"""Inliers that agree in place alone, and in orientation and size as well: rank-1 and the open set on pseudo-queries.

    python benchmarks/geometric_check.py RUN [RUN ...] [--queries 120] [--candidates 40]

RUN is a finished run with SIFT. Of each data set a random sample of pseudo-queries is matched with its first
candidates; those count that have their own individual among them. Printed for either check: rank-1 by the number of
inliers; the square root of BAKS * BAUS at the best threshold, each pseudo-query once as known and once as new; the
mean number of inliers of the best stranger and of the best own photograph. No query is looked at.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from animalclef.data.pseudo_query import PseudoQueries
from animalclef.matching.nearest_neighbour import MutualNearest
from animalclef.report.match_view import Matches
from animalclef.store.finished_run import load_run

INLIERS = MutualNearest.columns.index("inliers")
PLACES_ALONE = "places alone"  # the name of an extractor without orientations


def main() -> None:
    """Print a row for each data set and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--queries", type=int, default=120)
    parser.add_argument("--candidates", type=int, default=40)
    given = parser.parse_args()
    print("| data set | pseudo-queries | agree in | rank-1 | open set | stranger's inliers | own inliers |")
    print("|" + " --- |" * 7)
    for path in given.runs:
        run = load_run(path)
        matcher, keypoints = MutualNearest(run.config.rerank), Matches(run)
        for name, part in sorted(run.pseudo_queries.items()):
            counted = inliers_of(part, matcher, keypoints, given.queries, given.candidates)
            for check, rows in zip(("place", "place, orientation, size"), zip(*counted, strict=True), strict=True):
                rank1, open_set, stranger, own = figures(rows)
                print(
                    f"| {name} | {len(rows)} | {check} | {rank1:.3f} | {open_set:.3f} | {stranger:.1f} | {own:.1f} |",
                    flush=True,
                )


Row = tuple[NDArray[np.float32], NDArray[np.bool_]]


def inliers_of(
    part: PseudoQueries, matcher: MutualNearest, keypoints: Matches, queries: int, most: int
) -> list[tuple[Row, Row]]:
    """Return for each pseudo-query the inliers of its candidates by either check, and which show its individual."""
    found: list[tuple[Row, Row]] = []
    assert part.gallery_id is not None
    for row in np.random.default_rng(0).permutation(len(part)).tolist():
        slots = np.flatnonzero(part.as_known[row])[:most]
        same = part.same[row, slots]
        query = keypoints.features(str(part.splits.image_id[row]))
        if query is None or not same.any() or same.all():
            continue
        candidates = [keypoints.features(str(one)) for one in part.gallery_id[row, slots]]
        there = np.array([one is not None for one in candidates])
        whole = [one for one in candidates if one is not None]
        places = [replace(one, extractor=PLACES_ALONE) for one in whole]
        by_place = matcher.match(replace(query, extractor=PLACES_ALONE), places)[:, INLIERS]
        by_shape = matcher.match(query, whole)[:, INLIERS]
        found.append(((by_place, same[there]), (by_shape, same[there])))
        if len(found) == queries:
            break
    return found


def figures(rows: tuple[Row, ...]) -> tuple[float, float, float, float]:
    """Return rank-1, the open-set score, and the mean inliers of the best stranger and of the best own photograph."""
    stranger = np.array([count[~same].max() for count, same in rows])
    own = np.array([count[same].max() for count, same in rows])
    named = np.where([bool(same[count.argmax()]) for count, same in rows], np.maximum(own, stranger), -1)
    thresholds = np.unique(np.concatenate([own, stranger]))
    scores = [np.sqrt(np.mean(named >= one) * np.mean(stranger < one)) for one in thresholds]
    return float(np.mean(named >= 0)), float(np.max(scores)), float(stranger.mean()), float(own.mean())


if __name__ == "__main__":
    main()
