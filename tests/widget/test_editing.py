"""Tools that change kept objects, by keys, buttons and clicks in a window."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sam.masks import iou
from napari_sam.objects import Outline, edits, properties
from napari_sam.types import Mask, SliceKey
from napari_sam.widget.features.editing.logic import Editing
from napari_sam.widget.looked_at import LookedAt
from napari_sam.widget.scheduler import Lane, Work

SIZE = (96, 128)
PLANE = SliceKey((0, 1))


def kept(pixels):
    return Outline(Mask.of(pixels), score=0.9)


def rectangle(rows, columns):
    pixels = np.zeros(SIZE, bool)
    pixels[slice(*rows), slice(*columns)] = True
    return pixels


def at(z):
    return SliceKey((1, 2), ((0, z),))


def ready(hands):
    hands.editing = hands.dock.feature(Editing)
    hands.dock.sections["Edit"].expand()
    hands.bench.ensure_layers()
    hands.rest()
    return hands


def keep(hands, *objects):
    """Commit objects, given by their pixels in each plane."""
    view = hands.bench.results
    view.apply(edits.keep(view.store, [{k: kept(p) for k, p in one.items()} for one in objects]))
    hands.rest()
    return view.store


@pytest.fixture
def plane(hands):
    """A window on the scene, with objects of its own."""
    return ready(hands)


@pytest.fixture
def stack(open_dock, scene):
    """A window on five planes of the scene; the third one is shown."""
    hands = ready(open_dock(("add_image", np.repeat(scene[0][None], 5, 0), {"name": "stack"})))
    hands.go(2)
    hands.rest()
    return hands


@pytest.fixture
def before_writing(plane, monkeypatch):
    """What lets something happen when an edit is planned and not written yet."""

    def use(act):
        runs = plane.editing.jobs.runs
        write = runs._write
        monkeypatch.setattr(runs, "_write", lambda *args: (act(), write(*args)))

    return use


def point_at(hands, row, column):
    QTest.mouseMove(hands.canvas, hands.place(row, column))
    hands.viewer.mouse_over_canvas = True
    hands.rest(0.05)


def key(hands, char, row=None, column=None):
    if row is not None:
        point_at(hands, row, column)
    hands.press(char)


def discs():
    """Return two touching discs, about (40, 30) and (40, 54)."""
    rows, columns = np.indices(SIZE)
    one = np.hypot(rows - 40, columns - 30) <= 14
    return one, (np.hypot(rows - 40, columns - 54) <= 13) & ~one


def test_two_clicks_split_an_object_and_undo_joins_it_again(plane):
    one, other = discs()
    store = keep(plane, {PLANE: one | other})
    plane.bench.results.apply(properties.set_category(store, [1], "cell"))
    asked = plane.context.session.predictor.model.decoded
    key(plane, Qt.Key.Key_I)
    plane.until_said("click in one part of an object")
    plane.click(40, 52)
    plane.until_said("now click in the other part of object 1")
    plane.click(40, 27)
    plane.until_said("object 1 split: object 2 is new (Ctrl+Z undoes it)")
    assert plane.context.session.predictor.model.decoded == asked + 2
    labels = plane.labels
    assert np.array_equal(labels > 0, one | other)
    assert labels[40, 52] == 1  # the part that was clicked first keeps its label
    assert labels[40, 27] == 2
    assert np.count_nonzero(labels[one] == 2) > 0.97 * one.sum()
    assert np.count_nonzero(labels[other] == 1) > 0.97 * other.sum()
    assert store.objects[1].category == store.objects[2].category == "cell"
    assert not plane.editing.clicks.tool.is_on
    assert plane.viewer.layers.selection.active is plane.bench.prompts.points
    plane.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    plane.until_said("undone: splitting object 1")
    assert np.array_equal(plane.labels == 1, one | other)
    assert list(store.objects) == [1]


def test_a_split_goes_on_through_all_planes(stack):
    one, other = discs()
    planes = {at(z): one | other for z in (1, 2)} | {at(3): one, at(4): rectangle((0, 4), (0, 4))}
    store = keep(stack, planes)
    stack.editing.panel.everywhere.click()
    key(stack, Qt.Key.Key_I)
    stack.click(40, 30)
    stack.until_said("now click")
    stack.click(40, 54)
    stack.until_said("object 1 split: object 2 is new")
    for z in (1, 2):
        assert np.count_nonzero(stack.labels[z][one] == 1) > 0.97 * one.sum()
        assert np.count_nonzero(stack.labels[z][other] == 2) > 0.97 * other.sum()
    assert np.count_nonzero(stack.labels[3][one] == 1) > 0.97 * one.sum()  # the other one ends
    whole = np.stack([np.zeros(SIZE, bool), *planes.values()])
    assert np.array_equal(stack.labels > 0, whole)
    assert set(store.objects[1].outlines) | set(store.objects[2].outlines) == set(planes)


def test_a_split_of_one_plane_leaves_the_others(stack):
    one, other = discs()
    store = keep(stack, {at(z): one | other for z in (1, 2)})
    key(stack, Qt.Key.Key_I)
    stack.click(40, 30)
    stack.until_said("now click")
    stack.click(40, 54)
    stack.until_said("object 1 split in this plane: object 2 is new")
    assert np.array_equal(stack.labels[1] == 1, one | other)
    assert list(store.objects[2].outlines) == [at(2)]


def test_escape_ends_a_tool_and_clicks_prompt_again(plane):
    keep(plane, {PLANE: discs()[0]})
    key(plane, Qt.Key.Key_I)
    assert plane.editing.panel.buttons["split"].isChecked()
    plane.click(80, 10)
    plane.until_said("there is no object here")
    plane.click(40, 30)
    plane.until_said("now click")
    plane.press(Qt.Key.Key_Escape)
    plane.until_said("clicks prompt again")
    assert not plane.editing.panel.buttons["split"].isChecked()
    assert not len(plane.bench.prompts.points.data)
    plane.click_and_wait(20, 100)
    assert len(plane.bench.prompts.points.data) == 1


def test_another_tool_ends_the_one_before(plane):
    keep(plane, {PLANE: discs()[0]})
    key(plane, Qt.Key.Key_I)
    plane.bench.prompts.activate("points")
    assert not plane.editing.clicks.tool.is_on
    plane.editing.panel.buttons["split"].click()
    plane.editing.panel.buttons["delete"].click()
    assert plane.editing.panel.tool == "delete"
    plane.editing.panel.buttons["delete"].click()
    assert not plane.editing.clicks.tool.is_on


def test_finished_objects_and_objects_in_work_are_refused(plane):
    keep(plane, {PLANE: rectangle((10, 30), (10, 30))}, {PLANE: rectangle((60, 80), (60, 80))})
    view = plane.bench.results
    view.apply(properties.set_status(view.store, [1], "finished"))
    before = plane.labels.copy()
    key(plane, Qt.Key.Key_Period, 20, 20)
    plane.until_said("object 1 is finished and stays as it is; K unlocks it")
    plane.context.reopen_asked.emit(2, view)
    plane.rest()
    key(plane, Qt.Key.Key_Period, 70, 70)
    plane.until_said("object 2 is in work")
    assert np.array_equal(plane.labels, before)


def test_growing_and_shrinking_act_on_the_object_under_the_pointer(plane):
    first, second = rectangle((10, 30), (10, 30)), rectangle((10, 30), (31, 50))
    store = keep(plane, {PLANE: first}, {PLANE: second})
    key(plane, Qt.Key.Key_Period, 20, 20)
    plane.until_said("object 1 grown")
    grown = plane.labels == 1
    assert grown.sum() == first.sum() + 4 * 20
    key(plane, Qt.Key.Key_Period)
    plane.until_said("object 1 grown")
    assert np.array_equal(plane.labels == 2, second)  # the other keeps its pixels
    assert store.objects[1].outlines[PLANE].score == 0.9
    key(plane, Qt.Key.Key_Comma, 20, 40)
    plane.until_said("object 2 shrunk")
    assert (plane.labels == 2).sum() == 18 * 17


def test_keys_in_a_row_are_all_obeyed(plane):
    keep(plane, {PLANE: rectangle((40, 60), (40, 60))})
    point_at(plane, 50, 50)
    for _ in range(3):
        QTest.keyClick(plane.canvas, Qt.Key.Key_Comma)
    plane.until(lambda: (plane.labels == 1).sum() == 14 * 14)


def test_nothing_is_left_of_an_object_that_is_too_thin(plane):
    thin = rectangle((10, 12), (10, 30))
    keep(plane, {PLANE: thin})
    key(plane, Qt.Key.Key_Comma, 11, 20)
    plane.until_said("nothing of object 1 would be left; delete it instead")
    assert np.array_equal(plane.labels == 1, thin)


def test_holes_are_filled_and_smoothing_keeps_the_area(plane):
    pixels = rectangle((10, 50), (10, 50))
    pixels[20:30, 20:30] = False
    keep(plane, {PLANE: pixels})
    key(plane, Qt.Key.Key_H, 15, 15)
    plane.until_said("object 1 filled")
    assert (plane.labels == 1).sum() == 1600
    key(plane, Qt.Key.Key_H)
    plane.until_said("object 1: there is nothing to change")
    key(plane, Qt.Key.Key_J)
    plane.until_said("object 1 smoothed")
    assert abs((plane.labels == 1).sum() - 1600) <= 8
    assert plane.labels[10, 10] == 0


def test_lengths_are_in_the_unit_of_the_image(open_dock, scene):
    options = {"name": "scaled", "scale": (0.5, 0.5), "units": ("um", "um")}
    hands = ready(open_dock(("add_image", scene[0], options)))
    panel = hands.editing.panel
    assert panel.radius.text() == "1 pixel"
    panel.radius.setValue(1.5)
    assert panel.radius.text() == "1.500 µm"
    panel.hole.setValue(4)
    assert panel.hole.text() == "4.000 µm²"
    pixels = rectangle((20, 60), (20, 60))
    pixels[30:34, 30:34] = False  # 4 µm²
    pixels[40:45, 40:45] = False
    keep(hands, {PLANE: pixels})
    key(hands, Qt.Key.Key_H, 11, 11)
    hands.until_said("object 1 filled")
    assert (hands.labels == 1).sum() == 1600 - 25
    key(hands, Qt.Key.Key_Period)
    hands.until_said("object 1 grown")
    assert np.argwhere(hands.labels == 1).min(0).tolist() == [17, 17]


def test_islands_go_in_all_planes(stack):
    planes = {at(z): rectangle((10, 30), (10, 30)) for z in (1, 2)}
    planes[at(2)] = planes[at(2)] | rectangle((60, 66), (60, 66))
    planes[at(3)] = rectangle((60, 66), (60, 66))
    keep(stack, planes)
    stack.editing.panel.everywhere.click()
    point_at(stack, 20, 20)
    stack.editing.remove_islands()
    stack.until_said("object 1 freed of islands")
    assert not stack.labels[3].any()
    assert (stack.labels == 1).sum() == 800
    stack.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    stack.until_said("undone")
    assert (stack.labels == 1).sum() == 800 + 72


def test_selected_objects_are_merged_with_the_one_under_the_pointer(plane):
    left, right = rectangle((10, 30), (10, 30)), rectangle((10, 30), (33, 50))
    store = keep(plane, {PLANE: left}, {PLANE: right}, {PLANE: rectangle((60, 70), (60, 70))})
    plane.context.selected = lambda: [2]
    key(plane, Qt.Key.Key_M, 20, 20)
    plane.until_said("object 1 merged into object 2")
    assert (plane.labels == 2)[left | right].all()
    assert not (plane.labels == 2)[~rectangle((10, 30), (10, 50))].any()
    assert (plane.labels[12:28, 30:33] == 2).all()  # the gap is closed
    assert list(store.objects) == [2, 3]
    plane.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    plane.until_said("undone: the merging of objects 2, 1")
    assert np.array_equal(plane.labels == 1, left)
    assert np.array_equal(plane.labels == 2, right)
    key(plane, Qt.Key.Key_M, 20, 40)
    plane.until_said("select two objects in the list")


def test_objects_of_two_layers_are_not_merged(plane):
    keep(plane, {PLANE: rectangle((10, 30), (10, 30))}, {PLANE: rectangle((40, 50), (60, 70))})
    kept_ones = plane.labels.copy()
    layer = plane.viewer.add_labels(np.zeros(SIZE, np.int32), name="others")
    view = plane.bench.everything = plane.bench.view_of(layer)
    plane.bench.prompts.activate("points")
    view.apply(edits.keep(view.store, [{PLANE: kept(rectangle((60, 80), (60, 80)))}]))
    plane.context.selected = lambda: [2]
    key(plane, Qt.Key.Key_M, 70, 70)
    plane.until_said("the selected objects are not in")
    plane.context.selected = lambda: [1]  # as the one that is pointed at
    plane.editing.panel.buttons["absorb"].click()
    plane.until_said("click the object, then each fragment of it")
    assert np.array_equal(plane.labels, kept_ones)
    assert (view.layer.data == 1).sum() == 400


def test_a_selection_in_the_list_comes_before_the_object_of_a_review(plane):
    store = keep(
        plane, {PLANE: rectangle((10, 30), (10, 30))}, {PLANE: rectangle((40, 60), (40, 60))}
    )
    plane.context.looked_at = LookedAt(plane.bench.results, 1)
    plane.context.selected = lambda: [2]
    plane.viewer.mouse_over_canvas = False
    plane.editing.shrink()
    plane.until_said("object 2 shrunk")
    plane.viewer.mouse_over_canvas = True
    plane.editing.shrink()
    plane.until_said("object 1 shrunk")
    assert [one.outlines[PLANE].mask.area for one in store.objects.values()] == [18 * 18] * 2


def test_a_split_takes_no_label_that_was_written_from_outside(plane):
    one, other = discs()
    store = keep(plane, {PLANE: one | other})
    plane.labels[80:90, 100:110] = 2
    plane.bench.results.layer.refresh()
    key(plane, Qt.Key.Key_I)
    plane.click(40, 27)
    plane.until_said("now click")
    plane.click(40, 52)
    plane.until_said("object 1 split: object 3 is new")
    assert list(store.objects) == [1, 3]
    assert (plane.labels == 2).sum() == 100


def test_an_object_opened_while_its_edit_is_planned_stays_as_it_is(plane, before_writing):
    pixels = rectangle((10, 30), (10, 30))
    keep(plane, {PLANE: pixels})
    before_writing(lambda: plane.context.reopen_asked.emit(1, plane.bench.results))
    key(plane, Qt.Key.Key_Period, 20, 20)
    plane.until_said("object 1 is in work; end that with Enter or Esc first")
    assert np.array_equal(plane.labels == 1, pixels)


def test_a_split_whose_other_part_was_painted_over_says_so(plane, before_writing):
    one, other = discs()
    store = keep(plane, {PLANE: one | other})
    key(plane, Qt.Key.Key_I)
    plane.click(40, 27)
    plane.until_said("now click")
    before_writing(lambda: plane.labels.__setitem__(np.s_[:, 38:], 9))
    plane.click(40, 52)
    plane.until_said("object 1 is smaller; others have the pixels of its other part")
    assert list(store.objects) == [1]
    assert np.array_equal(plane.labels == 9, rectangle((0, SIZE[0]), (38, SIZE[1])))


def test_fragments_are_absorbed_by_clicks_until_escape(plane):
    store = keep(
        plane,
        {PLANE: rectangle((10, 30), (10, 30))},
        {PLANE: rectangle((10, 30), (31, 40))},
        {PLANE: rectangle((31, 40), (10, 30))},
    )
    plane.editing.panel.buttons["absorb"].click()
    plane.click(20, 20)
    plane.until_said("click what belongs to object 1")
    plane.click(20, 35)
    plane.until_said("object 2 merged into object 1")
    plane.click(35, 20)
    plane.until_said("object 3 merged into object 1")
    assert list(store.objects) == [1]
    assert plane.labels[20, 35] == plane.labels[35, 20] == 1
    assert plane.editing.clicks.tool.is_on
    plane.press(Qt.Key.Key_Escape)
    assert not plane.editing.clicks.tool.is_on


def test_clicked_objects_are_deleted_until_escape(plane):
    store = keep(
        plane, {PLANE: rectangle((10, 30), (10, 30))}, {PLANE: rectangle((50, 70), (50, 70))}
    )
    plane.editing.panel.buttons["delete"].click()
    plane.click(20, 20)
    plane.until_said("object 1 deleted")
    plane.click(60, 60)
    plane.until_said("object 2 deleted")
    assert not plane.labels.any()
    assert not store.objects
    plane.press(Qt.Key.Key_Escape)
    plane.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    plane.until_said("undone")
    assert (plane.labels == 2).sum() == 400


def test_a_rough_label_snaps_to_what_the_model_sees(plane, scene):
    truth = scene[1] == 3
    rough = rectangle((57, 82), (34, 84))
    store = keep(plane, {PLANE: rough})
    point_at(plane, 70, 50)
    plane.editing.snap()
    plane.until_said("object 1 snapped to what the model sees")
    assert iou(rough, truth) < 0.8
    assert iou(plane.labels == 1, truth) > 0.95
    assert store.objects[1].outlines[PLANE].model == "stub"


def test_painted_labels_become_objects_in_all_their_planes(stack):
    stack.labels[1:4, 10:30, 10:30] = 7
    stack.bench.results.layer.refresh()
    stack.bench.results.look_again()
    key(stack, Qt.Key.Key_Comma, 20, 20)
    stack.until_said("object 7 shrunk")
    assert (stack.labels[2] == 7).sum() == 18 * 18
    assert (stack.labels[3] == 7).sum() == 400
    assert set(stack.bench.results.store.objects[7].outlines) == {at(1), at(2), at(3)}


def test_escape_stops_what_is_being_computed(plane):
    pixels = rectangle((10, 30), (10, 30))
    keep(plane, {PLANE: pixels})
    go_on = Event()

    def urgent():
        yield
        go_on.wait()

    plane.scheduler.submit(Work(urgent), Lane.CLICK)  # edits wait for it
    try:
        key(plane, Qt.Key.Key_Period, 20, 20)
        assert plane.busy(Lane.EDIT)
        plane.press(Qt.Key.Key_Escape)
        plane.until_said("stopped; nothing was changed")
        assert not plane.busy(Lane.EDIT)
    finally:
        go_on.set()
    plane.until(lambda: not plane.busy(Lane.CLICK))
    assert np.array_equal(plane.labels == 1, pixels)
    key(plane, Qt.Key.Key_Period)
    plane.until_said("object 1 grown")


def test_without_an_object_the_tools_say_what_to_do(plane):
    key(plane, Qt.Key.Key_J, 90, 5)
    plane.until_said("point at an object, or select some in the list")
