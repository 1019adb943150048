"""`ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import JsonOption, LedgerOption, NoLedgerOption, SetOption, err, out, print_json, warn

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
    from animalclef.cli import console
    from animalclef.config import load_config
    from animalclef.data.submission import write_submission
    from animalclef.pipeline import ledger_entry, results
    from animalclef.pipeline.ensemble import ensemble as fused
    from animalclef.pipeline.ensemble import read_ensemble
    from animalclef.store.run_folder import RunFolder

    parts = read_ensemble(runs)
    config = load_config(None, ["name=ensemble", *(assignments or [])], seed, base=parts.first.config)
    folder = RunFolder(run or Path("runs") / f"ensemble-{parts.scores[:8]}")
    target = results.target_file(out_path, config, None, folder.path)
    with folder.claimed():
        folder.open(overwrite=False)
        outcome = fused(parts, config, folder, console.RichProgress(err))
        write_submission(target, outcome.predictions, parts.loaded())
        names = {name: {"run": str(one.path), "scores_digest": one.scores} for name, one in parts.runs.items()}
        results.write_results(
            target, outcome, config, folder.path, parts.first.data, images=parts.first.images, runs=names
        )
    summary = results.summary(outcome)
    if not no_ledger:
        ledger_entry.record(
            "ensemble", ledger, config, outcome.decision, data=parts.first.data, run=folder.path, submission=target,
            summary=summary,
        )  # fmt: skip
    for sentence in (*outcome.warnings, *_single_members(outcome.decision, parts.first.images.queries.datasets)):
        warn(sentence)
    if as_json:
        print_json({"submission": str(target), "run": str(folder.path), "runs": names, **summary})
        return
    out.print(console.decision_table(outcome.decision, parts.first.images.queries.datasets))
    lines = console.answer_lines(summary, target, folder.path)
    out.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)


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
