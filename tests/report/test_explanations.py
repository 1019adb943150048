"""What the embedding agreed on, in `show --explain` and in the report."""

from __future__ import annotations

import base64
import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny import make_tiny_data, read_csv, write_csv
from tiny_run import copy_run
from typer.testing import CliRunner
from whole_run import predict

from animalclef.cli import app
from animalclef.errors import ConfigError
from animalclef.explain.pairx import Agreement
from animalclef.report import Explanations, FinishedRun, draw_query, load_run
from animalclef.report.explanations import draw_agreement, overlay_of, packed_agreement
from animalclef.report.write_report import write_report
from animalclef.runtime.progress import Silent
from animalclef.store.shard_store import ShardStore


def one_pair(run: FinishedRun) -> tuple[str, str]:
    query = run.images.queries.image_id[0]
    return query, run.ranked.gallery_id[run.rows_of[query].start]


def agreement() -> Agreement:
    """A wide photograph that is warm at its right end, and a tall one that is warm at its foot."""
    wide, tall = np.zeros((2, 4), np.float32), np.zeros((4, 2), np.float32)
    wide[0, 3] = tall[3, 0] = 1
    ends = np.array([[0.875, 0.25]], np.float32), np.array([[0.25, 0.875]], np.float32)
    return Agreement(0.5, wide, tall, *ends, np.ones(1, np.float32))


