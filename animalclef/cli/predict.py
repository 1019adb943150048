"""`predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from animalclef.api.finished import Run
    from animalclef.config import Config

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
    engine: Annotated[str, typer.Option(help="local, or ray: the long stages run on a Ray cluster.")] = "local",
    address: Annotated[str, typer.Option(help="Of the Ray cluster: auto, HOST:PORT, ray://HOST:PORT, local.")] = "auto",
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

    - `animalclef predict --data my-photos --engine ray --address auto`

    - `animalclef predict --data next-year --decision submissions/this-year/submission.decision.json`
    """
    from animalclef.api.datasets import Dataset, load_config
    from animalclef.api.runs import predict as predict_run
    from animalclef.cli import console
    from animalclef.pipeline.results import target_file
    from animalclef.runtime.output_guard import protect_inputs

    extra = [f"data.max_missing={max_missing}"] * (max_missing is not None) + ["prepare.mode=whole"] * (not auto)
    extra += [*column_settings(columns), *([] if budget is None else [f"budget.spend={json.dumps(budget)}"])]
    config = load_config(config_name, *(assignments or []), *extra, seed=seed)
    dataset = Dataset(load(data, settings=config.data))
    protect_inputs(path for path in (decision, None if config_name is None else Path(config_name)) if path is not None)
    target = target_file(out_path, config, config_name)
    made = predict_run(
        dataset, config=config, run_dir=run, weights=weights, decision=decision, device=device, workers=workers,
        overwrite=overwrite, progress=console.RichProgress(err), say=tell,
        announce=lambda plan: tell(console.plan_sentence(plan)), engine=engine, address=address,
    )  # fmt: skip
    made.to_submission(target)
    if not no_ledger:
        _add_to_ledger(made, config, target, ledger)
    _warn(made)
    if as_json:
        print_json({"submission": str(target), "run": str(made.path), **made.summary})
    else:
        _print(made, target)


def _add_to_ledger(made: Run, config: Config, submission: Path, ledger: Path | None) -> None:
    from animalclef.pipeline.ledger_entry import record

    record(
        "predict", ledger, config, made.decision, data=made.finished.data, run=made.path,
        weights=made.outcome.weights if made.outcome else None, submission=submission, summary=made.summary,
    )  # fmt: skip


def _warn(made: Run) -> None:
    from animalclef.cli.console import set_aside_sentence

    if made.finished.skipped:
        warn(set_aside_sentence(made.finished.skipped, made.path))
    for sentence in made.summary["warnings"]:
        warn(sentence)


def _print(made: Run, submission: Path) -> None:
    """Print the decision, what it rests on, and where the results are."""
    from animalclef.cli.console import answer_lines, decision_table, honesty_lines

    out.print(decision_table(made.decision, made.finished.images.queries.datasets))
    lines = [*honesty_lines(made.decision), *answer_lines(made.summary, submission, made.path)]
    out.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)
