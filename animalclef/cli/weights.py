"""`weights list`, `pull`, `verify`, `bundle`: published weight files, and the folder for notebooks without internet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from animalclef.cli.app import app
from animalclef.cli.options import ConfigOption, JsonOption, SetOption, err, out, print_json

__all__ = ["bundle", "list_weights", "pull_weights", "verify"]

commands = typer.Typer(no_args_is_help=True, help="Published weight files: which are needed, fetch, check, bundle.")
app.add_typer(commands, name="weights")

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all, or those of --config.")]
Folder = Annotated[Path | None, typer.Option("--weights", help="A bundle to look into first.")]
Terms = Annotated[bool, typer.Option(help="You have read the terms of weights that have some, and agree.")]


@commands.command("list")
def list_weights(
    names: Names = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    folder: Folder = None,
    as_json: JsonOption = False,
) -> None:
    """List licence, size, digest and place of published weights; with --config, of those that a run loads.

    Example: `animalclef weights list --config animalclef2025`
    """
    rows = [_row(name, folder) for name in _chosen(names, config_name, assignments)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("These settings need no published weights.")
        return
    from rich.table import Column, Table

    table = Table(Column("weights", no_wrap=True), "licence", "MB", "SHA-256", Column("where", overflow="fold"))
    for row in rows:
        size = "?" if row["size"] is None else f"{row['size'] / 1e6:.1f}"
        digest = "not known yet" if row["sha256"] is None else row["sha256"][:12]
        table.add_row(row["name"], row["licence"], size, digest, row["place"] or "not here")
    out.print(table)


@commands.command("pull")
def pull_weights(
    names: Names = None, config_name: ConfigOption = None, assignments: SetOption = None, accept_terms: Terms = False
) -> None:
    """Download weights into the caches of huggingface_hub and torch hub; an interrupted download resumes.

    Examples:

    - `animalclef weights pull --config animalclef2025`

    - `animalclef weights pull dinov3-s --accept-terms`
    """
    from animalclef.cli.console import RichProgress
    from animalclef.hub.cache import WEIGHTS
    from animalclef.hub.download import pull

    for name in _asked(names, config_name, assignments):
        path = pull(WEIGHTS[name], accept_terms=accept_terms, progress=RichProgress(err))
        out.print(f"{name}: {path} ({WEIGHTS[name].licence})", highlight=False, soft_wrap=True)


@commands.command()
def verify(
    names: Names = None, config_name: ConfigOption = None, assignments: SetOption = None, folder: Folder = None
) -> None:
    """Check the digests of weights on this machine. Exit status 2 if one is damaged, or absent though named."""
    from animalclef.hub.cache import WEIGHTS, locate
    from animalclef.runtime.digests import file_digest

    is_asked, wrong = bool(names or config_name), False
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
            out.print(f"{name}:{where} {verdict}.", highlight=False, soft_wrap=True)
    raise typer.Exit(2 if wrong else 0)


@commands.command()
def bundle(
    to: Annotated[Path, typer.Option(help="Folder to make.")],
    names: Names = None,
    config_name: ConfigOption = None,
    assignments: SetOption = None,
    wheels: Annotated[bool, typer.Option(help="Also the packages that a hosted notebook may lack.")] = False,
    accept_terms: Terms = False,
) -> None:
    """Make the folder to upload for a notebook without internet: weights, digests, README; `predict --weights` uses it.

    Example: `animalclef weights bundle --config animalclef2025 --to my-weights --wheels`
    """
    from animalclef.cli.console import RichProgress
    from animalclef.hub.bundle import make_bundle

    chosen = _asked(names, config_name, assignments)
    make_bundle(chosen, to, config_name, RichProgress(err), wheels=wheels, accept_terms=accept_terms)
    out.print(f"Bundle: {to} ({', '.join(chosen)}). Use it with --weights.", highlight=False, soft_wrap=True)


def _chosen(names: list[str] | None, config_name: str | None, assignments: list[str] | None) -> list[str]:
    from animalclef.config import load_config
    from animalclef.errors import WeightsError
    from animalclef.hub.cache import WEIGHTS
    from animalclef.hub.needed_weights import needed_weights

    for name in names or []:
        if name not in WEIGHTS:
            raise WeightsError(f"{name}: no such weights. Known: {', '.join(sorted(WEIGHTS))}.")
    if names:
        return list(dict.fromkeys(names))
    return needed_weights(load_config(config_name, assignments or [])) if config_name or assignments else list(WEIGHTS)


def _asked(names: list[str] | None, config_name: str | None, assignments: list[str] | None) -> list[str]:
    """Return `_chosen`, but refuse to choose everything."""
    from animalclef.errors import WeightsError

    if not (names or config_name or assignments):
        raise WeightsError("expected the names of weights, or --config NAME; `animalclef weights list` shows all.")
    return _chosen(names, config_name, assignments)


def _row(name: str, folder: Path | None) -> dict[str, Any]:
    from animalclef.hub.cache import WEIGHTS, known_digest, locate

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
