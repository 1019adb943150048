"""What a run costs on a cluster, by stage, from measured rates: core hours, bytes, memory of the driver.

    python benchmarks/cluster_cost.py [--photographs 15000 1000000 100000000] [--cores 64] [--json]

Nothing is run: every figure is a product of the constants below, each of which names where it was measured. The tables
of docs/scale.md are this script's output; up to 20,000 photographs are counted on a laptop of two cores.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from animalclef.features.embedding.embedder import FITTED_ON

QUERY_SHARE = 0.14  # of AnimalCLEF 2025: 2,135 of 15,209
_LAPTOP = 20_000  # photographs, without a cluster
DATASETS, PSEUDO_QUERIES, CANDIDATES = 3, 300, 100  # pseudo-queries of each data set


@dataclass(frozen=True)
class Rates:
    """Of one core; measured on two cores of a Xeon with no other work, and halved."""

    finding: float = 2.15  # photographs a second, `predict` on 3,508 photographs
    describing: float = 12.5  # photographs a second, the same run
    lnbnn: float = 13.5  # queries a second against 10,000 photographs; falls with the root of their number
    matching: float = 192.0  # pairs a second at 1,024 keypoints
    search_flops: float = 2e10  # exact inner products, float32
    reading: float = (
        5_000.0  # photographs a second, all stores once, files in memory, the driver alone (`driver_rates.py`)
    )
    fusing: float = 99_000.0  # pairs a second, fusion and candidates.csv, the driver alone (the same)


@dataclass(frozen=True)
class Bytes:
    """Of one photograph, pair or query."""

    photograph: int = 500_000  # a JPEG
    keypoints: int = 2048 * 144  # found ones, in the store
    embedding: int = 128 * 66 * 2  # VLAD in half precision, in the store
    rest: int = 6_000  # thumbnail, outline
    pair: int = 28  # in the pair log
    pair_in_memory: int = 100  # of the driver: the log and the plan (`store_scale.py`, part `pairs`)
    entry_in_memory: int = 1_200  # of the driver: four stores, the table
    lists_in_memory: int = 3 * CANDIDATES * 12  # of a query, in the driver: three sources
    fused_in_memory: int = 260  # of a pair, in the driver: traced on 784,000 pairs with six scores
    vlad_in_memory: int = 128 * 66 * 4  # of the driver, for the PCA
    descriptors: int = 512 * 140  # of a database photograph, in the LNBNN index


@dataclass(frozen=True)
class Stage:
    """Core hours on the cluster's nodes, and on the driver's machine: on all of its cores, and on one."""

    name: str
    cluster_hours: float
    driver_hours: float
    disk_gb: float
    driver_gb: float
    one_core_hours: float = 0.0


def stages(photographs: int, rates: Rates, sizes: Bytes) -> list[Stage]:
    """Return the cost of each stage; pseudo-queries come on top of the queries."""
    queries = int(photographs * QUERY_SHARE)
    gallery = photographs - queries
    asked = queries + min(gallery, DATASETS * PSEUDO_QUERIES)
    pairs = asked * CANDIDATES
    slower = max(1.0, (gallery / 10_000) ** 0.5)
    cells = 2 ** round(math.log2(2 * math.sqrt(512 * gallery)))  # of the index of descriptors, of 64 numbers each
    giga = 1e9
    return [
        Stage("finding animals", photographs / rates.finding / 3600, 0, photographs * 1000 / giga, 0),
        Stage(
            "extracting features", photographs / rates.describing / 3600, 0,
            photographs * (sizes.keypoints + sizes.embedding + sizes.rest) / giga,
            (2 * min(photographs, FITTED_ON) * sizes.vlad_in_memory + photographs * sizes.entry_in_memory) / giga,
        ),
        Stage(
            "embedding search, exact", asked * gallery * 512 / rates.search_flops / 3600, 0, 0,
            2 * photographs * 1024 / giga,
        ),
        Stage(
            "LNBNN, index and search",
            (asked * slower / rates.lnbnn + 512 * gallery * cells * 128 / rates.search_flops) / 3600,
            10 * 40 * cells**2 * 128 / rates.search_flops / 3600,  # k-means
            gallery * sizes.descriptors / giga, asked * sizes.lists_in_memory / giga,
        ),
        Stage(
            "matching pairs", pairs / rates.matching / 3600, 0, pairs * sizes.pair / giga,
            pairs * sizes.pair_in_memory / giga,
        ),
        Stage("reading the stores", 0, 0, 0, 0, photographs / rates.reading / 3600),
        Stage("fusing and writing", 0, 0, 0, pairs * sizes.fused_in_memory / giga, pairs / rates.fusing / 3600),
    ]  # fmt: skip


def wall_hours(found: list[Stage], cores: int, driver_cores: int) -> float:
    """Return the hours that all stages take, one after the other."""
    return sum(one.cluster_hours / cores + one.driver_hours / driver_cores + one.one_core_hours for one in found)


def tables(sizes: Sequence[int], rates: Rates, cores: int, driver_cores: int) -> list[str]:
    """Return the lines of the tables of docs/scale.md."""
    hours = [
        "| photographs | cores of the cluster | hours | core hours: finding animals | describing | LNBNN | matching | "
        "hours of the driver alone: reading the stores | fusing |",
        "| --- " * 9 + "|",
    ]
    memory = [
        "| photographs | read | run folder | memory of the driver: describing | candidate lists | pair log and plan | "
        "fusing | vectors |",
        "| --- " * 8 + "|",
    ]
    for count in sizes:
        found = stages(count, rates, Bytes())
        finding, describing, searching, voting, matching, reading, fusing = found
        is_laptop = count <= _LAPTOP
        machines = "2 (a laptop)" if is_laptop else f"{cores}, and {driver_cores} of the driver"
        whole = wall_hours(found, *((2, 2) if is_laptop else (cores, driver_cores)))
        work = [_number(one.cluster_hours + one.driver_hours) for one in (finding, describing, voting, matching)]
        alone = [_number(one.one_core_hours) for one in (reading, fusing)]
        hours.append(_row(f"{count:,}", machines, _number(whole), *work, *alone))
        held = [_size(one.driver_gb) for one in (describing, voting, matching, fusing, searching)]
        disk = _size(sum(one.disk_gb for one in found))
        memory.append(_row(f"{count:,}", _size(count * Bytes.photograph / 1e9), disk, *held))
    return [*hours, "", *memory]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _number(hours: float) -> str:
    return f"{hours:,.1f}" if hours < 10 else f"{hours:,.0f}"


def _size(gigabytes: float) -> str:
    if gigabytes >= 100:
        return f"{gigabytes / 1000:,.1f} TB" if gigabytes < 10_000 else f"{gigabytes / 1000:,.0f} TB"
    return f"{gigabytes:,.1f} GB" if gigabytes < 2 else f"{gigabytes:,.0f} GB"


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number, 1 or more, got {text}")
    return int(text)


def _above_zero(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=_at_least_one, nargs="+", default=[15_000, 1_000_000, 100_000_000])
    parser.add_argument("--cores", type=_at_least_one, default=64, help="of the cluster")
    parser.add_argument("--driver-cores", type=_at_least_one, default=16)
    parser.add_argument("--matching", type=_above_zero, default=Rates.matching, help="pairs a second and core")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rates = replace(Rates(), matching=given.matching)
    if not given.json:
        print("\n".join(tables(given.photographs, rates, given.cores, given.driver_cores)))
        return
    for count in given.photographs:
        found = stages(count, rates, Bytes())
        hours = wall_hours(found, given.cores, given.driver_cores)
        print(json.dumps({"photographs": count, "hours": hours, "stages": [asdict(one) for one in found]}))


if __name__ == "__main__":
    main()
