"""The command line: parse, call, print."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from typer.core import TyperGroup

import animalclef
from animalclef.errors import AnimalClefError, DataError

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Commands that an interrupt ends with a sentence (Typer itself ends them without a word)."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err.print("Interrupted. What was finished is kept; the same command goes on from there.", soft_wrap=True)
            raise SystemExit(130) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which individual animal is on this photograph, or is it somebody new?\n\n"
    "Start with: animalclef demo DIR, then animalclef predict --data DIR --out submission.csv.",
)
out, err = Console(), Console(stderr=True)

DataOption = Annotated[
    Path | None,
    typer.Option(help="Folder with metadata.csv and the photographs, a CSV file, or a folder per individual "
                      "(queries under query/). On Kaggle: found by itself."),
]  # fmt: skip
ConfigOption = Annotated[str | None, typer.Option("--config", help="A YAML file, or the name of a shipped one.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker threads. Default: the number of cores.")]


def main() -> None:
    """Run the command line; what the user can mend is one sentence and exit status 2."""
    try:
        app(standalone_mode=True)
    except AnimalClefError as error:
        err.print(f"[bold red]error:[/] {_escaped(str(error))}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None
    except OSError as error:
        sentence = f"{error.filename or 'a file'}: {error.strerror or error}"
        err.print(f"[bold red]error:[/] {_escaped(sentence)}.", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"animalclef {animalclef.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", is_eager=True, callback=_show_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more about each step.")] = False,
) -> None:
    warnings.filterwarnings("ignore", module="PIL")  # a photograph is usable, or set aside with its reason
    level = logging.INFO if verbose else logging.WARNING
    handler = RichHandler(console=err, show_path=False, show_time=False, markup=False)
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler], force=True)


@app.command()
def predict(
    data: DataOption = None,
    out_path: Annotated[
        Path | None, typer.Option("--out", help="Default: submissions/<date>-<config>/submission.csv.")
    ] = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    workers: Workers = None,
    run: Annotated[Path | None, typer.Option(help="Where work is kept. Default: runs/<config>-<data digest>.")] = None,
    decision: Annotated[Path | None, typer.Option(help="Apply this decision.json instead of tuning one.")] = None,
    max_missing: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of missing photographs above which to stop. Default 0.01.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Forget what an earlier run left in the run folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Name the individual on every query photograph and write submission.csv.

    Everything is kept in the run folder as it is finished: the same command after a kill goes on where it was, and a
    changed setting makes only what depends on it again. Thresholds are tuned on the gallery alone.

    Examples:

    - `animalclef predict --data animal-clef-2025 --config animalclef2025 --out submission.csv`

    - `animalclef predict --data my-photos --set retrieve.top_k=50 --seed 1`

    - `animalclef predict --data next-year --decision submissions/this-year/decision.json`
    """
    from animalclef import console, results
    from animalclef.config import load_config
    from animalclef.data.submission import write_submission
    from animalclef.decision import load_decision
    from animalclef.pipeline import Pipeline, read_contents
    from animalclef.store.run import RunFolder

    given = None if decision is None else load_decision(decision)
    extra = [] if max_missing is None else [f"data.max_missing={max_missing}"]
    config = load_config(config_name, [*(assignments or []), *extra], seed)
    loaded = _load(data)
    if loaded.is_clustering:
        raise DataError(
            f"{loaded.source.root}: this is AnimalCLEF 2026, a clustering task (cluster_<dataset>_<n> per image); "
            "predict answers identification tasks such as AnimalCLEF 2025."
        )
    target = results.target_file(out_path, config, config_name)
    progress = console.RichProgress(err)
    count = workers or os.cpu_count() or 1
    contents = read_contents(loaded, config, count, progress)
    folder = RunFolder(run or Path("runs") / f"{config.name}-{contents.digest[:8]}")
    with folder.claimed():
        folder.open(overwrite=overwrite)
        announce = lambda plan: err.print(console.plan_sentence(plan), highlight=False, soft_wrap=True)  # noqa: E731
        outcome = Pipeline(loaded, contents, config, folder, count, device, progress, announce).predict(given)
        write_submission(target, outcome.predictions, loaded)
        results.write_results(target, outcome, config, folder.path, contents.digest)
    summary = results.summary(outcome)
    if outcome.set_aside:
        sentence = console.set_aside_sentence(outcome.set_aside, folder.path)
        err.print(f"[yellow]warning:[/] {_escaped(sentence)}", highlight=False, soft_wrap=True)
    if as_json:
        _print_json({"submission": str(target), "run": str(folder.path), **summary})
        return
    out.print(console.decision_table(outcome.decision, loaded.images.queries.datasets))
    named = summary["queries"] - summary["new_individuals"]
    who = f"{named} named ({summary['individuals_named']} individuals), {summary['new_individuals']} new"
    out.print(f"{summary['queries']} queries: {who}.", highlight=False)
    out.print(f"Submission: {target}\nRun folder: {folder.path}", highlight=False, soft_wrap=True)


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(help="Folder to make.")],
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other animals.")] = 0,
    workers: Workers = None,
) -> None:
    """Render a demo data set: three invented species in the competition's layout, with a truth.csv to score against."""
    from animalclef.console import RichProgress
    from animalclef.demo import DemoConfig, render_demo

    with ExitStack() as stack:
        advance: list[Callable[[int], None]] = []
        shown = 0

        def tell(finished: int, total: int) -> None:
            nonlocal shown
            if not advance:
                advance.append(stack.enter_context(RichProgress(err).task("rendering photographs", total, "images")))
            advance[0](finished - shown)
            shown = finished

        render_demo(directory, DemoConfig(seed=seed), workers=workers or os.cpu_count() or 1, progress=tell)
    out.print(f"Demo data set: {directory}", highlight=False, soft_wrap=True)


