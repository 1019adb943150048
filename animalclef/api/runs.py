"""`predict`, `load_run`, `tune_decision`, `ensemble`: runs, and what they hold."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from animalclef.api.datasets import (
    Dataset,
    PathLike,
    check_kind,
    load_config,
    path_given,
    path_or_none,
    settings_of,
    table_of,
)
from animalclef.api.finished import Run, path_of
from animalclef.api.shown_progress import ProgressLike, shown_progress
from animalclef.config import Config
from animalclef.data.review_log import read_review
from animalclef.decision.decision_model import Decision, load_decision
from animalclef.engine.open_engine import check_engine, open_engine, shared_paths
from animalclef.errors import ConfigError
from animalclef.hub.needed_weights import require_weights
from animalclef.pipeline.ensemble import ensemble as fuse_runs
from animalclef.pipeline.ensemble import read_ensemble
from animalclef.pipeline.image_contents import read_contents
from animalclef.pipeline.predict import predict as predict_table
from animalclef.pipeline.run_context import Plan, open_context
from animalclef.pipeline.tune import check_decide_alone, tune_run
from animalclef.runtime.bucket_address import remote_url
from animalclef.runtime.devices import choose_device
from animalclef.runtime.digests import file_digest
from animalclef.runtime.threads import cores
from animalclef.store.catalogue_places import refuse_catalogue_run
from animalclef.store.finished_run import load_run as read_run
from animalclef.store.remote_run import RemoteRun
from animalclef.store.run_folder import RunFolder

__all__ = ["ensemble", "load_run", "predict", "tune_decision"]

logger = logging.getLogger(__name__)


def predict(
    data: Dataset | PathLike | None = None,
    *,
    config: Config | PathLike | None = None,
    run_dir: PathLike | None = None,
    weights: PathLike | None = None,
    decision: Decision | PathLike | None = None,
    reviewed: PathLike | None = None,
    budget: str | int | None = None,
    device: str = "auto",
    workers: int | None = None,
    progress: ProgressLike = None,
    announce: Callable[[Plan], None] | None = None,
    say: Callable[[str], None] | None = None,
    overwrite: bool = False,
    engine: str = "local",
    address: str = "auto",
) -> Run:
    """Name the individual on every query photograph; where nobody fits the answer is "a new individual".

    New individuals are grouped by individual (`run.clusters`). A clustering task such as AnimalCLEF 2026 is recognised
    by its sample submission; its submission holds the clusters of all queries.

    Everything is kept in `run_dir` (default: runs/<config>-<data digest>) as it is finished, so an interrupted call
    resumes. `data` and `run_dir` may lie in a bucket (s3://bucket/folder). `config` is the settings, a YAML file, or
    the name of a shipped config. With a `decision` (of a run, or a file) nothing is tuned. `budget` is a time ("6h",
    "30min") or a number of pairs ("50000"). Published weights are looked for in the folder `weights` first. The answers
    of a `reviewed` log (of `animalclef review`) decide their queries. `announce` gets the estimated cost before the
    long part, and `say` a sentence before a trial of preparations. `engine` "ray" runs the long stages on the Ray
    cluster at `address`; the results are the same. `workers` is the number of threads, 1 or more (default: the cores).
    `progress` is True for bars on standard error (lines, where that is no terminal), False for silence, or an object
    with a method `task` as in `animalclef.runtime.progress`; these two are the same wherever they are arguments.

    Raises:
        DataError: the table cannot be used, or too many files are missing.
        ConfigError: a setting, a model or the device does not exist.
        WeightsError: weights are not on this machine, or do not fit.
        StaleArtefactError: the decision was fitted on scores of other settings.
        OutputError: `run_dir` holds a finished run of another command, such as `cluster`, or a catalogue's seasons, or
            with `overwrite` a catalogue.
        EngineError: the cluster cannot be used, or a part of the work failed on it again and again.

    Example:
        >>> run = predict(data_folder, config=small_config, run_dir=folder / "a-run")
        >>> len(run.predictions), list(run.predictions.columns)
        (6, ['image_id', 'dataset', 'identity', 'probability', 'threshold'])
    """
    spend = [] if budget is None else [f"budget.spend={json.dumps(str(budget))}"]
    settings = load_config(config, *spend)
    check_engine(engine)
    device = choose_device(device)  # refused before the long part
    a_path, expected = (str, os.PathLike, type(None)), "a decision such as run.decision, or the file of one"
    check_kind("decision", decision, (Decision, *a_path), expected)
    check_kind("run_dir", run_dir, a_path, "a folder")
    given = decision if isinstance(decision, Decision) or decision is None else load_decision(Path(decision))
    folder_of_weights, log = path_or_none(weights, "weights"), path_or_none(reviewed, "reviewed")
    require_weights(settings, folder_of_weights)
    remote = _remote_run(run_dir, engine)
    if run_dir is not None and remote is None:  # refused before the long part
        RunFolder(Path(run_dir)).refuse_run_of_others("predict", overwrite=overwrite)
    loaded = table_of(data, settings.data)
    count, shown = cores(workers), shown_progress(progress)
    contents = read_contents(loaded, settings, count, shown)
    said = None if log is None else read_review(log, contents.images)  # refused before the long part
    default = Path("runs") / f"{settings.name}-{contents.digest[:8]}"
    folder = RunFolder(Path(run_dir or default) if remote is None else remote.folder)
    if overwrite and log is not None and log.resolve().is_relative_to(folder.path.resolve()):
        raise ConfigError(f"Overwriting would remove {log}. Move the log out of {folder.path} first.")
    folders = shared_paths(contents.images, folder.path)
    with folder.claimed(), open_engine(engine, address, device=device, folders=folders) as opened:
        if remote is not None:
            remote.pull(overwrite=overwrite)
            if not overwrite:
                folder.refuse_run_of_others("predict")
        folder.open(overwrite=overwrite)
        context = open_context(settings, folder, device, folder_of_weights, count, shown, announce, given, say, opened)
        context = replace(context, reviewed=said, after_stage=None if remote is None else remote.push)
        outcome = predict_table(loaded, contents, context)
        if remote is not None:
            remote.push()
    return Run(read_run(folder.path), folder_of_weights, outcome, settings)


def _remote_run(run_dir: PathLike | None, engine: str) -> RemoteRun | None:
    url = None if run_dir is None else remote_url(os.fspath(run_dir))
    if url is not None and engine != "local":
        raise ConfigError(f"{url}: with the engine {engine} the run folder must lie on a disk that every node sees.")
    return None if url is None else RemoteRun(url)


def load_run(path: Run | PathLike, *, data: PathLike | None = None, weights: PathLike | None = None) -> Run:
    """Open the folder of a finished run; `data` is where its photographs are now, if they have moved.

    A `Run` is read again.

    Raises:
        RunError: the folder holds no finished run, or a file of it is damaged.

    Example:
        >>> run = load_run(run_folder)
        >>> run
        Run(6 queries, ...)
    """
    folder = path.path if isinstance(path, Run) else path_given(path, "path", "the folder of a finished run")
    return Run(read_run(folder, path_or_none(data, "data")), path_or_none(weights, "weights"))


def tune_decision(
    run: Run | PathLike,
    *,
    trials: int | None = None,
    config: Config | PathLike | None = None,
    seed: int | None = None,
    storage: str | None = None,
    reviewed: PathLike | None = None,
    workers: int = 1,
    progress: ProgressLike = None,
) -> Decision:
    """Search weights and thresholds of a finished run further; no photograph is read.

    `trials` is their number per data set, in all, 1 or more (default: that of the settings, or 200). `config` is
    settings that differ from those of the run in the group `decide` alone, such as
    `load_config(run.config, "decide.fusions=[weighted]")`, or a YAML file of `decide` settings. Studies are kept in
    `storage` (default: studies.db in the run folder), and the same call resumes them. The answers of a `reviewed` log
    (of `animalclef review`) about queries are further labelled pairs for calibration; the default storage then has a
    name of its own for each state of the answers. `.save(path)` writes the decision, and `predict(decision=path)`
    applies it.

    Raises:
        RunError: the folder holds no finished run.
        ConfigError: a setting would change the scores themselves.
        DataError: the log cannot be read.
        StaleArtefactError: the run keeps no pseudo-queries, or the log is of another run.
        OutputError: it is the run of a catalogue, which tunes its decision itself.

    Example:
        >>> tuned = tune_decision(run_folder, trials=2)
        >>> tuned
        Decision(NewtID: named from ..., validation score ...)
        >>> tuned.save(folder / "tuned.json")
    """
    if trials is not None:
        check_kind("trials", trials, (int, np.integer), "a whole number, 1 or more")
        if trials < 1:
            raise ValueError(f"trials: expected 1 or more, got {trials}.")
    folder, processes = RunFolder(path_of(run)), cores(workers)
    refuse_catalogue_run(
        folder.path,
        "A catalogue tunes its decision anew by `catalogue add --retune` (in Python: add with retune=True).",
    )
    extra = [] if trials is None else [f"decide.trials={trials}"]
    finished = read_run(folder.path)
    chosen = settings_of(config, model=Config, base=finished.config)
    check_decide_alone(finished, chosen)
    review = path_or_none(reviewed, "reviewed")
    said = None if review is None else read_review(review, finished.images)
    url = storage or default_storage(folder.path, review)
    chosen = load_config(chosen, *extra, seed=seed)
    if chosen.decide.threshold is not None:
        logger.warning(
            "decide.threshold=%g is set, so the threshold is not tuned. Set decide.threshold=null to tune it, too.",
            chosen.decide.threshold,
        )
    return tune_run(folder, chosen, url, processes, shown_progress(progress), said)


def default_storage(run: Path, reviewed: PathLike | None = None) -> str:
    """Return where the studies of a run are kept: for each state of a review log in a file of its own."""
    state = "" if reviewed is None else "-" + file_digest(Path(reviewed))[:8]
    return f"sqlite:///{(run / f'studies{state}.db').resolve()}"


def ensemble(
    runs: Sequence[Run | PathLike],
    *,
    run_dir: PathLike | None = None,
    config: Config | PathLike | None = None,
    seed: int | None = None,
    progress: ProgressLike = None,
) -> Run:
    """Fuse the scores of two or more finished runs over the same data into one run; no photograph is read.

    `config` is the settings, such as `load_config(first.config, "decide.fusions=[weighted]")`, or a YAML file of what
    differs from those of the first run (the default). The result is kept in `run_dir`, by default
    runs/ensemble-<digest>.

    Raises:
        RunError: a folder holds no finished run.
        DataError: there are fewer than two runs, one twice, or they are over other data.
        OutputError: `run_dir` holds a finished run of another command.

    Example:
        >>> fused = ensemble([run_folder, other_run_folder], run_dir=folder / "fused")
        >>> len(fused.predictions)
        6
    """
    check_kind("runs", runs, (list, tuple), "a list of two or more runs")
    parts = read_ensemble([path_of(one) for one in runs])
    chosen = settings_of(config, model=Config, base=parts.first.config)
    name = "ensemble" if chosen.name == parts.first.config.name else chosen.name
    chosen = load_config(chosen, f"name={name}", seed=seed)
    folder = RunFolder(Path(run_dir or Path("runs") / f"ensemble-{parts.scores[:8]}"))
    folder.refuse_run_of_others("ensemble")
    with folder.claimed():
        folder.open(overwrite=False)
        outcome = fuse_runs(parts, chosen, folder, shown_progress(progress))
    members = {name: {"run": str(one.path), "scores_digest": one.scores} for name, one in parts.runs.items()}
    return Run(read_run(folder.path), None, outcome, chosen, {"runs": members})
