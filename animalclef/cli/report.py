"""`report`, `show`, `review`: look at a finished run."""

from __future__ import annotations

import re
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_lines, print_result, progress, tell, warn
from animalclef.errors import ConfigError
from animalclef.runtime.login import login
from animalclef.runtime.output_guard import check_output
from animalclef.runtime.threads import cores
from animalclef.runtime.wording import counted

__all__ = ["report", "review", "show"]

LayerOption = Annotated[
    str | None,
    typer.Option(help="With --explain: the layer of the network whose map is explained. Default: the last with a map."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder searched first for published weights of the run's matcher, and with --explain of its network.",
        callback=opt.weights_there,
    ),
]


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    truth: Annotated[
        Path | None, typer.Option(help="CSV with image_id, identity, dataset, known: adds outcomes and the score.")
    ] = None,
    data: opt.MovedData = None,
    out_path: Annotated[
        Path | None,
        typer.Option("--out", help="An HTML file, or a folder. Default: report.html, or report/, in the run folder."),
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=100, help="Best individuals shown beside each query, each by its best photograph.")
    ] = 5,
    matched: Annotated[
        int | None,
        typer.Option(
            min=0, help="Individuals of a query whose matched keypoints are kept for drawing. Default: all shown."
        ),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder of masks: matches outside the animals are drawn in another colour.")
    ] = None,
    explain: Annotated[
        int,
        typer.Option(
            min=0, help="For this many queries: the regions that the embedding matched with the best candidate."
        ),
    ] = 0,
    layer: LayerOption = None,
    weights: WeightsOption = None,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
) -> None:
    """Write an HTML report: scores, charts, and every query beside its best individuals with the matched keypoints.

    Each individual is shown by its best photograph, with the number of its further photographs among the candidates.
    Up to 500 queries it is one HTML file, for more a folder with index.html. It opens in a browser without a network.

    Examples:

    - `animalclef report runs/demo --truth .demo/truth.csv`

    - `animalclef report runs/my-run --data /mnt/photographs --out my-report.html`
    """
    from animalclef.report.write_report import write_report
    from animalclef.store.finished_run import load_run

    written = write_report(
        load_run(run, data), truth, out_path, candidates, cores(workers), progress, matched=matched, masks=masks,
        weights=weights, explained=explain, layer=layer,
    )  # fmt: skip
    for note in written.notes:
        warn(note)
    content = {"report": str(written.page), "notes": written.notes}
    print_result(content, f"Report: {written.page}", as_json=as_json)


@app.command()
def show(
    image_id: Annotated[str, typer.Argument(help="The query's image_id.")],
    run: opt.FinishedRun,
    data: opt.MovedData = None,
    out_path: Annotated[Path | None, typer.Option("--out", help="A .png or .jpg. Default: IMAGE_ID.png.")] = None,
    candidates: Annotated[int, typer.Option(min=1, max=100, help="Best individuals, each by its best photograph.")] = 4,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also draw the regions that the embedding matched.")
    ] = False,
    layer: LayerOption = None,
    weights: WeightsOption = None,
) -> None:
    """Draw one query beside its best individuals, with the inliers (matched keypoints that fit one transform).

    Each individual is shown by its best photograph, with the number of its further photographs among the candidates.

    Examples:

    - `animalclef show 17 --run runs/demo --out 17.png`

    - `animalclef show 17 --run runs/demo --explain --out 17-explained.png`
    """
    from animalclef.report.explanations import Explanations
    from animalclef.report.query_picture import draw_query, write_picture
    from animalclef.store.finished_run import load_run

    target = out_path or Path(re.sub(r"[^\w.-]+", "_", image_id) + ".png")
    check_output(target, "picture")
    finished = load_run(run, data)
    explanations = Explanations(finished, layer, weights) if explain else None
    write_picture(target, draw_query(finished, image_id, candidates, explanations, weights))
    print_lines(f"Picture: {target}")


@app.command()
def review(
    run: Annotated[Path, typer.Argument(help="A finished run folder, or a catalogue.")],
    season: Annotated[
        int | None, typer.Option(min=1, help="Of a catalogue: the season that is reviewed. Default: the last one.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="File that answers are added to. Default: RUN.review.jsonl beside RUN.")
    ] = None,
    who: Annotated[str | None, typer.Option("--who", help="Your name in the log. Default: your login.")] = None,
    data: opt.MovedData = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0: a free one.")] = 0,
    weights: opt.Weights = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in this machine's browser.")] = False,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Serve no page; write the questions to this .html, and beside it a .csv for the answers."),
    ] = None,
    questions: Annotated[int, typer.Option(min=1, help="With --sheet: how many questions.")] = 50,
    answers: Annotated[
        Path | None, typer.Option(help="Serve no page; read the filled-in .csv of a sheet into the log.")
    ] = None,
) -> None:
    """Review a run in the browser: two photographs at a time, and your answer: same, different, or can't tell.

    Questions come in the order of how many photographs an answer is expected to put right, by name or by group. Each
    answer is on the disk before the page says so. The page is served to this machine alone, at an address with a secret
    token. Give the log to `predict --reviewed`, `cluster`, `tune` or `train` afterwards.

    Examples:

    - `animalclef review runs/my-run --who Ada`

    - `animalclef predict --data my-photos --run runs/my-run --reviewed runs/my-run.review.jsonl`

    - `animalclef review runs/my-run --sheet questions.html`

    - `animalclef review runs/my-run --answers questions.csv --who Ada`

    - `animalclef review my-catalogue --season 1`
    """
    from animalclef.catalogue.catalogue_folder import Catalogue
    from animalclef.catalogue.season_runs import find_season_run
    from animalclef.data.review_log import ReviewLog
    from animalclef.review.server import bind, serve
    from animalclef.review.session import ReviewSession, review_path
    from animalclef.review.sheet import read_answers, write_sheet
    from animalclef.store.catalogue_places import is_catalogue
    from animalclef.store.finished_run import load_run
    from animalclef.store.remote_run import local_run

    run = local_run(run)
    place = review_path(run)
    if is_catalogue(run):
        found = find_season_run(Catalogue(run), season)
        place, run = found.log, found.run
    elif season is not None:
        raise ConfigError(f"--season {season}: {run} is no catalogue. Leave --season out.")
    finished = load_run(run, data)
    kept = ReviewLog(log or place, {"run": finished.name, "data": finished.data})
    session = ReviewSession(finished, kept, login(who), weights)
    if answers is not None:
        print_lines(f"{counted(read_answers(session, answers), 'new answer')} saved in {kept.path}")
    if sheet is not None:
        table, count = write_sheet(session, sheet, questions)
        fewer = "; no more are open" if count < questions else ""
        print_lines(
            f"Sheet: {sheet} ({counted(count, 'question')}{fewer})",
            f"Fill in the column `answer` of {table}, then give it to `review --answers`.",
        )
    if answers is not None or sheet is not None:
        return

    def announce(address: str) -> None:
        print_lines(f"Review: {address}")
        tell(f"Answers: {kept.path}. Stop with Ctrl-C; every saved answer is kept.")
        if browser:
            webbrowser.open(address)

    serve(session, bind(port), announce)
