"""Background work in lanes: one runs and one waits in each, and urgent work goes first."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import partial
from threading import Condition, Event, Thread, main_thread
from typing import Any, Generic, TypeVar

from qtpy.QtCore import QObject, Qt, Signal

from ..stopping import Stopped, check, stoppable

T = TypeVar("T")

WORKERS = 2
"""Workers that are busy in one lane: one that runs, and one that was cancelled and runs out."""
NO_MEMORY = "there is not enough memory; close something or use a smaller model"
EXPECTED = (MemoryError, RuntimeError, ValueError, OSError, ArithmeticError, LookupError, TypeError)
"""Errors that are shown as one sentence; any other is also raised, as a fault of the program."""


class Lane(IntEnum):
    """What work is for, from most to least urgent.

    CLICK, PLANE, HOVER, EDIT, PREFETCH, FOLLOW, BATCH, SIMILAR, BULK, NEXT and LEARN are computing
    lanes: they compute with the model, and the less urgent one waits for the more urgent one. The
    others wait for files and the network; they neither make others wait nor wait themselves.
    """

    CLICK = auto()  # prompts are answered
    MODEL = auto()  # a model is downloaded or loaded
    TEXT = auto()  # a model of images and words is downloaded or loaded
    PLANE = auto()  # the plane shown is encoded
    HOVER = auto()  # the mask under the pointer is predicted
    EDIT = auto()  # kept objects are reshaped
    LABELS = auto()  # labels are counted
    ACCEPT = auto()  # proposals become kept objects, or are rejected
    SHEET = auto()  # kept objects are drawn on a contact sheet
    CACHE = auto()  # what is kept on disk is counted or removed
    FILES = auto()  # images and annotations are opened
    REVIEW = auto()  # kept objects are measured for the list
    THUMBNAIL = auto()  # what the model sees is drawn small
    SURFACES = auto()  # surfaces are made for the 3-D view
    SAVE = auto()  # annotations are written
    JOURNAL = auto()  # labels that were there before are kept in the journal
    RECOVERY = auto()  # journals are looked through
    PREFETCH = auto()  # neighbouring planes are encoded
    FOLLOW = auto()  # objects in work are followed through a stack
    BATCH = auto()  # the prompts of a layer are answered
    SIMILAR = auto()  # objects like given ones are looked for
    BULK = auto()  # everything mode, and other long runs
    NEXT = auto()  # the next image of a series is encoded
    LEARN = auto()  # what a model learns from is read, and two models are compared

    @property
    def computes(self) -> bool:
        """Whether work in this lane computes with the model."""
        return self in COMPUTING


COMPUTING = (
    Lane.CLICK,
    Lane.PLANE,
    Lane.HOVER,
    Lane.EDIT,
    Lane.PREFETCH,
    Lane.FOLLOW,
    Lane.BATCH,
    Lane.SIMILAR,
    Lane.BULK,
    Lane.NEXT,
    Lane.LEARN,
)


@dataclass(frozen=True, eq=False)
class Work(Generic[T]):
    """Something to do off the main thread.

    Attributes
    ----------
    steps : callable returning a generator
        Called and driven in the worker. It should hold no lock where it yields, as it may have to
        wait there. A plain iterator will do as well; its result is None.
    on_step : callable
        Called on the main thread with each value that is yielded.
    on_result : callable
        Called on the main thread with what the generator returns, when it ends.
    on_error : callable or None
        Called on the main thread with one sentence, `text` in it; None: `Scheduler.failed` is
        emitted.
    text : str
        What the work does, for error messages.
    """

    steps: Callable[[], Generator[Any, None, T]]
    on_step: Callable[[Any], None] = lambda value: None
    on_result: Callable[[T], None] = lambda result: None
    on_error: Callable[[str], None] | None = None
    text: str = "working"


@dataclass(frozen=True, eq=False)
class Run:
    """Work that runs in a thread, and the flag that stops it."""

    work: Work[Any]
    lane: Lane
    stop: Event

    @property
    def must_stop(self) -> bool:
        """Whether it was cancelled, or the program ends: Python waits for its threads then."""
        return self.stop.is_set() or not main_thread().is_alive()


class Scheduler(QObject):  # type: ignore[misc]
    """Runs work in threads; all methods are for the main thread, where callbacks are called, too.

    In each lane one piece of work runs and one waits; a newer one takes the waiting one's place.
    What a callback of work that has ended submits to the same lane runs at once, before what waits.

    While a computing lane runs, less urgent ones pause before their next step; `submit` does not
    cancel them. They never pause inside a step: the session holds a lock while it encodes, and
    the urgent work may need that very lock. Where a step is too long to wait for, cancel its lane.

    The callbacks of cancelled work are not called any more. The work itself ends at its next step
    or `stopping.check`; until then it has a thread, and Python does not exit before that ends.

    Signals
    -------
    busy_changed : (Lane, bool)
        A lane becomes busy or idle; not emitted between two pieces of work.
    failed : str
        One sentence.
    """

    busy_changed = Signal(object, bool)
    failed = Signal(str)

    _stepped = Signal(object, object)  # Run, value; emitted in workers, as is the next
    _ended = Signal(object, object)  # Run, what to call then

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[Lane, Run] = {}
        self._waiting: dict[Lane, Work[Any]] = {}
        self._told_busy: set[Lane] = set()
        self._closed = False
        self._changed = Condition()  # guards the next; told when one ends or is to stop
        self._alive: list[Run] = []  # in order of their starts, cancelled ones too
        self._stepped.connect(self._on_run_stepped, Qt.ConnectionType.QueuedConnection)
        self._ended.connect(self._on_run_ended, Qt.ConnectionType.QueuedConnection)

    def submit(self, work: Work[T], lane: Lane) -> None:
        """Run work now, or after what runs in its lane; drop what was waiting there.

        Parameters
        ----------
        work : Work
        lane : Lane
        """
        if self._closed:
            return
        if lane in self._running:
            self._waiting[lane] = work
        else:
            self._start(work, lane)
        self._say_busy(lane)

    def cancel(self, lane: Lane) -> None:
        """Drop what waits and what runs; the interface is free at once, the work ends soon."""
        self._waiting.pop(lane, None)
        run = self._running.pop(lane, None)
        if run is not None:
            with self._changed:
                run.stop.set()
                self._changed.notify_all()
        self._say_busy(lane)

    def close(self) -> None:
        """Cancel all lanes and take no work any more."""
        self._closed = True
        for lane in Lane:
            self.cancel(lane)

    def is_busy(self, lane: Lane) -> bool:
        """Whether work runs or waits in a lane; what calls `on_result` or `on_error` has ended."""
        return lane in self._running or lane in self._waiting

    def any_busy(self, lanes: Iterable[Lane]) -> bool:
        """Whether one of some lanes has work."""
        return any(self.is_busy(lane) for lane in lanes)

    def wait(self, timeout_ms: int = -1, lane: Lane | None = None) -> bool:
        """Block until no worker is left, cancelled ones included, or some time has passed.

        Nothing is delivered meanwhile: callbacks, and what waits, have their turn when Qt's event
        loop goes on.

        Parameters
        ----------
        timeout_ms : int
            -1 waits as long as it takes.
        lane : Lane, optional
            Look at the workers of one lane only.

        Returns
        -------
        bool
            Whether no worker is left.
        """

        def ended() -> bool:
            return not any(lane in (None, run.lane) for run in self._alive)

        with self._changed:
            return self._changed.wait_for(ended, None if timeout_ms < 0 else timeout_ms / 1000)

    # -- on the main thread -------------------------------------------------------------------

    def _start(self, work: Work[Any], lane: Lane) -> None:
        run = Run(work, lane, Event())
        # a thread that stays for the next work makes the model take half as long again; probably
        # because it keeps a team of torch's OpenMP threads
        thread = Thread(target=self._work, args=(run,), name=f"napari_sam {lane.name.lower()}")
        with self._changed:
            thread.start()
            self._alive.append(run)
        self._running[lane] = run

    def _on_run_stepped(self, run: Run, value: Any) -> None:
        if self._running.get(run.lane) is run:
            run.work.on_step(value)

    def _on_run_ended(self, run: Run, tell: Callable[[], None]) -> None:
        if self._running.get(run.lane) is not run:
            return
        del self._running[run.lane]
        try:
            tell()
        finally:
            self._next(run.lane)

    def _next(self, lane: Lane) -> None:
        """Start what waits, unless a callback has started other work."""
        if lane not in self._running and lane in self._waiting:
            self._start(self._waiting.pop(lane), lane)
        self._say_busy(lane)

    def _say_busy(self, lane: Lane) -> None:
        busy = self.is_busy(lane)
        if busy != (lane in self._told_busy):
            self._told_busy ^= {lane}
            self.busy_changed.emit(lane, busy)

    def _say_failed(self, work: Work[Any], sentence: str) -> None:
        say = self.failed.emit if work.on_error is None else work.on_error
        say(f"{work.text} failed: {sentence}")

    # -- in a worker --------------------------------------------------------------------------

    def _work(self, run: Run) -> None:
        """Do the work and report its end, whatever that is."""
        tell: Callable[[], None] = _nothing
        try:
            tell = partial(run.work.on_result, self._driven(run))
        except Stopped:
            pass
        except EXPECTED as error:
            tell = partial(self._say_failed, run.work, _sentence(error))
        except Exception as error:
            tell = partial(self._say_failed, run.work, _sentence(error))
            raise  # napari shows where
        finally:
            with suppress(RuntimeError):  # Qt has deleted this object: nothing can receive it
                self._ended.emit(run, tell)
            with self._changed:
                self._alive.remove(run)
                self._changed.notify_all()

    def _driven(self, run: Run) -> Any:
        """Run the steps to their end and return their result."""
        steps: Iterator[Any] = iter(())
        try:
            with stoppable(lambda: run.must_stop):
                self._await_turn(run)
                steps = run.work.steps()
                while True:
                    self._await_turn(run)
                    try:
                        value = next(steps)
                    except StopIteration as end:
                        return end.value
                    self._stepped.emit(run, value)
        finally:
            if isinstance(steps, Generator):
                steps.close()  # where it was stopped half-way

    def _await_turn(self, run: Run) -> None:
        """Pause while urgent work runs; raise `Stopped` if the result is no longer needed."""
        with self._changed:
            self._changed.wait_for(lambda: run.must_stop or not self._must_pause(run))
        check()

    def _must_pause(self, run: Run) -> bool:
        before = self._alive[: self._alive.index(run)]
        if sum(other.lane is run.lane for other in before) >= WORKERS:
            return True
        return run.lane.computes and any(
            other.lane.computes and other.lane < run.lane and not other.stop.is_set()
            for other in self._alive
        )


def _nothing() -> None:
    """Do nothing: the callback of work that was stopped."""


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    if isinstance(error, MemoryError) or (lines and "out of memory" in lines[0].lower()):
        return NO_MEMORY
    return lines[0] if lines else type(error).__name__
