"""A dask cluster that does the work of a command: one of this machine, or one that is there."""

from __future__ import annotations

import logging
import os
import re
import signal
import uuid
from argparse import Namespace
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import psutil

from .._version import __version__
from ..models.registry import is_path
from .cluster_checks import check_files, check_workers, models_of
from .cluster_tasks import ModelFacts, ModelSource, UnfitWorkerError, model_facts
from .commands import Say

CONNECT = 10.0
"""Seconds that a scheduler has to answer in."""
LOOK = 1.0
"""Seconds between two looks at the workers."""
AHEAD = 3
"""Tasks that are handed out for each worker, so that none waits for the next one."""
WORKER_BYTES = 2 * 10**9
"""Memory for each worker of this machine, where their number is not given."""
MOST_HELD_SHARE = 8
"""A worker keeps no more of its image than this part of its memory."""
MISSING = 'install it with: pip install "napari-sam-stack[distributed]"'

Task = TypeVar("Task")
Found = TypeVar("Found")


class Outcome(Generic[Task, Found]):
    """A task that has ended.

    Parameters
    ----------
    task : object
    found : object
        What it returned.
    error : Exception or None
        What it raised.

    Attributes
    ----------
    task : object
    """

    def __init__(self, task: Task, found: Any, error: BaseException | None) -> None:
        self.task = task
        self._found, self._error = found, error

    def result(self) -> Found:
        """Return what the task returned, or raise what it raised.

        Raises
        ------
        ValueError
            If the workers that did it ended.
        """
        if isinstance(self._error, _dask().KilledWorker):
            raise ValueError(
                "each worker that did it ended, as one does that needs more memory than it has; "
                "give the workers more memory"
            ) from self._error
        if self._error is not None:
            raise self._error
        found: Found = self._found
        return found


