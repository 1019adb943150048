"""Splits for training: who trains, who is searched, who plays the query."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from animalclef.config import SplitConfig
from animalclef.data import training_splits
from animalclef.data.encounters import events_of
from animalclef.data.training_splits import TrainingSplit, refuse_shared_events, species_groups, split_rows
from animalclef.errors import DataError, LeakError
from animalclef.structures import ImageTable

KINDS = ("paper", "closed-set", "open-set", "disjoint")


def strings(values: list[str | None]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def table(
    identity: list[str | None],
    *,
    dataset: list[str] | None = None,
    species: list[str] | None = None,
    day: list[str] | None = None,
    path: list[str] | None = None,
    is_query: list[bool] | None = None,
) -> ImageTable:
    """Photographs 0, 1, 2 ... in the order given."""
    n = len(identity)
    ids, blank = strings([str(row) for row in range(n)]), strings([""] * n)
    return ImageTable(
        root=Path("here"), image_id=ids, path=ids if path is None else strings(list(path)),
        dataset=strings(["Newts"] * n) if dataset is None else strings(list(dataset)),
        is_query=np.zeros(n, dtype=bool) if is_query is None else np.array(is_query), identity=strings(identity),
        date=blank if day is None else strings(list(day)), viewpoint=blank,
        species=blank if species is None else strings(list(species)), encounter=blank,
        bbox_xywhr=np.full((n, 5), np.nan, dtype=np.float32), key=ids,
    )  # fmt: skip


def alone(images: ImageTable) -> dict[str, str]:
    """Every photograph is an encounter of its own."""
    return {image_id: image_id for image_id in images.image_id}


def named(images: ImageTable, rows: np.ndarray) -> dict[str, int]:
    """How many of the rows show each individual."""
    return dict(Counter(images.identity[rows]))


def test_the_papers_split_by_hand() -> None:
    """Two individuals of six encounters: one gives three queries and trains with three, the other gives all six."""
    images = table(["Ada"] * 6 + ["Bea"] * 6)
    split = split_rows(images, alone(images), SplitConfig(share=1.0), seed=0)
    tested, trained = named(images, split.query), named(images, split.train)
    assert sorted(tested.values()) == [3, 6]
    assert list(trained.values()) == [3]
    assert set(trained) == {who for who, count in tested.items() if count == 3}
    assert len(split.gallery) == 0


def test_the_papers_split_tests_one_photograph_of_an_encounter_and_ten_of_an_individual() -> None:
    images = table(["Ada"] * 40 + ["Bea"] * 40 + ["Cid"] * 4)
    encounter = {image_id: f"{row // 2}" for row, image_id in enumerate(images.image_id)}
    split = split_rows(images, encounter, SplitConfig(share=0.67), seed=1)
    assert len({encounter[images.image_id[row]] for row in split.query}) == len(split.query)
    tested, trained = named(images, split.query), named(images, split.train)
    assert tested == {"Ada": 10, "Bea": 10}  # Cid's two encounters are enough for queries that leave nothing to train
    assert sum(who in trained for who in tested) == 1
    assert trained["Cid"] == 4
    seen = "Ada" if "Ada" in trained else "Bea"
    assert trained[seen] == 20  # the other photograph of each query's encounter is nowhere


def test_every_individual_of_a_closed_set_is_in_training_and_in_the_gallery() -> None:
    images = table(["Ada"] * 6 + ["Bea"] * 4 + ["Cid"] * 2 + ["Dot"])
    split = split_rows(images, alone(images), SplitConfig(kind="closed-set", share=1.0), seed=0)
    assert named(images, split.query) == {"Ada": 3, "Bea": 1}  # two of Bea's would leave fewer than three
    assert named(images, split.train) == {"Ada": 3, "Bea": 3}
    assert named(images, split.gallery) == {"Ada": 3, "Bea": 3, "Cid": 2, "Dot": 1}


def test_the_unseen_of_an_open_set_are_in_no_photograph_but_the_queries() -> None:
    images = table([name for name in "ABCDEFGH" for _ in range(8)])
    split = split_rows(images, alone(images), SplitConfig(kind="open-set", share=0.5), seed=3)
    tested, searched = named(images, split.query), named(images, split.gallery)
    known, unknown = set(tested) & set(searched), set(tested) - set(searched)
    assert len(known) == len(unknown) == 2
    assert all(tested[who] == 8 for who in unknown)
    assert all(tested[who] == searched[who] == 4 for who in known)
    assert set(named(images, split.train)) == set(searched)


def test_no_tested_individual_of_a_disjoint_split_trains() -> None:
    images = table([name for name in "ABCDE" for _ in range(4)])
    split = split_rows(images, alone(images), SplitConfig(kind="disjoint", share=0.4), seed=0)
    tested = named(images, split.query)
    assert sorted(tested.values()) == [2, 2]
    assert named(images, split.gallery) == tested
    assert named(images, split.train) == {who: 4 for who in "ABCDE" if who not in tested}


def test_time_cuts_each_data_set_at_its_day() -> None:
    days = ["2019-01-01", "2019-02-01", "2019-03-01", "2021-01-01", "2021-01-01", "2020-06-01T10:00", "", "2018"]
    images = table(["Ada"] * 8 + ["Lyn"] * 3, day=days + [""] * 3, dataset=["Newts"] * 8 + ["Lynxes"] * 3)
    encounter = {image_id: day or image_id for image_id, day in zip(images.image_id, images.date, strict=True)}
    config = SplitConfig(kind="time", cut_off={"Newts": date(2020, 6, 1)})
    split = split_rows(images, encounter, config, seed=0)
    assert split.train.tolist() == split.gallery.tolist() == [0, 1, 2, 8, 9, 10]  # 6 and 7 have no date
    assert split.query.tolist() in ([3, 5], [4, 5])  # one of the two of 1 January
    with pytest.raises(DataError, match="Lynxes: none of its photographs has a date"):
        split_rows(images, encounter, SplitConfig(kind="time", cut_off=date(2020, 6, 1)), seed=0)


def test_an_encounter_over_the_cut_off_does_not_train() -> None:
    images = table(["Ada"] * 5, day=["2020-01-01", "2020-01-02", "2020-01-03", "2020-05-30", "2020-06-01"])
    encounter = alone(images) | {"3": "night", "4": "night"}
    split = split_rows(images, encounter, SplitConfig(kind="time", cut_off=date(2020, 6, 1)), seed=0)
    assert (split.train.tolist(), split.query.tolist()) == ([0, 1, 2], [4])


def test_the_same_file_or_content_is_the_same_event() -> None:
    """Two animals in one photograph: rows 0 and 4; one file stored twice: rows 1 and 2."""
    images = table(["Ada", "Ada", "Ada", "Ada", "Bea"], path=["a", "b", "c", "d", "a"])
    images = images.with_columns(key=strings(["k0", "k", "k", "k3", "k4"]))
    assert events_of(images, alone(images)).tolist() == [0, 1, 1, 2, 0]
    chained = alone(images) | {"3": "0"}
    assert events_of(images, chained).tolist() == [0, 1, 1, 0, 0]


def test_a_photograph_without_a_content_key_shares_it_with_none() -> None:
    images = table(["Ada", "Ada"]).with_columns(key=strings(["", ""]))
    assert events_of(images, alone(images)).tolist() == [0, 1]


def test_a_herd_on_one_day_is_never_on_both_sides() -> None:
    """Four animals are photographed together on each of six days: a day is tested or trains, whole."""
    images = table([who for _ in range(6) for who in ("Ada", "Bea", "Cid", "Dot")])
    encounter = {image_id: f"day {row // 4}" for row, image_id in enumerate(images.image_id)}
    for kind in ("paper", "closed-set", "open-set"):
        split = split_rows(images, encounter, SplitConfig(kind=kind, share=1.0), seed=0)
        days = {name: {row // 4 for row in getattr(split, name)} for name in ("train", "gallery", "query")}
        assert not days["query"] & (days["train"] | days["gallery"])
        assert days["query"]


def test_what_shares_an_event_is_refused() -> None:
    images = table(["Ada", "Ada", "Bea"])
    encounter = {"0": "e", "1": "e", "2": "f"}
    rows = [np.array([row], dtype=np.int64) for row in range(3)]
    refuse_shared_events(images, encounter, TrainingSplit(rows[0], rows[0], rows[2]))
    with pytest.raises(LeakError, match=r"The encounters of 1 query \(one: 1\) are in training too"):
        refuse_shared_events(images, encounter, TrainingSplit(rows[0], rows[2], rows[1]))
    with pytest.raises(LeakError, match="are in the gallery too"):
        refuse_shared_events(images, encounter, TrainingSplit(rows[2], rows[0], rows[1]))


def test_a_query_in_training_is_no_split() -> None:
    rows = np.array([0, 1], dtype=np.int64)
    with pytest.raises(ValueError, match="a query is in training"):
        TrainingSplit(rows, rows[:0], rows[1:])
    with pytest.raises(ValueError, match="expected rising row numbers"):
        TrainingSplit(rows[::-1], rows[:0], rows[:0])


def test_queries_of_the_table_and_nameless_photographs_are_in_no_part() -> None:
    names = ["Ada"] * 8 + [None] * 4
    images = table(names, is_query=[False] * 8 + [True, True, False, False])
    split = split_rows(images, alone(images), SplitConfig(kind="closed-set", share=1.0), seed=0)
    assert np.union1d(split.gallery, split.query).tolist() == list(range(8))


def test_species_of_one_data_set_are_drawn_from_apart() -> None:
    names = [f"{who}{copy}" for who in "AB" for copy in range(4) for _ in range(6)]
    species = ["lynx" if name.startswith("A") else "cat" for name in names]
    species[0] = ""  # an individual's other rows tell
    images = table(names, species=species)
    assert set(species_groups(images)) == {"Newts/lynx", "Newts/cat"}
    assert species_groups(images)[0] == "Newts/lynx"
    split = split_rows(images, alone(images), SplitConfig(kind="closed-set", share=0.5), seed=0)
    assert sorted(who[0] for who in named(images, split.query)) == ["A", "A", "B", "B"]
    one = table(["Ada", "Bea"], species=["newt", ""])
    assert species_groups(one).tolist() == ["Newts", "Newts"]


def test_too_few_encounters_are_told(caplog: pytest.LogCaptureFixture) -> None:
    images = table(["Ada", "Ada", "Bea", "Bea"])
    encounter = {"0": "a", "1": "a", "2": "b", "3": "b"}
    with pytest.raises(DataError, match="split paper: no individual can be tested; 4 named photographs of 2"):
        split_rows(images, encounter, SplitConfig(), seed=0)
    assert "tests nobody where no individual has enough encounters: Newts" in caplog.text
    with pytest.raises(DataError, match="nobody is left to train on"):
        split_rows(images, alone(images), SplitConfig(kind="disjoint", share=1.0), seed=0)
    with pytest.raises(DataError, match="no individual can be tested; 0 named"):
        split_rows(table([]), {}, SplitConfig(), seed=0)


def test_a_cut_off_belongs_to_time_alone() -> None:
    with pytest.raises(ValidationError, match="cut_off belongs to kind = time"):
        SplitConfig(kind="time")
    with pytest.raises(ValidationError, match="cut_off belongs to kind = time"):
        SplitConfig(cut_off=date(2020, 1, 1))
    with pytest.raises(ValidationError, match="most_tested must not be below"):
        SplitConfig(most_tested=1)


@st.composite
def herds(draw: st.DrawFn) -> tuple[ImageTable, Mapping[str, str]]:
    """Up to 60 photographs of up to 8 individuals in two data sets, with encounters that individuals may share."""
    rows = draw(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 20), st.booleans()), min_size=1, max_size=60))
    images = table([f"i{who}" for who, _, _ in rows], dataset=[f"d{who % 2}" for who, _, _ in rows])
    pairs = zip(images.image_id, rows, strict=True)
    return images, {image_id: f"e{event}" if herd else f"e{who}/{event}" for image_id, (who, event, herd) in pairs}


@given(herds(), st.sampled_from(KINDS), st.floats(0.1, 1), st.integers(1, 3), st.integers(0, 5))
@hypothesis_settings(max_examples=150, deadline=None)
def test_whatever_the_table_a_split_keeps_its_word(
    case: tuple[ImageTable, Mapping[str, str]], kind: str, share: float, least: int, seed: int
) -> None:
    images, encounter = case
    config = SplitConfig(kind=kind, share=share, least_training=least, most_tested=4)  # type: ignore[arg-type]
    try:
        split = split_rows(images, encounter, config, seed)
    except DataError:
        return
    again = split_rows(images, encounter, config, seed)
    assert all(np.array_equal(getattr(split, part), getattr(again, part)) for part in ("train", "gallery", "query"))
    event = events_of(images, encounter)
    assert not set(event[split.query]) & set(event[np.union1d(split.train, split.gallery)])
    trained, searched, tested = (named(images, rows) for rows in (split.train, split.gallery, split.query))
    assert min(trained.values()) >= least
    assert max(tested.values()) <= 4
    of_one = Counter(zip(images.identity[split.query], event[split.query], strict=True))
    assert max(of_one.values()) == 1
    if kind == "paper":
        assert min(tested.values()) >= 2
        assert not len(split.gallery)
        seen: dict[str, int] = defaultdict(int)
        for who in tested:
            seen[images.dataset[images.identity == who][0]] += 1 if who in trained else -1
        assert all(difference in (0, 1) for difference in seen.values())
    if kind == "closed-set":
        assert set(tested) <= set(trained)
    if kind == "disjoint":
        assert not (set(tested) | set(searched)) & set(trained)
        assert set(tested) == set(searched)
        assert not set(event[split.gallery]) & set(event[split.train])
    if kind in ("closed-set", "open-set"):
        assert set(split.train) <= set(split.gallery)


PINNED = {
    "paper": (
        [0, 2, 3, 6, 12, 13, 18, 20, 21, 23, 24, 25, 26, 27, 28, 30, 31, 32, 33, 34, 37, 40],
        [1, 4, 5, 7, 8, 10, 11, 14, 15, 16, 17, 38, 39],
    ),
    "closed-set": (
        [1, 3, 6, 7, 12, 13, 18, 25, 26, 27, 30, 31, 34, 36, 38],
        [0, 2, 4, 5, 8, 10, 11, 14, 15, 16, 17, 20, 21, 22, 23, 24, 28, 29, 32, 33, 37, 39, 40],
    ),
    "open-set": (
        [9, 12, 13, 18, 19, 25, 26, 27, 30, 31, 33],
        [0, 1, 2, 4, 5, 7, 8, 10, 11, 14, 15, 16, 17, 20, 21, 22, 23, 24, 28, 29, 32, 34, 37, 38, 39, 40],
    ),
    "disjoint": ([1, 3, 6, 7, 12, 13, 18, 25, 26, 27, 30, 31, 34, 36, 38], [10, 11]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_draws_the_split_that_it_always_drew(kind: str) -> None:
    """Recipes of finished trainings name their photographs by it. Herds, singletons and individuals that fail."""
    images = table([who for who, count in zip("ABCDEFGHIJ", (9, 1, 2, 7, 1, 12, 3, 1, 5, 2), strict=True)
                    for _ in range(count)])  # fmt: skip
    encounter = {image_id: f"e{row // 2}" if row % 3 else f"f{row % 8}" for row, image_id in enumerate(images.image_id)}
    split = split_rows(images, encounter, SplitConfig(kind=kind, share=0.5, least_training=2), seed=4)  # type: ignore[arg-type]
    assert (split.query.tolist(), split.train.tolist()) == PINNED[kind]


def test_who_can_never_be_tested_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = table([f"{number}" for number in range(400) for _ in range(6 if number % 4 == 0 else 1)])
    draw, tries = training_splits._Taken.draw, Counter[tuple[int, ...]]()

    def counted(self: training_splits._Taken, shown: dict[int, np.ndarray], *given: object) -> list[int] | None:  # type: ignore[type-arg]
        tries[tuple(shown)] += 1
        return draw(self, shown, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(training_splits._Taken, "draw", counted)
    for kind in KINDS:
        tries.clear()
        split = split_rows(images, alone(images), SplitConfig(kind=kind, share=0.2), seed=0)  # type: ignore[arg-type]
        assert len(set(images.identity[split.query])) == 80
        assert max(tries.values()) <= 2  # once for each part: to be seen in training, or not


def test_a_cut_off_of_a_data_set_that_is_not_there_is_refused() -> None:
    images = table(["Ada"] * 4, day=["2019-01-01", "2019-02-01", "2019-03-01", "2021-01-01"])
    config = SplitConfig(kind="time", cut_off={"Newts": date(2020, 1, 1), "Newt": date(2020, 1, 1)})
    with pytest.raises(DataError, match="cut_off: no named photographs of a data set Newt; there are those of: Newts"):
        split_rows(images, alone(images), config, seed=0)
