"""`predict`, `ensemble`, `tune`: answer the queries, fuse runs, search their decisions further."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from animalclef.cli import console
from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_result, progress, tell, warn
from animalclef.runtime.output_guard import check_output, protect_inputs

if TYPE_CHECKING:
    from animalclef.api.finished import Run
    from animalclef.decision.decision_model import Decision

__all__ = ["ensemble", "predict", "tune"]


def _finish(
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
    from animalclef.data.sources import Source
    from animalclef.store.ledger import record

    made.to_submission(submission)
    summary = made.summary
    if not no_ledger:
        record(
            command, ledger, made.asked or made.config, made.decision, data=made.finished.data, run=made.path,
            weights=made.outcome.weights if made.outcome else None, submission=submission, summary=summary,
        )  # fmt: skip
    if made.finished.skipped:
        warn(console.set_aside_sentence(made.finished.skipped, made.path))
    for sentence in (*(made.outcome.warnings if made.outcome else ()), *warnings):  # the data's are printed already
        warn(sentence)
    table = console.decision_table(made.decision, made.finished.images.queries.datasets)
    skipped = sum(one.split == "query" for one in made.finished.skipped)
    competes = Source(made.finished.images.root, None).sample is not None
    answered, *rest = console.answer_lines(summary, submission, made.path, skipped, competes=competes)
    counts = []
    if made.outcome is not None and made.outcome.clusters is not None:
        what = ("query", "") if made.finished.is_clustering else ("photograph", " of new individuals")
        counts = console.count_lines(made.outcome.clusters.counts, *what)
    spent = [made.outcome.spent.sentence] if made.outcome is not None and made.outcome.spent is not None else []
    lines = [*console.honesty_lines(made.decision), *spent, answered, *counts, *rest]
    content = {"submission": str(submission), "run": str(made.path), **made.manifest, **summary}
    print_result(content, table, *lines, as_json=as_json)


@app.command()
def predict(
    data: opt.Data = None,
    out_path: Annotated[
        Path | None, typer.Option("--out", help="Default: submissions/DATE-CONFIG/submission.csv.")
    ] = None,
    columns: opt.Columns = None,
    config_name: opt.Config = None,
    assignments: opt.Set = None,
    seed: opt.Seed = None,
    device: opt.Device = "auto",
    workers: opt.Workers = None,
    run: Annotated[Path | None, typer.Option(help="Where work is kept. Default: runs/CONFIG-DIGEST.")] = None,
    weights: opt.Weights = None,
    decision: Annotated[Path | None, typer.Option(help="Apply this decision.json instead of tuning one.")] = None,
    reviewed: Annotated[
        Path | None, typer.Option(help="Log of `animalclef review`: its answers decide their queries.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Match for so long (6h, 30min, 1h30min), or so many pairs of photographs (50000), first where an "
            "answer may still change. Default: all pairs."
        ),
    ] = None,
    max_missing: opt.MaxMissing = None,
    no_auto: Annotated[
        bool,
        typer.Option("--no-auto", help="No trials on database photographs choose prepare.mode and keypoints.upright."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Forget what an earlier run left in the run folder.")
    ] = False,
    engine: opt.Engine = "local",
    address: opt.Address = "auto",
    ledger: opt.Ledger = None,
    no_ledger: opt.NoLedger = False,
    as_json: opt.Json = False,
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
    from animalclef.api.datasets import Dataset
    from animalclef.api.runs import predict as predict_run
    from animalclef.pipeline.results import target_file

    settings = list(assignments or [])
    if max_missing is not None:
        settings.append(f"data.max_missing={max_missing}")
    if no_auto:  # nothing is tried; what --set says of upright comes after
        settings = ["keypoints.upright=false", *settings, "prepare.mode=whole"]
    if budget is not None:
        settings.append(f"budget.spend={json.dumps(budget)}")
    config = opt.run_config(config_name, settings, columns, seed)
    dataset = Dataset(opt.load(data, settings=config.data))
    protect_inputs(path for path in (decision, reviewed) if path is not None)
    target = target_file(out_path, config.name, config_name, run)
    made = predict_run(
        dataset, config=config, run_dir=run, weights=weights, decision=decision, reviewed=reviewed, device=device,
        workers=workers, overwrite=overwrite, progress=progress, say=tell,
        announce=lambda plan: tell(console.plan_sentence(plan)), engine=engine, address=address,
    )  # fmt: skip
    _finish("predict", made, target, ledger=ledger, no_ledger=no_ledger, as_json=as_json)


@app.command()
def ensemble(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Finished run folders over the same data.")],
    out_path: Annotated[
        Path | None, typer.Option("--out", help="Default: submissions/DATE-ensemble/submission.csv.")
    ] = None,
    assignments: opt.Set = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the search. Default: the first run's.")] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Where candidates and decision are kept. Default: runs/ensemble-DIGEST."),
    ] = None,
    ledger: opt.Ledger = None,
    no_ledger: opt.NoLedger = False,
    as_json: opt.Json = False,
) -> None:
    """Fuse the scores of several finished runs (other embedders, other matchers) into one submission.

    Every query gets the union of the runs' candidates. Calibration, weights and thresholds are tuned on the runs'
    stored pseudo-queries; no photograph is read. Settings are those of the first run, changed by `--set`.

    Example: `animalclef ensemble runs/miewid runs/vlad --out submission.csv`
    """
    from animalclef.api.datasets import load_config
    from animalclef.api.runs import ensemble as fuse
    from animalclef.api.runs import load_run
    from animalclef.pipeline.results import target_file

    target = target_file(out_path, "ensemble", None, run)
    config = load_config(load_run(runs[0]).config, *(assignments or []), seed=seed)
    made = fuse(runs, run_dir=run, config=config, progress=progress)
    single = _single_members(made.decision, made.finished.images.queries.datasets)
    _finish("ensemble", made, target, ledger=ledger, no_ledger=no_ledger, as_json=as_json, warnings=single)


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


@app.command()
def tune(
    run: opt.FinishedRun,
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
    assignments: opt.Set = None,
    seed: opt.Seed = None,
    ledger: opt.Ledger = None,
    no_ledger: opt.NoLedger = False,
    as_json: opt.Json = False,
) -> None:
    """Search weights and thresholds further, on the stored pseudo-queries of a finished run.

    If interrupted, run the same command again: it resumes, also from several machines with one storage.
    optuna-dashboard shows the studies. The validation score is nested: it tests each fold of individuals with weights
    and thresholds that as many trials chose on the other folds. Apply the new decision only if it scores better than
    the run's own.

    Examples:

    - `animalclef tune --run runs/my-run --trials 500 --workers 2`

    - `animalclef tune --run runs/my-run --set 'decide.aggregations=[max, top2]' --out tuned.json`

    - `animalclef predict --data my-photos --run runs/my-run --decision tuned.json`

    - `animalclef tune --run runs/my-run --reviewed runs/my-run.review.jsonl`
    """  # fmt: skip
    from animalclef.api.datasets import load_config
    from animalclef.api.runs import default_storage, load_run, tune_decision
    from animalclef.decision.decision_model import load_decision
    from animalclef.runtime.database_address import shown_address
    from animalclef.store.ledger import record
    from animalclef.store.remote_run import local_run
    from animalclef.store.run_folder import RunFolder

    run = local_run(run)
    target = out_path or run / "tuned.json"
    protect_inputs([] if reviewed is None else [reviewed])
    check_output(target, "decision")
    settings = [*(assignments or []), *([] if trials is None else [f"decide.trials={trials}"])]
    config = load_config(load_run(run).config, *settings, seed=seed)
    decision = tune_decision(run, config=config, storage=storage, reviewed=reviewed, workers=workers, progress=progress)
    url = storage or default_storage(run, reviewed)
    decision.save(target)
    if not no_ledger:
        record("tune", ledger, config, decision, data=RunFolder(run).data_digest, run=run)
    content = {"decision": str(target), "storage": shown_address(url), **decision.model_dump()}
    table = console.decision_table(decision, sorted(decision.datasets) or ["pooled"])
    lines = [*console.honesty_lines(decision), *_beside(decision, load_decision(RunFolder(run).decision))]
    places = f"Decision: {target}", f"Studies: {shown_address(url)}"
    print_result(content, table, *lines, *places, as_json=as_json)


def _beside(decision: Decision, before: Decision) -> list[str]:
    """Compare a decision's validation score with that of the one the run has."""
    now, then = decision.summary, before.summary
    if now is None or then is None:
        return []
    told = f"The decision in the run folder has a validation score of {then.nested:.3f}"
    return [f"{told}: keep it." if then.nested > now.nested else f"{told}."]
