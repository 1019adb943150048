"""What was given is never written over, nor is a file of another kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animalclef.errors import OutputError
from animalclef.runtime.atomic_files import csv_text, write_text
from animalclef.runtime.output_guard import (
    REPORT_SIGN,
    RUN_MARKER,
    check_output,
    forget_inputs,
    mark_picture,
    protect_inputs,
    protect_photographs,
    refuse_input,
    refuse_run_file,
)

PLAIN = "image_id,identity,path,date,orientation,species,split,dataset,encounter,bbox,segmentation"


@pytest.fixture(autouse=True)
def _no_inputs() -> Iterator[None]:
    forget_inputs()
    yield
    forget_inputs()


def test_an_input_is_not_written_under_any_name(tmp_path: Path) -> None:
    table = tmp_path / "metadata.csv"
    table.write_text("given")
    (tmp_path / "hard.csv").hardlink_to(table)
    (tmp_path / "soft.csv").symlink_to(table)
    protect_inputs([table])
    for name in ("metadata.csv", "hard.csv", "soft.csv"):
        with pytest.raises(OutputError, match="this command reads this file"):
            write_text(tmp_path / name, "lost")
    assert table.read_text() == "given"
    write_text(tmp_path / "other.csv", "fine")
    forget_inputs()
    write_text(table, "now it may")


def test_an_input_is_recognised_through_another_spelling_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    given = tmp_path / "real" / "metadata.csv"
    given.write_text("given")
    spellings = [tmp_path / "work" / ".." / "real", tmp_path / "linked", tmp_path / "real"]
    for seen_as in spellings:
        forget_inputs()
        protect_inputs([seen_as / "metadata.csv"])
        protect_photographs(seen_as, ["a/1.jpg"])
        for written_as in spellings:
            with pytest.raises(OutputError, match="this command reads this file"):
                refuse_input(written_as / "metadata.csv")
            with pytest.raises(OutputError, match="this command reads this file"):
                refuse_input(written_as / "a" / "1.jpg")
    (tmp_path / "table.csv").symlink_to(given)
    forget_inputs()
    protect_inputs([tmp_path / "table.csv"])
    for path in (given, tmp_path / "table.csv"):
        with pytest.raises(OutputError, match="this command reads this file"):
            write_text(path, "lost")


def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "latest.csv").symlink_to("share/who.csv")
    for text in ("first", "second"):  # the link leads to nothing, then to a file
        write_text(tmp_path / "latest.csv", text)
        assert (tmp_path / "share" / "who.csv").read_text() == text
    assert (tmp_path / "latest.csv").is_symlink()
    (tmp_path / "a.csv").symlink_to("b.csv")
    (tmp_path / "b.csv").symlink_to("a.csv")
    write_text(tmp_path / "a.csv", "of a loop")
    assert (tmp_path / "b.csv").read_text() == "of a loop"
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).unlink()
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["latest.csv", "who.csv"]


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", *map(Path, ("/dev/null", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"))):
        with pytest.raises(OutputError, match="a device or a pipe"):
            refuse_input(path)
    with pytest.raises(OutputError, match="a folder"):
        write_text(tmp_path, "x")


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("submission", "image_id,identity\n1,Ada\n"),
        ("submission", ""),
        ("settings file", "name: x\nseed: 0\nembed: {}\nretrieve: {}\ndecide: {}\n"),
        ("decision", '{"format": 2, "scores": "a", "gallery": "b"}'),
        ("list of differences", "image_id,dataset,a,b,cause\n"),
        ("list of answers", "path,answer,probability,threshold,next_candidate\n"),
        ("plain table", f"{PLAIN}\n"),
        ("plain table", f"{PLAIN},confirmed\n"),
        ("plain table", f'{PLAIN},site,"Time\n(local)",confirmed\n'),
        ("report", f"<!doctype html>\n{REPORT_SIGN}\n"),
        ("bundle's README", "# Weights for animalclef\n"),
        ("list of weights", '{"animalclef": "0.2", "weights": {}}'),
        ("capture history", "/* occasions: 2023 */\n"),
        ("study table", "Which? Rank-1 over the known queries, 1 seed(s).\n\n| | a |\n| --- | --- |\n"),
        ("ledger", '{"kind": "run"}\n'),
    ],
)
def test_a_file_of_the_same_kind_may_be_replaced(tmp_path: Path, kind: str, content: str) -> None:
    (tmp_path / "f").write_text(content)
    check_output(tmp_path / "f", kind)
    check_output(tmp_path / "absent", kind)


KINDS = (
    "submission", "settings file", "decision", "picture", "ledger", "table with boxes", "report", "bundle's README",
    "list of weights", "manifest", "list of answers", "plain table", "Wildbook sheet", "capture history", "study table",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content",
    [
        b"image_id,identity,dataset,known\n1,Ada,x,1\n",
        b"seed: 3\n",
        b"\xff\xd8\xff\xe0 a photograph",
        b"notes",
        b"<html>my page</html>",
        b"# My project\n\n| a | b |\n| --- | --- |\n",
        b'{"weights": 3}',
        b"Encounter.mediaAsset0,Encounter.genus\n",
        b"path,answer\n",
    ],
)
def test_a_file_of_another_kind_may_not(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(OutputError, match="is not overwritten"):
        check_output(tmp_path / "f", kind)


def test_an_exported_table_with_a_column_of_a_person_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(f"{PLAIN},site,confirmed,notes\n")
    with pytest.raises(OutputError, match="no plain table that animalclef wrote"):
        check_output(tmp_path / "f", "plain table")


@pytest.mark.parametrize("name", ["metadata.csv", "Metadata.csv", "truth.csv", "sample_submission.csv", "media.csv"])
def test_a_data_set_s_table_is_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("image_id,identity\n1,Ada\n")
    with pytest.raises(OutputError, match="the name of a table that was given"):
        check_output(tmp_path / name, "submission")


def test_a_run_s_own_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "decision.json").write_text('{"format": 2, "scores": "a", "gallery": "b"}')
    check_output(tmp_path / "decision.json", "decision")
    with pytest.raises(OutputError, match="a file of the run itself"):
        refuse_run_file(tmp_path / "decision.json", tmp_path)  # a run that is going to be made there
    (tmp_path / RUN_MARKER).write_text("{}")
    for name in ("decision.json", "answers.csv", "finished.json"):
        with pytest.raises(OutputError, match="a file of the run itself"):
            check_output(tmp_path / name, "decision")
    check_output(tmp_path / "tuned.json", "decision")


@pytest.mark.parametrize("ending", ["PNG", "JPEG"])
def test_a_picture_says_what_wrote_it_and_shows_the_same(tmp_path: Path, ending: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, ending)
    marked = mark_picture(buffer.getvalue())
    same = np.asarray(Image.open(BytesIO(marked))) == np.asarray(Image.open(BytesIO(buffer.getvalue())))
    assert same.all()
    (tmp_path / "ours").write_bytes(marked)
    (tmp_path / "theirs").write_bytes(buffer.getvalue())
    check_output(tmp_path / "ours", "picture")
    with pytest.raises(OutputError):
        check_output(tmp_path / "theirs", "picture")


def test_a_carriage_return_in_a_cell_comes_back_whole() -> None:
    import csv
    import io

    text = csv_text(["name"], [["a\rb"], ["c"], [1]])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["name"], ["a\rb"], ["c"], ["1"]]


@pytest.mark.parametrize("name", ["who.xlsx", "who.XLS", "who.ods", "who.pdf", "who.docx", "who.json", "who.parquet"])
def test_a_table_is_not_written_under_the_ending_of_another_format(tmp_path: Path, name: str) -> None:
    ending = Path(name).suffix
    with pytest.raises(
        OutputError, match=rf"{name}: a submission is written as CSV, not as \{ending}\. Give a name th"
    ):
        check_output(tmp_path / name, "submission")
    check_output(tmp_path / "decision.json", "decision")


@pytest.mark.parametrize("name", ["who.csv", "who.txt", "who.tsv", "who", "who.v2"])
def test_other_endings_are_free(tmp_path: Path, name: str) -> None:
    check_output(tmp_path / name, "submission")
