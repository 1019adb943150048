"""Adaptive depth, bfloat16 and a budget together against kornia's LightGlue pair by pair, at equal accuracy.

    python benchmarks/end_to_end.py --data DATA --run FOLDER [--share 0.2 0.4] [--depth 0.9] [--set retrieve.top_k=50]

Database photographs play the query, as `predict` has them; the network is the one that ships for SIFT (three layers,
heads trained to say when a pair is settled), on one thread. Three ways with the same keypoints and candidates:

(a)    kornia pair by pair as its documentation shows, float32, each pair once: timed on some pairs, several times in
       the run (with adaptive depth as ours has it and without it; the faster one counts), no geometric check, its
       inputs made beforehand. Its scores are those of
all    ours in float32 on all pairs, depth fixed (the tests hold the two to 1e-4), which the run folder keeps, and
share  ours with adaptive depth, in bfloat16 where there are units for it, on these shares of the pairs: what learns the
       rule is in its time, and so is the geometric check.

Printed: processor seconds, for other work on the machine weighs less on them than on the clock (of `all` only where
none of its pairs was stored), and the nested score and rank-1 of the decision tuned on what each way found. No query is
read. The folder is this benchmark's own: the budgeted pairs and the budgets in it are deleted every time.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from kornia.feature import LightGlue
from rich.console import Console
from stages_alone import measured as figures

from animalclef.cli.printing import RichProgress
from animalclef.config import Config, load_config
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.hub.catalogue import shipped_matcher
from animalclef.matching.lightglue.loading import LightGlueModel, load_lightglue, network_inputs
from animalclef.pipeline.budget import settle_budget
from animalclef.pipeline.features import FeatureSet, extract_all_features
from animalclef.pipeline.image_contents import read_contents
from animalclef.pipeline.match import match_pairs
from animalclef.pipeline.run_context import RunContext, open_context
from animalclef.pipeline.shortlists import PseudoQuerySet, make_shortlists
from animalclef.runtime.progress import Progress
from animalclef.store.pair_log import PairLog
from animalclef.store.run_folder import RunFolder
from animalclef.structures import LocalFeatures, PairScores


def main() -> None:
    """Match three ways and print."""
    given = arguments()
    torch.set_num_threads(1)
    run = RunFolder(given.run)
    with run.claimed():
        run.open(overwrite=False)
        compare(given, run)


def compare(given: argparse.Namespace, run: RunFolder) -> None:
    """All pairs in float32, then every share of them, with (a) timed in between."""
    plain = ["rerank.matcher=lightglue", "rerank.precision=float32", *given.assignments]
    config = load_config(None, plain)
    progress = RichProgress(Console(stderr=True))
    contents = read_contents(load_table(find_source(given.data)), config, 1, progress)
    context = open_context(config, run, "cpu", progress=progress)
    described = extract_all_features(contents, context)
    shortlists = make_shortlists(described, context)
    played, log = shortlists.pseudo, log_of(context)
    stored, start = len(log), time.process_time()
    found = [match_pairs(one, described, context) for one in (played.as_known, played.as_unknown)]
    whole, pairs = time.process_time() - start, len(log)
    timed = f"{whole:.0f} s" if not stored else f"{stored:,} of them stored, so not timed"
    print(f"{len(played.queries)} pseudo-queries", flush=True)
    print(f"all: {pairs:,} pairs, {timed}, {measured(played, found, config)}", flush=True)
    kornia = [PairByPair(played, described, given.sampled, depth) for depth in (-1.0, given.depth)]
    spent = {}
    for share in given.share:
        for way in kornia:
            way.measure()
        wanted = math.ceil(share * played.pair_count)
        faster = ["rerank.precision=auto", f"rerank.depth_confidence={given.depth}", f"budget.spend={wanted}"]
        fast = load_config(None, [*plain, *faster])
        fresh, fast_context = fresh_log(fast, run, progress)
        start = time.process_time()
        allowance = settle_budget(shortlists, fast_context)
        found = [match_pairs(one, described, fast_context, allowance) for one in (played.as_known, played.as_unknown)]
        spent[share] = time.process_time() - start
        print(f"share {share}: {len(fresh):,} pairs, {spent[share]:.0f} s, {measured(played, found, fast)}", flush=True)
    for way in kornia:
        way.measure()
        print(f"(a) depth {way.depth}: {1000 * way.seconds:.0f} ms a pair, {way.seconds * pairs:.0f} s for all")
    timings = {"all": whole} if not stored else {}
    for name, seconds in (timings | {f"share {share}": seconds for share, seconds in spent.items()}).items():
        print(f"{name}: {min(way.seconds for way in kornia) * pairs / seconds:.1f} times as fast as (a)")


class PairByPair:
    """kornia's network as its documentation has it, on some pairs of the shortlists."""

    def __init__(self, played: PseudoQuerySet, described: FeatureSet, sampled: int, depth: float) -> None:
        path = shipped_matcher("sift")
        if path is None:
            raise SystemExit("The matcher for SIFT that ships with animalclef is not in this installation.")
        model = load_lightglue(path, "sift").with_settings({"depth_confidence": depth})
        self.network = LightGlue(features=None, **model.config.architecture)
        self.network.load_state_dict(model.network.state_dict())
        self.network.eval()
        self.depth, self._seconds = depth, list[float]()
        key_of = dict(zip(described.images.image_id, described.images.key, strict=True))
        lists = played.as_known
        rows, slots = np.nonzero(lists.index >= 0)
        self.pairs = []
        for place in np.random.default_rng(0).choice(len(rows), sampled, replace=False):
            row, slot = rows[place], slots[place]
            names = lists.query_id[row], lists.gallery_id[lists.index[row, slot]]
            self.pairs.append([inputs(described.local(key_of[name]), model) for name in names])

    def measure(self) -> None:
        """Processor seconds of every pair."""
        with torch.inference_mode():
            for left, right in self.pairs:
                if left["keypoints"].shape[1] and right["keypoints"].shape[1]:
                    start = time.process_time()
                    len(self.network({"image0": left, "image1": right})["scores"][0])
                    self._seconds.append(time.process_time() - start)

    @property
    def seconds(self) -> float:
        """A pair's."""
        return statistics.mean(self._seconds)


