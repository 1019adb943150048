"""An address of a bucket is told from a path, and refused where only a disk will do."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import make_tiny_data
from typer.testing import CliRunner

import animalclef as ac
from animalclef.cli.app import app
from animalclef.errors import ConfigError, OutputError
from animalclef.runtime.atomic_files import check_writable, write_text
from animalclef.runtime.bucket_address import remote_url
from animalclef.runtime.output_guard import check_output


@pytest.mark.parametrize("written", ["s3://wild/lynx", "S3://wild/lynx", "s3:/wild/lynx", "s3:///wild/lynx"])
def test_an_address_may_lose_a_slash_and_have_capitals(written: str) -> None:
    assert remote_url(written) == remote_url(Path(written)) == "s3://wild/lynx"
    assert remote_url("C:/photos") is remote_url("Camera:/photos") is remote_url("photos/s3:/x") is None


def test_an_address_without_a_bucket_is_told() -> None:
    for written in ("s3://", "s3:", "S3:///"):
        with pytest.raises(ConfigError, match=r"^s3://: no bucket is named. Give s3://BUCKET/FOLDER or gs://"):
            remote_url(Path(written))


def test_results_are_written_to_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_tiny_data(tmp_path / "data", datasets=("NewtID",), individuals=2)
    monkeypatch.chdir(tmp_path)
    given = ["--data", str(data)]
    cases = [
        ["predict", *given, "--out", "s3://wild/x.csv"],
        ["convert", *given, "--out", "s3://wild/x.csv"],
        ["boxes", *given, "--out", "S3://wild/x.csv"],
        ["mask", *given, "--to", "gs://wild/masks", "--model", "grabcut"],
        ["demo", "s3://wild/demo"],
        ["catalogue", "create", "s3://wild/cat", *given],
        ["catalogue", "list", "s3://wild/cat"],
        ["weights", "bundle", "lightglue-sift", "--to", "s3://wild/bundle"],
    ]
    for arguments in cases:
        result = CliRunner().invoke(app, arguments)
        assert isinstance(result.exception, (OutputError, SystemExit)), (arguments, result.exception)
        said = f"{result.exception} {result.output}"
        assert "to a disk. Give a path here" in said or "kept on a disk. Give a path here" in said, (arguments, said)
    for call in (
        lambda: ac.create_catalogue("s3://wild/cat", data),
        lambda: ac.load_catalogue("s3://wild/cat"),
        lambda: write_text(Path("s3://wild/x"), "lost"),
        lambda: check_output(Path("s3://wild/x.csv"), "submission"),
        lambda: check_writable(Path("s3://wild")),
    ):
        with pytest.raises(OutputError, match=r"^s3://wild.*on? a disk. Give a path here, and copy the file aft"):
            call()
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
