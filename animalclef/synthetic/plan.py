"""Plan the photographs of the demo data set: the animal, date and place of each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from animalclef.synthetic.coats import Animal
from animalclef.synthetic.species import DEMO_SPECIES, Species
from animalclef.synthetic.visits import Visit, draw_dates, draw_visit

__all__ = ["DemoConfig", "Oddity", "Shot", "plan_demo"]

Oddity = Literal["", "tiny", "grey", "exif", "cutout"]
_Split = Literal["database", "query"]


class DemoConfig(BaseModel):
    """The number of animals and photographs of the demo, per species."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0)
    known_individuals: int = Field(default=18, ge=2)
    """Animals with photographs in the database."""
    unknown_individuals: int = Field(default=8, ge=0)
    """Animals seen on queries only."""
    places: int = Field(default=45, ge=1)
    database_visits: int = Field(default=16, ge=1)
    """Encounters (place, date and light) of the database; an animal meets one to four of them."""
    query_visits: int = Field(default=10, ge=1)
    """Encounters of the queries, none of them in the database."""
    max_database_images: int = Field(default=6, ge=1)
    """Photographs of one known animal in the database, at most."""
    max_known_queries: int = Field(default=3, ge=1)
    """Query photographs of one known animal, at most; drawn evenly from one on."""
    max_unknown_queries: int = Field(default=4, ge=1)
    """Query photographs of one unknown animal, at most; drawn evenly from one on."""
    odd_cases: bool = True
    """Add the files that trip up careless readers: tiny, grey, turned by EXIF, with transparency, odd file name."""


@dataclass(frozen=True)
class Shot:
    """One photograph to be rendered, with its row of the table."""

    image_id: int
    identity: str
    known: bool
    split: _Split
    path: str  # below the data set's folder
    dataset: str
    orientation: str
    date: str
    species_name: str
    animal: Animal
    visit: Visit
    side: str
    seed: tuple[int, ...]
    oddity: Oddity = ""


@dataclass(frozen=True)
class _Layout:
    """The columns and folders of one data set."""

    species_name: str
    dated: bool
    singletons: float  # share of the known animals with a single database photograph
    blank_orientation: float  # share of the rows without an orientation
    identity: str  # format of an animal's name
    database_path: str
    query_path: str


_LAYOUTS: tuple[_Layout, ...] = (
    _Layout("spotted cat", False, 0.1, 0.0, "cat_{n:02d}", "database/{hash}.jpg", "query/{hash}.jpg"),
    _Layout("", True, 0.28, 0.0, "newt_{n:02d}", "database/images/{short}.jpg", "query/images/{short}.jpg"),
    _Layout(
        "demo sea turtle",
        True,
        0.15,
        0.4,
        "t{n:03d}",
        "database/turtles-data/data/images/t{n:03d}/{short}.JPG",
        "query/images/{hash}.JPG",
    ),
)


def plan_demo(config: DemoConfig) -> tuple[Shot, ...]:
    """Plan every photograph of the data set, grouped by animal, with image ids in shuffled order."""
    shots = [shot for index, species in enumerate(DEMO_SPECIES) for shot in _plan_species(config, index, species)]
    if config.odd_cases:
        shots = _with_oddities(shots)
    ids = np.random.default_rng((config.seed, 77)).permutation(len(shots))
    return tuple(replace(shot, image_id=int(i)) for shot, i in zip(shots, ids, strict=True))


def _plan_species(config: DemoConfig, index: int, species: Species) -> Iterator[Shot]:
    rng = np.random.default_rng((config.seed, index, 5))
    visits = [
        draw_visit(species, (config.seed, index, 100 + int(rng.integers(config.places))), date, rng)
        for date in draw_dates(config.database_visits + config.query_visits, rng)
    ]
    database, queries = visits[: config.database_visits], visits[config.database_visits :]
    total = config.known_individuals + config.unknown_individuals
    known = set(rng.permutation(total)[: config.known_individuals].tolist())
    for number in range(total):
        schedule: list[tuple[_Split, Visit]] = []
        if number in known:
            schedule += [("database", visit) for visit in _database_visits(config, index, database, rng)]
        most = config.max_known_queries if number in known else config.max_unknown_queries
        chosen = rng.integers(len(queries), size=rng.integers(1, most + 1))
        schedule += [("query", queries[i]) for i in chosen]
        yield from _shots_of(config, index, number, number in known, schedule, rng)


def _database_visits(config: DemoConfig, index: int, visits: list[Visit], rng: np.random.Generator) -> list[Visit]:
    """Draw one to four visits with one to three photographs each, or a single photograph."""
    if rng.random() < _LAYOUTS[index].singletons:
        return [visits[rng.integers(len(visits))]]
    count = min(int(rng.choice([1, 2, 3, 4], p=[0.15, 0.35, 0.3, 0.2])), len(visits))
    met = rng.choice(len(visits), size=count, replace=False)
    chosen = [visits[i] for i in met for _ in range(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))]
    if len(chosen) == 1:
        chosen *= 2
    return chosen[: config.max_database_images]


def _shots_of(
    config: DemoConfig,
    index: int,
    number: int,
    known: bool,
    schedule: list[tuple[_Split, Visit]],
    rng: np.random.Generator,
) -> Iterator[Shot]:
    species, layout = DEMO_SPECIES[index], _LAYOUTS[index]
    animal = Animal(species, (config.seed, index, number))
    first = int(rng.integers(len(species.sides)))
    for image, (split, visit) in enumerate(schedule):
        side = species.sides[(first + image) % len(species.sides)]
        digest = hashlib.sha256(f"{config.seed}/{index}/{number}/{image}".encode()).hexdigest()
        pattern = layout.database_path if split == "database" else layout.query_path
        name = pattern.format(hash=digest[:32], short=digest[32:42], n=number)
        yield Shot(
            image_id=-1,
            identity=f"{species.name}_{layout.identity.format(n=number)}",
            known=known,
            split=split,
            path=f"images/{species.name}/{name}",
            dataset=species.name,
            orientation="" if rng.random() < layout.blank_orientation else side,
            date=visit.date if layout.dated else "",
            species_name=layout.species_name,
            animal=animal,
            visit=visit,
            side=side,
            seed=(config.seed, index, number, image),
        )


def _with_oddities(shots: list[Shot]) -> list[Shot]:
    """Return the same photographs, five of them stored oddly; a tiny one is never its animal's only one."""
    cat, newt, turtle = (species.name for species in DEMO_SPECIES)
    changed = list(shots)
    odd: list[tuple[str, Oddity]] = [(turtle, "tiny"), (newt, "grey"), (cat, "exif"), (newt, "cutout"), (newt, "")]
    for dataset, oddity in odd:
        at = _spare(changed, dataset, fewest=2 if oddity else 1)
        if at is None:
            continue
        path = changed[at].path
        if oddity == "cutout":
            path = path.replace(".jpg", ".png")
        elif oddity == "":
            path = path.rpartition("/")[0] + "/Höhle am Bach.jpg"
        changed[at] = replace(changed[at], path=path, oddity=oddity)
    return changed


def _spare(shots: list[Shot], dataset: str, fewest: int) -> int | None:
    """Return an ordinary database photograph of an animal that has `fewest` of them, or None."""
    rows = [i for i, shot in enumerate(shots) if shot.dataset == dataset and shot.split == "database"]
    ordinary = [i for i in rows if not shots[i].oddity and shots[i].path.isascii()]
    count = Counter(shots[i].identity for i in ordinary)
    return next((i for i in ordinary if count[shots[i].identity] >= fewest), None)
