"""`cluster`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from animalclef.cli.app import app
from animalclef.cli.options import (
    ColumnsOption,
    ConfigOption,
    DataOption,
    DeviceOption,
    JsonOption,
    SeedOption,
    SetOption,
    WeightsOption,
    Workers,
    column_settings,
    err,
    load,
    out,
    print_json,
)
from animalclef.errors import ConfigError

if TYPE_CHECKING:
    from animalclef.structures import ImageTable, ReviewedPairs

__all__ = ["cluster"]


@app.command()
def cluster(
    data: DataOption = None,
    run: Annotated[
        Path | None, typer.Option(help="A finished run to group. With --data: the folder in which work is kept.")
    ] = None,
    out_path: Annotated[Path, typer.Option("--out", help="Table of the photographs.")] = Path("clusters.csv"),
    columns: ColumnsOption = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    workers: Workers = None,
    reviewed: Annotated[
        Path | None,
        typer.Option(
            help="Log of `animalclef review`: photographs called the same are grouped; different ones never are."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Group the photographs without a name by individual: known ones of the database, and new ones.

    Pairs are matched as `predict` matches them. How probable a pair must be is chosen on the database, whose
    photographs are grouped as a test; without any names it comes from how alike strangers are.

    Examples:

    - `animalclef cluster --data my-photos --out clusters.csv`

    - `animalclef cluster --run runs/my-run --set cluster.cut=0.4 --out clusters.csv`
    """
    import dataclasses

    from animalclef.api.clustering import cluster as cluster_photographs
    from animalclef.api.datasets import Dataset, load_config
    from animalclef.cli import console
    from animalclef.cli.console_clusters import count_lines
    from animalclef.runtime.atomic_files import write_csv
    from animalclef.runtime.output_guard import check_output, protect_inputs
    from animalclef.store.finished_run import load_run

    if data is None and run is not None and (config_name or seed is not None or columns):
        raise ConfigError(f"--run {run}: a finished run keeps its settings; give --data to begin a run with others.")
    progress = console.RichProgress(err)
    if data is None and run is not None:
        check_output(out_path, "clusters")
        said = _said(reviewed, load_run(run).images)  # which refuses what is no finished run
        clusters = cluster_photographs(
            run, must_link=said.same, cannot_link=said.different, settings=assignments or [], weights=weights,
            device=device, workers=workers, progress=progress,
        )  # fmt: skip
    else:
        config = load_config(config_name, *(assignments or []), *column_settings(columns), seed=seed)
        dataset = Dataset(load(data, settings=config.data))
        protect_inputs(Path(one) for one in (config_name, reviewed) if one is not None)
        check_output(out_path, "clusters")
        said = _said(reviewed, dataset.table.images)
        clusters = cluster_photographs(
            dataset, must_link=said.same, cannot_link=said.different, config=config, run_dir=run, weights=weights,
            device=device, workers=workers, progress=progress,
        )  # fmt: skip
    table = clusters.table
    write_csv(out_path, list(table.columns), table.itertuples(index=False))
    if as_json:
        counts = {name: dataclasses.asdict(one) for name, one in clusters.counts.items()}
        print_json({"clusters": str(out_path), "datasets": counts})
        return
    lines = [*count_lines(clusters.counts, "photographs"), f"Clusters: {out_path}"]
    out.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)


def _said(reviewed: Path | None, images: ImageTable | None) -> ReviewedPairs:
    """Return the answers of a review, without those that contradict each other."""
    from animalclef.data.review_log import read_review
    from animalclef.structures import ReviewedPairs

    return ReviewedPairs() if reviewed is None else read_review(reviewed, images)
