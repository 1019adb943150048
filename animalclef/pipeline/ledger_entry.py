"""What the ledger keeps of a run."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from animalclef.config import Config
from animalclef.decision.decision_model import Decision
from animalclef.errors import AnimalClefError
from animalclef.metrics.bootstrap import mean_interval
from animalclef.runtime.digests import file_digest
from animalclef.store.ledger import Ledger, dotted, ledger_of

__all__ = ["record"]

logger = logging.getLogger(__name__)

_WARNING = 160  # characters of each warning; the submission's metrics file has them whole


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
    decided = decision.text
    entry: dict[str, Any] = {
        "command": command,
        "config": config.name,
        "run": str(run),
        "submission": None if submission is None else str(submission),
        "submission_sha256": "" if submission is None else file_digest(submission),
        "validation": _validated(decision),
        "data": data,
        "weights": weights,
        "decision": hashlib.sha256(decided.encode()).hexdigest()[:16],
        "settings": dotted(config.digested()),
    }
    if summary is not None:
        queries, new = summary["queries"], summary["new_individuals"]
        entry |= {"queries": queries, "new_share": new / queries if queries else None}
        warnings = [shorten(one, _WARNING, placeholder=" ...") for one in summary.get("warnings", [])]
        entry |= {"individuals_named": summary["individuals_named"], "warnings": warnings}
    try:
        return Ledger(place or ledger_of(submission or run / "decision.json")).add_run(entry)
    except AnimalClefError as error:
        logger.warning("The ledger has no line for this run: %s", error)
        return None


def _validated(decision: Decision) -> dict[str, Any]:
    """Return the nested score with its interval of every data set and of their mean; `None` where none was made."""
    seen = {name: part.validation for name, part in sorted(decision.datasets.items()) if part.validation is not None}
    datasets = {name: {"score": one.nested, "low": one.low, "high": one.high} for name, one in seen.items()}
    whole = [(one.nested, one.low, one.high) for one in seen.values() if one.low is not None and one.high is not None]
    interval = mean_interval(whole) if len(whole) == len(seen) else None
    _, low, high = interval or (None, None, None)
    score = sum(one.nested for one in seen.values()) / len(seen) if seen else None
    return {"score": score, "low": low, "high": high, "datasets": datasets}
