"""Kill `predict` at random moments, let it finish, and compare the bytes of its results with an undisturbed run.

    python tests/fuzz/kill_predict.py --kills 60

Each run folder is killed again and again until the command comes to its end. Exit status 1 if a byte differs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tiny import TINY_SETTINGS, make_tiny_data

SLOW = ("keypoints.least_long_side=512", "keypoints.max_keypoints=512")  # leaves time to be killed in
UNLIKE = frozenset({"timings.json", "submission.manifest.json", "ledger.jsonl"})  # they hold times
LOADED_FIRST = ("animalclef.cli", "animalclef.api.runs", "animalclef.api.finished")


def command_line(data: Path, folder: Path) -> list[str]:
    """Return the arguments of a run whose run folder and submission lie in `folder`."""
    settings = [part for one in (*TINY_SETTINGS, *SLOW) for part in ("--set", one)]
    places = ["--data", str(data), "--run", str(folder / "run"), "--out", str(folder / "out" / "submission.csv")]
    return ["animalclef", "predict", *places, "--workers", "2", *settings]


def start(work: Callable[[], object], said: Path) -> int:
    """Start `work` in a copy of this process, which has everything loaded already; return its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with said.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        work()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


def predict(arguments: Sequence[str]) -> None:
    """Run the command in this process."""
    from animalclef.cli import main

    sys.argv = list(arguments)
    main()


def ended(child: int, seconds: float) -> int | None:
    """Wait so long for a process; return its exit status, or `None` where it is still at work."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.002)


def results(folder: Path) -> dict[str, bytes]:
    """Return the files of a run that must be the same every time."""
    files = [path for part in ("run", "out") for path in (folder / part).iterdir() if path.is_file()]
    kept = [path for path in files if path.name not in UNLIKE and not path.name.endswith(".lock")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept}


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    for name in LOADED_FIRST:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        data, said = root / "data", root / "said.txt"
        if ended(start(lambda: make_tiny_data(data, individuals=5, unknown=1), said), 600) != 0:
            print(said.read_text(errors="replace"))
            return 1
        began = time.monotonic()
        status = ended(start(lambda: predict(command_line(data, root / "whole")), said), 3600)
        length, wanted = time.monotonic() - began, results(root / "whole")
        if status != 0 or "out/submission.csv" not in wanted:
            print(said.read_text(errors="replace"))
            return 1
        kills = runs = differing = 0
        while kills < given.kills:
            folder, status = root / str(runs), None
            while status is None:
                child = start(lambda folder=folder: predict(command_line(data, folder)), said)  # type: ignore[misc]
                status = ended(child, draw.uniform(0, length) if kills < given.kills else 3600)
                if status is None:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    kills += 1
            runs += 1
            print(f"{kills} kills, {runs} runs finished", flush=True)
            found = results(folder)
            changed = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
            if status != 0 or changed or list((folder / "run").rglob("*.part")):
                differing += 1
                print(f"run {runs}: exit status {status}, other bytes in {', '.join(changed) or 'no file'}")
                print(said.read_text(errors="replace")[-2000:], flush=True)
        print(f"{kills} kills in {runs} runs of {length:.1f} s each: {differing} with other bytes")
        return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