def inputs(features: LocalFeatures, model: LightGlueModel) -> dict[str, torch.Tensor]:
    """One side of a pair."""
    _, descriptors = network_inputs(features, model.config)
    return {
        "keypoints": torch.from_numpy(features.keypoints_xy)[None], "descriptors": torch.from_numpy(descriptors)[None],
        "image_size": torch.tensor([features.image_size_wh], dtype=torch.float32),
    }  # fmt: skip


def log_of(context: RunContext) -> PairLog:
    """The log of the pairs that these settings match."""
    if context.log is None:
        raise SystemExit("These settings match nothing: leave rerank.matcher and keypoints.extractor as they are.")
    return context.log


def fresh_log(config: Config, run: RunFolder, progress: Progress) -> tuple[PairLog, RunContext]:
    """An empty log, whatever an earlier run of this script left."""
    context = open_context(config, run, "cpu", progress=progress)
    log = log_of(context)
    if not len(log):
        return log, context
    log.path.unlink()
    log.path.with_suffix(".plans.json").unlink(missing_ok=True)
    for path in (run.path / "budgets").glob("*.json"):
        path.unlink()
    context = open_context(config, run, "cpu", progress=progress)
    return log_of(context), context


def measured(played: PseudoQuerySet, scores: Sequence[PairScores], config: Config) -> str:
    """Nested score and rank-1 by data set and their means."""
    laid = played.laid_out(scores[0], scores[1], config.retrieve.top_k)
    of = figures(laid, config.decide.scores, config.decide.trials, config.seed)
    told = [f"{name} {score:.3f} / {rank:.3f}" for name, (score, rank) in sorted(of.items())]
    mean = np.mean(list(of.values()), axis=0)
    return f"{', '.join(told)}, mean {mean[0]:.3f} / {mean[1]:.3f}"


def arguments() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--run", type=Path, required=True,
        help="a folder of this benchmark's own: the logs of its budgeted pairs and its budgets are deleted every time",
    )  # fmt: skip
    parser.add_argument("--share", type=float, nargs="+", default=[0.25])
    parser.add_argument("--depth", type=float, default=0.9)
    parser.add_argument("--sampled", type=int, default=30)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    return parser.parse_args()


if __name__ == "__main__":
    main()
