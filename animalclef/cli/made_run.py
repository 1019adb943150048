"""Write and print what a command that answered the queries has made: `predict`, `ensemble`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from animalclef.cli.options import out, print_json, warn

if TYPE_CHECKING:
    from animalclef.api.finished import Run

__all__ = ["finish"]


def finish(
    command: str,
    made: Run,
    submission: Path,
    *,
    ledger: Path | None,
    no_ledger: bool,
    as_json: bool,
    warnings: Sequence[str] = (),
) -> None:
    """Write the submission and a line of the ledger; print warnings, the decision, and where the results are."""
    from animalclef.cli.console import answer_lines, decision_table, honesty_lines, set_aside_sentence
    from animalclef.cli.console_clusters import count_lines
    from animalclef.pipeline.ledger_entry import record
    from animalclef.store.cluster_file import is_clustering

    made.to_submission(submission)
    summary = made.summary
    if not no_ledger:
        record(
            command, ledger, made.asked or made.config, made.decision, data=made.finished.data, run=made.path,
            weights=made.outcome.weights if made.outcome else None, submission=submission, summary=summary,
        )  # fmt: skip
    if made.finished.skipped:
        warn(set_aside_sentence(made.finished.skipped, made.path))
    for sentence in (*summary["warnings"], *warnings):
        warn(sentence)
    if as_json:
        print_json({"submission": str(submission), "run": str(made.path), **made.manifest, **summary})
        return
    out.print(decision_table(made.decision, made.finished.images.queries.datasets))
    answered, *rest = answer_lines(summary, submission, made.path)
    counts = []
    if made.outcome is not None and made.outcome.clusters is not None:
        what = "queries" if is_clustering(made.finished) else "photographs of new individuals"
        counts = count_lines(made.outcome.clusters.counts, what)
    lines = [*honesty_lines(made.decision), answered, *counts, *rest]
    out.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)
