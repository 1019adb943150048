"""Any bytes as a photograph, weights, settings, a decision or a ledger: a result, or one short sentence."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from damage import FEW, MANY, damaged, json_values, reads, with_a_wrong_value
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rows import Row, image_table, strings
from safetensors.torch import save as save_safetensors

from animalclef.cli.ledger import ledger_notes, ledger_table
from animalclef.cli.printing import PlainConsole
from animalclef.config import Config, load_config
from animalclef.data.decode import decode, upright_size_wh
from animalclef.data.review_log import ReviewLog, SeenPhotograph, read_review
from animalclef.decision.decision_model import load_decision
from animalclef.hub.load import read_weights
from animalclef.store.ledger import Ledger

PIXELS = np.random.default_rng(0).integers(0, 255, (24, 31, 3), dtype=np.uint8)
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "AVIF")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def saved(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
@FEW
@given(data=st.data())
def test_a_damaged_photograph(folder: Path, kind: str, data: st.DataObject) -> None:
    content = data.draw(damaged(saved(kind)))
    box = np.array(data.draw(st.sampled_from([[np.nan] * 5, [2, 3, 10, 9, 0], [-5, 1, 1e6, 1e6, 0.5]])), np.float32)
    found = reads(lambda: decode(content, box, 64, 1_000_000))
    if found is not None:
        assert found.pixels.dtype == np.uint8
        assert max(found.pixels.shape[:2]) <= 64
    (folder / "photo").write_bytes(content)
    reads(lambda: upright_size_wh(folder / "photo"))


@MANY
@given(content=st.binary(max_size=300))
def test_any_bytes_as_a_photograph(content: bytes) -> None:
    reads(lambda: decode(content, np.full(5, np.nan, np.float32), 64, 1_000_000))


@MANY
@given(data=st.data())
def test_damaged_weights(folder: Path, data: st.DataObject) -> None:
    tensors = {"a.weight": torch.ones(3, 2), "b": torch.zeros(4)}
    if data.draw(st.booleans()):
        path, content = folder / "w.safetensors", save_safetensors(tensors)
    else:
        buffer = io.BytesIO()
        torch.save({"state_dict": tensors, "epoch": 3}, buffer)
        path, content = folder / "w.pth", buffer.getvalue()
    path.write_bytes(data.draw(damaged(content)))
    found = reads(lambda: read_weights(path))
    if found is not None:
        assert all(isinstance(one, torch.Tensor) for one in found.values())


@FEW
@given(depth=st.integers(1, 3000))
def test_nested_weights(folder: Path, depth: int) -> None:
    content: object = torch.ones(2)
    for _ in range(depth):
        content = {"a": content}
    try:
        torch.save(content, folder / "deep.pth")
    except (RecursionError, pickle.PicklingError):
        return  # too deep to be written
    reads(lambda: read_weights(folder / "deep.pth"))


SETTINGS = yaml.safe_dump(Config().model_dump(mode="json"))
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]" for n in range(8)
)


@MANY
@given(content=st.one_of(damaged(SETTINGS.encode()), st.just(BOMB.encode()), st.binary(max_size=200)))
def test_any_settings(folder: Path, content: bytes) -> None:
    (folder / "c.yaml").write_bytes(content)
    reads(lambda: load_config(folder / "c.yaml"))


@MANY
@given(
    key=st.sampled_from(["seed", "retrieve.top_k", "decide.trials", "data.columns", "embed.model", "x.y", "a", ""]),
    value=st.one_of(
        st.text(max_size=40),
        json_values.map(json.dumps),
        st.sampled_from(
            ["2147483648", "1000000000", "2023-99-99", "[" * 400, "!!python/object:os.system x", "&a [*a]"]
        ),
    ),
)
def test_any_assignment(key: str, value: str) -> None:
    reads(lambda: load_config(None, [f"{key}={value}"]))


@MANY
@given(data=st.data())
def test_any_decision(folder: Path, data: st.DataObject) -> None:
    part = {
        "calibrators": {"similarity": {"kind": "logistic", "slope": 1.0, "intercept": 0.0}},
        "weights": {"similarity": 1.0}, "threshold": 0.5, "fitted_on": "a",
    }  # fmt: skip
    good = {"format": 2, "scores": "a", "gallery": "b", "seed": 0, "datasets": {"a": part}, "pooled": part}
    content = data.draw(
        st.one_of(damaged(json.dumps(good).encode()), json_values.map(lambda one: json.dumps(one).encode()), st.none())
    )
    content = json.dumps(with_a_wrong_value(data, good)).encode() if content is None else content
    (folder / "decision.json").write_bytes(content)
    reads(lambda: load_decision(folder / "decision.json"))


LINES = [
    {
        "kind": "run", "submission_sha256": "ab", "settings": {"seed": 0}, "new_share": 0.2, "command": "predict",
        "validation": {"score": 0.5, "low": 0.1, "high": 0.9}, "changed": {"seed": [0, 1]}, "warnings": [],
        "submission": "s.csv",
    },
    {"kind": "board", "submission_sha256": "ab", "given": {"public": 0.5, "note": "x"}},
]  # fmt: skip


@MANY
@given(data=st.data())
def test_any_ledger(folder: Path, data: st.DataObject) -> None:
    lines = [dict(line) for line in LINES]
    for _ in range(data.draw(st.integers(0, 2))):
        line = data.draw(st.sampled_from(lines))
        line[data.draw(st.sampled_from(sorted(line)))] = data.draw(json_values)
    text = "\n".join(json.dumps(line) for line in lines).encode()
    path = folder / "ledger.jsonl"
    path.write_bytes(data.draw(st.one_of(st.just(text), damaged(text))))
    rows = reads(lambda: Ledger(path).rows())
    if rows:
        console = PlainConsole()
        with console.capture():
            console.print(ledger_table(rows, str(path), 0))
            for note in ledger_notes(rows, 0):
                console.print(note)


PHOTOGRAPHS = image_table([Row(one) for one in ("q0", "q1", "q2", "x")]).with_columns(key=strings("k", "k", "k", "l"))


@pytest.fixture(scope="module")
def review_log(folder: Path) -> bytes:
    log = ReviewLog(folder / "whole.jsonl")
    for number in range(3):
        pair = (SeenPhotograph(f"q{number}", "k", "a"), SeenPhotograph("x", "l", "b"))
        log.add("Ada", "same", pair, {"name": "Luna"})
    log.undo("Ada")
    return log.path.read_bytes()


@MANY
@given(data=st.data())
def test_a_damaged_review_log(folder: Path, review_log: bytes, data: st.DataObject) -> None:
    lines = [json.loads(line) for line in review_log.splitlines()]
    changed = [with_a_wrong_value(data, lines[0]), with_a_wrong_value(data, lines[1]), *lines[2:]]
    text = "".join(json.dumps(line) + "\n" for line in changed).encode()
    path = folder / "review.jsonl"
    path.write_bytes(data.draw(st.one_of(damaged(review_log), st.just(text), st.binary(max_size=200))))
    found = reads(lambda: read_review(path, PHOTOGRAPHS))
    if found is not None:
        assert all(isinstance(one, str) for pair in (*found.same, *found.different) for one in pair)
