"""The status line: errors over progress over hints."""

from __future__ import annotations

from napari_sam.widget import time_left
from napari_sam.widget.progress_bar import LongWork
from napari_sam.widget.status import Status


def test_errors_stand_over_progress_and_progress_over_hints():
    status = Status()
    seen = []
    status.changed.connect(seen.append)
    status.hint("click")
    status.progress("everything", "plane 1 of 3")
    status.hint("click again")
    assert seen == ["click", "plane 1 of 3", "plane 1 of 3"]
    status.error("the disk is full")
    status.progress("everything", "plane 2 of 3")
    assert status.text == "the disk is full"
    status.progress("everything")
    assert status.text == "the disk is full"
    status.acted()
    assert status.text == "click again"
    assert seen[-1] == "click again"


def test_work_that_ends_shows_what_still_runs():
    status = Status()
    status.hint("click")
    status.progress("model", "loading")
    status.progress("everything", "plane 1")
    assert status.text == "plane 1"
    status.progress("everything")
    assert status.text == "loading"
    status.progress("model", "nearly there")
    assert status.text == "nearly there"
    status.progress("model")
    status.progress("model")  # twice does no harm
    assert status.text == "click"


def test_nothing_is_said_where_there_was_no_error():
    status = Status()
    seen = []
    status.changed.connect(seen.append)
    status.acted()
    assert seen == []


def test_how_far_the_newest_work_of_a_known_end_is():
    status, told, cancelled = Status(), [], []
    status.progressed.connect(lambda: told.append(status.measured))
    status.progress("everything", "plane 1", 1, 4, cancel=lambda: cancelled.append(1))
    assert (status.measured.done, status.measured.total) == (1, 4)
    status.progress("model", "loading")  # nobody knows how long
    assert status.text == "loading"
    assert status.measured.text == "plane 1"
    status.progress("saving", "saving", 2, 3)
    assert status.measured.cancel is None
    status.progress("saving")
    status.measured.cancel()
    assert cancelled == [1]
    status.progress("everything")
    assert status.measured is None
    assert told[-1] is None


def test_the_time_left_is_added(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time_left.TimeLeft.__init__, "__defaults__", (lambda: now[0],))
    status = Status()
    status.progress("everything", "plane 1", 0, 100)
    now[0] = 60.0
    status.progress("everything", "plane 2", 20, 100)
    assert status.text == "plane 2, about 4 minutes left"
    status.progress("everything")
    status.progress("everything", "plane 1", 20, 100)  # another run
    assert status.text == "plane 1"


def test_the_bar_is_there_while_work_of_a_known_end_runs(qtbot):
    status, cancelled = Status(), []
    bar = LongWork(status)
    qtbot.addWidget(bar)
    assert bar.isHidden()
    status.progress("model", "loading")
    assert bar.isHidden()
    status.progress("everything", "plane 1", 1, 4, cancel=lambda: cancelled.append(1))
    assert bar.isHidden()  # it may end at once
    qtbot.waitUntil(lambda: not bar.isHidden())
    assert (bar.bar.value(), bar.bar.maximum()) == (1, 4)
    bar.button.click()
    assert cancelled == [1]
    status.progress("saving", "saving", 2, 3)
    qtbot.waitUntil(lambda: not bar.button.isEnabled())
    status.progress("saving")
    status.progress("everything")
    assert bar.isHidden()
