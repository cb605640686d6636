"""A dask cluster that does the work of a command: one of this machine, or one that is there."""

from __future__ import annotations

import logging
import os
import pkgutil
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
from .cluster_tasks import ModelFacts, ModelSource, model_facts
from .commands import Say

CONNECT = 10.0
"""Seconds that a scheduler has to answer in."""
FIRST_WORKER = 30.0
"""Seconds that a first worker has to join a scheduler in."""
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
    future : distributed.Future

    Attributes
    ----------
    task : object
    """

    def __init__(self, task: Task, future: Any) -> None:
        self.task = task
        self._future = future

    def result(self) -> Found:
        """Return what the task returned, or raise what it raised.

        Raises
        ------
        ValueError
            If the workers that did it ended, or the scheduler has gone.
        """
        try:
            found: Found = self._future.result()
        except _dask().KilledWorker as error:
            raise ValueError(
                "each worker that did it ended, as one does that needs more memory than it has; "
                "give the workers more memory"
            ) from error
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
        run = uuid.uuid4().hex
        self.source = ModelSource(model, args.device, args.precision, args.offline or None, run)
        self.model: ModelFacts = self.once(model_facts, self.source)
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

    def once(self, function: Callable[..., Found], *given: Any) -> Found:
        """Run a function on one of the workers and return its result."""
        outcome = next(self.completed(partial(_spread, function), [given]))
        return outcome.result()

    def completed(
        self, function: Callable[[Task], Found], tasks: Iterable[Task]
    ) -> Generator[Outcome[Task, Found], None, None]:
        """Run a function on tasks and yield those that have ended, in any order.

        A task whose worker was killed is done by another one. Tasks are taken from `tasks` a few
        ahead. Those that are not done when this ends early are cancelled.

        Raises
        ------
        ValueError
            If the scheduler has gone.
        """
        left, given = iter(tasks), dict[Any, Task]()
        try:
            while True:
                for task in islice(left, max(0, AHEAD * self.workers() - len(given))):
                    given[self._client.submit(function, task, pure=False)] = task
                if not given:
                    return
                for future in self._ended(list(given)):
                    yield Outcome(given.pop(future), future)
                if not self._count():
                    self._say("waiting for a worker: none is left")
        finally:
            if given:
                with suppress(OSError, TimeoutError):
                    self._client.cancel(list(given), force=True)

    def _ended(self, futures: Sequence[Any]) -> list[Any]:
        """Wait a moment for one of several futures; return those that have ended."""
        try:
            with suppress(TimeoutError), self._client.as_current():
                _dask().wait(futures, timeout=LOOK, return_when="FIRST_COMPLETED")
        except CancelledError as error:
            raise ValueError(self._gone) from error
        return [one for one in futures if one.done()]

    def _count(self) -> int:
        try:
            return len(self._client.nthreads())
        except OSError as error:
            raise ValueError(self._gone) from error

    @property
    def _gone(self) -> str:
        return (
            f"the scheduler of the cluster {self._address} has gone; the same command goes on with "
            "what is done"
        )


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
        _check_workers(client, args.cluster, say)
        models = [Path(args.model).resolve()] if is_path(args.model) else []
        _check_files(client, [*seen, *models], folder)
        say(f"dashboard of the cluster: {client.dashboard_link}", keep=True)
        yield Cluster(client, args.cluster, args, say)


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


def _check_workers(client: Any, address: str, say: Say) -> None:
    """Refuse workers that lack this program or have another version of it."""
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER)
    except TimeoutError as error:
        raise ValueError(
            f"the cluster {address} has no worker; start one with: dask worker {address} "
            "--nthreads 1"
        ) from error
    versions = client.run(pkgutil.resolve_name, "napari_sam:__version__", on_error="return")
    for worker, version in versions.items():
        if isinstance(version, Exception):
            raise ValueError(
                f"the worker {worker} lacks this program ({version}); install napari-sam-stack "
                f"{__version__} there"
            )
        if version != __version__:
            raise ValueError(
                f"the worker {worker} has napari-sam-stack {version}, but this is {__version__}; "
                "install the same version"
            )
    idle = [
        one
        for one in client.scheduler_info(n_workers=-1)["workers"].values()
        if one["nthreads"] > 1
    ]
    if idle:
        say(
            f"{len(idle)} workers have several threads and use one; start them with --nthreads 1 "
            "and --nworkers",
            keep=True,
        )


def _check_files(client: Any, seen: Sequence[Path], folder: Path) -> None:
    """Refuse workers that do not see the same files under the same names."""
    token = folder / f".{uuid.uuid4().hex}"
    token.touch()
    try:
        for path in (*seen, token):
            for worker, there in client.run(os.path.exists, str(path)).items():
                if not there:
                    named = folder if path == token else path
                    raise ValueError(
                        f"the worker {worker} does not see {named}; all machines need to see the "
                        "same files under the same names"
                    )
        for worker, fine in client.run(os.access, str(folder), os.W_OK).items():
            if not fine:
                raise ValueError(f"the worker {worker} may not write to {folder}")
    finally:
        token.unlink(missing_ok=True)


def _spread(function: Callable[..., Found], given: tuple[Any, ...]) -> Found:
    return function(*given)
