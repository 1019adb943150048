"""Each part of `predict` switched off or exchanged: the score of every data set beside that of the defaults.

    python benchmarks/parts_off.py RUN DATA TRUTH_CSV [--only NAME ...] [--variants members.yaml]
        [--weights DIR] [--set KEY=VALUE]

`--variants` is a YAML file of further variants, each a name and its settings; `members.yaml` beside this script has
the matchers alone and together. RUN is a finished run of DATA with all defaults. All variants are made one after the
other in a copy of it, so that features and pairs which they share are computed once; the seconds are of what is new.
RUN itself is left as it is. Printed: the nested validation and, of the queries, rank-1 of the known and the score. The
truth is only read to report.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from thinned_databases import measured

import animalclef
from animalclef.data.submission import Truth, read_truth
from animalclef.store.finished_run import load_run
from animalclef.structures import RankedCandidates

SMALL = ["keypoints.max_keypoints=512", "keypoints.matched=512", "keypoints.long_side=512"]
VARIANTS: dict[str, list[str]] = {
    "defaults": [],
    "whole photographs": ["prepare.mode=whole"],
    "masked": ["prepare.mode=masked"],
    "cut-outs": ["prepare.mode=cut-out"],
    "no second embedder": ["embed.members=[]"],
    "no LNBNN": ["retrieve.sources=[embedding]"],
    "no events by background": ["prepare.events=false"],
    "512 keypoints": SMALL,
    "rotation-invariant keypoints": ["keypoints.upright=false"],
    "all viewpoints": ["retrieve.same_viewpoint=false"],
    "one column": ["decide.scores=[inliers]"],
    "stage one alone": ["rerank.matcher=none"],
}


def main() -> None:
    """Print one row for each variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--only", nargs="*", default=None, help="of these and of the further variants; default: all")
    parser.add_argument("--set", action="append", default=[], dest="assignments", help="for every variant")
    parser.add_argument("--variants", type=Path, default=None, help="YAML of further variants: name to settings")
    parser.add_argument("--weights", default="weights", help="what {weights} stands for in that file")
    parser.add_argument("--work", type=Path, default=None)
    arguments = parser.parse_args()
    truth = read_truth(arguments.truth)
    names = sorted(set(truth.dataset))
    print("| variant | " + " | ".join(f"{name}: nested, rank-1, score" for name in names) + " | mean score | seconds |")
    print("|" + " --- |" * (len(names) + 3), flush=True)
    further = yaml.safe_load(arguments.variants.read_text()) if arguments.variants else {}
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        copy = Path(folder) / "run"
        shutil.copytree(arguments.run, copy)
        variants = VARIANTS | further
        for variant in arguments.only or variants:
            settings = variants[variant]
            chosen = [one.replace("{weights}", arguments.weights) for one in settings]
            start = time.perf_counter()
            config = animalclef.load_config(None, *chosen, *arguments.assignments)
            animalclef.predict(arguments.data, config=config, run_dir=copy)
            seconds = time.perf_counter() - start
            run = load_run(copy)
            cells, scores = [], []
            for name in names:
                rule = run.decision.of(name)
                nested = rule.validation.nested if rule.validation else np.nan
                score, _ = measured(run.ranked, truth, name, rule.threshold)
                cells.append(f"{nested:.3f}, {first_place(run.ranked, truth, name):.3f}, {score:.3f}")
                scores.append(score)
            print(f"| {variant} | " + " | ".join(cells) + f" | {np.mean(scores):.3f} | {seconds:.0f} |", flush=True)


def first_place(ranked: RankedCandidates, truth: Truth, name: str) -> float:
    """Return the share of known queries whose best candidate is the right individual."""
    best: dict[str, str] = {}
    for query, who in zip(ranked.query_id, ranked.identity, strict=True):
        best.setdefault(query, who)
    mine = (truth.dataset == name) & truth.known.astype(bool)
    return float(
        np.mean([best.get(one) == who for one, who in zip(truth.image_id[mine], truth.identity[mine], strict=True)])
    )


if __name__ == "__main__":
    main()
