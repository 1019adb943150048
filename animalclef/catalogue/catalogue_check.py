"""Look for what may be wrong in a catalogue: one animal under two names, two under one, sides never joined."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.individual_lookup import shown as shown_individual
from animalclef.catalogue.season_individuals import names_given_again
from animalclef.errors import ConfigError, DataError
from animalclef.runtime.remote_files import listed_files
from animalclef.runtime.wording import counted
from animalclef.store.finished_run import FinishedRun, load_run
from animalclef.structures import ImageTable

__all__ = ["Finding", "check_catalogue"]

logger = logging.getLogger(__name__)

Kind = Literal["unconfirmed", "two names", "one name", "sides", "missing"]
_LIKELY, _UNLIKELY = 0.5, 0.05


@dataclass(frozen=True)
class Finding:
    """One thing to look at, with the individuals or photographs that it is about."""

    kind: Kind
    sentence: str


def check_catalogue(catalogue: Catalogue) -> list[Finding]:
    """Return what to look at, the surest first of each kind; nothing is changed.

    Photographs in a bucket are looked for in its list of files; where the bucket gives no answer, a warning says so.
    """
    table = catalogue.table(all_of_them=True)
    names = {(one.dataset, one.name): f"{one.name} (I{one.id})" for one in catalogue.individuals()}
    shown = {
        image_id: names.get((dataset, who), str(who))
        for image_id, dataset, who in zip(table.image_id, table.dataset, table.identity, strict=True)
    }
    confirmed, run = set(catalogue.table().image_id), catalogue.folder / "run"
    seen = _from_run(load_run(run), shown) if (run / "finished.json").is_file() else []
    again = [*_given_again(catalogue)]
    return [*_missing(table, catalogue.folder), *_unconfirmed(table, confirmed), *_sides(table, shown), *again, *seen]


def _missing(table: ImageTable, folder: Path) -> Iterator[Finding]:
    gone = _without_copies([path for path in table.path if not (folder / path).is_file()], folder)
    if gone:
        count = counted(len(gone), "photograph")
        yield Finding("missing", f"moved or removed: {count} (first: {gone[0]}); what was computed is kept.")


def _without_copies(gone: list[str], folder: Path) -> list[str]:
    """Leave out the photographs that are in a bucket: copies on this machine come and go."""
    for start in dict.fromkeys("/".join(PurePosixPath(path).parts[:2]) for path in gone):
        try:
            there = {f"{start}/{path}" for path in listed_files(folder / start) or ()}
        except (ConfigError, DataError) as error:
            logger.warning("%s: not known whether photographs are missing. %s", folder / start, error)
            there = {path for path in gone if path.startswith(f"{start}/")}
        gone = [path for path in gone if path not in there]
    return gone


def _unconfirmed(table: ImageTable, confirmed: set[str]) -> Iterator[Finding]:
    open_ones = [one for one in table.image_id if one not in confirmed]
    if open_ones:
        count = counted(len(open_ones), "photograph", "is")
        advice = "new photographs are compared with confirmed ones alone."
        yield Finding("unconfirmed", f"{count} not confirmed (first: {open_ones[0]}); {advice}")


def _given_again(catalogue: Catalogue) -> Iterator[Finding]:
    """Yield individuals that a season brought under a former name of another one."""
    with catalogue.reading() as connection:
        pairs = names_given_again(connection)
    for again, one in pairs:
        sentence = f"{shown_individual(again)} was added under a former name of {shown_individual(one)}; they may be"
        yield Finding("two names", f"{sentence} one animal.")


def _sides(table: ImageTable, shown: dict[str, str]) -> Iterator[Finding]:
    """Yield individuals of one side in data sets in which others have both."""
    sides: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row, side in enumerate(table.viewpoint):
        if side in ("left", "right") and table.identity[row] is not None:
            sides[table.dataset[row]][shown[table.image_id[row]]].add(side)
    for dataset, of in sorted(sides.items()):
        single = {side: sorted(who for who, seen in of.items() if seen == {side}) for side in ("left", "right")}
        if all(single.values()):
            left = counted(len(single["left"]), "individual", "has")
            sentence = (
                f"{dataset}: {left} photographs of the left side only, {len(single['right'])} of the right only; "
            )
            yield Finding("sides", sentence + "some may be one animal.")


def _from_run(run: FinishedRun, shown: dict[str, str]) -> list[Finding]:
    """Return pairs of the last season that the program sees otherwise than the catalogue."""
    best: dict[tuple[str, str], tuple[float, str, str]] = {}
    own: dict[str, float] = {}
    for query, gallery, probability in zip(
        run.ranked.query_id, run.ranked.gallery_id, run.ranked.identity_probability.tolist(), strict=True
    ):
        if query not in shown or gallery not in shown:
            continue
        one, other = shown[query], shown[gallery]
        if one == other:
            own[query] = max(own.get(query, 0.0), probability)
        elif probability >= _LIKELY:
            pair = (min(one, other), max(one, other))
            best[pair] = max(best.get(pair, (0.0, "", "")), (probability, query, gallery))
    findings = [
        Finding("two names", f"{a} and {b} may be one animal: {query} and {gallery}, probability {p:.2f}.")
        for (a, b), (p, query, gallery) in sorted(best.items(), key=lambda item: -item[1][0])
    ]
    findings += [
        Finding("one name", f"{query} may be no photograph of {shown[query]}: probability {probability:.2f}.")
        for query, probability in sorted(own.items(), key=lambda item: item[1])
        if probability < _UNLIKELY
    ]
    return findings