def test_the_command_draws_a_row_more(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    query = read_csv(tiny_run[0] / "truth.csv")[0]["image_id"]
    pictures = []
    for options in ([], ["--explain"]):
        place = tmp_path / f"{len(options)}.png"
        command = ["show", query, "--run", str(tiny_run[1]), "--candidates", "1", "--out", str(place), *options]
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        assert result.exit_code == 0
        pictures.append(cv2.imread(str(place)))
    plain, explained = pictures
    assert explained.shape[0] > 1.9 * plain.shape[0] - 60
    assert explained.shape[1] == plain.shape[1]
    np.testing.assert_array_equal(explained[: len(plain) - 4], plain[:-4])  # the keypoint lines are as before
    below = explained[len(plain) :].astype(int)
    assert (below.max(axis=2) - below.min(axis=2) > 60).any()
    assert (tmp_path / "1.png").stat().st_size > (tmp_path / "0.png").stat().st_size


def test_the_cosine_is_that_of_the_stored_vectors(tiny_run: tuple[Path, Path]) -> None:
    run = load_run(tiny_run[1])
    query, gallery = one_pair(run)
    agreed = Explanations(run).of(query, gallery)
    assert agreed is not None
    keys = [run.images.key[run.row_of[name]] for name in (query, gallery)]
    stores = [ShardStore(path) for path in (run.folder.path / "embeddings").iterdir()]
    store = next(one for one in stores if not one.missing(keys))
    first, second = (store.get(key)["embedding"].astype(np.float32) for key in keys)
    assert agreed.cosine == pytest.approx(float(first @ second), abs=2e-3)


def test_a_network_is_explained_with_the_cosine_that_it_ranked_by(tmp_path: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model("test_efficientnet", num_classes=0).state_dict(), tmp_path / "net.safetensors")
    data = make_tiny_data(tmp_path / "data", datasets=("CatID",))
    network = ("embed.model=timm:test_efficientnet", f"embed.weights={tmp_path / 'net.safetensors'}")
    predict(
        data, tmp_path / "run", *network, "embed.image_size=64", "rerank.matcher=none", "retrieve.sources=[embedding]"
    )
    run = load_run(tmp_path / "run")
    query, gallery = one_pair(run)
    agreed = Explanations(run).of(query, gallery)
    assert agreed is not None
    assert agreed.cosine == pytest.approx(float(run.ranked.columns["similarity"][run.rows_of[query].start]), abs=1e-4)
    drawn = draw_query(run, query, 1, Explanations(run, layer="blocks.1"))
    assert drawn.shape[0] > draw_query(run, query, 1).shape[0]
    with pytest.raises(ConfigError, match="--layer nowhere"):
        Explanations(run, layer="nowhere").of(query, gallery)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ({"model": "timm:test_efficientnet", "weights": "gone.safetensors"}, "gone.safetensors"),
        ({"model": "embedder-small"}, "it was removed because embedder-lite is better; use embedder-lite."),
    ],
)
def test_without_weights_one_warning_and_the_rest(
    model: dict[str, str], told: str, tiny_run: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy_run(tiny_run[1], tmp_path / "run")
    settings = json.loads((folder / "finished.json").read_text())
    settings["config"]["embed"] |= model
    (folder / "finished.json").write_text(json.dumps(settings))
    run = load_run(folder)
    query = run.images.queries.image_id[0]
    with caplog.at_level(logging.WARNING):
        drawn = draw_query(run, query, 3, Explanations(run))
        written = write_report(run, None, tmp_path / "r.html", 2, 1, Silent(), explained=3)
    assert [record.message for record in caplog.records if "cannot be explained" in record.message] == [
        record.message for record in caplog.records
    ]
    assert len(caplog.records) == 2  # of the picture, and of the report
    assert told in caplog.text
    np.testing.assert_array_equal(drawn, draw_query(run, query, 3))
    assert '"explained":{}' in written.page.read_text().replace(" ", "")


def test_without_its_codebook_a_run_says_so_once(
    tiny_run: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy_run(tiny_run[1], tmp_path / "run")
    for path in (folder / "embeddings").glob("*-codebook"):
        shutil.rmtree(path)
    run = load_run(folder)
    explanations = Explanations(run)
    query = run.images.queries.image_id[0]
    drawn = draw_query(run, query, 2, explanations)
    assert drawn.shape == draw_query(load_run(tiny_run[1]), query, 2, Explanations(load_run(tiny_run[1]))).shape
    assert [record.message.count("keeps no codebook of") for record in caplog.records] == [1]


def test_a_gallery_photograph_set_aside_does_not_hide_the_codebook(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    """The table tells no key of it, and so not the whole gallery that the codebook goes by."""
    folder = copy_run(tiny_run[1], tmp_path / "run")
    run = load_run(folder)
    query, gallery = one_pair(run)
    rows = read_csv(folder / "table.csv")
    gone = next(row for row in rows if row["split"] == "gallery" and row["key"] and row["image_id"] != gallery
                and row["dataset"] == run.images.dataset[run.row_of[query]])  # fmt: skip
    gone["key"] = ""
    write_csv(folder / "table.csv", list(rows[0]), [list(row.values()) for row in rows])
    before, after = (Explanations(one).of(query, gallery) for one in (run, load_run(folder)))
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before.query_map, after.query_map)


def test_photographs_that_are_gone_are_not_explained(tiny_run: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    run = load_run(tiny_run[1], tmp_path / "elsewhere")
    assert Explanations(run).of(*one_pair(run)) is None


def test_the_weight_free_embedding_has_no_layers(tiny_run: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="has no layers"):
        Explanations(load_run(tiny_run[1]), layer="blocks.4")


def test_the_report_holds_the_first_queries_explained(
    tiny_run: tuple[Path, Path], tmp_path: Path, unknown_image: str
) -> None:
    command = ["report", str(tiny_run[1]), "--out", str(tmp_path / "r.html"), "--explain", "3", "--workers", "1"]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    text = (tmp_path / "r.html").read_text()
    data = json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert list(data["explained"]) == ["0", "1", "2"]
    first = data["explained"]["0"]
    assert first["cosine"].endswith("before PCA")
    assert len(first["places"]) % 5 == 0
    assert all(0 <= value <= 1000 for value in first["places"])
    overlay = cv2.imdecode(np.frombuffer(base64.b64decode(first["overlays"][0].split(",")[1]), np.uint8), -1)
    assert overlay.shape[2] == 4
    assert max(overlay.shape) == 96
    assert "explain" not in data["queries"][-1]


def test_heat_stands_where_the_photograph_does() -> None:
    canvas = np.full((60, 200, 3), 90, np.uint8)
    canvas[:, 90:110] = (10, 20, 30)  # between the two
    drawn = draw_agreement(canvas, (10, 10, 80, 40), (120, 0, 30, 60), agreement()).astype(int)
    warm = drawn.max(axis=2) - drawn.min(axis=2) > 60
    line = np.abs(np.diff(drawn, axis=2)).max(axis=2) == 0
    rows, columns = np.nonzero(warm & ~line)
    left = columns < 95
    assert (columns[left].min() > 50, columns[left].max() < 90, rows[left].max() < 42) == (True, True, True)
    assert (rows[~left].min() > 30, columns[~left].max() < 150) == (True, True)
    assert drawn[0, 95].tolist() == [10, 20, 30]  # the ground keeps its colour


def test_overlays_are_clear_where_nothing_is() -> None:
    agreed = agreement()
    wide = cv2.imdecode(np.frombuffer(overlay_of(agreed.query_map), np.uint8), cv2.IMREAD_UNCHANGED)
    assert wide.shape == (48, 96, 4)
    assert (wide[:, :50, 3] == 0).all()
    assert wide[10, 90, 3] > 150
    assert wide[10, 90, 2] > wide[10, 90, 0]  # red above blue, in OpenCV's order
    packed = packed_agreement(agreed)
    assert packed["places"] == [875, 250, 250, 875, 100]
    assert packed["cosine"] == "cosine 0.50"
