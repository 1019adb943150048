"""Ids that stay, signed changes, and undoing them, in either database; an older and a newer version."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from grown import START, Begin, find, grow, names_of
from rows import Row, image_table, strings
from tiny import read_csv
from typer.testing import CliRunner

from animalclef.catalogue.catalogue_check import check_catalogue
from animalclef.catalogue.catalogue_folder import Catalogue
from animalclef.catalogue.export import export_catalogue
from animalclef.catalogue.recogniser import Machine, Recogniser
from animalclef.catalogue.reviewed_photographs import accept_review
from animalclef.catalogue.schema import SCHEMA, put_meta
from animalclef.cli import app
from animalclef.data.review_log import ReviewLog, Said, SeenPhotograph
from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.errors import ConfigError, DataError, StaleArtefactError


def test_a_season_brings_its_photographs_and_individuals(catalogue: Catalogue) -> None:
    assert names_of(catalogue) == START
    assert [(one.id, one.name) for one in catalogue.individuals()] == [(1, "Luna"), (2, "Tara"), (3, "new_3")]
    assert [one.kind for one in catalogue.history()] == ["add", "add"]
    assert list(catalogue.table().image_id) == ["1/a", "1/b", "1/c"]  # only these are compared with


def test_an_answer_may_be_a_name_that_a_later_row_brings(begin: Begin, tmp_path: Path) -> None:
    kept = begin(tmp_path / "kept")
    counts = grow(kept, 1, [("a", None, ""), ("b", "Stella", "")], {"a": ("Stella", 0.9)})
    assert names_of(kept) == {"1/a": "Stella?", "1/b": "Stella"}
    assert [(one.id, one.name) for one in kept.individuals()] == [(1, "Stella")]
    assert counts == {"named": 1, "recognised": 1, "new": 0, "event": 1}


def test_merge_keeps_one_id_and_the_other_leads_to_it(catalogue: Catalogue) -> None:
    catalogue.merge("Luna", "I2", "Ada", "same spots")
    assert {one: who for one, who in names_of(catalogue).items() if who == "Luna"}.keys() == {"1/a", "1/b", "1/c"}
    assert find(catalogue, "I2").id == find(catalogue, "I1").id == find(catalogue, "Luna").id == 1
    with pytest.raises(DataError, match="Tara: the catalogue has no such individual"):
        find(catalogue, "Tara")
    last = catalogue.history()[-1]
    assert (last.kind, last.who, last.why) == ("merge", "Ada", "same spots")
    assert last.told == "merged Tara (I2) into Luna (I1) (1 photograph)"
    catalogue.undo(None, "Bob", "another animal after all")
    assert names_of(catalogue) == START
    assert find(catalogue, "I2").name == "Tara"
    with pytest.raises(DataError, match="are one individual"):
        catalogue.merge("Luna", "I1", "Ada", "")


def test_an_id_that_is_the_name_of_another_is_refused(begin: Begin, tmp_path: Path) -> None:
    kept = begin(tmp_path / "kept")
    grow(kept, 1, [("a", "I3", ""), ("b", "I1", ""), ("c", "I2", ""), ("d", "I4", ""), ("e", "I77", "")])
    told = r"I3: several individuals have this id or name: #1 \(I3, NewtID\), #3 \(I2, NewtID\)\."
    with pytest.raises(DataError, match=told):
        kept.merge("I3", "#2", "Ada", "")
    assert [find(kept, one).name for one in ("#1", "#2", "#3", "I4", "I77")] == ["I3", "I1", "I2", "I4", "I77"]
    kept.merge("#1", "#2", "Ada", "")  # I1 into I3: now id 2 leads to 1, and nobody is named I1
    assert (find(kept, "I1").id, find(kept, "#2").id) == (1, 1)
    kept.rename("#3", "#4", "Ada", "")
    with pytest.raises(DataError, match=r"#4: several .* I3 \(#4, NewtID\), I4 \(I4, NewtID\)"):
        find(kept, "#4")
    with pytest.raises(DataError, match="no such individual"):
        find(kept, "I" + "9" * 30)


def test_a_name_that_is_not_there_is_answered_by_the_nearest_ones(begin: Begin, tmp_path: Path) -> None:
    kept = begin(tmp_path / "kept")
    grow(kept, 1, [("a", "Luna", ""), ("b", "Lena", ""), ("c", "Tara", "")])
    for text, near in (("luna", "Luna"), ("Lana", "Luna or Lena"), ("tra", "Tara")):
        told = rf"^{text}: the catalogue has no such individual\. Did you mean {near}\?"
        with pytest.raises(DataError, match=told):
            find(kept, text)
        with pytest.raises(DataError, match=told):
            kept.rename(text, "Bella", "Ada", "")
    kept.merge("Luna", "Lena", "Ada", "one animal")  # what was merged has no name to go by
    with pytest.raises(DataError, match=r"lena: .* Did you mean Luna\?"):
        kept.merge("Tara", "lena", "Ada", "")
    with pytest.raises(DataError, match=r"Bartholomew: .* `animalclef catalogue list` lists them"):
        find(kept, "Bartholomew")


def test_a_new_individual_gets_a_free_name(begin: Begin, tmp_path: Path) -> None:
    kept = begin(tmp_path / "kept")
    grow(kept, 1, [("a", "new_2", ""), ("b", None, "")], {"b": (None, 0.1)})  # the one of b has id 2
    assert names_of(kept) == {"1/a": "new_2", "1/b": "new_2_2?"}
    grow(kept, 2, [("c", None, ""), ("d", "new_4", ""), ("e", "new_4_2", "")], {"c": (None, 0.1)})  # ids 3, 4; 5
    assert names_of(kept)["2/c"] == "new_5?"
    grow(kept, 3, [("f", None, ""), ("g", None, ""), ("h", "new_7", "")], {"f": (None, 0.1), "g": (None, 0.1)})
    assert [names_of(kept)[one] for one in ("3/f", "3/g", "3/h")] == ["new_7_2?", "new_8?", "new_7"]  # 6 is new_7


def test_split_makes_a_new_individual_or_moves_to_one(catalogue: Catalogue) -> None:
    catalogue.split(["1/b"], None, "Ada", "another tail")
    assert names_of(catalogue)["1/b"] == "new_4"
    catalogue.split(["1/b"], "Tara", "Ada", "it is Tara")
    assert names_of(catalogue)["1/b"] == "Tara"
    catalogue.split(["2/d"], "Stella", "Ada", "neither")
    assert names_of(catalogue)["2/d"] == "Stella"  # a person said so: confirmed
    for _ in range(3):
        catalogue.undo(None, "Ada", "")
    assert names_of(catalogue) == START
    with pytest.raises(DataError, match="9/x: the catalogue has no such photograph"):
        catalogue.split(["9/x"], None, "Ada", "")
    with pytest.raises(DataError, match="of several individuals"):
        catalogue.split(["1/a", "1/c"], None, "Ada", "")
    with pytest.raises(DataError, match="are of Luna"):
        catalogue.split(["1/a"], "Luna", "Ada", "")


def test_ids_are_never_given_again(catalogue: Catalogue) -> None:
    catalogue.split(["1/b"], None, "Ada", "")
    catalogue.undo(None, "Ada", "")
    catalogue.split(["1/b"], None, "Ada", "")
    assert names_of(catalogue)["1/b"] == "new_5"


def test_rename_keeps_the_id(catalogue: Catalogue) -> None:
    catalogue.rename("I3", "<b>Öykü</b>", "Ada", "")
    assert find(catalogue, "<b>Öykü</b>").id == 3
    with pytest.raises(DataError, match=r"Tara: Tara \(I2\) has this name"):
        catalogue.rename("Luna", "Tara", "Ada", "")
    with pytest.raises(DataError, match=r"Tara: Tara \(I2\) has this name already"):
        catalogue.rename("Tara", "Tara", "Ada", "")
    for name in ("", " Luna", "new_individual", "a\nb", "Unknown", "N/A", "-"):
        with pytest.raises(DataError, match="no name for an individual"):
            catalogue.rename("Luna", name, "Ada", "")


def test_a_name_in_another_spelling_is_the_same_name(catalogue: Catalogue) -> None:
    with pytest.raises(DataError, match=r"TARA: Tara \(I2\) has this name as well"):
        catalogue.rename("Luna", "TARA", "Ada", "")
    catalogue.rename("Tara", "tara", "Ada", "")  # its own name in another spelling
    assert find(catalogue, "tara").id == 2
    catalogue.split(["1/a"], "TARA", "Ada", "")
    assert names_of(catalogue)["1/a"] == "tara"


def test_undo_is_an_event_that_can_be_undone(catalogue: Catalogue) -> None:
    catalogue.rename("Luna", "Stella", "Ada", "")  # event 3
    catalogue.undo(3, "Ada", "")  # event 4
    with pytest.raises(DataError, match="event 3: undone already, by event 4"):
        catalogue.undo(3, "Ada", "")
    catalogue.undo(4, "Ada", "")  # event 5: Stella again
    assert find(catalogue, "Stella").id == 1
    catalogue.undo(3, "Ada", "")  # event 6
    assert find(catalogue, "Luna").id == 1
    assert [one.undone_by for one in catalogue.history()][2:] == [6, 5, None, None]
    for absent in (99, 0):
        with pytest.raises(DataError, match=f"event {absent}: there is none"):
            catalogue.undo(absent, "Ada", "")


def test_what_a_later_event_changed_is_not_undone_under_it(catalogue: Catalogue) -> None:
    catalogue.split(["1/b"], "Stella", "Ada", "")  # event 3
    catalogue.merge("Tara", "Stella", "Ada", "")  # event 4: moves 1/b on
    with pytest.raises(DataError, match=r"event 4 changed the same later\. Undo event 4 first"):
        catalogue.undo(3, "Ada", "")
    with pytest.raises(DataError, match=r"other photographs show its .* \(first: 2/d\)\. Undo event 2 first"):
        catalogue.undo(1, "Ada", "")
    assert names_of(catalogue)["1/b"] == "Tara"
    catalogue.undo(4, "Ada", "")
    catalogue.undo(3, "Ada", "")
    assert names_of(catalogue) == START


def test_a_whole_season_can_be_undone_by_its_number_alone(catalogue: Catalogue) -> None:
    with pytest.raises(DataError, match=r"added season 2: .*To undo a whole season, give the number of this event: 2"):
        catalogue.undo(None, "Ada", "")
    catalogue.undo(2, "Ada", "the wrong folder")
    assert names_of(catalogue) == {one: who for one, who in START.items() if one.startswith("1/")}
    assert [one.name for one in catalogue.individuals()] == ["Luna", "Tara"]
    images = image_table([Row("x"), Row("y"), Row("z")])
    images = images.with_columns(key=strings("key-1/a", "key-2/d", "key-2/d"), dataset=strings(*["NewtID"] * 3))
    assert list(catalogue.absent(images)) == [False, True, False]  # known; taken back; the same photograph again
    named = images.with_columns(identity=np.array([None, None, "Luna"]), is_query=np.array([True, True, False]))
    assert list(catalogue.absent(named)) == [False, False, True]  # the one of two that says whom it shows


def test_confirmations_and_names_do_not_stand_on_the_only_season_but_a_merged_individual_does(
    begin: Begin, tmp_path: Path
) -> None:
    kept = begin(tmp_path / "kept")
    grow(kept, 1, [("a", "Luna", ""), ("b", None, "")], {"b": (None, 0.1)})
    kept.confirm(None, "Ada", "")
    kept.rename("Luna", "Stella", "Ada", "")
    kept.merge("Stella", "new_2", "Ada", "")
    with pytest.raises(DataError, match=r"event 4 changed the same later\. Undo event 4 first"):
        kept.undo(1, "Ada", "")
    kept.undo(4, "Ada", "")
    assert kept.undo(1, "Ada", "").kind == "add"
    assert (names_of(kept), kept.individuals()) == ({}, [])


def test_a_name_that_was_given_again_is_one_sentence(catalogue: Catalogue) -> None:
    catalogue.merge("Luna", "Tara", "Ada", "")
    catalogue.rename("new_3", "Tara", "Ada", "")
    with pytest.raises(DataError, match="another individual has this name now"):
        catalogue.undo(3, "Ada", "")
    assert names_of(catalogue)["1/c"] == "Luna"


def test_answers_follow_what_changed_while_the_season_was_computed(catalogue: Catalogue) -> None:
    """`add` compared with Tara; meanwhile she was merged into Luna, and another one was called Tara."""
    before = {(one.dataset, one.name): one.id for one in catalogue.individuals()}
    catalogue.merge("Luna", "Tara", "Ada", "")
    catalogue.rename("new_3", "Tara", "Ada", "")
    from animalclef.catalogue.season_individuals import Answer
    from animalclef.catalogue.seasons import write_season

    one = image_table([Row("3/f")])
    one = one.with_columns(dataset=strings("NewtID"))
    write_season(catalogue, catalogue.folder, 3, one, {"3/f": Answer("Tara", 0.9, "")}, None, ("Ada", ""), before)
    assert names_of(catalogue)["3/f"] == "Luna?"


def test_confirmed_photographs_are_compared_with(catalogue: Catalogue) -> None:
    catalogue.confirm(["2/d"], "Ada", "looked")
    assert list(catalogue.table().image_id) == ["1/a", "1/b", "1/c", "2/d"]
    catalogue.confirm(None, "Ada", "looked at all")
    assert names_of(catalogue)["2/e"] == "new_3"
    with pytest.raises(DataError, match="confirm: there is nothing to change"):
        catalogue.confirm(None, "Ada", "")
    catalogue.undo(None, "Ada", "")
    catalogue.undo(None, "Ada", "")
    assert names_of(catalogue) == START


def review(catalogue: Catalogue, *answers: tuple[str, Said, str]) -> Path:
    log = ReviewLog(catalogue.folder / "run.review.jsonl")
    for a, said, b in answers:
        log.add("Ada", said, (SeenPhotograph(a, f"key-{a}", ""), SeenPhotograph(b, f"key-{b}", "")), {})
    return log.path


def test_a_review_becomes_one_event(catalogue: Catalogue) -> None:
    log = review(catalogue, ("2/d", "different", "1/a"), ("2/e", "same", "1/c"))
    accept_review(catalogue, log, "Ada", "evening of reviewing")
    assert names_of(catalogue) == START | {"2/d": "new_4?", "2/e": "Tara"}
    assert catalogue.history()[-1].kind == "review"
    catalogue.undo(None, "Ada", "")
    assert names_of(catalogue) == START


def test_new_photographs_that_are_the_same_become_one_individual(catalogue: Catalogue) -> None:
    accept_review(catalogue, review(catalogue, ("2/d", "same", "2/e")), "Ada", "")
    names = names_of(catalogue)
    assert names["2/d"] == names["2/e"] == "new_4"


def test_two_guesses_that_are_the_same_animal_do_not_confirm_each_other(catalogue: Catalogue) -> None:
    grow(catalogue, 3, [("f", None, ""), ("g", None, "")], {"f": ("Luna", 0.6), "g": ("new_3", 0.6)})
    with pytest.raises(DataError, match="its answers change nothing"):
        accept_review(catalogue, review(catalogue, ("2/d", "same", "3/f")), "Ada", "")
    assert names_of(catalogue) == START | {"3/f": "Luna?", "3/g": "new_3?"}
    accept_review(catalogue, review(catalogue, ("2/e", "same", "3/g")), "Ada", "")  # nobody is new_3 but these two
    assert names_of(catalogue) == START | {"2/e": "new_3", "3/f": "Luna?", "3/g": "new_3"}
    accept_review(catalogue, review(catalogue, ("2/d", "same", "1/a")), "Ada", "")  # and by the first answer 3/f, too
    assert names_of(catalogue) == START | {"2/d": "Luna", "2/e": "new_3", "3/f": "Luna", "3/g": "new_3"}


def test_a_contradictory_review_changes_nothing(catalogue: Catalogue) -> None:
    log = review(catalogue, ("2/e", "same", "1/a"), ("2/e", "same", "1/c"))
    with pytest.raises(DataError, match="its answers change nothing"):
        accept_review(catalogue, log, "Ada", "")
    assert names_of(catalogue) == START


def test_check_lists_what_to_look_at(catalogue: Catalogue) -> None:
    found = {one.kind: one.sentence for one in check_catalogue(catalogue)}
    assert found["unconfirmed"].startswith("2 photographs are not confirmed (first: 2/d)")
    assert found["missing"].startswith("moved or removed: 5 photographs")
    assert set(found) == {"unconfirmed", "missing"}


def test_sides_that_were_never_joined_are_listed(begin: Begin, tmp_path: Path) -> None:
    kept = begin(tmp_path / "kept")
    grow(kept, 1, [("a", "Luna", ""), ("b", "Tara", ""), ("c", "Milo", ""), ("d", "Milo", "")])
    with kept.changing() as connection:
        for image_id, side in (("1/a", "left"), ("1/b", "right"), ("1/c", "left"), ("1/d", "right")):
            connection.execute(
                sa.text("update photographs set viewpoint=:s where image_id=:i"), {"s": side, "i": image_id}
            )
    sides = [one.sentence for one in check_catalogue(kept) if one.kind == "sides"]
    assert sides == [
        "NewtID: 1 individual has photographs of the left side only, 1 of the right only; some may be one animal."
    ]


def test_export_as_table_sheet_and_histories(catalogue: Catalogue, tmp_path: Path) -> None:
    export_catalogue(catalogue, "table", tmp_path / "table.csv")
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[1].startswith("1/a,Luna,photographs/1/a.jpg,2023-05-01,")
    assert len(lines) == 6
    assert [row["confirmed"] for row in read_csv(tmp_path / "table.csv")] == ["true"] * 3 + ["false"] * 2
    for shot in ("1/a", "1/b", "1/c", "2/d", "2/e"):
        photograph = tmp_path / "photographs" / f"{shot}.jpg"
        photograph.parent.mkdir(parents=True, exist_ok=True)
        photograph.touch()
    again = load_table(find_source(tmp_path / "table.csv"))  # the column is no subject of a table
    assert (again.images.identity.tolist(), again.problems) == (["Luna", "Luna", "Tara", "Luna", "new_3"], [])
    export_catalogue(catalogue, "table", tmp_path / "table.csv")  # its own table may be replaced
    export_catalogue(catalogue, "capture-history", tmp_path / "h.inp", "year")
    histories = (tmp_path / "h.inp").read_text()
    assert "/* Luna */ 11 1;" in histories
    assert "/* Tara */ 10 1;" in histories
    export_catalogue(catalogue, "wildbook", tmp_path / "sheet.csv")
    assert (tmp_path / "sheet.csv").read_text().count("Luna") == 3
    with pytest.raises(ConfigError, match="Camtrap DP package \\(there are: none\\)"):
        export_catalogue(catalogue, "camtrap-dp", tmp_path / "package")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"to": "xlsx"}, r"export: to='xlsx': expected one of table, camtrap-dp, wildbook, capture-history\.$"),
        ({"to": "wildbok"}, r"to='wildbok': expected one of .*\. Did you mean wildbook\?$"),
        ({"to": "capture-history", "occasion": "week"}, r"occasion='week': expected one of day, month, year\.$"),
        (
            {"to": "table", "season": 9},
            r"season 9: table holds every season, and only camtrap-dp is of a single one\. L",
        ),
        ({"to": "wildbook", "season": 1}, "season 1: wildbook holds every season"),
        ({"to": "capture-history", "season": 1}, "season 1: capture-history holds every season"),
        ({"to": "camtrap-dp", "season": 9}, r"season 9: give the season that came from .* \(there are: none\)"),
    ],
)
def test_an_export_that_cannot_be_meant_is_refused(
    given: dict[str, Any], sentence: str, catalogue: Catalogue, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        export_catalogue(catalogue, out=tmp_path / "out.csv", **given)
    assert not (tmp_path / "out.csv").exists()


def test_an_export_fills_the_package_of_its_season(catalogue: Catalogue, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "media.csv").write_text("mediaID,filePath\nm1,a.jpg\n")
    (package / "observations.csv").write_text("observationID,deploymentID,mediaID,individualID\nd,x,m1,\ne,x,m1,\n")
    with catalogue.changing() as connection:
        connection.execute(sa.text("update seasons set root=:r where id=2"), {"r": str(package)})
    export_catalogue(catalogue, "camtrap-dp", tmp_path / "filled")
    assert "d,x,m1,Luna," in (tmp_path / "filled" / "observations.csv").read_text()


@pytest.mark.parametrize("version", ["99", str(SCHEMA + 1)])
def test_a_newer_catalogue_is_refused(catalogue: Catalogue, version: str) -> None:
    with catalogue.changing() as connection:
        connection.execute(sa.text("update meta set value=:v where name='schema'"), {"v": version})
    with pytest.raises(DataError, match=f"made by a newer version of animalclef \\(tables {version}\\)"):
        Catalogue(catalogue.folder)


def test_a_decision_of_an_earlier_version_is_one_sentence_where_it_is_used(
    catalogue: Catalogue,
) -> None:
    with catalogue.changing() as connection:
        put_meta(connection, "decision", '{"format": 2, "crowd_weight": 1}')
    recogniser = Recogniser(catalogue, Machine())  # `add --retune` does not read it
    with pytest.raises(StaleArtefactError, match=r"its decision \(add --retune\): not a decision file of this version"):
        _ = recogniser.decision


def test_settings_that_this_version_cannot_follow_are_one_sentence(catalogue: Catalogue) -> None:
    with catalogue.changing() as connection:
        put_meta(connection, "config", json.dumps({"rerank": {"geometry": "affine"}}))
    with pytest.raises(DataError, match="rerank: geometry must be similarity: affine and homography matched worse"):
        _ = catalogue.config


def test_an_older_catalogue_is_brought_up(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from animalclef.catalogue import schema

    kept = begin(tmp_path / "kept")
    grow(kept, 1, [("a", "Luna", "")])

    def more(connection: sa.Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE individuals ADD COLUMN sex TEXT")

    monkeypatch.setattr(schema, "_MIGRATIONS", (*schema._MIGRATIONS, more))
    monkeypatch.setattr(schema, "SCHEMA", SCHEMA + 1)
    opened = Catalogue(kept.folder)
    assert opened.value("schema") == str(SCHEMA + 1)
    with opened.reading() as connection:
        assert connection.exec_driver_sql("SELECT name, sex FROM individuals").all() == [("Luna", None)]


def test_a_former_name_is_told_when_a_season_brings_it_again(
    catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue.rename("Luna", "Stella", "Ada", "")
    catalogue.merge("Stella", "Tara", "Ada", "")
    grow(catalogue, 3, [("p", "Luna", ""), ("q", "Luna", ""), ("r", "Tara", ""), ("s", "Stella", ""), ("t", "Nia", "")])
    former = [record.getMessage() for record in caplog.records if "renamed or merged" in record.getMessage()]
    assert [one.partition(" (")[0] for one in former] == [
        "The catalogue's earlier Luna is now Stella", "The catalogue's earlier Tara is now Stella",
    ]  # fmt: skip
    assert former[0].endswith("animalclef catalogue merge CATALOGUE Stella Luna.")
    again = [one.sentence for one in check_catalogue(catalogue) if one.kind == "two names"]
    assert again == [
        "Luna (I4) was added under a former name of Stella (I1); they may be one animal.",
        "Tara (I5) was added under a former name of Stella (I1); they may be one animal.",
    ]
    catalogue.merge("Stella", "Luna", "Ada", "")
    catalogue.rename("Tara", "Bella", "Ada", "another animal")
    assert "two names" not in {one.kind for one in check_catalogue(catalogue)}


def test_a_renaming_that_was_undone_gave_no_name(catalogue: Catalogue, caplog: pytest.LogCaptureFixture) -> None:
    catalogue.rename("Luna", "Stella", "Ada", "")
    catalogue.undo(None, "Ada", "")
    catalogue.merge("Luna", "Tara", "Ada", "")
    catalogue.split(["1/c"], "Tara", "Ada", "a person said so")
    grow(catalogue, 3, [("p", "Stella", "")])
    assert "renamed or merged" not in caplog.text
    assert "two names" not in {one.kind for one in check_catalogue(catalogue)}


@pytest.mark.parametrize(("kept", "brought"), [(False, "auto"), (True, True), (["NewtID"], ["NewtID"])])
def test_viewpoints_that_could_be_chosen_in_version_1_can_be_chosen_still(
    catalogue: Catalogue, kept: object, brought: object
) -> None:
    with catalogue.changing() as connection:
        put_meta(connection, "schema", "1")
        put_meta(connection, "config", json.dumps({"retrieve": {"same_viewpoint": kept, "top_k": 7}}))
    config = json.loads(Catalogue(catalogue.folder).value("config") or "")
    assert config == {"retrieve": {"same_viewpoint": brought, "top_k": 7}}


def test_a_catalogue_of_version_2_gets_the_further_columns(catalogue: Catalogue, tmp_path: Path) -> None:
    with catalogue.changing() as connection:
        put_meta(connection, "schema", "2")
        connection.exec_driver_sql("ALTER TABLE photographs DROP COLUMN extra")
    opened = Catalogue(catalogue.folder)
    assert names_of(opened) == START
    grow(opened, 3, [("f", "Luna", "2025-05-01")])
    with opened.changing() as connection:
        connection.execute(sa.text("update photographs set extra=:e where season=3"), {"e": '{"site": "weir"}'})
    export_catalogue(opened, "table", tmp_path / "table.csv")
    assert [row["site"] for row in read_csv(tmp_path / "table.csv")] == ["", "", "", "", "", "weir"]


def test_a_renamed_photograph_is_known_and_one_that_was_encoded_again_is_not(catalogue: Catalogue) -> None:
    images = image_table([Row("renamed"), Row("a")])
    images = images.with_columns(key=strings("key-1/a", "other bytes"), dataset=strings("NewtID", "NewtID"))
    assert list(catalogue.absent(images)) == [False, True]


def test_names_with_html_come_back_as_they_are(catalogue: Catalogue, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    catalogue.rename("Luna", evil, "<b>Ada</b>", "<script>")
    assert find(catalogue, evil).id == 1
    last = catalogue.history()[-1]
    assert (last.who, last.why, last.told) == ("<b>Ada</b>", "<script>", f"renamed Luna (I1) to {evil}")
    export_catalogue(catalogue, "wildbook", tmp_path / "sheet.csv")
    assert (tmp_path / "sheet.csv").read_text().count(evil) == 3


def test_the_log_of_a_review_bears_the_number_of_the_last_whole_season(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (catalogue.folder / "photographs").mkdir()
    (catalogue.folder / "photographs" / "3").symlink_to(tmp_path)  # of a season that failed
    run = catalogue.folder / "run"
    run.mkdir()
    (run / "order.csv").write_text("image_id\n2/d\n2/e\n")
    (run / "finished.json").write_text("{}")
    logs: list[Path] = []
    monkeypatch.setattr("animalclef.store.finished_run.load_run", lambda *_: SimpleNamespace(name="run", data="d"))
    monkeypatch.setattr("animalclef.review.session.ReviewSession", lambda _, log, *__: logs.append(log.path))
    monkeypatch.setattr("animalclef.review.server.serve", lambda _, bound, __: bound.close())
    done = CliRunner().invoke(app, ["review", str(catalogue.folder)], catch_exceptions=False)
    assert done.exit_code == 0
    assert logs == [catalogue.folder / "season-2.review.jsonl"]
