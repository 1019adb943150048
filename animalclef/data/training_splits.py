"""Named photographs split for training: what trains, what is searched, what are the queries.

No photograph that trains or is searched shares an event with a query: an encounter (`data/encounters.py`), its content
or its file. What shares one and is no query itself takes no part. Individuals are drawn within each data set, and
within each species where a data set has several. Queries of the table and photographs without a name are in no part.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from animalclef.config.data import SplitConfig
from animalclef.data.dates import day_of
from animalclef.data.encounters import events_of
from animalclef.errors import DataError, LeakError
from animalclef.runtime.wording import counted
from animalclef.structures import ImageTable, StrArray
from animalclef.structures.arrays import BoolArray, Integers, text_array

__all__ = ["TrainingSplit", "refuse_shared_events", "species_groups", "split_rows"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainingSplit:
    """Row numbers of a table, rising. Without a gallery, each query is compared with all other queries."""

    train: Integers  # (t,)
    gallery: Integers  # (g,) may hold rows of `train`
    query: Integers  # (q,)

    def __post_init__(self) -> None:
        for name in ("train", "gallery", "query"):
            rows = getattr(self, name)
            if rows.ndim != 1 or not np.all(np.diff(rows) > 0):
                raise ValueError(f"{name}: expected rising row numbers.")
        if len(np.intersect1d(self.query, np.union1d(self.train, self.gallery))):
            raise ValueError("a query is in training or in the gallery too.")


def split_rows(table: ImageTable, encounter_of: Mapping[str, str], config: SplitConfig, seed: int) -> TrainingSplit:
    """Split the named photographs of the database; `encounter_of` knows all of them by image_id.

    A tested individual gives at most `most_tested` queries, one per event. Individuals with fewer than `least_training`
    photographs left do not train. With `kind`:

    - paper: half of the tested individuals (`unseen`) do not train, the others train with at least `least_training`
      other photographs; each has `least_tested` queries or more. There is no gallery. (arXiv 2412.05602)
    - closed-set: tested individuals train; the gallery is all that is not of a query's event.
    - open-set: the same, but some tested individuals are in no photograph but the queries.
    - disjoint: no tested individual trains; the gallery is the tested ones' other photographs.
    - time: queries are from the cut-off on. A data set without a cut-off trains whole. In one with a cut-off, what has
      no date is left out, as it may be of a query's day.

    Raises:
        DataError: no individual can be tested, nobody is left to train on, or a data set with a cut-off is not there or
            has no dates.
        KeyError: a named photograph has no encounter.
    """
    rows = np.flatnonzero(table.is_named)
    database = table.select(rows)
    taken = _Taken(events_of(database, encounter_of), _individuals(database))
    rng = np.random.default_rng([seed, 11])
    if config.kind == "time":
        usable = _by_time(database, taken, config, rng)
    else:
        usable = _by_individual(species_groups(database), taken, config, rng)
    rest = usable & ~taken.of_queries[taken.event]
    gallery = rest & np.isin(taken.who, list(taken.tested)) if config.kind == "disjoint" else rest
    trains = rest & ~gallery & ~np.isin(taken.event, taken.event[gallery]) if config.kind == "disjoint" else rest
    trains = trains & (np.bincount(taken.who[trains], minlength=len(rows))[taken.who] >= config.least_training)
    gallery = gallery & (config.kind != "paper")
    query = np.isin(np.arange(len(rows)), taken.queries)
    split = TrainingSplit(rows[trains], rows[gallery], rows[query])
    if not query.any() or not trains.any():
        what = "no individual can be tested" if not query.any() else "nobody is left to train on"
        raise DataError(
            f"{table.root}: split {config.kind}: {what}; {len(rows)} named photographs of {len(set(taken.who))} "
            "individuals do not have enough encounters. Ask for fewer photographs each, or for another split."
        )
    refuse_shared_events(table, encounter_of, split)
    return split


def refuse_shared_events(table: ImageTable, encounter_of: Mapping[str, str], split: TrainingSplit) -> None:
    """Check a split, also one made by hand.

    Raises:
        LeakError: a photograph that trains or is searched shares an event with a query.
    """
    involved = np.union1d(split.query, np.union1d(split.train, split.gallery))
    event = np.full(len(table), -1, dtype=np.int64)
    event[involved] = events_of(table.select(involved), encounter_of)
    for name, others in (("training", split.train), ("the gallery", split.gallery)):
        shared = split.query[np.isin(event[split.query], event[others])]
        if len(shared):
            raise LeakError(
                f"The encounters of {counted(len(shared), 'query')} (one: {table.image_id[shared[0]]}) are in {name} "
                "too. A test must be of other events."
            )


def species_groups(table: ImageTable) -> StrArray:
    """(n,) the data set of every row, with its species behind a slash where a data set has several.

    An individual is of the first species that its rows name.
    """
    species: dict[tuple[str, str], str] = {}
    keys = [(dataset, who or image_id) for dataset, who, image_id in
            zip(table.dataset, table.identity, table.image_id, strict=True)]  # fmt: skip
    for key, name in zip(keys, table.species, strict=True):
        if name:
            species.setdefault(key, name)
    several: dict[str, set[str]] = defaultdict(set)
    for (dataset, _), name in species.items():
        several[dataset].add(name)
    return text_array(
        [f"{key[0]}/{species[key]}" if key in species and len(several[key[0]]) > 1 else key[0] for key in keys]
    )


Photographs = dict[int, Integers]  # of one individual: rows by event, rising


@dataclass(eq=False)
class _Taken:
    """What has been given to whom; `of_queries` are events with a query, `kept` events that must not get one."""

    event: Integers  # (n,)
    who: Integers  # (n,) number of the individual
    queries: list[int] = field(default_factory=list)
    tested: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.of_queries = np.zeros(int(self.event.max(initial=-1)) + 1, dtype=bool)
        self.kept = self.of_queries.copy()

    def photographs(self, rows: Integers) -> dict[int, Photographs]:
        """The given rows of each individual."""
        found: dict[int, Photographs] = {}
        ordered = rows[np.lexsort((rows, self.event[rows], self.who[rows]))]
        pairs = np.column_stack([self.who[ordered], self.event[ordered]])
        starts = np.flatnonzero(np.any(np.diff(pairs, axis=0, prepend=-1) != 0, axis=1))
        for first, part in zip(starts, np.split(ordered, starts[1:]), strict=False):
            who, event = pairs[first].tolist()
            found.setdefault(who, {})[event] = part
        return found

    def draw(
        self, shown: Photographs, least: int, most: int, least_rest: int, rng: np.random.Generator
    ) -> list[int] | None:
        """At most `most` of one individual's rows, one per event, that leave `least_rest` rows in events without a
        query; `None` where there are not `least` such rows. Nothing is changed.
        """
        rest = self._rest(shown)
        chosen: list[int] = []
        for one in rng.permutation(list(shown)).tolist():
            lost = 0 if self.of_queries[one] else len(shown[one])
            if not self.kept[one] and rest - lost >= least_rest and len(chosen) < most:
                chosen.append(int(shown[one][rng.integers(len(shown[one]))]))
                rest -= lost
        return chosen if len(chosen) >= least and rest >= least_rest else None

    def at_best(self, shown: Photographs, least_rest: int) -> int:
        """How many rows `draw` can choose at the most, now or later: what was given is never taken back."""
        spare = self._rest(shown) - least_rest
        lost = sorted(0 if self.of_queries[one] else len(rows) for one, rows in shown.items() if not self.kept[one])
        return int(np.sum(np.cumsum(lost) <= spare))

    def _rest(self, shown: Photographs) -> int:
        return sum(len(rows) for one, rows in shown.items() if not self.of_queries[one])

    def test(self, who: int, shown: Photographs, queries: list[int], *, keep: bool) -> None:
        """Give the queries to the test; with `keep` no later query may be of the individual's other events."""
        self.queries += queries
        self.of_queries[self.event[queries]] = True
        self.tested.add(who)
        if keep:
            others = np.array(list(shown), dtype=np.int64)
            self.kept[others[~self.of_queries[others]]] = True


