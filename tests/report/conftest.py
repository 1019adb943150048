"""A finished tiny run, shared by the tests of what looks at it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import make_tiny_data, read_csv, write_csv
from whole_run import predict

EVIL = '<script>document.title = "broken"</script>'


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The data and the run of two drawn data sets: ten known queries and four unknown, one query unreadable.

    One animal of CatID has a name with HTML in it.
    """
    root = tmp_path_factory.mktemp("tiny-run")
    data = make_tiny_data(root / "data", gallery_images=4)
    for name in ("metadata.csv", "truth.csv"):
        rows = read_csv(data / name)
        for row in rows:
            row["identity"] = EVIL if row["identity"] == "CatID_1" else row["identity"]
        write_csv(data / name, list(rows[0]), [list(row.values()) for row in rows])
    last = read_csv(data / "truth.csv")[-1]["image_id"]
    path = next(row["path"] for row in read_csv(data / "metadata.csv") if row["image_id"] == last)
    (data / path).write_bytes(b"no photograph")
    predict(data, root / "run")
    return data, root / "run"


@pytest.fixture
def unknown_image(tiny_run: tuple[Path, Path]) -> str:
    """The query that could not be read: it has no candidates."""
    return read_csv(tiny_run[0] / "truth.csv")[-1]["image_id"]
