"""`predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    AddressOption,
    ColumnsOption,
    ConfigOption,
    DataOption,
    DeviceOption,
    EngineOption,
    JsonOption,
    LedgerOption,
    MaxMissing,
    NoLedgerOption,
    SeedOption,
    SetOption,
    WeightsOption,
    Workers,
    column_settings,
    err,
    load,
    tell,
)

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
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    workers: Workers = None,
    run: Annotated[Path | None, typer.Option(help="Where work is kept. Default: runs/CONFIG-DIGEST.")] = None,
    weights: WeightsOption = None,
    decision: Annotated[Path | None, typer.Option(help="Apply this decision.json instead of tuning one.")] = None,
    reviewed: Annotated[
        Path | None, typer.Option(help="Log of `animalclef review`: its answers decide their queries.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Match at most this many pairs (50000), or what takes this long (30min): first what may still "
            "change an answer. Default: all of them."
        ),
    ] = None,
    max_missing: MaxMissing = None,
    auto: Annotated[
        bool, typer.Option("--auto/--no-auto", help="Try on database photographs how to prepare them (prepare.mode).")
    ] = True,
    overwrite: Annotated[bool, typer.Option(help="Forget what an earlier run left in the run folder.")] = False,
    engine: EngineOption = "local",
    address: AddressOption = "auto",
    ledger: LedgerOption = None,
    no_ledger: NoLedgerOption = False,
    as_json: JsonOption = False,
) -> None:
    """Name the individual on every query photograph and write submission.csv.

    Everything is kept in the run folder as it is finished. If interrupted, run the same command again: it resumes and
    writes an identical file. After a change of settings only what depends on it is made again. Thresholds are tuned on
    the gallery alone.

    Examples:

    - `animalclef predict --data animal-clef-2025 --config animalclef2025 --out submission.csv`

    - `animalclef predict --data my-photos --set retrieve.top_k=50 --seed 1`

    - `animalclef predict --data animal-clef-2025 --config animalclef2025 --weights my-weights`

    - `animalclef predict --data my-photos --engine ray --address auto`

    - `animalclef predict --data next-year --decision submissions/this-year/submission.decision.json`
    """
    from animalclef.api.datasets import Dataset, load_config
    from animalclef.api.runs import predict as predict_run
    from animalclef.cli import console
    from animalclef.cli.made_run import finish
    from animalclef.pipeline.results import target_file
    from animalclef.runtime.output_guard import protect_inputs

    extra = [f"data.max_missing={max_missing}"] * (max_missing is not None) + ["prepare.mode=whole"] * (not auto)
    extra += [*column_settings(columns), *([] if budget is None else [f"budget.spend={json.dumps(budget)}"])]
    config = load_config(config_name, *(assignments or []), *extra, seed=seed)
    dataset = Dataset(load(data, settings=config.data))
    protect_inputs(path for path in (decision, reviewed) if path is not None)
    target = target_file(out_path, config.name, config_name, run)
    made = predict_run(
        dataset, config=config, run_dir=run, weights=weights, decision=decision, reviewed=reviewed, device=device,
        workers=workers,
        overwrite=overwrite, progress=console.RichProgress(err), say=tell,
        announce=lambda plan: tell(console.plan_sentence(plan)), engine=engine, address=address,
    )  # fmt: skip
    finish("predict", made, target, ledger=ledger, no_ledger=no_ledger, as_json=as_json)