def _by_individual(groups: StrArray, taken: _Taken, config: SplitConfig, rng: np.random.Generator) -> BoolArray:
    """Draw the tested individuals of each group; which rows may train or be searched comes back."""
    hidden: set[int] = set()
    untested: list[str] = []
    unseen_share = config.unseen if config.kind in ("paper", "open-set") else 0.0
    for group in sorted(set(groups)):
        shown = taken.photographs(np.flatnonzero(groups == group))
        order = rng.permutation(list(shown)).tolist()
        waiting = {hides: dict.fromkeys(order) for hides in (False, True)}
        wanted, done, unseen = max(1, round(config.share * len(order))), 0, 0
        while done < wanted:
            hides = unseen < int(unseen_share * (done + 1) + 1e-9)
            who = _next(waiting[hides], shown, taken, config, rng, hides=hides)
            if who is None:
                break
            for part in waiting.values():
                part.pop(who, None)
            done, unseen = done + 1, unseen + hides
            if hides:
                hidden.add(who)
        untested += [] if done else [group]
    if untested:
        names = ", ".join(untested)
        logger.warning("Split %s tests nobody where no individual has enough encounters: %s.", config.kind, names)
    return ~np.isin(taken.who, list(hidden))


def _next(
    waiting: dict[int, None],
    shown: Mapping[int, Photographs],
    taken: _Taken,
    config: SplitConfig,
    rng: np.random.Generator,
    *,
    hides: bool,
) -> int | None:
    """The first individual that waits and has enough photographs for its part; it is tested.

    Who can never give enough waits no longer.
    """
    least = config.least_tested if config.kind == "paper" else 1
    least_rest = 0 if hides else 1 if config.kind == "disjoint" else config.least_training
    for who in list(waiting):
        mine = shown[who]
        most = config.most_tested if hides else min(config.most_tested, max(least, len(mine) // 2))
        queries = taken.draw(mine, least, most, least_rest, rng)
        if queries is not None:
            taken.test(who, mine, queries, keep=not hides)
            return who
        if taken.at_best(mine, least_rest) < least:
            del waiting[who]
    return None


def _by_time(database: ImageTable, taken: _Taken, config: SplitConfig, rng: np.random.Generator) -> BoolArray:
    """Draw the queries from the cut-off on; which rows may train or be searched comes back."""
    if isinstance(config.cut_off, dict) and (absent := sorted(set(config.cut_off) - set(database.datasets))):
        known = ", ".join(database.datasets) or "none"
        raise DataError(f"cut_off: no named photographs of a data set {absent[0]}; there are those of: {known}.")
    day = np.array([day_of(text) or 0 for text in database.date], dtype=np.int64)
    cut = np.zeros(len(database), dtype=np.int64)  # 0: no cut-off
    for name in database.datasets:
        mine, cut_off = database.dataset == name, config.cut_off
        one = cut_off.get(name) if isinstance(cut_off, dict) else cut_off
        if one is None:
            continue
        cut[mine] = one.toordinal()
        undated = int((day[mine] == 0).sum())
        if undated == mine.sum():
            raise DataError(
                f"{name}: none of its photographs has a date, so a cut-off cannot split it. Name the data sets that "
                "have dates: cut_off={DATA SET: DAY}."
            )
        if undated:
            logger.warning("%s: %s without a date left out of the split by time.", name, counted(undated, "photograph"))
    late = (cut > 0) & (day >= cut)
    shown = taken.photographs(np.flatnonzero(late))
    for who in rng.permutation(list(shown)).tolist():
        queries = taken.draw(shown[who], 1, config.most_tested, 0, rng)
        if queries is not None:
            taken.test(who, shown[who], queries, keep=False)
    return np.asarray((cut == 0) | ((day > 0) & (day < cut)), dtype=bool)


def _individuals(table: ImageTable) -> Integers:
    """(n,) a number for each individual of each data set, in the order of their names."""
    keys = list(zip(table.dataset, table.identity, strict=True))
    number = {key: position for position, key in enumerate(sorted(set(keys)))}
    return np.array([number[key] for key in keys], dtype=np.int64)