class Cluster:
    """A connection to workers that have the same program and see the same files.

    Parameters
    ----------
    client : distributed.Client
    address : str
        As it was given.
    args : Namespace
        With the flags of a model.
    say : callable

    Attributes
    ----------
    source : ModelSource
        The model that the workers load.
    model : ModelFacts
        What they say of it.
    """

    def __init__(self, client: Any, address: str, args: Namespace, say: Say) -> None:
        self._client, self._address, self._say = client, address, say
        model = str(Path(args.model).resolve()) if is_path(args.model) else args.model
        self._begun: list[Generator[Any, None, None]] = []
        first = ModelSource(
            model, args.device, args.precision, args.offline or None, uuid.uuid4().hex, __version__
        )
        waiting = "waiting for a worker that is busy, or loads the model"
        self.model: ModelFacts = self.once(model_facts, first, waiting=waiting)
        self.source = first._replace(wanted=(self.model.fingerprint, self.model.precision))
        if self.model.notice:
            say(self.model.notice, keep=True)

    def workers(self) -> int:
        """Return how many workers there are now, at least 1."""
        return max(1, self._count())

    @property
    def most_held(self) -> int:
        """Bytes of an image that a worker may keep."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        limits = [int(one["memory_limit"] or 0) for one in workers]
        least = min((one for one in limits if one), default=int(psutil.virtual_memory().total))
        return least // MOST_HELD_SHARE

    def once(self, function: Callable[..., Found], *given: Any, waiting: str = "") -> Found:
        """Run a function on one of the workers and return its result; see `completed`."""
        outcome = next(self.completed(partial(_spread, function), [given], waiting))
        return outcome.result()

    def close(self) -> None:
        """Cancel what is not done; call it before the connection ends."""
        for one in self._begun:
            one.close()

    def completed(
        self, function: Callable[[Task], Found], tasks: Iterable[Task], waiting: str = ""
    ) -> Generator[Outcome[Task, Found], None, None]:
        """Run a function on tasks and yield those that have ended, in any order.

        A task whose worker was killed is done by another one. Tasks are taken from `tasks` a few
        ahead. Those that are not done when this ends early are cancelled.

        Parameters
        ----------
        function : callable
        tasks : iterable
        waiting : str
            What is said while none ends.

        Raises
        ------
        ValueError
            If the scheduler has gone, or a worker cannot do the work of this run.
        """
        running = self._completed(function, tasks, waiting)
        self._begun.append(running)
        return running

    def _completed(
        self, function: Callable[[Task], Found], tasks: Iterable[Task], waiting: str
    ) -> Generator[Outcome[Task, Found], None, None]:
        left, given = iter(tasks), dict[Any, Task]()
        try:
            while True:
                for task in islice(left, max(0, AHEAD * self.workers() - len(given))):
                    with self._connection():
                        given[self._client.submit(function, task, pure=False)] = task
                if not given:
                    return
                ended = self._ended(list(given))
                for future in ended:
                    yield self._outcome(given.pop(future), future)
                if not self._count():
                    self._say("waiting for a worker: none is left")
                elif waiting and not ended:
                    self._say(waiting)
        finally:
            if given:
                with suppress(ValueError, TimeoutError), self._connection():
                    self._client.cancel(list(given), force=True)

    def _outcome(self, task: Task, future: Any) -> Outcome[Task, Found]:
        """Return what became of a task that has ended."""
        with self._connection():
            if future.status != "error":
                return Outcome(task, future.result(), None)
            error = future.exception()
        if isinstance(error, UnfitWorkerError):  # which is wrong for all tasks
            raise error
        return Outcome(task, None, error)

    def _ended(self, futures: Sequence[Any]) -> list[Any]:
        """Wait a moment for one of several futures; return those that have ended."""
        with self._connection(), suppress(TimeoutError), self._client.as_current():
            _dask().wait(futures, timeout=LOOK, return_when="FIRST_COMPLETED")
        return [one for one in futures if one.done()]

    def _count(self) -> int:
        with self._connection():
            return len(self._client.nthreads())

    @contextmanager
    def _connection(self) -> Iterator[None]:
        """Say in a sentence that the scheduler has gone."""
        try:
            yield
        except (OSError, CancelledError, _dask().client.ClosedClientError) as error:
            raise ValueError(
                f"the scheduler of the cluster {self._address} has gone; the same command goes on "
                "with what is done"
            ) from error


@contextmanager
def connected(args: Namespace, seen: Sequence[Path], folder: Path, say: Say) -> Iterator[Cluster]:
    """Connect to the workers that `args.cluster` names; those of this machine end with it.

    Parameters
    ----------
    args : Namespace
        With `cluster` and the flags of a model.
    seen : sequence of Path
        Files that every worker has to see.
    folder : Path
        Where it has to see what is written here.
    say : callable

    Raises
    ------
    ValueError
        If there is no such cluster, or its workers cannot do this work.
    """
    count, distributed = check_cluster(args.cluster), _dask()
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is raised
    with ExitStack() as stack:
        address = args.cluster
        if not address.startswith(("tcp:", "tls:")):
            say(f"starting {count} workers")
            with _interruption_ignored():  # which workers would report one by one, at length
                local = distributed.LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
            address = stack.enter_context(local)
        try:
            client = distributed.Client(address, timeout=CONNECT, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise ValueError(
                f"no scheduler answers at {address}; start one with: dask scheduler"
            ) from error
        stack.enter_context(client)
        check_workers(client, args.cluster, say)
        check_files(client, [*seen, *models_of(args)], folder)
        say(f"dashboard of the cluster: {client.dashboard_link}", keep=True)
        cluster = Cluster(client, args.cluster, args, say)
        stack.callback(cluster.close)
        yield cluster


def check_cluster(text: str) -> int:
    """Return how many workers "local" or "local:N" asks for; 0 for an address.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", text):
        return 0
    found = re.fullmatch(r"local(?::(\d+))?", text)
    if found is None or found[1] == "0":
        raise ValueError(
            f"--cluster is local, local:N for N workers, or tcp://HOST:PORT, but is {text!r}"
        )
    if found[1]:
        return int(found[1])
    free = int(psutil.virtual_memory().available)
    return max(1, min(os.cpu_count() or 1, free // WORKER_BYTES))


@contextmanager
def _interruption_ignored() -> Iterator[None]:
    """Start processes that a Ctrl+C does not reach; this one sees it again afterwards."""
    before: Any = None
    with suppress(ValueError):  # another thread than the main one
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _dask() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ValueError(f"--cluster needs dask; {MISSING}") from error


def _spread(function: Callable[..., Found], given: tuple[Any, ...]) -> Found:
    return function(*given)
