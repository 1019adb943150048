"""Jobs in processes of their own, started by a script that is written without `if __name__ == "__main__"`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PATHS = f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent)!r}]; print('script')\n"


def lines_of(script: str, folder: Path) -> list[str]:
    """Return what a script prints, sorted."""
    path = folder / "script.py"
    path.write_text(PATHS + script, encoding="utf-8")
    ran = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return sorted(ran.stdout.splitlines())


def test_a_plain_script_runs_once_where_jobs_run_in_processes(tmp_path: Path) -> None:
    script = """
import math
from animalclef.runtime.processes import in_processes
print(sorted(in_processes(math.sqrt, [1, 4, 9], 2)))
assert sys.modules["__main__"].IS_MINE
"""
    assert lines_of("IS_MINE = True" + script, tmp_path) == ["[1.0, 2.0, 3.0]", "script"]


def test_a_plain_script_runs_once_where_workers_share_a_study(tmp_path: Path) -> None:
    script = f"""
from functools import partial
from evaluation_cases import synthetic
from animalclef.config import DecideConfig
from animalclef.decision.shared_study import Shared, explore
from animalclef.decision.tune import evaluators_of, pooled_cross_fitter
config = DecideConfig(trials=2, folds=2, splits=2)
parts = pooled_cross_fitter({{"lynx": synthetic(8, 2.0, seed=0)}}, config, 0)
where = Shared("sqlite:///{tmp_path / "studies.db"}", "one", 0)
explore(where, "lynx", list(evaluators_of(parts).values()), config, [partial(print, "worker")])
"""
    assert lines_of(script, tmp_path) == ["script", "worker 1"]
