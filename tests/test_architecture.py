"""Rules of the house that a reader of the imports can hold."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from pathlib import Path

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
    "starlette",
    "uvicorn",
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


# The floors of the house, from the ground up: a package imports from lower floors, and from itself.
FLOORS = (
    {"errors"},
    {"runtime"},
    {"config", "structures"},
    {"data", "engine", "hub", "synthetic"},
    {"metrics", "prepare"},
    {"decision"},
    {"clustering", "store"},
    {"features"},
    {"evaluation", "explain", "matching", "retrieval"},
    {"pipeline"},
    {"report", "training"},
    {"catalogue", "review"},
    {"api"},
    {"cli"},
    {"__main__"},
)
FLOOR = {package: number for number, floor in enumerate(FLOORS) for package in floor}
NAMED_AFTER_A_COMMAND_OR_STAGE = {"cli", "config", "pipeline"}  # their files may share a name with what they call


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def graph() -> dict[str, set[str]]:
    """Modules of the package with the modules of the package that each imports."""
    known = {names_of(path): path for path in MODULES}
    found = {}
    for name, path in known.items():
        targets = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= (names & set(known)) or {node.module}
        found[name] = {one for one in targets if one in known and one != name}
    return found


def test_packages_import_only_downwards() -> None:
    upwards = [
        (name, target)
        for name, targets in graph().items()
        for target in targets
        if package_of(name) != package_of(target)
        and package_of(name)
        and FLOOR[package_of(name)] <= FLOOR.get(package_of(target), -1)
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = graph()
    while leaves := {name for name, targets in left.items() if not targets & set(left)}:
        left = {name: targets for name, targets in left.items() if name not in leaves}
    # A package's door names its own modules, which is no circle in what they need.
    assert sorted(name for name in left if not (PACKAGE.parent / Path(*name.split("."))).is_dir()) == []


def test_no_module_imports_itself() -> None:
    assert [names_of(path) for path in MODULES if path.stem != "__init__" and names_of(path) in imports_of(path)] == []


def test_a_file_name_says_what_is_inside_even_without_its_folder() -> None:
    folders: dict[str, set[str]] = {}
    for path in MODULES:
        if path.name != "__init__.py" and path.parent.name not in NAMED_AFTER_A_COMMAND_OR_STAGE:
            folders.setdefault(path.name, set()).add(path.parent.name)
    assert {name: where for name, where in folders.items() if len(where) > 1} == {}


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
    set_by_libraries = tuple(json.loads(sys.argv[3]))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(set_by_libraries)}
    return environment, os.getcwd(), len(logging.getLogger().handlers)
before = state()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
print(json.dumps({"heavy": heavy, "changed": before != state()}))
"""
SET_BY_LIBRARIES = ("LD_LIBRARY_PATH", "TORCHINDUCTOR_", "KMP_")  # by cv2, torch and scikit-learn as they are imported


def imported(names: list[str], folder: Path) -> dict[str, object]:
    """What importing these modules in a new process loads and changes."""
    command = [sys.executable, "-c", IMPORT_ALL, *map(json.dumps, (names, HEAVY, SET_BY_LIBRARIES))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return dict(json.loads(done.stdout))


def test_package_doors_the_command_line_and_the_settings_load_nothing_heavy(tmp_path: Path) -> None:
    light = [path for path in MODULES if path.stem == "__init__" or path.parent.name in ("cli", "config")]
    assert imported([names_of(path) for path in light], tmp_path) == {"heavy": [], "changed": False}


def test_importing_every_module_has_no_effect(tmp_path: Path) -> None:
    names = [names_of(path) for path in MODULES if path.stem != "__main__"]
    assert imported(names, tmp_path)["changed"] is False


def test_the_package_is_imported_at_once() -> None:
    timed = "import sys, time; start = time.perf_counter(); import animalclef; print(time.perf_counter() - start); "
    timed += "print([name for name in ('torch', 'numpy', 'pandas', 'cv2') if name in sys.modules])"
    done = [
        subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, timeout=300, check=True)
        for _ in range(3)
    ]
    seconds, loaded = zip(*(one.stdout.splitlines() for one in done), strict=True)
    assert set(loaded) == {"[]"}
    assert min(map(float, seconds)) < 0.2


def test_help_comes_at_once() -> None:
    unwanted = "('cv2', 'pandas', 'numpy', 'torch')"
    light = f"import sys, animalclef.cli; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"
    start = time.perf_counter()
    command = [sys.executable, "-m", "animalclef", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert time.perf_counter() - start < 10  # a fraction of a second on a quiet machine
    for name in ("predict", "demo", "inspect", "validate", "score", "evaluate", "ledger", "diff", "ensemble"):
        assert name in shown
