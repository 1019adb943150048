"""A whole `predict` in this process or in another one, and counts of what it did."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY_SETTINGS

from animalclef.config import load_config
from animalclef.data.sources import find_source
from animalclef.data.submission import render_submission
from animalclef.data.table import load_table
from animalclef.decision.decision_model import load_decision
from animalclef.engine.work import Engine
from animalclef.features.embedding.vlad import VladExtractor
from animalclef.features.extract import ThumbnailExtractor
from animalclef.features.local.sift import SiftExtractor
from animalclef.matching.nearest_neighbour import MutualNearest
from animalclef.pipeline import decide as deciding
from animalclef.pipeline import features as describing
from animalclef.pipeline.image_contents import read_contents
from animalclef.pipeline.predict import predict as predict_all
from animalclef.pipeline.run_context import Plan, open_context
from animalclef.runtime.progress import Silent
from animalclef.store.run_folder import RunFolder

__all__ = ["artefacts", "command_line", "count_work", "finish", "predict"]


def predict(
    data: Path, run: Path, *assignments: str, workers: int = 2, decision: Path | None = None,
    engine: Engine | None = None,
) -> bytes:  # fmt: skip
    """The bytes of the submission; what a run keeps lies in `run`."""
    config = load_config(None, [*TINY_SETTINGS, *assignments])
    loaded = load_table(find_source(data))
    contents = read_contents(loaded, config, workers, Silent())
    folder = RunFolder(run)
    with folder.claimed():
        folder.open(overwrite=False)
        given = None if decision is None else load_decision(decision)
        context = open_context(config, folder, "cpu", workers=workers, given=given, engine=engine)
        outcome = predict_all(loaded, contents, context)
    return render_submission(outcome.predictions, loaded.submission_id).encode()


def artefacts(run: Path) -> dict[str, bytes]:
    """The files that people look into."""
    names = ("candidates.csv", "decision.json", "encounters.csv", "set_aside.csv", "table.csv")
    return {name: (run / name).read_bytes() for name in names}


def count_work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts, from now on, images per kind of description, matched pairs and tuned decisions."""
    counts: Counter[str] = Counter()

    def counting(what: str, original: Callable[..., Any], at: int | None) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            counts[what] += 1 if at is None else len(arguments[at])
            return original(*arguments, **named)

        return counted

    kinds = {"thumbnails": ThumbnailExtractor, "keypoints": SiftExtractor, "embeddings": VladExtractor}
    for what, kind in kinds.items():
        monkeypatch.setattr(kind, "extract_features", counting(what, kind.extract_features, 1))
    monkeypatch.setattr(MutualNearest, "match", counting("pairs", MutualNearest.match, 2))
    monkeypatch.setattr(deciding, "tune", counting("tuned", deciding.tune, None))
    nothing = Plan(0, 0, 0, 0.0, 0.0)  # the real estimate describes and matches a few photographs for the stop-watch
    monkeypatch.setattr(describing, "estimate", lambda *_, **__: nothing)
    return counts


def command_line(data: Path, run: Path, out: Path, *assignments: str, workers: int = 2) -> list[str]:
    """The same run as a command."""
    settings = [part for one in (*TINY_SETTINGS, *assignments) for part in ("--set", one)]
    places = ["--data", str(data), "--run", str(run), "--out", str(out), "--workers", str(workers)]
    return [sys.executable, "-m", "animalclef", "predict", *places, *settings]


def finish(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
