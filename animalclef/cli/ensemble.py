"""`ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import JsonOption, LedgerOption, NoLedgerOption, SetOption, err

if TYPE_CHECKING:
    from animalclef.decision.decision_model import Decision

__all__ = ["ensemble"]


@app.command()
def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished run folders over the same data.")],
    out_path: Annotated[
        Path | None, typer.Option("--out", help="Default: submissions/DATE-ensemble/submission.csv.")
    ] = None,
    assignments: SetOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the search. Default: the first run's.")] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Where candidates and decision are kept. Default: runs/ensemble-DIGEST."),
    ] = None,
    ledger: LedgerOption = None,
    no_ledger: NoLedgerOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fuse the scores of several finished runs (other embedders, other matchers) into one submission.

    Every query gets the union of the runs' candidates. Calibration, weights and thresholds are tuned on the runs'
    stored pseudo-queries; no photograph is read. Settings are those of the first run, changed by `--set`.

    Example: `animalclef ensemble runs/miewid runs/vlad --out submission.csv`
    """
    from animalclef.api.runs import ensemble as fuse
    from animalclef.cli import console
    from animalclef.cli.predict import finish
    from animalclef.pipeline.results import target_file

    target = target_file(out_path, "ensemble", None, run)
    made = fuse(runs, run_dir=run, settings=assignments or [], seed=seed, progress=console.RichProgress(err))
    single = _single_members(made.decision, made.finished.images.queries.datasets)
    finish("ensemble", made, target, ledger=ledger, no_ledger=no_ledger, as_json=as_json, warnings=single)


def _single_members(decision: Decision, datasets: list[str]) -> list[str]:
    """Return a sentence for every data set whose scores all come from one run."""
    sentences = []
    for name in datasets:
        part = decision.of(name)
        members = {column.partition(":")[0] for column, weight in part.weights.items() if weight >= 0.005}
        if len(members) == 1 and part.pair_model is None:
            sentences.append(
                f"{name}: only the scores of {members.pop()} have weight, so the other runs change nothing."
            )
    return sentences
