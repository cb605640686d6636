"""The status line: errors over progress over hints."""

from __future__ import annotations

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
