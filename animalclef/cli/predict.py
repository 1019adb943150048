"""`predict`, `ensemble`: answer the queries, and say what was made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    out,
    print_json,
    tell,
    warn,
)

if TYPE_CHECKING:
    from animalclef.api.finished import Run
    from animalclef.decision.decision_model import Decision

__all__ = ["ensemble", "finish", "predict"]


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
        bool,
        typer.Option(
            "--auto/--no-auto",
            help="Choose prepare.mode and keypoints.upright by trials on database photographs.",
        ),
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
    from animalclef.pipeline.results import target_file
    from animalclef.runtime.output_guard import protect_inputs

    extra = [f"data.max_missing={max_missing}"] * (max_missing is not None) + ["prepare.mode=whole"] * (not auto)
    extra += [*column_settings(columns), *([] if budget is None else [f"budget.spend={json.dumps(budget)}"])]
    first = [] if auto else ["keypoints.upright=false"]  # nothing is tried; what --set says comes after
    config = load_config(config_name, *first, *(assignments or []), *extra, seed=seed)
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
