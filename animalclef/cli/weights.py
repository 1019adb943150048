"""`weights list`, `pull`, `verify`, `bundle`: published weight files, and the folder for notebooks without internet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from animalclef.cli import options as opt
from animalclef.cli.app import app
from animalclef.cli.printing import print_lines, print_result, progress
from animalclef.errors import ConfigError, WeightsError

__all__ = ["bundle", "list_weights", "pull_weights", "verify"]

commands = typer.Typer(no_args_is_help=True, help="Published weight files: which are needed, fetch, check, bundle.")
app.add_typer(commands, name="weights")

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all, or those of --config.")]
Folder = Annotated[
    Path | None, typer.Option("--weights", help="A bundle to look into first.", callback=opt.weights_there)
]
Terms = Annotated[
    bool, typer.Option("--accept-terms", help="You have read the terms of weights that have some, and agree.")
]


@commands.command("list")
def list_weights(
    names: Names = None,
    config_name: opt.Config = None,
    assignments: opt.Set = None,
    folder: Folder = None,
    as_json: opt.Json = False,
) -> None:
    """List licence, size, digest and place of published weights; with --config, of those that a run loads.

    Example: `animalclef weights list --config animalclef2025`
    """
    rows = [_row(name, folder) for name in _chosen(names, config_name, assignments)]
    table = Table(Column("weights", no_wrap=True), "licence", "MB", "SHA-256", Column("where", overflow="fold"))
    for row in rows:
        size = "?" if row["size"] is None else f"{row['size'] / 1e6:.1f}"
        digest = "not known yet" if row["sha256"] is None else row["sha256"][:12]
        table.add_row(row["name"], row["licence"], size, digest, row["place"] or "not here")
    shown = table if rows else "These settings need no published weights."
    print_result(rows, shown, as_json=as_json)


@commands.command("pull")
def pull_weights(
    names: Names = None, config_name: opt.Config = None, assignments: opt.Set = None, accept_terms: Terms = False
) -> None:
    """Download weights into the caches of huggingface_hub and torch hub; an interrupted download resumes.

    Examples:

    - `animalclef weights pull --config animalclef2025`

    - `animalclef weights pull dinov3-s --accept-terms`
    """
    from animalclef.hub.catalogue import WEIGHTS
    from animalclef.hub.download import pull

    for name in _chosen(names, config_name, assignments, may_be_all=False):
        path = pull(WEIGHTS[name], accept_terms=accept_terms, progress=progress)
        print_lines(f"{name}: {path} ({WEIGHTS[name].licence})")


@commands.command()
def verify(
    names: Names = None, config_name: opt.Config = None, assignments: opt.Set = None, folder: Folder = None
) -> None:
    """Check the digests of weights on this machine. Exit status 2 if one is damaged, or absent though named."""
    from animalclef.hub.cache import locate
    from animalclef.hub.catalogue import WEIGHTS
    from animalclef.runtime.digests import file_digest

    is_asked, wrong = bool(names or config_name or assignments), False
    for name in _chosen(names, config_name, assignments):
        found = locate(WEIGHTS[name], folder)
        if found is None:
            wrong |= is_asked
            verdict = "absent"
        elif found.digest is None:
            verdict = f"SHA-256 {file_digest(found.path)}, nothing known to compare it with"
        else:
            is_right = file_digest(found.path) == found.digest
            wrong |= not is_right
            verdict = "as published" if found.is_published else "as the bundle states"
            verdict = verdict if is_right else f"NOT {verdict}"
        if found is not None or is_asked:
            where = "" if found is None else f" {found.path}:"
            print_lines(f"{name}:{where} {verdict}.")
    raise typer.Exit(2 if wrong else 0)


@commands.command()
def bundle(
    to: Annotated[Path, typer.Option(help="Folder to make.")],
    names: Names = None,
    config_name: opt.Config = None,
    assignments: opt.Set = None,
    wheels: Annotated[
        bool, typer.Option("--wheels", help="Also the packages that a hosted notebook may lack.")
    ] = False,
    extras: Annotated[
        list[str] | None, typer.Option(help="With --wheels: also those that training needs (--extras train).")
    ] = None,
    accept_terms: Terms = False,
) -> None:
    """Make the folder to upload for a notebook without internet: weights, digests, README; `predict --weights` uses it.

    Examples:

    - `animalclef weights bundle --config animalclef2025 --to my-weights --wheels`

    - `animalclef weights bundle --config offline --to my-packages --wheels --extras train`
    """
    from animalclef.hub.bundle import make_bundle

    chosen = _chosen(names, config_name, assignments, may_be_all=False)
    if extras and not wheels:
        raise ConfigError("--extras needs --wheels: packages are fetched only then.")
    make_bundle(chosen, to, config_name, progress, wheels=wheels, accept_terms=accept_terms, extras=extras or ())
    print_lines(f"Bundle: {to} ({', '.join(chosen) or 'these settings need no weights'}). Use it with --weights.")


def _chosen(
    names: list[str] | None, config_name: str | None, assignments: list[str] | None, *, may_be_all: bool = True
) -> list[str]:
    from animalclef.config import load_config
    from animalclef.hub.catalogue import WEIGHTS, published_weights
    from animalclef.hub.needed_weights import needed_weights

    if names:
        return list(dict.fromkeys(published_weights(name).name for name in names))
    if config_name or assignments:
        return needed_weights(load_config(config_name, assignments or []))
    if not may_be_all:
        raise WeightsError("expected the names of weights, or --config NAME; `animalclef weights list` shows all.")
    return list(WEIGHTS)


def _row(name: str, folder: Path | None) -> dict[str, Any]:
    from animalclef.hub.cache import known_digest, locate
    from animalclef.hub.catalogue import WEIGHTS

    entry, found = WEIGHTS[name], locate(WEIGHTS[name], folder)
    return {
        "name": name,
        "licence": entry.licence,
        "source": entry.source,
        "revision": entry.revision,
        "size": entry.size if found is None else found.path.stat().st_size,
        "sha256": known_digest(entry) if found is None else found.digest,
        "file": entry.file,
        "place": None if found is None else found.place,
        "path": None if found is None else str(found.path),
    }
