"""`report`, `show`: look at a finished run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    FinishedRunOption,
    JsonOption,
    Workers,
    err,
    out,
    print_json,
    warn,
)

__all__ = ["report", "show"]

MovedOption = Annotated[
    Path | None, typer.Option("--data", help="Folder of the photographs if they have moved since predict.")
]
LayerOption = Annotated[
    str | None,
    typer.Option(help="With --explain: the layer of the network whose map is explained. Default: the last with a map."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder searched first for published weights of the run's matcher, and with --explain of its network."
    ),
]


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    truth: Annotated[
        Path | None, typer.Option(help="CSV with image_id, identity, dataset, known: adds outcomes and the score.")
    ] = None,
    data: MovedOption = None,
    out_path: Annotated[
        Path | None,
        typer.Option("--out", help="An HTML file, or a folder. Default: report.html, or report/, in the run folder."),
    ] = None,
    candidates: Annotated[int, typer.Option(min=1, max=100, help="Candidates shown beside each query.")] = 5,
    matched: Annotated[
        int | None,
        typer.Option(min=0, help="Candidates whose matched keypoints are kept for drawing. Default: all shown."),
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
    workers: Workers = None,
    as_json: JsonOption = False,
) -> None:
    """Write an HTML report: scores, charts, and every query beside its candidates with their matched keypoints.

    Up to 500 queries it is one HTML file, for more a folder with index.html. It opens in a browser without a network.

    Examples:

    - `animalclef report runs/demo --truth .demo/truth.csv`

    - `animalclef report runs/my-run --data /mnt/photographs --out my-report.html`
    """
    from animalclef.cli.console import RichProgress
    from animalclef.report import Explanations, load_run
    from animalclef.report.write_report import write_report

    finished = load_run(run, data)
    count, progress = workers or os.cpu_count() or 1, RichProgress(err)
    written = write_report(
        finished, truth, out_path, candidates, count, progress, matched=matched, masks=masks, weights=weights,
        explained=explain, explanations=Explanations(finished, layer, weights) if explain else None,
    )  # fmt: skip
    for note in written.notes:
        warn(note)
    if as_json:
        print_json({"report": str(written.page), "notes": written.notes})
    else:
        out.print(f"Report: {written.page}", highlight=False, soft_wrap=True)


@app.command()
def show(
    image_id: Annotated[str, typer.Argument(help="The query's image_id.")],
    run: FinishedRunOption,
    data: MovedOption = None,
    out_path: Annotated[Path | None, typer.Option("--out", help="A .png or .jpg. Default: IMAGE_ID.png.")] = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=100, help="How many of the best individuals, each by its best photograph.")
    ] = 4,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also draw the regions that the embedding matched.")
    ] = False,
    layer: LayerOption = None,
    weights: WeightsOption = None,
) -> None:
    """Draw one query beside its best candidates, with the inliers (matched keypoints that fit one transform).

    Examples:

    - `animalclef show 17 --run runs/demo --out 17.png`

    - `animalclef show 17 --run runs/demo --explain --out 17-explained.png`
    """
    import re

    from animalclef.report import Explanations, draw_query, load_run, write_picture
    from animalclef.runtime.output_guard import check_output

    target = out_path or Path(re.sub(r"[^\w.-]+", "_", image_id) + ".png")
    check_output(target, "picture")
    finished = load_run(run, data)
    explanations = Explanations(finished, layer, weights) if explain else None
    write_picture(target, draw_query(finished, image_id, candidates, explanations, weights))
    out.print(f"Picture: {target}", highlight=False, soft_wrap=True)
