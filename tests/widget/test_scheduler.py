"""Work runs in lanes: the newest waits, urgent work goes first, and cancelled work is silent."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import weakref

import pytest
from qtpy.QtCore import QCoreApplication, QEvent, QObject

from napari_sam import stopping
from napari_sam.widget.scheduler import NO_MEMORY, WORKERS, Lane, Scheduler, Work

COMPUTING = (
    *(Lane.CLICK, Lane.PLANE, Lane.HOVER, Lane.EDIT, Lane.PREFETCH, Lane.FOLLOW),
    *(Lane.BATCH, Lane.SIMILAR, Lane.BULK, Lane.NEXT, Lane.LEARN),
)
OTHERS = tuple(lane for lane in Lane if lane not in COMPUTING)
SOON = 5000  # ms; nothing here takes that long unless it is broken


@pytest.fixture(autouse=True)
def raised(monkeypatch):
    """Errors that end a thread; a test that expects some has to take them out."""
    errors = []
    monkeypatch.setattr(threading, "excepthook", lambda args: errors.append(args.exc_value))
    yield errors
    assert errors == []


@pytest.fixture
def scheduler(qtbot):
    scheduler = Scheduler()
    yield scheduler
    scheduler.close()
    assert scheduler.wait(SOON)


@pytest.fixture
def idle(scheduler, qtbot):
    """Return a function that waits until no lane has work."""
    return lambda: qtbot.waitUntil(lambda: not scheduler.any_busy(Lane), timeout=SOON)


class Held:
    """Work that yields numbers; each step from the second on waits until it is let go."""

    def __init__(self, steps=1, **options):
        self.begun = []  # steps that the worker has begun
        self.told = []  # what was called back
        self.closed = threading.Event()
        self.gates = [threading.Event() for _ in range(steps)]
        options.setdefault("on_step", self.told.append)
        options.setdefault("on_result", lambda result: self.told.append(f"result {result}"))
        self.work = Work(self.steps, **options)

    def steps(self):
        try:
            for number, gate in enumerate(self.gates):
                self.begun.append(number)
                while not gate.wait(0.001):
                    stopping.check()
                yield number
            return len(self.gates)
        finally:
            self.closed.set()

    def let_go(self, *numbers):
        for number in numbers or range(len(self.gates)):
            self.gates[number].set()


def at_once(values, result=None):
    """Return steps that yield some values and return a result."""

    def steps():
        yield from values
        return result

    return steps


def failing(error):
    def steps():
        yield 1
        raise error

    return steps


def workers():
    return [one for one in threading.enumerate() if one.name.startswith("napari_sam ")]


# -- lanes ----------------------------------------------------------------------------------------


def test_lanes_are_in_the_order_of_their_urgency():
    names = (
        "CLICK MODEL TEXT PLANE HOVER EDIT LABELS ACCEPT SHEET CACHE FILES REVIEW THUMBNAIL "
        "SURFACES SAVE JOURNAL RECOVERY PREFETCH FOLLOW BATCH SIMILAR BULK NEXT LEARN"
    )
    assert [lane.name for lane in sorted(Lane)] == names.split()
    assert tuple(lane for lane in Lane if lane.computes) == COMPUTING


def test_lanes_without_the_model_run_beside_each_other(scheduler, idle, qtbot):
    held = [Held() for _ in OTHERS]
    for one, lane in zip(held, OTHERS, strict=True):
        scheduler.submit(one.work, lane)
    qtbot.waitUntil(lambda: all(one.begun for one in held))
    assert scheduler.any_busy(OTHERS)
    assert not scheduler.any_busy(COMPUTING)
    for one in held:
        one.let_go()
    idle()


def test_busy_is_told_when_it_changes_and_only_then(scheduler, idle):
    told = []
    scheduler.busy_changed.connect(lambda lane, busy: told.append((lane, busy)))
    held = Held()
    scheduler.submit(held.work, Lane.LABELS)
    scheduler.submit(Work(at_once([])), Lane.LABELS)
    assert scheduler.is_busy(Lane.LABELS)
    held.let_go()
    idle()
    scheduler.submit(Held().work, Lane.CLICK)
    scheduler.cancel(Lane.CLICK)
    scheduler.cancel(Lane.CLICK)
    assert told == [
        (Lane.LABELS, True),
        (Lane.LABELS, False),
        (Lane.CLICK, True),
        (Lane.CLICK, False),
    ]
    assert all(isinstance(lane, Lane) for lane, _ in told)


# -- what is called back --------------------------------------------------------------------------


def test_steps_come_in_order_then_the_result(scheduler, idle):
    seen = []
    work = Work(at_once(range(50), "the result"), seen.append, seen.append)
    scheduler.submit(work, Lane.CLICK)
    assert seen == []  # nothing before the event loop goes on
    idle()
    assert seen == [*range(50), "the result"]


def test_a_plain_iterator_gives_none(scheduler, idle):
    seen = []
    scheduler.submit(Work(lambda: iter([1, 2]), seen.append, seen.append), Lane.CLICK)
    idle()
    assert seen == [1, 2, None]


def test_work_runs_in_a_worker_and_callbacks_on_the_main_thread(scheduler, idle):
    where = {}

    def note(name):
        where[name] = threading.current_thread()

    def steps(fail):
        note("steps")
        yield
        if fail:
            raise ValueError("bad")

    def work(fail, on_error):
        return Work(lambda: steps(fail), lambda _: note("step"), lambda _: note("result"), on_error)

    scheduler.failed.connect(lambda _: note("failed"))
    for fail, on_error in ((False, None), (True, None), (True, lambda _: note("error"))):
        scheduler.submit(work(fail, on_error), Lane.PLANE)
        idle()
    main = threading.main_thread()
    assert where.pop("steps").name == "napari_sam plane"
    assert where == {"step": main, "result": main, "failed": main, "error": main}


def test_the_newest_waiting_work_runs(scheduler, idle):
    first, seen = Held(), []
    scheduler.submit(first.work, Lane.BULK)
    for number in range(3):
        scheduler.submit(Work(at_once([], number), on_result=seen.append), Lane.BULK)
    first.let_go()
    idle()
    assert first.told == [0, "result 1"]
    assert seen == [2]


# -- cancelling -----------------------------------------------------------------------------------


def test_cancelled_work_is_silent_and_ends(scheduler, qtbot):
    held, waiting = Held(2), Held()
    scheduler.submit(held.work, Lane.CLICK)
    scheduler.submit(waiting.work, Lane.CLICK)
    held.let_go(0)
    qtbot.waitUntil(lambda: held.told == [0])
    scheduler.cancel(Lane.CLICK)
    assert not scheduler.is_busy(Lane.CLICK)
    assert scheduler.wait(SOON, Lane.CLICK)  # the gate of its second step was never opened
    assert held.closed.is_set()
    qtbot.wait(20)
    assert held.told == [0]
    assert waiting.begun == []


def test_what_is_on_its_way_is_not_told_after_cancelling(scheduler, qtbot):
    seen = []
    for steps in (at_once([1, 2], 3), failing(ValueError("bad"))):
        scheduler.submit(Work(steps, seen.append, seen.append, seen.append), Lane.CLICK)
        assert scheduler.wait(SOON)  # all of it is in Qt's queue now
        scheduler.cancel(Lane.CLICK)
        qtbot.wait(20)
    assert seen == []


def test_work_that_looks_nowhere_ends_at_its_next_step_and_is_closed_there(scheduler, qtbot):
    begun, go, after, closed_in, seen = threading.Event(), threading.Event(), [], [], []

    def steps():
        try:
            begun.set()
            go.wait(5)
            yield 1
            after.append(1)
        finally:
            stopping.check()  # tidying up is not stopped
            closed_in.append(threading.current_thread().name)

    held_elsewhere = steps()  # so Python does not close it of its own accord
    scheduler.submit(Work(lambda: held_elsewhere, seen.append, seen.append), Lane.BULK)
    assert begun.wait(5)
    scheduler.cancel(Lane.BULK)
    scheduler.submit(Work(at_once([2], 3), seen.append, seen.append), Lane.BULK)
    qtbot.waitUntil(lambda: seen == [2, 3])  # it does not wait for what runs out
    go.set()
    assert scheduler.wait(SOON)
    qtbot.wait(20)
    assert seen == [2, 3]
    assert after == []
    assert closed_in == ["napari_sam bulk"]


def test_cancelling_one_lane_leaves_the_others(scheduler, idle, qtbot):
    bulk, labels = Held(), Held()
    scheduler.submit(bulk.work, Lane.BULK)
    scheduler.submit(labels.work, Lane.LABELS)
    qtbot.waitUntil(lambda: bool(bulk.begun))
    scheduler.cancel(Lane.LABELS)
    bulk.let_go()
    idle()
    assert bulk.told == [0, "result 1"]
    assert labels.told == []


def test_work_that_was_cancelled_can_be_submitted_again(scheduler, idle):
    seen = []
    work = Work(at_once([1], 2), seen.append, seen.append)
    scheduler.submit(work, Lane.CLICK)
    assert scheduler.wait(SOON)
    scheduler.cancel(Lane.CLICK)
    scheduler.submit(work, Lane.CLICK)
    idle()
    assert seen == [1, 2]


def test_close_drops_all_lanes_and_takes_nothing_more(scheduler, qtbot):
    held = [Held() for _ in Lane]
    waiting = [Held() for _ in Lane]
    for many in (held, waiting):
        for one, lane in zip(many, Lane, strict=True):
            scheduler.submit(one.work, lane)
    scheduler.close()
    assert not scheduler.any_busy(Lane)
    late = Held()
    scheduler.submit(late.work, Lane.CLICK)
    assert not scheduler.is_busy(Lane.CLICK)
    assert scheduler.wait(SOON)
    qtbot.wait(20)
    assert [one.told for one in (*held, *waiting, late)] == [[]] * (2 * len(Lane) + 1)
    assert late.begun == []
    scheduler.close()  # once more does no harm


# -- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError("the kernel broke"), "the kernel broke"),
        (ValueError("bad\nand more of it"), "bad"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (ZeroDivisionError("division by zero"), "division by zero"),
        (KeyError("weight"), "'weight'"),
        (TypeError(), "TypeError"),
        (MemoryError(), NO_MEMORY),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), NO_MEMORY),
        (StopIteration(), "generator raised StopIteration"),
    ],
)
def test_every_expected_error_becomes_one_sentence(scheduler, idle, error, sentence):
    seen, told = [], []
    scheduler.failed.connect(told.append)
    scheduler.submit(Work(failing(error), seen.append, seen.append, text="trying"), Lane.PLANE)
    idle()
    assert seen == [1]
    assert told == [f"trying failed: {sentence}"]
    scheduler.submit(Work(at_once([2]), seen.append), Lane.PLANE)  # the lane is free again
    idle()
    assert seen == [1, 2]


def test_an_error_before_the_first_step_is_told(scheduler, idle):
    told = []

    def steps():
        raise ValueError("no such plane")

    scheduler.failed.connect(told.append)
    scheduler.submit(Work(steps, text="encoding"), Lane.PLANE)
    idle()
    assert told == ["encoding failed: no such plane"]


def test_work_may_want_to_be_told_of_its_error_itself(scheduler, idle):
    told, others = [], []
    scheduler.failed.connect(others.append)
    work = Work(failing(ValueError("bad")), on_error=told.append, text="loading")
    scheduler.submit(work, Lane.MODEL)
    idle()
    assert told == ["loading failed: bad"]
    assert others == []


def test_an_error_that_nobody_expects_is_told_and_raised(scheduler, idle, raised):
    told, error = [], AttributeError("no attribute x")
    scheduler.failed.connect(told.append)
    scheduler.submit(Work(failing(error)), Lane.LABELS)
    idle()
    assert scheduler.wait(SOON)
    assert told == ["working failed: no attribute x"]
    for thread in workers():
        thread.join(5)
    assert raised == [error]
    raised.clear()


def test_what_waits_runs_after_an_error(scheduler, idle):
    seen, told, gate = [], [], threading.Event()

    def steps():
        gate.wait(5)
        yield
        raise ValueError("bad")

    scheduler.failed.connect(told.append)
    scheduler.submit(Work(steps), Lane.CLICK)
    scheduler.submit(Work(at_once([], 1), on_result=seen.append), Lane.CLICK)
    gate.set()
    idle()
    assert (seen, len(told)) == ([1], 1)


def test_work_that_stops_itself_has_neither_result_nor_error(scheduler, idle):
    seen, told = [], []
    scheduler.failed.connect(told.append)
    work = Work(failing(stopping.Stopped()), seen.append, seen.append, seen.append)
    scheduler.submit(work, Lane.BULK)
    idle()
    assert (seen, told) == ([1], [])


# -- urgent work goes first -----------------------------------------------------------------------


@pytest.mark.parametrize(("urgent", "other"), list(itertools.pairwise(COMPUTING)))
def test_less_urgent_work_pauses_between_steps_and_goes_on(scheduler, idle, qtbot, urgent, other):
    lower, higher = Held(3), Held(2)
    scheduler.submit(lower.work, other)
    qtbot.waitUntil(lambda: lower.begun == [0])
    scheduler.submit(higher.work, urgent)
    qtbot.waitUntil(lambda: higher.begun == [0])
    lower.let_go()  # the step that has begun is not paused
    qtbot.waitUntil(lambda: lower.told == [0])
    higher.let_go(0)
    qtbot.waitUntil(lambda: higher.begun == [0, 1])
    qtbot.wait(30)
    assert lower.begun == [0]
    assert scheduler.is_busy(other)
    higher.let_go()
    idle()
    assert lower.told == [0, 1, 2, "result 3"]


def test_it_goes_on_although_the_event_loop_does_not(scheduler, idle, qtbot):
    lower, higher = Held(), Held()
    scheduler.submit(higher.work, Lane.CLICK)
    scheduler.submit(lower.work, Lane.BULK)
    lower.let_go()
    assert not scheduler.wait(20, Lane.BULK)
    higher.let_go()
    assert scheduler.wait(SOON)
    assert (lower.begun, lower.told) == ([0], [])
    idle()
    assert lower.told == [0, "result 1"]


def test_the_least_urgent_waits_for_all_the_others(scheduler, idle, qtbot):
    click, order = Held(), []

    def noting(name):
        def steps():
            for _ in range(3):
                order.append(name)
                yield

        return Work(steps)

    scheduler.submit(click.work, Lane.CLICK)
    scheduler.submit(noting("bulk"), Lane.BULK)
    scheduler.submit(noting("hover"), Lane.HOVER)
    qtbot.waitUntil(lambda: bool(click.begun))
    qtbot.wait(20)
    assert order == []
    click.let_go()
    idle()
    assert order == ["hover"] * 3 + ["bulk"] * 3


def test_urgent_work_does_not_wait(scheduler, qtbot):
    lower, higher = Held(), Held()
    scheduler.submit(lower.work, Lane.PREFETCH)
    qtbot.waitUntil(lambda: lower.begun == [0])
    scheduler.submit(higher.work, Lane.CLICK)
    higher.let_go()
    qtbot.waitUntil(lambda: higher.told == [0, "result 1"])
    assert scheduler.is_busy(Lane.PREFETCH)  # nor is the other one cancelled
    assert lower.told == []


@pytest.mark.parametrize("other", OTHERS)
def test_files_and_network_neither_wait_nor_make_others_wait(scheduler, idle, qtbot, other):
    click, beside, bulk = Held(), Held(2), Held(2)
    scheduler.submit(beside.work, other)
    qtbot.waitUntil(lambda: beside.begun == [0])
    scheduler.submit(bulk.work, Lane.BULK)
    bulk.let_go()
    qtbot.waitUntil(lambda: bulk.told == [0, 1, "result 2"])
    scheduler.submit(click.work, Lane.CLICK)
    qtbot.waitUntil(lambda: click.begun == [0])
    beside.let_go()
    qtbot.waitUntil(lambda: beside.told == [0, 1, "result 2"])
    click.let_go()
    idle()


def test_cancelled_work_that_runs_out_keeps_nobody_waiting(scheduler, qtbot):
    gate, begun, bulk = threading.Event(), threading.Event(), Held()

    def steps():
        begun.set()
        gate.wait(5)
        yield

    scheduler.submit(Work(steps), Lane.CLICK)
    assert begun.wait(5)
    scheduler.submit(bulk.work, Lane.BULK)
    bulk.let_go()
    qtbot.wait(20)
    assert bulk.begun == []
    scheduler.cancel(Lane.CLICK)
    qtbot.waitUntil(lambda: bulk.told == [0, "result 1"])
    assert not scheduler.wait(0, Lane.CLICK)  # it is still there
    gate.set()


@pytest.mark.parametrize("first", [True, False])
def test_work_that_is_cancelled_while_it_pauses_ends_at_once(scheduler, qtbot, first):
    click, bulk = Held(), Held(2)
    if first:
        scheduler.submit(click.work, Lane.CLICK)
        scheduler.submit(bulk.work, Lane.BULK)
    else:
        scheduler.submit(bulk.work, Lane.BULK)
        qtbot.waitUntil(lambda: bulk.begun == [0])
        scheduler.submit(click.work, Lane.CLICK)
        bulk.let_go(0)
        qtbot.waitUntil(lambda: bulk.told == [0])
    assert not scheduler.wait(20, Lane.BULK)
    scheduler.cancel(Lane.BULK)
    assert scheduler.wait(SOON, Lane.BULK)
    assert bulk.closed.is_set() != first  # where it never began there is nothing to close
    assert scheduler.is_busy(Lane.CLICK)
    assert bulk.begun == ([] if first else [0])


def test_a_pause_takes_no_computing_time(scheduler, idle, qtbot):
    click, clocks, begun, gate = Held(), [], threading.Event(), threading.Event()

    def steps():
        begun.set()
        gate.wait(5)
        clocks.append((time.monotonic(), time.thread_time()))
        yield
        clocks.append((time.monotonic(), time.thread_time()))

    scheduler.submit(Work(steps), Lane.BULK)
    assert begun.wait(5)
    scheduler.submit(click.work, Lane.CLICK)
    gate.set()
    qtbot.wait(200)
    click.let_go()
    idle()
    passed, computed = (after - before for before, after in zip(*clocks, strict=True))
    assert passed > 0.15
    assert computed < 0.02


# -- callbacks that do more -----------------------------------------------------------------------


@pytest.mark.parametrize("faulty", ["on_step", "on_result", "on_error"])
def test_a_callback_that_raises_does_not_block_its_lane(scheduler, qtbot, faulty):
    error, seen = ValueError("a fault of the interface"), []

    def fault(value):
        raise error

    steps = failing(ValueError("bad")) if faulty == "on_error" else at_once([1], 2)
    with qtbot.capture_exceptions() as caught:
        scheduler.submit(Work(steps, **{faulty: fault}), Lane.CLICK)
        scheduler.submit(Work(at_once([], 3), on_result=seen.append), Lane.CLICK)
        qtbot.waitUntil(lambda: not scheduler.is_busy(Lane.CLICK), timeout=SOON)
    assert [one for _, one, _ in caught] == [error]
    assert seen == [3]


@pytest.mark.parametrize("fail", [False, True])
def test_what_ended_work_submits_runs_before_what_waits(scheduler, idle, fail):
    seen, busy, gate = [], [], threading.Event()

    def steps():
        gate.wait(5)
        yield
        if fail:
            raise ValueError("bad")

    def follow(_):
        busy.append(scheduler.is_busy(Lane.BULK))  # there is one that waits
        scheduler.submit(Work(at_once([], "follows"), on_result=seen.append), Lane.BULK)

    ends = {"on_error": follow} if fail else {"on_result": follow}
    scheduler.submit(Work(steps, **ends), Lane.BULK)
    scheduler.submit(Work(at_once([], "waits"), on_result=seen.append), Lane.BULK)
    gate.set()
    idle()
    assert seen == ["follows", "waits"]
    assert busy == [True]


def test_a_lane_is_not_busy_with_what_has_ended(scheduler, idle):
    busy = []

    def note(_):
        busy.append(scheduler.is_busy(Lane.CLICK))

    scheduler.submit(Work(at_once([1]), note, note), Lane.CLICK)
    idle()
    assert busy == [True, False]


def test_a_step_may_submit_to_its_own_lane(scheduler, idle):
    seen = []

    def follow(_):
        scheduler.submit(Work(at_once([], "follows"), on_result=seen.append), Lane.BULK)

    scheduler.submit(Work(at_once([1], "first"), follow, seen.append), Lane.BULK)
    idle()
    assert seen == ["first", "follows"]


@pytest.mark.parametrize("end", [lambda s: s.cancel(Lane.CLICK), lambda s: s.close()])
@pytest.mark.parametrize("callback", ["on_step", "on_result", "on_error"])
def test_a_callback_may_cancel_its_own_lane(scheduler, qtbot, end, callback):
    seen, busy, gate = [], [], threading.Event()
    scheduler.busy_changed.connect(lambda lane, value: busy.append(value))

    def steps():
        gate.wait(5)
        yield 1
        if callback == "on_error":
            raise ValueError("bad")
        return 2

    def stop(value):
        end(scheduler)
        seen.append("stopped")

    options = {"on_step": seen.append, "on_result": seen.append, "on_error": seen.append}
    scheduler.submit(Work(steps, **{**options, callback: stop}), Lane.CLICK)
    scheduler.submit(Work(at_once([3], 4), seen.append, seen.append), Lane.CLICK)
    gate.set()
    qtbot.waitUntil(lambda: "stopped" in seen)
    qtbot.wait(20)
    assert seen == (["stopped"] if callback == "on_step" else [1, "stopped"])
    assert busy == [True, False]
    assert not scheduler.is_busy(Lane.CLICK)


def test_whoever_hears_that_a_lane_is_free_may_use_it(scheduler, idle, qtbot):
    seen = []

    def follow(lane, busy):
        if not busy and not seen:
            seen.append("free")
            scheduler.submit(Work(at_once([], "follows"), on_result=seen.append), lane)

    scheduler.busy_changed.connect(follow)
    scheduler.submit(Held().work, Lane.PLANE)
    scheduler.cancel(Lane.PLANE)
    assert scheduler.is_busy(Lane.PLANE)
    qtbot.waitUntil(lambda: seen == ["free", "follows"])
    idle()


# -- waiting, workers, threads --------------------------------------------------------------------


def test_wait_says_whether_workers_are_left_and_delivers_nothing(scheduler, idle):
    click, labels = Held(), Held()
    scheduler.submit(click.work, Lane.CLICK)
    scheduler.submit(labels.work, Lane.LABELS)
    start = time.monotonic()
    assert not scheduler.wait(50, Lane.CLICK)
    assert 0.045 < time.monotonic() - start < 2
    assert scheduler.wait(0, Lane.BULK)
    click.let_go()
    assert scheduler.wait(SOON, Lane.CLICK)
    assert not scheduler.wait(0)
    assert scheduler.is_busy(Lane.CLICK)  # until the result is delivered
    assert click.told == []
    labels.let_go()
    assert scheduler.wait()
    idle()
    assert click.told == labels.told == [0, "result 1"]


def test_many_submits_run_the_first_and_the_last_and_leave_no_thread(scheduler, idle):
    first, seen = Held(), []
    scheduler.submit(first.work, Lane.CLICK)
    for number in range(200):
        scheduler.submit(Work(at_once([], number), on_result=seen.append), Lane.CLICK)
    assert len(workers()) == 1
    first.let_go()
    idle()
    assert seen == [199]
    no_workers_left(scheduler)


def test_many_cancelled_ones_leave_no_thread_and_do_not_run_all_at_once(scheduler, qtbot):
    gate, lock, now, most, seen = threading.Event(), threading.Lock(), [0], [0], []

    def steps():
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        gate.wait(5)  # it looks nowhere whether anybody waits
        with lock:
            now[0] -= 1
        yield

    for _ in range(200):
        scheduler.submit(Work(steps, seen.append, seen.append), Lane.PREFETCH)
        scheduler.cancel(Lane.PREFETCH)
    scheduler.submit(Work(steps, on_result=seen.append), Lane.PREFETCH)
    qtbot.wait(20)
    assert len(workers()) <= WORKERS + 1
    gate.set()
    qtbot.waitUntil(lambda: not scheduler.is_busy(Lane.PREFETCH), timeout=SOON)
    assert seen == [None]
    assert 1 <= most[0] <= WORKERS
    no_workers_left(scheduler)


def test_200_in_turn_leave_no_thread(scheduler, qtbot):
    seen = []

    def again(number):
        seen.append(number)
        if number < 199:
            submit(number + 1)

    def submit(number):
        scheduler.submit(Work(at_once([], number), on_result=again), Lane.HOVER)

    submit(0)
    qtbot.waitUntil(lambda: len(seen) == 200, timeout=SOON)
    assert seen == list(range(200))
    no_workers_left(scheduler)


def no_workers_left(scheduler):
    assert scheduler.wait(SOON)
    for thread in workers():  # they have done all but end
        thread.join(5)
    assert workers() == []
    assert scheduler._alive == []
    assert scheduler._running == scheduler._waiting == {}


def test_what_has_ended_is_not_held_on_to(scheduler, idle):
    class Model:
        pass

    def submit():
        model = Model()

        def steps():
            yield model
            return model

        scheduler.submit(Work(steps), Lane.MODEL)
        return weakref.ref(model)

    kept = submit()
    idle()
    no_workers_left(scheduler)
    gc.collect()
    assert kept() is None


def test_work_ends_quietly_where_the_window_is_gone(qtbot):
    window, held = QObject(), Held()
    scheduler = Scheduler()
    scheduler.setParent(window)
    scheduler.submit(held.work, Lane.CLICK)
    qtbot.waitUntil(lambda: bool(held.begun))
    window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    held.let_go()
    assert scheduler.wait(SOON)
    with pytest.raises(RuntimeError):  # so it was deleted indeed
        scheduler.parent()
    assert held.closed.is_set()
