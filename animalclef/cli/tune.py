"""`tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    FinishedRunOption,
    JsonOption,
    LedgerOption,
    NoLedgerOption,
    SeedOption,
    SetOption,
    err,
    out,
    print_json,
)

__all__ = ["tune"]


@app.command()
def tune(
    run: FinishedRunOption,
    trials: Annotated[int | None, typer.Option(min=1, help="Optuna trials per data set, in all.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Storage of the studies: sqlite:///FILE or a PostgreSQL address. "
            "Default: studies.db in the run folder; with --reviewed one of its own for each state of the log."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that work on each study.")] = 1,
    reviewed: Annotated[
        Path | None, typer.Option(help="Log of `animalclef review`: further labelled pairs for calibration.")
    ] = None,
    out_path: Annotated[Path | None, typer.Option("--out", help="Default: tuned.json in the run folder.")] = None,
    assignments: SetOption = None,
    seed: SeedOption = None,
    ledger: LedgerOption = None,
    no_ledger: NoLedgerOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search weights and thresholds further, on the stored pseudo-queries of a finished run.

    If interrupted, run the same command again: it resumes, also from several machines with one storage.
    optuna-dashboard shows the studies. The validation score is nested: each fold of individuals is scored with
    settings that were chosen on the others.

    Examples:

    - `animalclef tune --run runs/my-run --trials 500 --workers 2`

    - `animalclef tune --run runs/my-run --set 'decide.aggregations=[max, top2]' --out tuned.json`

    - `animalclef predict --data my-photos --run runs/my-run --decision tuned.json`

    - `animalclef tune --run runs/my-run --reviewed runs/my-run.review.jsonl`
    """  # fmt: skip
    from animalclef.api.runs import default_storage, tune_decision
    from animalclef.cli import console
    from animalclef.pipeline import ledger_entry
    from animalclef.pipeline.tune import settings_of_run
    from animalclef.runtime.atomic_files import write_text
    from animalclef.runtime.database_address import shown_address
    from animalclef.runtime.output_guard import check_output, protect_inputs
    from animalclef.store.run_folder import RunFolder

    target = out_path or run / "tuned.json"
    protect_inputs(path for path in (reviewed,) if path is not None)
    check_output(target, "decision")
    settings = [*(assignments or []), *([] if trials is None else [f"decide.trials={trials}"])]
    progress = console.RichProgress(err)
    decision = tune_decision(
        run, settings=settings, seed=seed, storage=storage, reviewed=reviewed, workers=workers, progress=progress
    )
    url = storage or default_storage(run, reviewed)
    write_text(target, decision.model_dump_json(indent=1) + "\n")
    if not no_ledger:
        config, data = settings_of_run(RunFolder(run), settings, seed), RunFolder(run).data_digest
        ledger_entry.record("tune", ledger, config, decision, data=data, run=run)
    if as_json:
        print_json({"decision": str(target), "storage": shown_address(url), **decision.model_dump()})
        return
    out.print(console.decision_table(decision, sorted(decision.datasets) or ["pooled"]))
    for line in console.honesty_lines(decision):
        out.print(line, highlight=False, soft_wrap=True)
    out.print(f"Decision: {target}\nStudies: {shown_address(url)}", highlight=False, soft_wrap=True)
