"""Background work: one job runs, one waits, and a newer one takes the waiting one's place."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

from qtpy.QtCore import QObject, QThreadPool, Signal
from superqt.utils import GeneratorWorker, create_worker

from ..stopping import Stopped, stoppable

Worker = GeneratorWorker[Any, Any, Any]


class JobError(Exception):
    """What went wrong in a worker, in one sentence."""


@dataclass(frozen=True, eq=False)
class Job:
    """Something to do off the main thread.

    Attributes
    ----------
    steps : callable returning an iterator
        Called and driven in the worker; each value it yields is handed to `on_step`.
    on_step : callable
        Called on the main thread with each value.
    on_done : callable
        Called on the main thread when all is done, without arguments.
    text : str
        What the job does, for error messages.
    """

    steps: Callable[[], Iterator[Any]]
    on_step: Callable[[Any], None]
    on_done: Callable[[], None] = lambda: None
    text: str = "working"


@dataclass(frozen=True, eq=False)
class Run:
    """A job under way, its worker, and what tells the work inside that nobody waits any more."""

    job: Job
    worker: Worker
    stop: Event


class Jobs(QObject):  # type: ignore[misc]
    """Runs jobs one at a time.

    Signals
    -------
    busy_changed : bool
    failed : str
        One sentence.
    """

    busy_changed = Signal(bool)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._running: Run | None = None
        self._waiting: Job | None = None
        self._abandoned: set[Worker] = set()
        self._pool = QThreadPool()
        self._pool.setMaxThreadCount(2)  # one that runs, one that is running out
        # with idle threads left the model takes half as long again; probably because each of them
        # keeps a team of torch's OpenMP threads
        self._pool.setExpiryTimeout(0)

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._running is not None

    def submit(self, job: Job) -> None:
        """Run a job now, or after the one that runs; drop what was waiting."""
        if self._running is None:
            self._start(job)
        else:
            self._waiting = job

    def cancel(self) -> None:
        """Drop what waits and what runs; the interface is free at once, the work ends soon."""
        self._waiting = None
        if self._running is not None:
            run, self._running = self._running, None
            self._abandon(run)
            self.busy_changed.emit(False)

    def wait(self, timeout_ms: int = -1) -> None:
        """Block until no worker runs any more, or some time has passed."""
        self._pool.waitForDone(timeout_ms)

    def _start(self, job: Job) -> None:
        steps, stop = _guarded(job.steps), Event()
        worker: Worker = create_worker(
            _driven, steps, stop, _start_thread=False, _ignore_errors=True
        )  # errors are told below, not raised in the event loop
        self._running = Run(job, worker, stop)
        worker.finished.connect(lambda *_: steps.close())  # where it was stopped half-way
        worker.yielded.connect(lambda value: self._on_worker_yielded(worker, value))
        worker.errored.connect(lambda error: self._on_worker_errored(worker, error))
        worker.finished.connect(lambda *_: self._on_worker_finished(worker))
        self.busy_changed.emit(True)
        self._pool.start(worker)

    def _abandon(self, run: Run) -> None:
        """Let a worker run out; keep it alive until then."""
        self._abandoned.add(run.worker)
        run.stop.set()
        run.worker.quit()

    def _is_running(self, worker: Worker) -> bool:
        return self._running is not None and self._running.worker is worker

    def _on_worker_yielded(self, worker: Worker, value: Any) -> None:
        if self._running is not None and self._is_running(worker):
            self._running.job.on_step(value)

    def _on_worker_errored(self, worker: Worker, error: Exception) -> None:
        if self._running is None or not self._is_running(worker):
            return
        job, self._running = self._running.job, None
        self._abandoned.add(worker)
        self.failed.emit(f"{job.text} failed: {error}")
        self._next()

    def _on_worker_finished(self, worker: Worker) -> None:
        self._abandoned.discard(worker)
        if self._running is None or not self._is_running(worker):
            return
        job, self._running = self._running.job, None
        job.on_done()
        self._next()

    def _next(self) -> None:
        job, self._waiting = self._waiting, None
        if self._running is not None:  # `on_done` started another one
            self._waiting = job
        elif job is not None:
            self._start(job)
        else:
            self.busy_changed.emit(False)


def _driven(steps: Generator[Any, None, None], stop: Event) -> Generator[Any, None, None]:
    """Hand on what `steps` yields, and let the work between two values look at `stop`."""
    while True:
        with stoppable(stop.is_set):
            try:
                value = next(steps)
            except StopIteration:
                return
        yield value


def _guarded(steps: Callable[[], Iterator[Any]]) -> Generator[Any, None, None]:
    """Drive a job; every error becomes a `JobError`.

    A generator worker of superqt swallows a `RuntimeError`, and every error of torch is one.
    """
    try:
        yield from steps()
    except Stopped:
        return
    except MemoryError as error:
        raise JobError(
            "there is not enough memory; close something or use a smaller model"
        ) from error
    except (RuntimeError, ValueError, OSError, ArithmeticError, LookupError, TypeError) as error:
        raise JobError(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    text = str(error).strip().splitlines()
    if text and "out of memory" in text[0].lower():
        return "there is not enough memory; close something or use a smaller model"
    return text[0] if text else type(error).__name__
