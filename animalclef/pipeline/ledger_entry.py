"""What the ledger keeps of a run."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from animalclef.config import Config
from animalclef.decision.decision_model import Decision
from animalclef.errors import AnimalClefError
from animalclef.metrics.bootstrap import mean_interval
from animalclef.store.ledger import Ledger, dotted, ledger_of

__all__ = ["record", "validated"]

logger = logging.getLogger(__name__)


def record(
    command: str,
    place: Path | None,
    config: Config,
    decision: Decision,
    *,
    data: str,
    run: Path,
    weights: str | None = None,
    submission: Path | None = None,
    summary: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Append a line about a finished command to the ledger at `place` (default: beside the submission, or the run).

    A ledger that cannot be written is a warning: the results are there all the same. `submission` and `summary` are
    those of a command that answered the queries.
    """
    decided = decision.model_dump_json(indent=1) + "\n"
    entry: dict[str, Any] = {
        "command": command,
        "config": config.name,
        "run": str(run),
        "submission": None if submission is None else str(submission),
        "submission_sha256": "" if submission is None else hashlib.sha256(submission.read_bytes()).hexdigest(),
        "validation": validated(decision),
        "data": data,
        "weights": weights,
        "decision": hashlib.sha256(decided.encode()).hexdigest()[:16],
        "settings": dotted(config.model_dump(mode="json")),
    }
    if summary is not None:
        queries, new = summary["queries"], summary["new_individuals"]
        entry |= {"queries": queries, "new_share": new / queries if queries else None}
        entry |= {"individuals_named": summary["individuals_named"], "warnings": summary.get("warnings", [])}
    try:
        return Ledger(place or ledger_of(submission or run / "decision.json")).add_run(entry)
    except AnimalClefError as error:
        logger.warning("The ledger has no line for this run: %s", error)
        return None


def validated(decision: Decision) -> dict[str, Any]:
    """The nested score with its interval, of every data set and of their mean; `None` where nothing was validated."""
    datasets: dict[str, dict[str, float | None]] = {}
    whole: list[tuple[float, float, float]] = []
    for name, part in sorted(decision.datasets.items()):
        seen = part.validation
        if seen is None:
            continue
        low, high = getattr(seen, "low", None), getattr(seen, "high", None)
        datasets[name] = {"score": seen.nested, "low": low, "high": high}
        if low is not None and high is not None:
            whole.append((seen.nested, low, high))
    scores = [seen["score"] for seen in datasets.values() if seen["score"] is not None]
    interval = mean_interval(whole) if len(whole) == len(datasets) else None
    return {
        "score": sum(scores) / len(scores) if scores else None,
        "low": None if interval is None else interval[1],
        "high": None if interval is None else interval[2],
        "datasets": datasets,
    }
