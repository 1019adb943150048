"""A training that is killed in earnest, and one in two processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from embedder_cases import TINY_TRAINING, tiny_training
from safetensors.torch import load_file
from tiny import make_tiny_data

from animalclef.data.sources import find_source
from animalclef.data.table import load_table
from animalclef.training.embedder import embedder_task
from animalclef.training.embedder.embedder_training import train_embedder

KILLED_AT_THE_FIFTH_STEP = """
import os, signal, sys
from animalclef.cli import main
from animalclef.training.training_loop import TrainingLoop
step, calls = TrainingLoop._step, []
def killed(*given):
    calls.append(1)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*given)
TrainingLoop._step = killed
main()
"""

PLAIN_DESCENT = """
from torch import optim
from animalclef.cli import main
from animalclef.training.embedder import embedder_task
def descent(network, loss, config):
    return optim.SGD([*network.parameters(), *loss.parameters()], lr=config.learning_rate)
embedder_task.make_optimiser = descent
if __name__ == "__main__":
    main()
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def trained(folder: Path, *command: str, recipe: dict[str, object]) -> subprocess.CompletedProcess[str]:
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    options = ["train", "--data", "data", "--config", "tiny.yaml", "--out", "out", "--device", "cpu", "--workers", "1"]
    return subprocess.run(
        [sys.executable, *command, *options], cwd=folder, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_after_a_kill_the_same_command_ends_with_the_same_bytes(tmp_path: Path) -> None:
    recipe = {**TINY_TRAINING, "checkpoint_every": 2}
    table = load_table(find_source(make_tiny_data(tmp_path / "data"))).images
    whole = train_embedder(tiny_training(checkpoint_every=2), table, tmp_path / "whole", device="cpu")
    done = trained(tmp_path, "-c", KILLED_AT_THE_FIFTH_STEP, recipe=recipe)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "out" / "tiny.safetensors").exists()
    lines = (tmp_path / "out" / "log.jsonl").read_text().splitlines()
    assert max(json.loads(line)["step"] for line in lines) == 4
    resumed = train_embedder(tiny_training(checkpoint_every=2), table, tmp_path / "out", device="cpu")
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert (tmp_path / "out" / "measured.json").read_bytes() == (tmp_path / "whole" / "measured.json").read_bytes()


def test_two_processes_are_one_with_twice_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three steps of plain gradient descent the weights agree to rounding, and so did the gradients."""
    settings = {"epochs": 1, "averaging": {"kind": "none"}, "optimiser": {"learning_rate": 0.01}}
    monkeypatch.setattr(embedder_task, "make_optimiser", embedder_task.make_optimiser)  # put back afterwards
    exec(PLAIN_DESCENT, {"__name__": "here"})
    (tmp_path / "plain_descent.py").write_text(PLAIN_DESCENT)
    table = load_table(find_source(make_tiny_data(tmp_path / "data"))).images
    alone = {**settings, "optimiser": {**settings["optimiser"], "accumulate": 2}}  # type: ignore[dict-item]
    train_embedder(tiny_training(**alone), table, tmp_path / "alone", device="cpu")
    done = trained(
        tmp_path, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "plain_descent.py",
        recipe={**TINY_TRAINING, **settings},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Network: ") == 1
    assert "3 steps of 12 photographs." in " ".join(done.stderr.split())
    one, two = (load_file(tmp_path / name / "state.safetensors") for name in ("alone", "out"))
    weights = [name for name in one if name.startswith("network.") and "running" not in name and "num_" not in name]
    assert len(weights) > 20
    for name in weights:
        assert torch.allclose(one[name], two[name], atol=1e-5), name
