"""`cluster`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli import console
from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_result, progress
from animalclef.errors import ConfigError
from animalclef.runtime.atomic_files import write_csv
from animalclef.runtime.output_guard import check_output, protect_inputs

__all__ = ["cluster"]


@app.command()
def cluster(
    data: opt.Data = None,
    run: Annotated[
        Path | None,
        typer.Option(help="A finished run to group. With --data: a folder of its own, in which work is kept."),
    ] = None,
    out_path: Annotated[Path, typer.Option("--out", help="Table of the photographs.")] = Path("clusters.csv"),
    columns: opt.Columns = None,
    config_name: opt.Config = None,
    assignments: opt.Set = None,
    seed: opt.Seed = None,
    device: opt.Device = "auto",
    weights: opt.Weights = None,
    workers: opt.Workers = None,
    reviewed: Annotated[
        Path | None,
        typer.Option(
            help="Log of `animalclef review`: photographs called the same are grouped; different ones never are."
        ),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Group the photographs without a name by individual: known ones of the database, and new ones.

    Pairs are matched as `predict` matches them. How probable a pair must be is chosen on the database, whose
    photographs are grouped as a test; without any names it comes from how alike strangers are.

    Examples:

    - `animalclef cluster --data my-photos --out clusters.csv`

    - `animalclef cluster --run runs/my-run --set cluster.cut=0.4 --out clusters.csv`
    """
    from animalclef.api.clustering import cluster as cluster_photographs
    from animalclef.api.datasets import Dataset, load_config
    from animalclef.api.finished import Run
    from animalclef.api.runs import load_run

    source: Run | Dataset
    if data is None and run is not None:
        if config_name or seed is not None or columns:
            raise ConfigError(
                f"--run {run}: a finished run keeps its settings; give --data to begin a run with others."
            )
        source = load_run(run)  # which refuses what is no finished run
        config = load_config(source.config, *(assignments or []))
    else:
        config = opt.run_config(config_name, assignments, columns, seed)
        source = Dataset(opt.load(data, settings=config.data))
    protect_inputs(Path(one) for one in (config_name, reviewed) if one is not None)
    check_output(out_path, "clusters")
    clusters = cluster_photographs(
        source, reviewed=reviewed, config=config, run_dir=run, weights=weights, device=device, workers=workers,
        progress=progress,
    )  # fmt: skip
    write_csv(out_path, list(clusters.table.columns), clusters.table.itertuples(index=False))
    counts = {name: asdict(one) for name, one in clusters.counts.items()}
    lines = [*console.count_lines(clusters.counts, "photograph"), f"Clusters: {out_path}"]
    print_result({"clusters": str(out_path), "datasets": counts}, *lines, as_json=as_json)
