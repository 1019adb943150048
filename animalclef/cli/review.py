"""`review`: answer, in the browser, which photographs show the same animal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import WeightsOption, login, out, tell

__all__ = ["review"]


@app.command()
def review(
    run: Annotated[Path, typer.Argument(help="A finished run folder, or a catalogue.")],
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            help="File that answers are added to. Default: RUN.review.jsonl beside RUN.",
        ),
    ] = None,
    who: Annotated[str | None, typer.Option("--who", help="Your name in the log. Default: your login.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the photographs if they have moved since predict.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0: a free one.")] = 0,
    weights: WeightsOption = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in this machine's browser.")] = False,
) -> None:
    """Review a run in the browser: two photographs at a time, and your answer: same, different, or can't tell.

    Questions come in the order of how many photographs an answer is expected to put right, by name or by group. Each
    answer is on the disk before the page says so. The page is served to this machine alone, at an address with a secret
    token. Give the log to `predict --reviewed`, `cluster`, `tune` or `train` afterwards.

    Examples:

    - `animalclef review runs/my-run --who Ada`

    - `animalclef predict --data my-photos --run runs/my-run --reviewed runs/my-run.review.jsonl`
    """
    import webbrowser

    from animalclef.catalogue.catalogue_folder import Catalogue, is_catalogue
    from animalclef.data.review_log import ReviewLog
    from animalclef.review.server import bind, serve
    from animalclef.review.session import ReviewSession, review_path
    from animalclef.store.finished_run import load_run

    place = review_path(run)
    if is_catalogue(run):
        season = max(Catalogue(run).roots(), default=1)
        place, run = run / f"season-{season}.review.jsonl", run / "run"
    finished = load_run(run, data)
    kept = ReviewLog(log or place, {"run": finished.name, "data": finished.data})
    session = ReviewSession(finished, kept, login(who), weights)

    def announce(address: str) -> None:
        out.print(f"Review: {address}", highlight=False, soft_wrap=True)
        tell(f"Answers: {kept.path}. Stop with Ctrl-C; every saved answer is kept.")
        if browser:
            webbrowser.open(address)

    serve(session, bind(port), announce)
