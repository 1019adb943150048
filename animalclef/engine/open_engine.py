"""Open the engine that a command names."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from animalclef.engine.head_watch import head_watched
from animalclef.engine.work import Engine, ThisMachine
from animalclef.errors import ConfigError, EngineError, suggestion
from animalclef.runtime.remote_files import marker_text
from animalclef.structures import ImageTable

__all__ = ["ENGINES", "check_engine", "open_engine", "shared_paths"]

ENGINES = ("local", "ray")
_ANSWER_S = 5.0  # in which the machine of a cluster answers; Ray itself waits for many minutes
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and an empty SETTINGS frame


def check_engine(name: str) -> None:
    """Raise a ConfigError where there is no such engine."""
    if name not in ENGINES:
        raise ConfigError(f"engine {name}: expected one of {', '.join(ENGINES)}.{suggestion(name, ENGINES)}")


def shared_paths(images: ImageTable, out: Path) -> tuple[Path, ...]:
    """Return what every node must see: the photographs' folder, the first one that is there, and the output folder.

    The place of a disk that is not mounted is often an empty folder. Photographs of a bucket come to each node.
    """
    photographs = () if marker_text(images.root) is not None else (images.root / path for path in images.path)
    first = next((path for path in photographs if path.is_file()), None)
    return (images.root, out) if first is None else (images.root, first, out)


@contextmanager
def open_engine(
    name: str = "local", address: str = "auto", *, device: str = "cpu", folders: Sequence[Path] = ()
) -> Iterator[Engine]:
    """Open this machine ("local"), or the Ray cluster at `address` ("auto": the one that this machine belongs to).

    With a `device` of "cuda" each worker of the cluster gets a GPU. `folders`, and files among them, must be seen by
    every node. Nothing is reported to Ray's makers.

    Raises:
        ConfigError: there is no such engine, or Ray is not installed.
        EngineError: no cluster answers, or it runs another version of Ray or Python.

    Example:
        >>> with open_engine("local") as engine:
        ...     type(engine).__name__
        'ThisMachine'
    """
    check_engine(name)
    if name == "local":
        if address != "auto":
            raise ConfigError(f"address {address}: only the engine ray has an address.")
        yield ThisMachine()
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "engine ray: Ray is not installed. Run pip install 'animalclef[ray]' on every node."
        ) from error
    from animalclef.engine.ray_cluster import RayCluster

    mine = not ray.is_initialized()
    if mine:
        _connect(address)
    with ExitStack() as ended:
        if mine:
            ended.callback(ray.shutdown)
            if not ray.util.client.ray.is_connected():  # through ray:// the head is not seen from here
                ended.enter_context(head_watched(ray.get_runtime_context().gcs_address))
        cluster = RayCluster(folders, on_gpus=device.startswith("cuda"))
        ended.callback(cluster.close)
        yield cluster


def _connect(address: str) -> None:
    import ray

    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or _current() or address  # as Ray does
    here = {"include_dashboard": False} if address == "local" else {}
    try:
        _knock(address)
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, configure_logging=False, **here)
    except (ConnectionError, ValueError, TimeoutError) as error:
        raise EngineError(
            f"No Ray cluster answers at {address}. Start one with `ray start --head`, join the other nodes with "
            "`ray start --address=HOST:6379`, or give the address local."
        ) from error
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise EngineError(f"The Ray cluster at {address} does not fit this machine: {said}") from error


def _current() -> str | None:
    """Return the address that the last `ray start` on this machine left; the cluster may have ended since."""
    place = os.environ.get("RAY_TMPDIR") or (sys.platform == "linux" and os.environ.get("TMPDIR")) or "/tmp"
    try:
        return (Path(place) / "ray" / "ray_current_cluster").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _knock(address: str) -> None:
    """Ask HOST:PORT or ray://HOST:PORT for a first answer; other addresses are left to Ray.

    Ray speaks HTTP/2 (RFC 9113): both sides begin with a SETTINGS frame, whose type, the fourth byte, is 4.

    Raises:
        ConnectionError: nothing listens there, or something that is not Ray.
    """
    named = re.fullmatch(r"(?:ray://)?\[?([^/\[\]]+)\]?:(\d+)/?", address)
    if named is None:
        return
    try:
        with socket.create_connection((named[1], int(named[2])), timeout=_ANSWER_S) as there:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return
            there.sendall(_PREFACE)
            answer = there.recv(9, socket.MSG_WAITALL)
    except (OSError, ValueError, OverflowError) as error:  # the others: no name of a host, no number of a port
        raise ConnectionError(address) from error
    if answer[3:4] != bytes([4]):
        raise ConnectionError(address)
