"""`catalogue merge`, `split`, `rename`, `confirm`, `undo`: signed changes of a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from animalclef.cli.catalogue import Folder, Who, Why, catalogue, opened
from animalclef.cli.printing import print_lines
from animalclef.errors import ConfigError
from animalclef.runtime.login import login

__all__ = ["confirm", "merge", "rename", "split", "undo"]


@catalogue.command()
def merge(
    folder: Folder,
    kept: Annotated[
        str, typer.Argument(help="The individual that stays, by id (I12, or #12 if one is named I12) or name.")
    ],
    other: Annotated[str, typer.Argument(help="The one whose photographs move to it, by id or name.")],
    why: Why,
    who: Who = None,
) -> None:
    """Merge two individuals: one animal under two names. The id of the second leads to the first from now on.

    Example: `animalclef catalogue merge my-catalogue Luna Tara --why "same spots, checked by hand"`
    """
    print_lines(opened(folder).merge(kept, other, login(who), why))


@catalogue.command()
def split(
    folder: Folder,
    photographs: Annotated[list[str], typer.Argument(help="Photographs of one individual, by SEASON/ID.")],
    why: Why,
    name: Annotated[
        str | None, typer.Option("--to", help="Name of the individual they show. Default: a new one, new_NUMBER.")
    ] = None,
    who: Who = None,
) -> None:
    """Move photographs to another individual, or to a new one: two animals under one name.

    Example: `animalclef catalogue split my-catalogue 1/database/Luna/1.jpg --to Stella --why "another ear"`
    """
    print_lines(opened(folder).split(photographs, name, login(who), why))


@catalogue.command()
def rename(
    folder: Folder,
    individual: Annotated[str, typer.Argument(help="By id (I12, or #12 if one is named I12) or name.")],
    name: Annotated[str, typer.Argument(help="Its new name.")],
    why: Why,
    who: Who = None,
) -> None:
    """Rename an individual; its id stays.

    Example: `animalclef catalogue rename my-catalogue I3 Stella --why "named by the village"`
    """
    print_lines(opened(folder).rename(individual, name, login(who), why))


@catalogue.command()
def confirm(
    folder: Folder,
    photographs: Annotated[list[str] | None, typer.Argument(help="By SEASON/ID. Default: all of them.")] = None,
    reviewed: Annotated[
        Path | None, typer.Option(help="Take the answers of this log of `animalclef review` instead.")
    ] = None,
    who: Who = None,
    why: Why = "reviewed",
) -> None:
    """Confirm what the program answered, or take the answers of a review. Only confirmed photographs are compared with.

    Examples:

    - `animalclef catalogue confirm my-catalogue --reviewed my-catalogue/season-1.review.jsonl`

    - `animalclef catalogue confirm my-catalogue --why "looked at all of them"`
    """
    from animalclef.catalogue.reviewed_photographs import accept_review

    if reviewed is not None and photographs:
        raise ConfigError(f"confirm: give photographs ({photographs[0]}) or --reviewed {reviewed}, not both.")
    kept = opened(folder)
    if reviewed is not None:
        print_lines(accept_review(kept, reviewed, login(who), why))
    else:
        print_lines(kept.confirm(photographs, login(who), why))


@catalogue.command()
def undo(
    folder: Folder,
    event: Annotated[int | None, typer.Argument(help="Its number in the history. Default: the last one.")] = None,
    who: Who = None,
    why: Why = "undone",
) -> None:
    """Undo a change; the undoing is an event of its own and can be undone, too, by its number.

    A season is only undone by its number.

    Example: `animalclef catalogue undo my-catalogue`
    """
    catalogue = opened(folder)
    undone = catalogue.undo(event, login(who), why)
    back = f"animalclef catalogue undo {folder} {catalogue.history()[-1].id}"
    print_lines(f"Undid event {undone.id}: {undone.told}.", f"To take that back: {back}")
