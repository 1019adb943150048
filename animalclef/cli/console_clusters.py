"""Print clusters: how many individuals there are, and how well they agree with a truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from animalclef.cli.console import empty_table
from animalclef.runtime.wording import counted

if TYPE_CHECKING:
    from animalclef.metrics.clustering_metrics import ClusterScores
    from animalclef.structures.clusters import ClusterCount

__all__ = ["cluster_score_table", "count_lines"]


def count_lines(counts: Mapping[str, ClusterCount], what: str) -> list[str]:
    """Say for each data set how many individuals its photographs show; `what` names the photographs."""
    lines = []
    for name, one in counts.items():
        known = f", {one.known} of them known" if one.known else ""
        between = f"about {one.low}" if one.low == one.high else f"{one.low} to {one.high}"
        lines.append(
            f"{name}: {one.photographs:,} {what} are grouped as {counted(one.clusters, 'individual')}{known}, "
            f"{one.singletons:,} on one photograph alone. Their true number: {between} ({_basis(one.rule)})."
        )
    return lines


def cluster_score_table(scores: ClusterScores) -> Table:
    """List ARI, AMI, pairwise precision and recall, and the number of individuals of each data set, and the mean."""
    header = ("data set", "ARI", "AMI", "precision", "recall", "photographs", "clusters", "individuals")
    table = empty_table("clusters", header)
    for name, one in scores.datasets.items():
        numbers = [f"{value:.3f}" for value in (one.ari, one.ami, one.precision, one.recall)]
        table.add_row(name, *numbers, str(one.photographs), str(one.clusters), str(one.individuals))
    table.add_section()
    table.add_row("mean over data sets", f"{scores.ari:.3f}", f"{scores.ami:.3f}", *[""] * 5, style="bold")
    return table


def _basis(rule: Mapping[str, Any]) -> str:
    """Say what the rule rests on."""
    if "ari" in rule:
        return f"90% interval; pseudo-tests on the database: ARI {rule['ari']:.2f}, AMI {rule['ami']:.2f}"
    return {"other data sets": "90% interval; chosen on the other data sets", "settings": "as the settings say"}.get(
        str(rule.get("chosen_on")), "from the null model of strangers"
    )
