"""Show an embedder's training on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from animalclef.cli.console import duration, empty_table

if TYPE_CHECKING:
    from animalclef.training.embedder.training_plan import TrainingPlan

__all__ = ["retrieved_table", "training_sentence"]


def retrieved_table(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """Return retrieval among held-out photographs: the mean over species, then each species."""
    header = ("rank-1", "rank-5", "rank-10", "rank-20", "mAP")
    table = empty_table("held-out photographs", ("network", "species", *header))
    for name, figures in rows.items():
        for species, measures in figures.items():
            values = [measures[one] for one in header]
            table.add_row(name, species, *["-" if one is None else f"{one:.3f}" for one in values])
    return table


def training_sentence(plan: TrainingPlan) -> str:
    """Return a sentence on what a training will do and how long it takes."""
    if plan.seconds is not None:
        frozen = " longer once the backbone is trained too," if plan.frozen else ""
        return f"At this speed training takes about {duration(plan.seconds)} more,{frozen} validation not counted."
    begun = f" ({plan.done:,} of them done)" if plan.done else ""
    held = f", {plan.held_out:,} held out" if plan.held_out else ""
    return (
        f"{plan.images:,} photographs of {plan.classes:,} classes{held}: {plan.epochs:,} epochs, {plan.steps:,} "
        f"steps{begun} of {plan.batch:,} photographs."
    )
