"""Say that the head of a Ray cluster is lost: Ray itself ends the command, and says nothing that a user understands.

This file also runs as a process of its own, because Ray leaves the command no time to say anything.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["head_watched"]

_LOOK_S = 0.5  # between looks
_LOST_S = 20.0  # without an answer; Ray ends the command after 60
_AFTER_S = 5.0  # in which the head ends where the command ended first


@contextmanager
def head_watched(address: str) -> Iterator[None]:
    """Watch the head at HOST:PORT from another process while the block runs; print a sentence where it is lost."""
    if os.name != "posix":  # a process does not learn elsewhere that its parent ended
        yield
        return
    command = [sys.executable, "-I", __file__, address, str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as watching:
        try:
            yield
        finally:
            watching.kill()


def _watch(address: str, parent: int) -> None:
    """Look until the head is lost, or the parent has ended while the head is there."""
    answered, parent_seen = time.monotonic(), time.monotonic()
    while True:
        time.sleep(_LOOK_S)
        now, parent_is_there = time.monotonic(), os.getppid() == parent
        parent_seen = now if parent_is_there else parent_seen
        if _answers(address):
            answered = now
            if now - parent_seen > _AFTER_S:
                return
        elif not parent_is_there or now - answered > _LOST_S:
            sys.stderr.write(
                f"The head of the Ray cluster at {address} is lost, so this command ends. Start the cluster again, "
                "and run the same command: it resumes.\n"
            )
            return


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2 * _LOOK_S).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    _watch(sys.argv[1], int(sys.argv[2]))
