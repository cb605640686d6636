from __future__ import annotations

from napari_sam.steps import drive, mapped
from napari_sam.types import Progress


def count(wanted):
    for k in range(wanted):
        yield Progress(k, wanted, f"step {k}")
        yield k
    return "done"


def test_drive_returns_what_the_steps_return():
    assert drive(count(3)) == "done"
    assert drive(count(0)) == "done"


def test_drive_says_the_text_of_progress_and_passes_over_the_rest():
    said = []
    drive(count(2), said.append)
    assert said == ["step 0", "step 1"]


def test_mapped_changes_steps_and_keeps_the_result():
    steps = mapped(count(2), lambda step: step if isinstance(step, int) else step.text)
    seen = []

    def passed():
        result = yield from steps
        seen.append(result)

    assert list(passed()) == ["step 0", 0, "step 1", 1]
    assert seen == ["done"]
