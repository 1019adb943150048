"""Run work on the nodes of a Ray cluster: one actor for a few cores or for a GPU, each with the models of the stage."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from animalclef.engine.cluster_worker import ClusterWorker, installed_versions, what_differs
from animalclef.engine.ray_errors import reason_of
from animalclef.engine.work import Capacity, Work, batched
from animalclef.errors import AnimalClefError, EngineError
from animalclef.runtime.remote_files import marker_text

__all__ = ["RayCluster"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_TRIES = 3  # of a task, and of starting a worker
_THREADS = 4  # of a worker at most: a model is in memory once for so many
_STALLED_S = 1800.0  # without an answer to one task
_START_S = 300.0  # in which the first worker must be there
_LOOK_S = 2.0  # between looks at the cluster's size
_AGAIN_S = 60.0  # until a node that cannot work is asked again: its disk may come


@dataclass(frozen=True)
class _Place:
    """Room for a worker on a node."""

    node: str  # its id
    threads: int


@dataclass
class _Task:
    """Some chunks in a row; results are handed on by number."""

    number: int
    chunks: Sequence[Any]
    tries: int = 0


class RayCluster:
    """Workers on every node, kept from stage to stage; nodes that come join, those of a lost node are replaced.

    A node of other versions, or without a folder, gets no work; it is asked again after a minute.
    A task that fails is tried again on another worker, `_TRIES` times in all. A worker that gives no answer for
    `stalled_s` seconds is stopped. `folders`, and files among them, are what every node must see under the same path.
    """

    def __init__(self, folders: Sequence[Path], *, on_gpus: bool = False, stalled_s: float = _STALLED_S) -> None:
        self.folders = [str(one.absolute()) for one in folders]
        self.on_gpus, self.stalled_s = on_gpus, stalled_s
        self.versions = installed_versions(on_gpus=on_gpus)
        self.place_of: dict[Any, _Place] = {}  # of every worker
        self.node_of: dict[Any, str] = {}  # of workers that were asked about themselves
        self.warned: set[str] = set()
        self._looked = -_LOOK_S

    def ordered(self, work: Work[Any, Result], chunks: Iterable[Any]) -> Iterator[Result]:
        """Yield the results of all chunks, in their order.

        Raises:
            EngineError: a chunk failed again and again, or every node has other versions, lacks a folder or is silent.
        """
        rest = iter(chunks)
        first = list(itertools.islice(rest, 1))
        if first:
            yield from _Stage(self, work, itertools.chain(first, rest)).results()

    def close(self) -> None:
        """Stop all workers."""
        import ray

        for worker in self.place_of:
            ray.kill(worker)
        self.place_of = {}

    @property
    def capacity(self) -> Capacity:
        """Return the machines of the cluster, their cores or GPUs, and the workers that they have room for."""
        nodes = self._nodes()
        places = [place for node, has in nodes for place in self._places(node, has)]
        return Capacity(len(nodes), sum(1 if self.on_gpus else one.threads for one in places), len(places))

    def _nodes(self) -> list[tuple[str, dict[str, float]]]:
        """Return the ids and the resources of the machines that can work."""
        import ray

        alive = [(node["NodeID"], node["Resources"]) for node in ray.nodes() if node["Alive"]]
        return [one for one in alive if one[1].get("CPU") and (not self.on_gpus or one[1].get("GPU"))]

    def hire(self) -> list[Any]:
        """Start workers on the nodes that have room for more; return the new ones."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if time.monotonic() - self._looked < _LOOK_S:
            return []
        self._looked = time.monotonic()
        wanted = Counter(place for node, has in self._nodes() for place in self._places(node, has))
        new = {}
        for place in (wanted - Counter(self.place_of.values())).elements():
            where = NodeAffinitySchedulingStrategy(place.node, soft=False)
            options = {"num_cpus": place.threads, "num_gpus": int(self.on_gpus), "scheduling_strategy": where}
            new[ray.remote(ClusterWorker).options(**options).remote()] = place
        self.place_of |= new
        return list(new)

    def _places(self, node: str, has: dict[str, float]) -> list[_Place]:
        """Return the workers that a node has room for: one for each GPU, or for every `_THREADS` cores and the rest."""
        cores = int(has["CPU"])
        if self.on_gpus:
            count = min(int(has["GPU"]), cores)
            return [_Place(node, cores // count + (number < cores % count)) for number in range(count)]
        whole, rest = divmod(cores, _THREADS)
        return [_Place(node, _THREADS)] * whole + [_Place(node, rest)] * bool(rest)

    def fire(self, worker: Any) -> None:
        """Stop a worker and forget it; another one is hired at the next look."""
        import ray

        ray.kill(worker)
        del self.place_of[worker]


class _Stage:
    """One pass over the chunks of a stage."""

    def __init__(self, cluster: RayCluster, work: Work[Any, Any], chunks: Iterable[Any]) -> None:
        import ray

        self.cluster, self.work = cluster, work
        self.shipped = ray.put(work)
        self.coming = (_Task(number, part) for number, part in enumerate(batched(chunks, work.chunks_a_task)))
        self.waiting: deque[_Task] = deque()
        self.starting: dict[Any, tuple[Any, str]] = {}  # by reference to an answer: the worker, and what it was asked
        self.running: dict[Any, tuple[Any, _Task, float]] = {}
        self.idle: list[Any] = []
        self.parked: deque[tuple[Any, float]] = deque()  # of nodes that cannot work, in their places; and until when
        self.refused = ""  # why
        self.failed_starts = 0
        self.answered = time.monotonic()  # when a worker was last there
        self.patience_s = getattr(work, "patience_s", cluster.stalled_s)

    def results(self) -> Iterator[Any]:
        """Yield results in order, as soon as all before them are there."""
        done: dict[int, list[Any]] = {}
        following = 0
        for worker in list(self.cluster.place_of):
            self._ask(worker, "about")
        try:
            while self._submit():
                for number, found in self._collect():
                    done[number] = found
                while following in done:
                    yield from done.pop(following)
                    following += 1
        finally:
            self._leave()

    def _leave(self) -> None:
        """Let idle workers forget the models, and stop those that still work because the caller gave up."""
        for worker, *_ in (*self.running.values(), *self.parked):
            self.cluster.fire(worker)
        for worker in self.idle:
            worker.drop.remote()

    def _submit(self) -> bool:
        """Give tasks to idle workers; return whether anything is still to be waited for."""
        while self.parked and self.parked[0][1] < time.monotonic():
            self.cluster.fire(self.parked.popleft()[0])
        for worker in self.cluster.hire():
            self._ask(worker, "about")
        self._refill()
        while self.idle and self.waiting:
            worker, task = self.idle.pop(), self.waiting.popleft()
            task.tries += 1
            self.running[worker.run.remote(task.chunks)] = (worker, task, time.monotonic())
            self._refill()
        if self.waiting and not self.running and time.monotonic() - self.answered > _START_S:
            raise EngineError(
                self.refused
                or f"{self.work.title}: no node of the Ray cluster took work in {_START_S:.0f} s. See `ray status`."
            )
        return bool(self.running or self.waiting)

    def _refill(self) -> None:
        if not self.waiting:
            self.waiting.extend(itertools.islice(self.coming, 1))

    def _ask(self, worker: Any, what: str) -> None:
        if what == "about":
            needed = {path: marker_text(Path(path)) for path in self.cluster.folders}
            answer = worker.about.remote(os.getcwd(), needed, on_gpus=self.cluster.on_gpus)  # noqa: PTH109
        else:
            answer = worker.take.remote(self.shipped, self.cluster.place_of[worker].threads)
        self.starting[answer] = (worker, what)

    def _collect(self) -> Iterator[tuple[int, list[Any]]]:
        """Wait a moment for answers; yield the number and the results of finished tasks."""
        import ray

        asked = [*self.starting, *self.running]
        if not asked:
            time.sleep(0.2)  # no node is there yet
            return
        ready, _ = ray.wait(asked, num_returns=1, timeout=0.5)
        for answer in ready:
            if answer in self.starting:
                self._started(answer)
                continue
            worker, task, _ = self.running.pop(answer)
            try:
                found = ray.get(answer)
            except ray.exceptions.RayError as error:
                self._failed(worker, task, error)
            else:
                self.answered = time.monotonic()
                self.idle.append(worker)
                yield task.number, found
        for answer, (worker, task, since) in list(self.running.items()):
            if time.monotonic() - since > self.patience_s:
                del self.running[answer]
                self._failed(worker, task, TimeoutError(f"no answer in {self.patience_s:.0f} s"))

    def _started(self, answer: Any) -> None:
        import ray

        worker, what = self.starting.pop(answer)
        try:
            said = ray.get(answer)
        except ray.exceptions.RayError as error:
            self.cluster.fire(worker)
            if isinstance(error, ray.exceptions.ActorUnschedulableError) or "never ran" in str(error):
                return  # its node went before it was there; the next look does not find that node
            self.failed_starts += what == "take" or worker not in self.cluster.node_of
            nobody = not self.idle and not self.running
            if isinstance(error, ray.exceptions.RayTaskError) or (nobody and self.failed_starts >= _TRIES):
                raise EngineError(f"{self.work.title}: a Ray worker did not start: {reason_of(error)}") from error
            logger.warning("A Ray worker did not start: %s", reason_of(error))
            return
        if what == "about":
            self.cluster.node_of[worker] = said[0]
            why = what_differs(self.cluster.versions, *said)
            if why is None:
                self._ask(worker, "take")
            else:
                self._park(worker, why)
        else:
            self.answered = time.monotonic()
            self.idle.append(worker)

    def _park(self, worker: Any, why: str) -> None:
        """Give a worker no tasks and leave it in its place for a while; refuse to go on where no other can work."""
        self.parked.append((worker, time.monotonic() + _AGAIN_S))
        self.refused = why
        if not (self.idle or self.running or self.starting):
            raise EngineError(why)
        if why not in self.cluster.warned:
            logger.warning("%s The other nodes work without it.", why)
        self.cluster.warned.add(why)

    def _failed(self, worker: Any, task: _Task, error: Exception) -> None:
        """Put a task back, or report it by name after the last try; a user's mistake is reported at once."""
        import ray

        self.cluster.fire(worker)  # it may hang, or have gone
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        node = self.cluster.node_of.get(worker, "unknown")
        if isinstance(cause, AnimalClefError):
            cause.args = (f"{cause} This was on node {node}.",)
            raise cause
        name, why = f"{self.work.title}: {self.work.named(task.chunks[0])}", f"{reason_of(error)}, on node {node}"
        if task.tries >= _TRIES:
            raise EngineError(f"{name} failed {_TRIES} times on the Ray cluster ({why}).") from error
        logger.warning("%s is tried again: %s", name, why)
        self.waiting.append(task)
        # The idle ones may have gone with their node: each says that it is there before it gets a task.
        for one in self.idle:
            self._ask(one, "about")
        self.idle = []
