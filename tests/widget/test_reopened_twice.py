"""Objects that were opened again, closed and opened by undo; planes that are shown otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_sam.widget.features.prompting import logic
from napari_sam.widget.scheduler import Lane

from .test_reopen import CENTRES, CONTROL, alike, at, kept, key, reopen, stack  # noqa: F401


@pytest.fixture
def twins(kept, scene):  # noqa: F811
    """Object 1 kept in the results, and another object 1 that everything mode found."""
    layer = Labels(np.repeat((scene[1] == 2).astype(np.int32)[None], 5, 0), name="found")
    kept.bench.add_below_prompts(layer)
    kept.bench.everything = kept.bench.view_of(layer, 1)
    return kept


def test_undo_opens_the_object_of_the_layer_that_it_is_in(twins, scene):
    bench, before = twins.bench, twins.labels.copy()
    everything = bench.everything
    found = everything.layer.data.copy()
    twins.prompting.reopener.reopen(1, everything)
    twins.click_and_wait(*CENTRES[3])
    twins.press(Qt.Key.Key_Return)
    assert alike(everything.layer.data[3] == 1, scene[1] == 3)
    twins.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(everything.layer.data, found)
    assert twins.prompting.asker.work.reopened.view(1) is everything
    twins.until(lambda: twins.answers and not twins.prompting.asker.pending)
    twins.press(Qt.Key.Key_Return)
    assert alike(everything.layer.data[3] == 1, scene[1] == 3)
    assert np.array_equal(twins.labels, before)


def test_a_commit_to_two_layers_holds_both_and_ends_where_one_goes(twins, turns, monkeypatch):
    monkeypatch.setattr(logic, "AT_ONCE", 0)
    results, everything = twins.bench.results, twins.bench.everything
    before, found = twins.labels.copy(), everything.layer.data.copy()
    twins.press(Qt.Key.Key_O)
    twins.click_and_wait(*CENTRES[2])
    twins.prompting.reopener.reopen(1, everything)
    twins.click_and_wait(*CENTRES[3])
    drawn = twins.bench.prompts.drawing()
    twins.prompting.commit()
    assert not results.layer.editable
    assert not everything.layer.editable
    turns.until(lambda: not np.array_equal(everything.layer.data, found))
    assert not np.array_equal(twins.labels, before)
    twins.viewer.layers.remove(everything.layer)
    turns.rest()
    assert not twins.context.history.walking
    assert results.layer.editable
    assert np.array_equal(twins.labels, before)
    assert np.array_equal(everything.layer.data, found)
    assert set(twins.bench.prompts.drawing()) == set(drawn)


def test_prompts_of_another_layer_change_no_object_of_the_same_label(twins):
    before = twins.labels.copy()
    twins.prompting.reopener.reopen(1, twins.bench.everything)
    twins.click_and_wait(*CENTRES[3])
    twins.bench.everything = None  # as after another image was worked on
    assert twins.prompting.asker.work.reopened.view(1) is None
    twins.press(Qt.Key.Key_Return)
    assert np.array_equal(twins.labels[twins.labels == 1], before[before == 1])


def test_two_objects_of_one_label_are_both_shown(twins, scene):
    twins.bench.results.store.next_label = 2
    twins.prompting.reopener.reopen(1, twins.bench.everything)
    twins.prompting.owners.begin(key(3))
    twins.bench.results.store.next_label = 1  # the label that a first object gets
    twins.click_and_wait(*CENTRES[3])
    preview = twins.bench.prompts.preview.data[0]
    assert alike(preview == 1, np.isin(scene[1], (2, 3)))


def test_an_object_is_opened_with_the_pixels_that_it_has_then(kept, scene):  # noqa: F811
    layer, reopened = kept.bench.results.layer, kept.prompting.asker.work.reopened
    rows, columns = np.nonzero(scene[1] == 3)
    layer.data_setitem((np.full(len(rows), 3), rows, columns), 1)
    reopen(kept, *CENTRES[1])
    assert alike(reopened.start(1, key(3)).mask, np.isin(scene[1], (1, 3)))
    kept.press(Qt.Key.Key_Z, CONTROL)  # the opening
    kept.press(Qt.Key.Key_Z, CONTROL)  # the stroke
    reopen(kept, *CENTRES[1])
    assert alike(reopened.start(1, key(3)).mask, scene[1] == 1)
    assert reopened.outlines(1)[key(3)].origin == "prompted"


def test_what_was_given_up_does_not_come_back(kept):  # noqa: F811
    before = kept.labels.copy()
    reopen(kept, *CENTRES[1])
    kept.prompting.candidates.next_candidate()
    kept.until(lambda: kept.answers and not kept.prompting.asker.pending)
    kept.go(1)
    kept.settled()
    kept.press(Qt.Key.Key_Escape)
    reopen(kept, *CENTRES[1])
    kept.press(Qt.Key.Key_Return)
    assert "was not changed" in kept.status
    assert np.array_equal(kept.labels, before)


def test_a_deleted_object_leaves_no_prompts(kept):  # noqa: F811
    before = kept.labels.copy()
    reopen(kept, *CENTRES[1])
    kept.prompting.changes._delete(*at(kept, *CENTRES[1]), key(3))
    assert not kept.labels.any()
    assert not len(kept.bench.prompts.points.data)
    assert kept.prompting.panel.work.text() == "no object in work"
    kept.press(Qt.Key.Key_Return)
    assert not kept.labels.any()
    kept.press(Qt.Key.Key_Z, CONTROL)
    kept.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(kept.labels, before)
    assert kept.prompting.panel.work.text() == "object 1, reopened, planes 1; 3"


def test_a_box_is_asked_about_in_the_plane_it_is_drawn_in(stack, scene):  # noqa: F811
    before = stack.answers
    stack.drag((9, 11), (40, 44))
    stack.until(lambda: stack.answers and stack.answers is not before)
    stack.viewer.dims.order = (1, 0, 2)
    stack.viewer.dims.set_current_step(1, 90)
    stack.settled()
    stack.context.settings_changed.emit()
    stack.prompting.asker.work.clear()  # as after a restart
    stack.press(Qt.Key.Key_Return)
    stack.until(lambda: stack.bench.results.store.objects)
    assert list(stack.bench.results.store.objects[1].outlines) == [key(1)]
    assert alike(stack.labels[1] == 1, scene[1] == 1)


def test_a_plane_with_its_axes_swapped_is_the_same_plane(stack, scene):  # noqa: F811
    stack.context.overlap = "overwrite"
    stack.click_and_wait(*CENTRES[1])
    stack.viewer.dims.order = (0, 2, 1)
    stack.settled()
    stack.until(lambda: stack.answers and not stack.prompting.asker.pending)
    stack.press(Qt.Key.Key_Return)
    assert list(stack.bench.results.store.objects[1].outlines) == [key(1)]
    assert alike(stack.labels[1] == 1, scene[1] == 1)


def test_an_object_is_corrected_with_its_axes_swapped(kept, scene):  # noqa: F811
    kept.viewer.dims.order = (0, 2, 1)
    kept.settled()
    reopen(kept, *CENTRES[1])
    preview = kept.bench.prompts.preview.data[0]
    assert alike(preview == 1, scene[1] == 1)
    points = kept.bench.prompts.points
    points.selected_data = {1}  # the one in plane 3
    points.remove_selected()
    row, column = CENTRES[3]
    kept.click_and_wait(column, row)
    kept.press(Qt.Key.Key_Return)
    outlines = kept.bench.results.store.objects[1].outlines
    assert set(outlines) == {key(1), key(3)}
    assert np.allclose(outlines[key(3)].prompts.point_coords, [[column, row]], atol=1)
    assert alike(outlines[key(3)].mask, scene[1] == 3)
    assert alike(kept.labels[3] == 1, scene[1] == 3)


def test_undo_stops_a_commit_that_waits_for_another_plane(stack):  # noqa: F811
    stack.click_and_wait(*CENTRES[1])
    asker = stack.prompting.asker
    asker.work.answers.clear()  # the plane was left before its answer came
    asker.recent.clear()
    stack.go(4)
    stack.settled()
    stack.prompting.commit()
    assert asker.then is not None
    stack.prompting.changes.undo()
    stack.until(lambda: not stack.busy(Lane.CLICK))
    stack.rest(0.1)
    assert not stack.labels.any()
    assert not stack.bench.results.store.objects