@app.command()
def inspect(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Check a data set's table and count what is in it; photographs are not opened."""
    from animalclef.data.statistics import count_images

    loaded = _load(data)
    statistics = count_images(loaded)
    if as_json:
        _print_json(statistics)
        return
    from animalclef.console import statistics_table

    out.print(statistics_table(statistics))


@app.command()
def validate(
    submission: Annotated[Path, typer.Argument(help="The file to check.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a submission against its data set, and name every row that is not right. Exit status 2 if any is."""
    from animalclef.data.submission import check_submission
    from animalclef.data.text import read_table

    problems = check_submission(read_table(submission), _load(data))
    if as_json:
        _print_json({"valid": not problems, "problems": [dataclasses.asdict(problem) for problem in problems]})
    else:
        for problem in problems[:50]:
            out.print(_escaped(str(problem)), highlight=False, soft_wrap=True)
        more = f" ({len(problems) - 50} more)" if len(problems) > 50 else ""
        verdict = f"{len(problems)} problems{more}" if problems else "valid"
        out.print(f"{submission}: {verdict}.", highlight=False, soft_wrap=True)
    raise typer.Exit(2 if problems else 0)


@app.command()
def score(
    truth: Annotated[Path, typer.Option(help="CSV with image_id, identity, dataset, known (1 or 0).")],
    submission: Annotated[Path, typer.Option(help="CSV with image_id, identity.")],
    as_json: JsonOption = False,
) -> None:
    """The official score: the mean over data sets of sqrt(BAKS * BAUS)."""
    from animalclef.console import score_table
    from animalclef.evaluation.evaluate import score_files

    result = score_files(truth, submission)
    if as_json:
        parts = {name: {**dataclasses.asdict(part), "score": part.score} for name, part in result.datasets.items()}
        _print_json({"score": result.overall, "datasets": parts})
    else:
        out.print(score_table(result))


@app.command()
def evaluate(
    run: Annotated[Path, typer.Option(help="A finished run folder.")],
    truth: Annotated[Path, typer.Option(help="CSV with image_id, identity, dataset, known (1 or 0).")],
    as_json: JsonOption = False,
) -> None:
    """Rank-1/5/20/25 and mAP of a run's candidates, per data set and viewpoint, with bootstrap intervals."""
    from animalclef.console import retrieval_table
    from animalclef.evaluation.evaluate import evaluate_run

    report = evaluate_run(run, truth)
    if as_json:
        _print_json(dataclasses.asdict(report))
    else:
        out.print(retrieval_table(report))


def _load(data: Path | None) -> Any:
    from animalclef.data.images import load_table
    from animalclef.data.sources import find_source

    loaded = load_table(find_source(data))
    for problem in loaded.problems:
        err.print(f"[yellow]warning:[/] {_escaped(str(problem))}", highlight=False, soft_wrap=True)
    return loaded


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _print_json(content: Any) -> None:
    sys.stdout.write(json.dumps(_without_nan(content), indent=1, ensure_ascii=False) + "\n")


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and content != content else content
