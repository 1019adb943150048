"""Every bad input, through the command line: it stops with one sentence, or warns and answers every query."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import TINY_SETTINGS, make_masks, make_tiny_data, photograph, read_csv, write_csv

import animalclef
from animalclef import cli
from animalclef.config import Config, DataConfig
from animalclef.data.hashing import hash_images
from animalclef.data.sources import find_source
from animalclef.data.submission import check_submission
from animalclef.data.table import load_table
from animalclef.data.table_file import read_table
from animalclef.errors import DataError
from animalclef.runtime.progress import Silent

Row = dict[str, str]
COLUMNS = ["image_id", "identity", "path", "date", "orientation", "species", "split", "dataset"]


@dataclass(frozen=True)
class Said:
    """What a command came to; line breaks that the terminal's width made are undone."""

    status: int
    stdout: str
    stderr: str

    @property
    def words(self) -> str:
        return " ".join(self.stderr.split())


Command = Callable[..., Said]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`animalclef ...` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["animalclef", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        told = capsys.readouterr()
        return Said(int(stopped.value.code or 0), told.out, told.err)

    return call


@pytest.fixture
def predict(command: Command) -> Command:
    """`animalclef predict --data DATA --out out/submission.csv` with settings that make it fast."""
    settings = [part for setting in TINY_SETTINGS for part in ("--set", setting)]

    def call(data: Path, *more: object) -> Said:
        arguments = ["--out", "out/submission.csv", "--run", "run", "--workers", 2, *settings, *more]
        return command("predict", "--data", data, *arguments)

    return call


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Ten photographs: NewtID_0 to NewtID_2 with two in the gallery and one query each, and an unknown animal."""
    return draw(tmp_path / "small")


def draw(folder: Path, **options: object) -> Path:
    few: dict[str, object] = {"datasets": ("NewtID",), "individuals": 3, "gallery_images": 2, "unknown": 1}
    return make_tiny_data(folder, **(few | options))  # type: ignore[arg-type]


def edit(data: Path, change: Callable[[Row], Row | None]) -> None:
    """Change the rows of metadata.csv; `None` drops one. The sample submission keeps the queries that are left."""
    changed = [change(row) for row in read_csv(data / "metadata.csv")]
    rows = [row for row in changed if row is not None]
    write_csv(data / "metadata.csv", COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
    queries = [(row["image_id"], "new_individual") for row in rows if row["split"] == "query"]
    write_csv(data / "sample_submission.csv", ["image_id", "identity"], queries)


def rewrite(data: Path, change: Callable[[str], str | bytes]) -> None:
    """Change the text of metadata.csv."""
    path = data / "metadata.csv"
    content = change(path.read_text(encoding="utf-8"))
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def is_query(row: Row) -> bool:
    return row["split"] == "query"


def stops_with(said: Said, *sentences: str) -> None:
    """Status 2, nothing on standard output, and one line on standard error that holds the sentences."""
    assert said.status == 2
    assert said.stdout == ""
    assert "Traceback" not in said.stderr
    for sentence in sentences:
        assert sentence in said.stderr
    lines = said.stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert lines[-1] == errors[0]
    assert not Path("out/submission.csv").exists()


def answers_all(said: Said, data: Path) -> dict[str, str]:
    """Status 0 and a valid submission; the answers."""
    assert said.status == 0, said.stderr
    assert "Traceback" not in said.stderr
    path = Path("out/submission.csv")
    assert check_submission(read_table(path), load_table(find_source(data))) == []
    return {row["image_id"]: row["identity"] for row in read_csv(path)}


# What stops.


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "metadata.csv: the file is empty; expected a header line and rows."),
        (",".join(COLUMNS) + "\n", "metadata.csv: the table has a header but no rows."),
        (b"\x89PNG\r\n\x1a\n\x00\xff" * 20, "metadata.csv: not a text file in UTF-8. Save the table as CSV (UTF-8)."),
        (b"PK\x03\x04" + bytes(50), "metadata.csv: not a text file. Save the table as CSV (UTF-8)."),
    ],
    ids=["empty", "header alone", "an image", "a zip file"],
)
def test_a_file_that_is_no_table(small: Path, predict: Command, text: str | bytes, sentence: str) -> None:
    rewrite(small, lambda _: text)
    stops_with(predict(small), sentence)


def test_a_missing_table(tmp_path: Path, predict: Command) -> None:
    stops_with(predict(tmp_path / "absent.csv"), "absent.csv: no such file. Give a folder of photographs")
    (tmp_path / "empty").mkdir()
    stops_with(predict(tmp_path / "empty"), "neither a table (metadata.csv) nor a folder of photographs per individual")


@pytest.mark.parametrize("given", [("--data", ""), ("--data=",), ("--data", ".", "--weights", "")])
def test_an_empty_path_is_not_the_current_folder(command: Command, given: tuple[str, ...]) -> None:
    option = given[-2] if given[-1] == "" else "--data"
    stops_with(command("predict", *given), f"error: {option}: the text given is empty. If a script gives a variable")


def test_an_empty_argument_is_told_and_an_empty_note_is_none(command: Command) -> None:
    stops_with(command("show", "", "--run", "run"), "error: an argument: the text given is empty.")
    assert "the text given" not in command("ledger", "add", "--public", "0.5", "--note", "").stderr


@pytest.mark.parametrize("name", ["predict", "cluster", "report", "evaluate", "doctor", "weights list"])
def test_a_folder_of_weights_that_is_not_there(small: Path, command: Command, name: str) -> None:
    more = {"predict": ["--data", small], "cluster": ["--data", small], "report": ["run"]}.get(name, [])
    stops_with(command(*name.split(), *more, "--weights", "absent"), "weights absent: no such folder.")
    table = small / "metadata.csv"
    stops_with(command(*name.split(), *more, "--weights", table), "metadata.csv: this is a file; give the folder")


def test_no_database_rows(small: Path, predict: Command) -> None:
    edit(small, lambda row: row if is_query(row) else None)
    stops_with(predict(small), "metadata.csv: no database rows with an identity, so nobody can be recognised.")


def test_no_database_photograph_that_can_be_read(small: Path, predict: Command) -> None:
    for row in read_csv(small / "metadata.csv"):
        if not is_query(row):
            (small / row["path"]).write_text("gone")
    stops_with(predict(small), "no database photograph can be read, so nobody can be recognised.")


def test_a_missing_column(small: Path, predict: Command) -> None:
    rewrite(small, lambda text: text.replace("path", "where", 1))
    stops_with(predict(small), "metadata.csv, line 1: the column path is missing; there are image_id, identity, where")


def test_a_duplicate_id(small: Path, predict: Command) -> None:
    edit(small, lambda row: row | {"image_id": "0"} if row["image_id"] == "4" else row)
    stops_with(predict(small), "metadata.csv, line 6: image_id 0 stands already on line 2; ids must be unique.")


def test_a_path_outside_the_folder(small: Path, predict: Command) -> None:
    edit(small, lambda row: row | {"path": "../secret.jpg"} if row["image_id"] == "4" else row)
    stops_with(predict(small), "metadata.csv, line 6: path: leaves the data folder; expected a path relative to")


def test_missing_photographs(small: Path, predict: Command) -> None:
    (small / "images/NewtID/0_2.jpg").unlink()
    said = predict(small)
    stops_with(said, "missing: 1 of 10 photographs (first: images/NewtID/0_2.jpg). Is this the right folder?")
    assert "Continue without them with --max-missing 0.1 (the setting data.max_missing)." in said.stderr
    said = predict(small, "--max-missing", "0.1")
    assert answers_all(said, small)["2"] == "new_individual"  # the missing one is a query: it is answered all the same
    assert "1 photograph was skipped (first: images/NewtID/0_2.jpg: no such file)" in said.stderr
    assert read_csv(Path("run/set_aside.csv")) == [
        {"image_id": "2", "path": "images/NewtID/0_2.jpg", "split": "query", "reason": "no such file"}
    ]


@pytest.mark.parametrize(
    ("written", "there", "how"),
    [
        ("images/NewtID/0_2.JPG", "images/NewtID/0_2.jpg", "which differs in upper and lower case"),
        ("Images/newtid/0_2.jpg", "images/NewtID/0_2.jpg", "which differs in upper and lower case"),
        ("images/é.jpg", "images/e\u0301.jpg", "whose accents are encoded in another form of Unicode"),
    ],
)
def test_a_photograph_that_is_spelled_otherwise_is_named(
    small: Path, predict: Command, written: str, there: str, how: str
) -> None:
    (small / "images/NewtID/0_2.jpg").rename(small / there)
    if (small / written).exists():
        pytest.skip("these names are one on this file system")
    edit(small, lambda row: row | {"path": written} if row["image_id"] == "2" else row)
    reason = f"no such file; {there} is there, {how}"
    advice = "Rename the files or change the table (1 such name). Continue without them"
    stops_with(predict(small), f"missing: 1 of 10 photographs (first: {written}: {reason}). {advice}")
    assert f"(first: {written}: {reason}); see " in predict(small, "--max-missing", "0.1").stderr
    assert read_csv(Path("run/set_aside.csv"))[0]["reason"] == reason


@pytest.mark.parametrize(("present", "absent", "named"), [(2, 1, "0.334"), (71, 29, "0.29"), (9, 1, "0.1")])
def test_the_share_that_is_named_goes_on(tmp_path: Path, present: int, absent: int, named: str) -> None:
    total = present + absent
    write_csv(
        tmp_path / "metadata.csv", ["image_id", "path", "identity"], [(n, f"{n}.jpg", "Ada") for n in range(total)]
    )
    for number in range(present):
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
    images = load_table(find_source(tmp_path)).images
    with pytest.raises(DataError, match=rf"Continue without them with --max-missing {named} "):
        hash_images(images, DataConfig(), 2, Silent())
    usable, set_aside = hash_images(images, DataConfig(max_missing=float(named)), 2, Silent())
    assert (len(usable), len(set_aside)) == (present, absent)


def test_all_photographs_missing(small: Path, predict: Command) -> None:
    (small / "images").rename(small / "pictures")
    said = predict(small)
    stops_with(said, "missing: 10 of 10 photographs")
    assert "--max-missing" not in said.stderr


def test_an_output_folder_that_cannot_be_written(small: Path, predict: Command) -> None:
    Path("file").write_text("")
    stops_with(predict(small, "--out", "file/below/submission.csv"), "file/below: cannot create this folder")
    stops_with(predict(small, "--run", "file/run"), "file/run: cannot create this folder")


def test_an_output_that_is_a_folder(small: Path, predict: Command) -> None:
    said = predict(small, "--out", small)
    stops_with(said, f"{small}: this is a folder; give a file")
    assert "describing" not in said.stderr


def test_the_2026_task(small: Path, predict: Command) -> None:
    write_csv(small / "sample_submission.csv", ["image_id", "cluster"], [(one, "") for one in ("9", "2", "5", "8")])
    said = predict(small)
    assert said.status == 0, said.stderr
    rows = read_csv(Path("out/submission.csv"))
    assert [row["image_id"] for row in rows] == ["9", "2", "5", "8"]
    assert all(row["cluster"].startswith("cluster_NewtID_") for row in rows)


def test_unknown_settings(small: Path, predict: Command) -> None:
    stops_with(
        predict(small, "--config", "ofline"),
        "ofline: no such configuration file. Did you mean offline? Shipped ones:",
        "offline",
    )
    said = predict(small, "--set", "retrieve.topk=3")
    stops_with(said, "retrieve.topk: no such setting; did you mean retrieve.top_k?")
    assert said.stderr.endswith("top_k?\n")
    stops_with(predict(small, "--set", "retrieve.top_k=abc"), "retrieve.top_k: input should be a valid integer")
    stops_with(predict(small, "--set", "retrieve.top_k"), "expected KEY=VALUE, for example retrieve.top_k=50.")
    said = predict(small, "--set", "seed=1", "--set", "seed.of=3")
    stops_with(said, "seed.of=3: seed is a value, not a group of settings.")


def test_a_yaml_file_that_is_none(small: Path, predict: Command) -> None:
    Path("list.yaml").write_text("- a\n- b\n")
    stops_with(predict(small, "--config", "list.yaml"), "expected `key: value` lines, got list")
    Path("broken.yaml").write_text("a: [1,\n")
    stops_with(predict(small, "--config", "broken.yaml"), "broken.yaml: not a readable YAML file")
    Path("typo.yaml").write_text("retreive:\n  top_k: 3\n")
    stops_with(predict(small, "--config", "typo.yaml"), "did you mean retrieve?")


def test_a_run_folder_that_holds_other_things(small: Path, predict: Command) -> None:
    stops_with(predict(small, "--run", small), "not a run folder (it holds ")


# What warns, and still answers.


def test_the_plain_case_names_the_three_and_no_other(small: Path, predict: Command) -> None:
    said = predict(small)
    assert answers_all(said, small) == {"2": "NewtID_0", "5": "NewtID_1", "8": "NewtID_2", "9": "new_individual"}
    assert said.stderr.lower().count("warning") == 1
    assert "validated on only 6 photographs of 3 individuals" in " ".join(said.stderr.split())


def test_no_query_at_all(small: Path, predict: Command) -> None:
    edit(small, lambda row: None if is_query(row) else row)
    said = predict(small)
    assert answers_all(said, small) == {}
    assert Path("out/submission.csv").read_text() == "image_id,identity\n"
    assert "There are no queries" in said.words


def test_a_data_set_that_stands_only_in_the_query(tmp_path: Path, predict: Command) -> None:
    data = draw(tmp_path / "two", datasets=("NewtID", "CatID"))
    edit(data, lambda row: row if is_query(row) or row["dataset"] == "NewtID" else None)
    said = predict(data)
    answers = answers_all(said, data)
    assert list(answers.values())[4:] == ["new_individual"] * 4
    assert list(answers.values())[:3] == ["NewtID_0", "NewtID_1", "NewtID_2"]
    assert (
        "CatID: no usable database photograph with an identity; its queries (4) are all answered as new." in said.words
    )


def test_a_data_set_without_queries(tmp_path: Path, predict: Command) -> None:
    data = draw(tmp_path / "two", datasets=("NewtID", "CatID"))
    edit(data, lambda row: None if is_query(row) and row["dataset"] == "CatID" else row)
    assert list(answers_all(predict(data), data)) == ["2", "5", "8", "9"]


def test_one_query(small: Path, predict: Command) -> None:
    edit(small, lambda row: row if not is_query(row) or row["image_id"] == "5" else None)
    assert answers_all(predict(small), small) == {"5": "NewtID_1"}


def test_more_candidates_than_photographs(small: Path, predict: Command) -> None:
    answers = answers_all(predict(small, "--set", "retrieve.top_k=1000"), small)
    assert answers == {"2": "NewtID_0", "5": "NewtID_1", "8": "NewtID_2", "9": "new_individual"}


def test_a_gallery_of_one(small: Path, predict: Command) -> None:
    edit(small, lambda row: row if is_query(row) or row["image_id"] == "0" else None)
    assert set(answers_all(predict(small), small).values()) <= {"NewtID_0", "new_individual"}


def test_all_singletons(tmp_path: Path, predict: Command) -> None:
    data = draw(tmp_path / "single", individuals=6, gallery_images=1)
    assert len(answers_all(predict(data), data)) == 7


def test_one_identity_only(tmp_path: Path, predict: Command) -> None:
    data = draw(tmp_path / "one", individuals=1, gallery_images=4)
    assert set(answers_all(predict(data), data).values()) <= {"NewtID_0", "new_individual"}


def test_identities_that_look_like_numbers(small: Path, predict: Command) -> None:
    edit(small, lambda row: row | {"identity": row["identity"].replace("NewtID_", "00")})
    assert answers_all(predict(small), small) == {"2": "000", "5": "001", "8": "002", "9": "new_individual"}


def test_an_identity_called_new_individual(small: Path, predict: Command) -> None:
    edit(small, lambda row: row | {"identity": row["identity"].replace("NewtID_1", "new_individual")})
    said = predict(small)
    answers = answers_all(said, small)
    assert set(answers.values()) <= {"NewtID_0", "NewtID_2", "new_individual"}
    assert "line 5: new_individual is a reserved name; it cannot be an answer (also line 6)" in said.words


def test_the_identity_of_a_query_changes_nothing(small: Path, predict: Command) -> None:
    edit(small, lambda row: row | {"identity": "NewtID_2"} if is_query(row) else row)
    said = predict(small)
    assert answers_all(said, small) == {"2": "NewtID_0", "5": "NewtID_1", "8": "NewtID_2", "9": "new_individual"}
    assert "a query has an identity; it is ignored and never read" in said.words


def test_unicode_and_spaces_everywhere(tmp_path: Path, predict: Command) -> None:
    data = draw(tmp_path / "Ein Ordner – 写真 [1]")
    (data / "images" / "NewtID").rename(data / "images" / "Ñewt Größe 蠑螈")

    def rename(row: Row) -> Row:
        path = row["path"].replace("NewtID", "Ñewt Größe 蠑螈")
        return row | {"path": path, "identity": row["identity"] and f"Zoë, the [bold]{row['identity'][-1]}[/] 🦎",
                      "dataset": "Ñewts / pampas: *?"}  # fmt: skip

    edit(data, rename)
    names = [f"Zoë, the [bold]{number}[/] 🦎" for number in range(3)]
    assert list(answers_all(predict(data), data).values()) == [*names, "new_individual"]


def test_odd_photographs(tmp_path: Path, predict: Command) -> None:
    """Queries: 1x1, text, CMYK, 16 bits, transparent, animated; in the gallery a 1x1, an empty file and a text."""
    data = draw(tmp_path / "odd", individuals=6)
    picture = Image.fromarray(np.ascontiguousarray(photograph([0, 0, 2], 2)[:, :, ::-1]))
    where = {row["image_id"]: data / row["path"] for row in read_csv(data / "metadata.csv")}
    Image.new("RGB", (1, 1), "red").save(where["2"])
    where["5"].write_text("404: not found")
    picture.convert("CMYK").save(where["8"])
    deep = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(where["11"], "PNG")
    picture.convert("RGBA").save(where["14"], "PNG")
    picture.save(where["17"], "GIF", save_all=True, append_images=[Image.new("RGB", picture.size, "red")])
    Image.new("RGB", (1, 1), "red").save(where["0"])
    where["3"].write_bytes(b"")
    where["10"].write_text("404: not found either")
    said = predict(data)
    answers = answers_all(said, data)
    # the last four show animal 2 in other clothes; one pixel and a text show nobody
    assert [answers[image_id] for image_id in ("8", "14", "17")] == ["NewtID_2"] * 3
    assert answers["5"] == "new_individual"
    assert "3 photographs were skipped" in said.stderr
    reasons = {row["image_id"]: row["reason"] for row in read_csv(Path("run/set_aside.csv"))}
    unreadable = "not a readable image (cannot identify image file)"
    assert reasons == {"3": "the file is empty", "5": unreadable, "10": unreadable}
    for_people = {row["image_id"]: row for row in read_csv(next(Path().rglob("*answers.csv")))}
    assert (for_people["5"]["skipped"], for_people["5"]["individual"]) == (unreadable, "")
    run = animalclef.load_run("run")
    assert dict(zip(run.skipped.image_id, run.skipped.reason, strict=True)) == reasons
    assert run.predictions.set_index("image_id").identity["5"] is None


@pytest.mark.parametrize("kind", ["flat", "one photograph"])
def test_photographs_that_tell_nothing_apart(small: Path, predict: Command, kind: str) -> None:
    one = (small / "images/NewtID/0_0.jpg").read_bytes()
    for number, row in enumerate(read_csv(small / "metadata.csv")):
        if kind == "flat":
            Image.new("RGB", (160, 120), (number, 0, 0)).save(small / row["path"])
        else:
            (small / row["path"]).write_bytes(one)
    assert len(answers_all(predict(small), small)) == 4


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda text: b"\xef\xbb\xbf" + text.encode(), None),
        (lambda text: text.encode("utf-16"), None),
        (lambda text: text.replace(",", ";"), None),
        (lambda text: text.replace("\n", "\n" + text.partition("\n")[0] + "\n", 1), "line 2: the header is repeated"),
        (lambda text: text.replace("database", "train").replace("query", "test"), None),
    ],
    ids=["bom", "utf-16", "semicolons", "repeated header", "train and test"],
)
def test_the_same_table_in_other_clothes(
    small: Path, command: Command, change: Callable[[str], str | bytes], warning: str | None
) -> None:
    """`inspect` reads the table that `predict` reads."""
    plain = command("inspect", "--data", small, "--json")
    rewrite(small, change)
    said = command("inspect", "--data", small, "--json")
    assert said.status == 0
    if warning is None:
        assert (said.stdout, "warning" in said.stderr) == (plain.stdout, False)
    else:
        assert warning in said.words


def test_inspect_lists_photographs_that_are_missing_or_no_images(small: Path, command: Command) -> None:
    assert json.loads(command("inspect", "--data", small, "--json").stdout)["unusable"] == []
    first, second, third = (small / row["path"] for row in read_csv(small / "metadata.csv")[:3])
    first.unlink()
    second.write_text("no image")
    third.write_bytes(b"")
    said = command("inspect", "--data", small)
    assert said.status == 0
    assert f"1 photograph is missing: {first.relative_to(small)}. `predict` stops where more than 1%" in said.words
    assert f"2 photographs are unreadable: {second.relative_to(small)}: not a readable image (" in said.words
    said = command("inspect", "--data", small, "--set", "data.max_missing=0.5", "--json")
    assert "missing: " in said.words
    assert "`predict` skips them." in said.words
    assert [one["path"] for one in json.loads(said.stdout)["unusable"]] == [
        path.relative_to(small).as_posix() for path in (first, second, third)
    ]


def test_inspect_refuses_what_predict_refuses(small: Path, command: Command) -> None:
    stops_with(command("inspect", "--data", small, "--set", "prepare.mode={CatID: masked}"), "CatID")
    stops_with(command("inspect", "--data", small, "--set", "data.colums=1"), "did you mean data.columns?")


def test_a_table_with_everything_odd_is_answered(small: Path, predict: Command) -> None:
    header = ",".join(COLUMNS)
    rewrite(small, lambda text: b"\xef\xbb\xbf" + f"{text}{header}\n".replace(",", ";").replace("\n", "\r\n").encode())
    said = predict(small)
    assert answers_all(said, small) == {"2": "NewtID_0", "5": "NewtID_1", "8": "NewtID_2", "9": "new_individual"}
    assert "metadata.csv, line 12: the header is repeated here; this line is skipped." in said.words


# The other commands.


def test_validate_names_the_rows_and_exits_with_2(small: Path, command: Command) -> None:
    write_csv(Path("s.csv"), ["image_id", "identity"], [(2, "NewtID_0"), (5, ""), (8, "7"), (9, "new_individual")])
    said = command("validate", "s.csv", "--data", small)
    assert said.status == 2
    assert said.stdout.splitlines() == [
        "s.csv, line 3: identity is empty; write new_individual for an unknown animal.",
        "s.csv, line 4: identity 7 is a number, no individual of the database; write names, not integer labels.",
        "s.csv: 2 problems.",
    ]
    assert command("validate", small / "sample_submission.csv", "--data", small).status == 0
    sample = small / "sample_submission.csv"
    whole = sample.read_text(encoding="utf-8")
    Path("right.csv").write_text(whole, encoding="utf-8")
    last = whole.splitlines()[-1]
    for text in (whole + last + "\n", whole + "999,new_individual\n", whole.replace(last + "\n", "")):
        sample.write_text(text, encoding="utf-8")
        said = command("validate", "right.csv", "--data", small)
        assert said.status == 2
        assert "right by the table, but sample_submission.csv asks for other rows." in said.stdout.replace("\n", " ")
    sample.write_text(whole, encoding="utf-8")
    stops_with(command("validate", "absent.csv", "--data", small), "absent.csv: no such file.")


def test_score_refuses_half_a_submission(small: Path, command: Command) -> None:
    write_csv(Path("s.csv"), ["image_id", "identity"], [(2, "NewtID_0")])
    stops_with(command("score", "--truth", small / "truth.csv", "--submission", "s.csv"), "s.csv")


def test_the_fast_settings_are_settings() -> None:
    assert {setting.partition(".")[0] for setting in TINY_SETTINGS} <= set(Config.model_fields)


@pytest.mark.parametrize("name", ["metadata.csv", "truth.csv", "sample_submission.csv", "images/NewtID/0_0.jpg"])
def test_what_was_given_is_never_overwritten(small: Path, predict: Command, name: str) -> None:
    before = (small / name).read_bytes()
    said = predict(small, "--out", small / name)
    stops_with(said, "Choose another name" if name.endswith("jpg") else name)
    assert (small / name).read_bytes() == before


def test_a_mask_is_never_written_over_a_photograph(small: Path, command: Command) -> None:
    for row in read_csv(small / "metadata.csv"):
        Image.open(small / row["path"]).save((small / row["path"]).with_suffix(".png"))
    rewrite(small, lambda text: text.replace(".jpg", ".png"))
    photographs = {path: path.read_bytes() for path in small.rglob("*.png")}
    stops_with(command("mask", "--data", small, "--to", small, "--overwrite"), "this command reads this file")
    assert {path: path.read_bytes() for path in small.rglob("*.png")} == photographs


def test_markup_and_escape_sequences_in_a_name_are_text(small: Path, command: Command) -> None:
    rewrite(small, lambda text: text.replace(",NewtID\n", ",[/red]\n"))
    said = command("inspect", "--data", small)
    assert said.status == 0
    assert "[/red]" in said.stdout
    rewrite(small, lambda text: text.replace(",[/red]\n", ",\x1b[31m\n"))
    stops_with(command("inspect", "--data", small), "dataset: holds the control character U+001B")


def test_columns_are_named_by_the_user_and_kept(small: Path, predict: Command) -> None:
    rewrite(small, lambda text: text.replace("path", "where", 1).replace("identity", "who", 1))
    said = predict(small, "--columns", "path=where,identity=who")
    assert said.status == 0
    assert "where" in next(Path().rglob("*.config.yaml")).read_text()
    answers = next(Path().rglob("*answers.csv")).read_text().splitlines()
    assert answers[0].startswith("path,answer,probability,threshold,next_candidate,")


def test_masks_that_cover_nothing_are_reported(small: Path, predict: Command, tmp_path: Path) -> None:
    masks = make_masks(small, tmp_path / "masks", share=0.0)
    said = predict(small, "--set", f"keypoints.masks={masks}")
    answers_all(said, small)
    assert "10 of 10 masks keep no keypoint of their photograph" in said.words
    whole = predict(small, "--set", f"keypoints.masks={make_masks(small, masks, share=1.0)}")
    assert "keep no keypoint" not in whole.words


def test_photographs_alike_show_nobody(small: Path, predict: Command) -> None:
    for row in read_csv(small / "metadata.csv"):
        Image.new("RGB", (160, 120), (90, 90, 90)).save(small / row["path"])
    assert set(answers_all(predict(small), small).values()) == {"new_individual"}


def test_a_folder_of_photographs_is_no_run_to_group(small: Path, command: Command) -> None:
    said = command("cluster", "--run", small, "--out", "clusters.csv")
    stops_with(said, f"{small}: no finished run (finished.json is not there).")
    assert not Path("runs").exists()


def test_answers_that_were_changed_are_not_converted(small: Path, predict: Command, command: Command) -> None:
    assert predict(small).status == 0
    answers = Path("out", "answers.csv")
    arguments = ("--data", small, "--to", "capture-history", "--answers", answers)
    assert command("convert", *arguments, "--out", "h.inp").status == 0
    answers.write_text(answers.read_text().replace(",0.", ",0.1", 1))
    Path("out", "submission.csv").unlink()
    said = command("convert", *arguments, "--out", "i.inp")
    stops_with(said, "answers.csv: not what was written with its submission")
    said = command("convert", "--data", small, "--answers", answers, "--out", "plain.csv")
    stops_with(said, "--answers: a plain table holds the names of --data alone. Give --to camtrap-dp or another.")
    assert not Path("plain.csv").exists()
