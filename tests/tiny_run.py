"""A finished tiny run, for what looks at runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tiny import make_tiny_data, read_csv, write_csv
from whole_run import predict

__all__ = ["EVIL", "copy_run", "make_tiny_run"]

EVIL = '<script>document.title = "broken"</script>'


def make_tiny_run(root: Path) -> tuple[Path, Path]:
    """The data and the run of two drawn data sets: ten known queries and four unknown, the last one unreadable.

    One animal of CatID has a name with HTML in it.
    """
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


def copy_run(run: Path, to: Path) -> Path:
    """Copy a run without the digests of its files, as one of an earlier version, so that a test may change them."""
    shutil.copytree(run, to)
    settings = json.loads((to / "finished.json").read_text())
    kept = {key: value for key, value in settings.items() if key not in ("files", "digest")}
    (to / "finished.json").write_text(json.dumps(kept, indent=1) + "\n")
    return to
