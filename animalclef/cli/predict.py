"""`predict`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    ColumnsOption,
    ConfigOption,
    DataOption,
    JsonOption,
    LedgerOption,
    NoLedgerOption,
    SetOption,
    Workers,
    column_settings,
    err,
    load,
    out,
    print_json,
    tell,
    warn,
)
from animalclef.errors import DataError

__all__ = ["predict"]


@app.command()
def predict(
    data: DataOption = None,
    out_path: Annotated[
        Path | None, typer.Option("--out", help="Default: submissions/DATE-CONFIG/submission.csv.")
    ] = None,
    columns: ColumnsOption = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    workers: Workers = None,
    run: Annotated[Path | None, typer.Option(help="Where work is kept. Default: runs/CONFIG-DIGEST.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder of network weights, as `weights bundle` makes it.")
    ] = None,
    decision: Annotated[Path | None, typer.Option(help="Apply this decision.json instead of tuning one.")] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Match at most this many pairs (50000), or what takes this long (30min): first what may still "
            "change an answer. Default: all of them."
        ),
    ] = None,
    max_missing: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of missing photographs above which to stop. Default 0.01.")
    ] = None,
    auto: Annotated[
        bool, typer.Option("--auto/--no-auto", help="Try on database photographs how to prepare them (prepare.mode).")
    ] = True,
    overwrite: Annotated[bool, typer.Option(help="Forget what an earlier run left in the run folder.")] = False,
    ledger: LedgerOption = None,
    no_ledger: NoLedgerOption = False,
    as_json: JsonOption = False,
) -> None:
    """Name the individual on every query photograph and write submission.csv.

    Everything is kept in the run folder as it is finished: the same command after a kill goes on where it was, and a
    changed setting makes only what depends on it again. Thresholds are tuned on the gallery alone.

    Examples:

    - `animalclef predict --data animal-clef-2025 --config animalclef2025 --out submission.csv`

    - `animalclef predict --data my-photos --set retrieve.top_k=50 --seed 1`

    - `animalclef predict --data animal-clef-2025 --config animalclef2025 --weights my-weights`

    - `animalclef predict --data next-year --decision submissions/this-year/submission.decision.json`
    """
    from animalclef.cli import console
    from animalclef.config import load_config
    from animalclef.data.submission import write_submission
    from animalclef.decision.decision_model import load_decision
    from animalclef.hub.needed_weights import require_weights
    from animalclef.pipeline import ledger_entry, results
    from animalclef.pipeline.image_contents import read_contents
    from animalclef.pipeline.predict import predict as predict_all
    from animalclef.pipeline.run_context import open_context
    from animalclef.runtime.output_guard import protect_inputs
    from animalclef.store.run_folder import RunFolder

    given = None if decision is None else load_decision(decision)
    extra = [f"data.max_missing={max_missing}"] * (max_missing is not None) + ["prepare.mode=whole"] * (not auto)
    extra += column_settings(columns)
    extra += [] if budget is None else [f"budget.spend={json.dumps(budget)}"]
    config = load_config(config_name, [*(assignments or []), *extra], seed)
    require_weights(config, weights)
    loaded = load(data, settings=config.data)
    if loaded.is_clustering:
        raise DataError(
            f"{loaded.source.root}: this is AnimalCLEF 2026, a clustering task (cluster_<dataset>_<n> per image); "
            "predict answers identification tasks such as AnimalCLEF 2025."
        )
    protect_inputs(path for path in (decision, None if config_name is None else Path(config_name)) if path is not None)
    target = results.target_file(out_path, config, config_name)
    progress = console.RichProgress(err)
    count = workers or os.cpu_count() or 1
    contents = read_contents(loaded, config, count, progress)
    folder = RunFolder(run or Path("runs") / f"{config.name}-{contents.digest[:8]}")
    with folder.claimed():
        folder.open(overwrite=overwrite)
        announce = lambda plan: tell(console.plan_sentence(plan))  # noqa: E731
        context = open_context(config, folder, device, weights, count, progress, announce, given, tell)
        outcome = predict_all(loaded, contents, context)
        write_submission(target, outcome.predictions, loaded)
        results.write_results(target, outcome, config, folder.path, contents.digest, images=loaded.images)
    summary = results.summary(outcome)
    if not no_ledger:
        ledger_entry.record(
            "predict", ledger, config, outcome.decision, data=contents.digest, run=folder.path,
            weights=outcome.weights, submission=target, summary=summary,
        )  # fmt: skip
    skipped = [console.set_aside_sentence(outcome.set_aside, folder.path)] if outcome.set_aside else []
    for sentence in (*skipped, *outcome.warnings):
        warn(sentence)
    if as_json:
        print_json({"submission": str(target), "run": str(folder.path), **summary})
        return
    out.print(console.decision_table(outcome.decision, loaded.images.queries.datasets))
    lines = [*console.honesty_lines(outcome.decision), *console.answer_lines(summary, target, folder.path)]
    out.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)
