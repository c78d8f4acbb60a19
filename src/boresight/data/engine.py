"""Where the work on a corpus is done: in processes of this machine, or by Ray on this one or a cluster.

    with open_engine("ray") as engine:
        for result in engine.map(convert, cut(path)):  # in the order of the pieces, a few ahead at a time
            …

Functions, chunks and results are pickled. A chunk is best a `Piece` of a file, which is a path and two
places: whoever does the work reads it, so on a cluster files must lie where every machine sees them. An error
of the function ends the map where its result would have stood, as the same exception.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

from boresight.errors import UserError
from boresight.extras import require
from boresight.settings_file import nearest

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
ENGINES = ("local", "ray")
AHEAD = 2
"""Chunks in flight for each process: one in work and one that waits."""


class Engine(Protocol):
    """Applies functions to chunks."""

    def map(self, function: Callable[[Chunk], Result], chunks: Iterable[Chunk]) -> Iterator[Result]:
        """The results in the order of the chunks, of which only a few are taken ahead."""


@contextmanager
def open_engine(name: str, processes: int | None = None) -> Iterator[Engine]:
    """The engine `local` or `ray`.

    Args:
        processes: how many work at a time; all that the machine or the cluster has unless given.

    Raises:
        UserError: there is no such engine, Ray is not installed, or no cluster answers at RAY_ADDRESS.
    """
    if name not in ENGINES:
        raise UserError(f"unknown engine {name!r}{nearest(name, ENGINES)}")
    if name == "local":
        yield LocalEngine(processes or len(os.sched_getaffinity(0)))
        return
    ray = require("ray", "ray")
    ours = not ray.is_initialized()
    if ours:
        address = os.environ.get("RAY_ADDRESS")
        try:
            # Log lines of workers would reach standard output, which is for results.
            cores = None if address else processes
            ray.init(address, num_cpus=cores, include_dashboard=False, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"Ray does not start (RAY_ADDRESS={address or ''}): {error}") from error
    try:
        yield RayEngine(ray, processes or max(1, int(ray.cluster_resources().get("CPU", 1))))
    finally:
        if ours:
            ray.shutdown()


class LocalEngine:
    """Processes of this machine; a lone chunk is done where we are."""

    def __init__(self, processes: int):
        self._processes = processes

    def map(self, function: Callable[[Chunk], Result], chunks: Iterable[Chunk]) -> Iterator[Result]:
        """See `Engine`."""
        remaining = iter(chunks)
        first = list(islice(remaining, 2))
        if len(first) < 2 or self._processes == 1:
            yield from map(function, chain(first, remaining))
            return
        # Not forked from this process, which may hold threads and locks, but from one that only imports.
        context = get_context("forkserver")
        context.set_forkserver_preload(["boresight.data.tokenise"])
        pool = ProcessPoolExecutor(self._processes, context, _hold, (function,))
        try:
            yield from _in_order(
                lambda chunk: pool.submit(_call, chunk),
                lambda future: future.result(),
                chain(first, remaining),
                AHEAD * self._processes,
            )
        except BrokenProcessPool as error:
            raise UserError("a working process was killed, perhaps for want of memory") from error
        finally:
            pool.shutdown(cancel_futures=True)


class RayEngine:
    """Tasks of Ray. A chunk whose process or machine dies is done again, up to three times."""

    def __init__(self, ray: Any, processes: int):
        self._ray, self._processes = ray, processes

    def map(self, function: Callable[[Chunk], Result], chunks: Iterable[Chunk]) -> Iterator[Result]:
        """See `Engine`."""
        # In a list, so that a task is handed the reference and each process fetches the function once.
        boxed = [self._ray.put(function)]
        task = self._ray.remote(max_retries=3)(_fetch_and_call)
        submit = partial(task.remote, boxed)
        yield from _in_order(submit, self._collect, chunks, AHEAD * self._processes)

    def _collect(self, waiting: Any) -> Any:
        try:
            return self._ray.get(waiting)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise UserError(f"Ray gave a chunk up: {str(error).strip().splitlines()[0]}") from error


def _in_order(
    submit: Callable[[Any], Any], collect: Callable[[Any], Any], chunks: Iterable[Any], most: int
) -> Iterator[Any]:
    waiting: deque[Any] = deque()
    for chunk in chunks:
        waiting.append(submit(chunk))
        if len(waiting) == most:
            yield collect(waiting.popleft())
    while waiting:
        yield collect(waiting.popleft())


_held: dict[str, Callable[[Any], Any]] = {}
"""The function that this process applies, by its name at Ray."""


def _hold(function: Callable[[Any], Any], name: str = "") -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are as many as the cores
    _held.clear()
    _held[name] = function


def _call(chunk: Any) -> Any:
    return _held[""](chunk)


def _fetch_and_call(boxed: list[Any], chunk: Any) -> Any:
    name = boxed[0].hex()
    if name not in _held:
        _hold(require("ray", "ray").get(boxed[0]), name)
    return _held[name](chunk)
