"""A decision tuned on other data sets: its score on each data set beside that of the data set's own decision.

    python benchmarks/transfer.py RUN:TRUTH_CSV [RUN:TRUTH_CSV ...]

Each data set of the finished runs is left out once. The pooled, scale-free decision is tuned on all the others, and is
given to the one left out in two ways. `queries`: its scale comes from the queries' second-best individuals, and nothing
of its database is validated, as `--decision` does on a data set that the decision does not name. `strangers`: scale and
threshold come from the database's strangers, as for a data set without known pseudo-queries. The truth is
only read to report.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
from thinned_databases import measured

from animalclef.config import DecideConfig
from animalclef.data.submission import read_truth
from animalclef.decision.fusion import fuse
from animalclef.decision.null_model import nulls_of
from animalclef.decision.strangers import with_own_threshold
from animalclef.decision.transfer import for_dataset
from animalclef.decision.tune import tune
from animalclef.runtime.progress import Silent
from animalclef.store.finished_run import load_run
from animalclef.structures import PairScores


def main() -> None:
    """Print one row for each data set, and the mean."""
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN:TRUTH_CSV")
    pairs = [one.rsplit(":", 1) for one in parser.parse_args().runs]
    runs = [(load_run(Path(run)), read_truth(Path(truth))) for run, truth in pairs]
    pseudo = {name: part for run, _ in runs for name, part in run.pseudo_queries.items()}
    config, rows = DecideConfig(), []
    print("| data set | own decision | oracle | queries | lost | strangers | lost |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for run, truth in runs:
        scores = PairScores(run.ranked.query_id, run.ranked.gallery_id, run.ranked.columns)
        own = tune(run.pseudo_queries, config, 0, "s", "g", Silent())
        for name in sorted(run.pseudo_queries):
            others = {one: part for one, part in pseudo.items() if one != name}
            elsewhere = tune(others, config, 0, "s", "g", Silent())
            part = pseudo[name]
            stranger = with_own_threshold(for_dataset(elsewhere.pooled, nulls_of(part)), part)
            mine = elsewhere.model_copy(update={"datasets": {**elsewhere.datasets, name: stranger}})
            found = []
            for decision in (own, elsewhere, mine):
                ranked = fuse(scores, run.images, decision)
                found.append(measured(ranked, truth, name, decision.of(name).threshold))
            (blind, oracle), (queries, _), (strangers, _) = found
            rows.append((blind, oracle, queries, blind - queries, strangers, blind - strangers))
            print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in rows[-1]) + " |", flush=True)
    print("| mean | " + " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
