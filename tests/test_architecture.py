"""Rules of the house that a reader of the imports can hold."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "animalclef"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = (
    "torch",
    "timm",
    "optuna",
    "faiss",
    "sklearn",
    "torchvision",
    "kornia",
    "matplotlib",
    "transformers",
    "sqlalchemy",
)


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def names_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", sorted((PACKAGE / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_stages_never_import_each_other_or_what_joins_them(path: Path) -> None:
    forbidden = ("animalclef.stages", "animalclef.pipeline", "animalclef.cli", "animalclef.console")
    assert not [name for name in imports_of(path) if name.startswith(forbidden)]


@pytest.mark.parametrize("folder", ["data", "models", "store"])
def test_what_lies_below_the_stages_does_not_know_them(folder: str) -> None:
    forbidden = ("animalclef.stages", "animalclef.pipeline", "animalclef.evaluation", "animalclef.cli")
    for path in (PACKAGE / folder).glob("*.py"):
        assert not [name for name in imports_of(path) if name.startswith(forbidden)], path


def test_only_evaluation_reads_the_truth() -> None:
    readers = {path.name for path in MODULES if "animalclef.data.submission.read_truth" in imports_of(path)}
    assert readers == {"evaluate.py"}


def test_modules_stay_short_and_are_named_after_their_subject() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 300} == {}
    assert not {"utils.py", "helpers.py", "misc.py", "common.py"} & set(lengths)


def test_every_module_has_a_docstring() -> None:
    silent = [
        path
        for path in MODULES
        if path.read_text("utf-8").strip() and not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert silent == []


def test_nothing_pickles_and_no_module_prints() -> None:
    for path in MODULES:
        assert not {"pickle", "joblib", "argparse", "torch.load"} & imports_of(path), path
        if path.parent.name != "cli" and path.name != "console.py":
            calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
            assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"], path


IMPORT_ALL = """
import importlib, json, logging, os, sys
def state():
    environment = {key: value for key, value in os.environ.items() if key != 'LD_LIBRARY_PATH'}  # cv2 sets it
    return environment, os.getcwd(), len(logging.getLogger().handlers)
before = state()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
print(json.dumps({"heavy": heavy, "changed": before != state()}))
"""


def test_importing_every_module_loads_nothing_heavy_and_has_no_effect(tmp_path: Path) -> None:
    names = [names_of(path) for path in MODULES if path.stem != "__main__"]
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps(names), json.dumps(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"heavy": [], "changed": False}
    assert list(tmp_path.iterdir()) == []


def test_help_comes_at_once() -> None:
    unwanted = "('cv2', 'pandas', 'numpy', 'torch')"
    light = f"import sys, animalclef.cli; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
    start = time.perf_counter()
    command = [sys.executable, "-m", "animalclef", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert time.perf_counter() - start < 10  # a fraction of a second on a quiet machine
    for name in ("predict", "demo", "inspect", "validate", "score", "evaluate", "ledger", "diff", "ensemble"):
        assert name in shown
