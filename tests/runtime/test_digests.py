"""A result that was changed after it was written is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

import animalclef
from animalclef.errors import StaleArtefactError
from animalclef.runtime.digests import check_answers, check_digests, check_result, content_digest, with_digests


def finished(folder: Path) -> dict[str, object]:
    (folder / "answers.csv").write_text("image_id,identity,probability\n1,Ada,0.91\n")
    (folder / "order.csv").write_text("image_id\n1\n")
    content = with_digests({"scores": "a", "data": "b", "config": {"seed": 1, "x": 0.1}}, folder)
    return json.loads(json.dumps(content))  # as it comes back from the file


def test_a_finished_run_says_which_version_made_it(tmp_path: Path) -> None:
    assert finished(tmp_path)["animalclef"] == animalclef.__version__


def test_a_flipped_digit_is_refused(tmp_path: Path) -> None:
    settings = finished(tmp_path)
    check_digests(tmp_path, settings)
    (tmp_path / "answers.csv").write_text("image_id,identity,probability\n1,Ada,0.81\n")
    with pytest.raises(StaleArtefactError, match=r"answers.csv: this file is not what the run wrote"):
        check_digests(tmp_path, settings)


def test_one_result_is_checked_where_it_lies_in_a_run(tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    check_result(file)
    (tmp_path / "finished.json").write_text(json.dumps(finished(tmp_path)))
    check_result(file)
    file.write_text("image_id,identity,probability\n1,Ada,0.81\n")
    with pytest.raises(StaleArtefactError, match=r"answers.csv: this file is not what the run wrote"):
        check_result(file)
    check_result(file.rename(tmp_path / "mine.csv"))
    (tmp_path / "order.csv").write_text("image_id\n2\n")
    file.write_text("image_id,identity,probability\n1,Ada,0.91\n")
    check_result(file)  # another result that was changed is no matter of this one


@pytest.mark.parametrize(("name", "manifest"), [("answers.csv", "submission"), ("who.answers.csv", "who")])
def test_answers_beside_a_submission_are_checked_under_their_own_name(name: str, manifest: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text("1,Ada,0.91\n")
    check_answers(file)
    said = {"answers": name, "answers_sha256": hashlib.sha256(b"1,Ada,0.91\n").hexdigest()}
    (tmp_path / f"{manifest}.manifest.json").write_text(json.dumps(said))
    check_answers(file)
    file.write_text("1,Ada,0.81\n")
    with pytest.raises(StaleArtefactError, match=rf"{name}: not what was written with its submission \({manifest}.man"):
        check_answers(file)
    check_answers(file.rename(tmp_path / "corrected.csv"))


def test_a_lost_file_and_changed_settings_are_refused(tmp_path: Path) -> None:
    settings = finished(tmp_path)
    with pytest.raises(StaleArtefactError, match=r"finished.json"):
        check_digests(tmp_path, {**settings, "data": "c"})
    (tmp_path / "order.csv").unlink()
    with pytest.raises(StaleArtefactError, match=r"order.csv: this file is gone"):
        check_digests(tmp_path, settings)


def test_a_run_of_an_earlier_version_has_no_digests(tmp_path: Path) -> None:
    check_digests(tmp_path, {"scores": "a"})


def test_a_digest_does_not_depend_on_order() -> None:
    assert content_digest({"a": 1, "b": [0.1]}) == content_digest({"b": [0.1], "a": 1})
    assert content_digest({"a": 1}) != content_digest({"a": 2})
