"""Candidates: lines and rows, keys and wheel, the size preferred, the answer before."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from tiny import DiscModel

from napari_sam.masks import edge_of, stability_score
from napari_sam.models.contract import Answers
from napari_sam.objects import Outline, edits
from napari_sam.types import Mask, Prediction, Prompts, SliceKey, Stroke
from napari_sam.widget.features.objects.logic import Objects
from napari_sam.widget.features.prompting.answer_view import MOST_WIDTH
from napari_sam.widget.layers import GONE
from napari_sam.widget.work.candidates import (
    Candidate,
    SizePreference,
    best_of,
    by_size,
    candidates_of,
    doubt_of,
    names_of,
    violations,
)
from napari_sam.widget.work.question import ObjectInWork, gone_on

SHIFT = Qt.KeyboardModifier.ShiftModifier


def square(side, corner=(0, 0)):
    return Mask.of(np.ones((side, side), bool), corner, (60, 80))


def prediction(*masks, scores):
    logits = np.zeros((len(masks), 15, 20), np.float32)
    return Prediction(masks, np.array(scores, np.float32), logits, (0, 0, 80, 60))


# -- which candidate is shown ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "labels", "expected"),
    [
        ([(5, 5)], [1], 0),
        ([(5, 5)], [0], 1),
        ([(5, 5), (9, 9), (10, 9)], [1, 1, 1], 1),
        ([(-0.4, 9.4), (40, 40), (9.6, 3)], [1, 0, 0], 0),
        ([], [], 0),
    ],
)
def test_points_that_a_mask_contradicts_are_counted(points, labels, expected):
    assert violations(square(10), Prompts(points, labels)) == expected


def test_a_scribble_counts_as_the_points_that_stand_for_it():
    along = np.stack([np.arange(-30.0, 30.5, 0.5), np.full(121, 5.0)], axis=1)
    beside = np.stack([np.arange(20.0, 40, 0.5), np.full(40, 5.0)], axis=1)
    outside = np.array([[-30.0, 5], [-10, 5]])
    mask = square(10)
    strokes = {"along": Stroke(along), "beside": Stroke(beside), "outside": Stroke(outside)}
    counts = {name: violations(mask, Prompts(strokes=[one])) for name, one in strokes.items()}
    assert counts == {"along": 2, "beside": 3, "outside": 0}  # along: x = 4.6, 14.8 and 24.9
    assert violations(mask, Prompts([(5, 5)], [0], strokes=[Stroke(beside, 0)])) == 1


def test_points_contradict_an_empty_mask_if_they_lie_on_the_object():
    empty = Mask.of(np.zeros((60, 80), bool))
    assert violations(empty, Prompts([(5, 5), (50, 5)], [1, 0])) == 1


def test_what_contradicts_fewer_points_comes_before_a_higher_score():
    prompts = Prompts([(5, 5), (15, 15)], [1, 1])
    answer = prediction(square(10), square(20), scores=[0.9, 0.7])
    assert best_of(candidates_of(answer, prompts), prompts) == 1


@pytest.mark.parametrize(("score", "best"), [(0.93, 1), (0.86, 1), (0.84, 0), (0.6, 0)])
def test_an_answer_before_that_agrees_stays_unless_the_new_one_is_clearly_better(score, best):
    before = Candidate(prediction(square(10), scores=[score]), 0)
    prompts = Prompts([(5, 5), (7, 7)], [1, 1])
    found = candidates_of(prediction(square(20), scores=[0.9]), prompts, before)
    assert [one.earlier for one in found] == [False, True]
    assert best_of(found, prompts) == best


def test_an_answer_before_that_contradicts_a_point_is_no_candidate():
    before = Candidate(prediction(square(10), scores=[0.99]), 0)
    answer = prediction(square(20), scores=[0.5])
    for prompts in (Prompts([(5, 5), (15, 15)], [1, 1]), Prompts([(5, 5), (9, 2)], [1, 0])):
        assert len(candidates_of(answer, prompts, before)) == 1


def test_an_answer_like_the_one_before_takes_its_place():
    before = Candidate(prediction(square(10), scores=[0.9]), 0)
    prompts = Prompts([(5, 5), (7, 7)], [1, 1])
    assert len(candidates_of(prediction(square(10), scores=[0.5]), prompts, before)) == 1


def test_a_further_point_remembers_what_was_shown():
    answer = prediction(square(10), square(20), square(30), scores=[0.9, 0.7, 0.5])
    one = ObjectInWork(Prompts([(5, 5)], [1]), Prompts([(5, 5)], [1]), answer, chosen=1)
    then = gone_on(Prompts([(5, 5), (8, 8)], [1, 1]), one)
    assert then.before.mask is answer.masks[1]
    assert then.asked.mask_input.values is not None


def test_candidates_are_called_by_their_size():
    answer = prediction(square(20), square(10), square(30), scores=[0.9, 0.7, 0.5])
    found = candidates_of(answer, Prompts([(5, 5)], [1]))
    assert by_size(found) == [1, 0, 2]
    assert names_of(found) == {1: "part", 0: "whole", 2: "group"}
    before = Candidate(prediction(square(10), scores=[0.9]), 0)
    found = candidates_of(prediction(square(20), scores=[0.9]), Prompts([(5, 5)], [1]), before)
    assert names_of(found) == {0: "new answer", 1: "answer before"}


def test_a_fall_of_the_score_and_a_contradiction_are_said():
    prompts = Prompts([(5, 5), (15, 15)], [1, 1])
    before = Candidate(prediction(square(8), scores=[0.9]), 0)
    worse = Candidate(prediction(square(20), scores=[0.75]), 0)
    against = Candidate(prediction(square(10), scores=[0.85]), 0)
    assert doubt_of(worse, prompts, before) == (
        "predicted IoU fell from 0.90 to 0.75, B steps back; "
    )
    assert doubt_of(against, prompts, before) == "the outline contradicts 1 point; "
    assert doubt_of(worse, prompts, None) == ""


def test_a_size_that_was_chosen_is_shown_first_until_another_is():
    first = prediction(square(20), square(10), square(30), scores=[0.9, 0.7, 0.5])
    second = prediction(square(10), square(30), square(20), scores=[0.5, 0.8, 0.9])
    preference = SizePreference()
    assert preference.first(first) == 0
    preference.choose(first, 2)
    assert (preference.size, preference.first(second)) == (2, 1)
    preference.choose(first, 0)  # the round ends where it began: nothing was chosen
    assert preference.size is None
    preference.choose(second, 0)
    assert (preference.size, preference.first(first)) == (0, 1)
    preference.prefer(None)
    assert preference.first(first) == 0


def test_the_edge_of_a_mask_is_as_wide_as_wanted():
    mask = square(6, (10, 20))
    assert edge_of(mask).sum() == 36 - 16
    assert edge_of(mask, 2).sum() == 36 - 4
    assert edge_of(mask, 9).all()
    assert edge_of(Mask.of(np.zeros((6, 6), bool))).size == 0
    with pytest.raises(ValueError, match="width"):
        edge_of(mask, 0)


# -- in the window --------------------------------------------------------------------------------


class Discs(DiscModel):
    """Three discs about a first point; with more points one of 12 pixels, of a chosen score."""

    then = 0.7

    def decode(self, features, coords, labels, boxes, mask_input, several, guide=None):
        answers = super().decode(features, coords, labels, boxes, mask_input, several, guide)
        if several:
            return answers
        radius, self.radius = self.radius, 12.0
        logits = super().decode(features, coords, labels, boxes, mask_input, False).low_res_logits
        self.radius = radius
        return Answers(logits, np.full((len(coords), 1), self.then, np.float32))


@pytest.fixture
def window(open_dock, model):
    model.made = Discs()
    return open_dock(("add_image", np.full((96, 128), 50, np.uint8), {"scale": (0.5, 0.5)}))


def click(hands, row, column):
    hands.click_and_wait(row / 2, column / 2)


def area(hands):
    return hands.prompting.asker.current.mask.area


def rows(hands):
    tree = hands.prompting.panel.candidates.rows
    items = [tree.topLevelItem(k) for k in range(tree.topLevelItemCount())]
    return [[item.text(k) for k in range(3)] + [item.isSelected()] for item in items]


def turn_wheel(hands, steps, modifier=SHIFT, place=(20, 20)):
    at = QPointF(hands.place(*place))
    event = QWheelEvent(
        at, QPointF(hands.canvas.mapToGlobal(at.toPoint())), QPoint(), QPoint(0, 120 * steps),
        Qt.MouseButton.NoButton, modifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(hands.canvas, event)
    hands.rest()


def test_candidates_are_lines_and_rows(window):
    click(window, 40, 60)
    preview = window.bench.prompts.preview.data
    assert set(np.unique(preview)) == {0, 1, GONE + 2, GONE + 3}
    whole = window.prompting.asker.current.candidates[1].mask
    assert np.array_equal(preview[whole.part] == GONE + 2, edge_of(whole))
    assert preview[40, 60] == 1
    assert preview[40, 70] == 0
    assert [row[0] for row in rows(window)] == ["part", "whole", "group"]
    assert [row[1] for row in rows(window)] == ["IoU 0.95", "IoU 0.80", "IoU 0.60"]
    assert [row[3] for row in rows(window)] == [True, False, False]
    window.press(Qt.Key.Key_N)
    assert preview[40, 70] == 1
    part = window.prompting.asker.current.candidates[0].mask
    assert np.array_equal(preview[part.part] == GONE + 1, edge_of(part))  # on top of the chosen
    window.press(Qt.Key.Key_Enter)
    assert not preview.any()
    assert rows(window) == []


def stable(one):
    """Return how stable an answer is to a model whose threshold is 0."""
    return round(stability_score(one.candidate.logits.values, 0.0, 1.0), 4)


def stability_of(hands, label):
    return hands.bench.results.store.objects[label].attributes["stability"]


def test_a_kept_object_knows_how_stable_its_outlines_are(open_dock, model):
    model.made = Discs()
    hands = open_dock(("add_image", np.full((2, 96, 128), 50, np.uint8), {"name": "grey"}))
    hands.go(0)
    hands.settled()
    hands.click_and_wait(40, 60)
    first = stable(hands.prompting.asker.current)
    hands.go(1)
    hands.settled()
    hands.click_and_wait(40, 60)
    hands.press(Qt.Key.Key_N)
    second = stable(hands.prompting.asker.current)
    assert 0 < first < second < 1  # a larger disc is more stable
    hands.press(Qt.Key.Key_Enter)
    hands.until(lambda: not hands.context.work.numbers())
    assert stability_of(hands, 1) == first


def test_lines_are_no_wider_than_some_pixels_however_far_out_the_view_is(window):
    click(window, 40, 60)
    window.viewer.camera.zoom = 0.001
    window.press(Qt.Key.Key_N)
    group = window.prompting.asker.current.candidates[2].mask
    line = edge_of(group, MOST_WIDTH)
    assert 0 < line.sum() < group.area
    preview = window.bench.prompts.preview.data
    assert np.array_equal(preview[group.part] == GONE + 3, line)


def test_areas_are_physical(open_dock, model):
    model.made = Discs()
    image = np.full((96, 128), 50, np.uint8)
    hands = open_dock(("add_image", image, {"scale": (0.5, 0.5), "units": ("um", "um")}))
    click(hands, 40, 60)
    one = hands.prompting.asker.current
    assert rows(hands)[0][2] == f"{one.mask.area / 4:.4g} µm²"


def test_keys_and_wheel_go_round(window):
    click(window, 40, 60)
    sizes = [one.mask.area for one in window.prompting.asker.current.candidates]
    zoom, step = window.viewer.camera.zoom, window.viewer.dims.current_step
    window.press(Qt.Key.Key_N)
    assert area(window) == sizes[1]
    window.press(Qt.Key.Key_N, SHIFT)
    assert area(window) == sizes[0]
    window.press(Qt.Key.Key_N, SHIFT)
    assert area(window) == sizes[2]
    turn_wheel(window, 1)
    assert area(window) == sizes[0]
    turn_wheel(window, -1)
    turn_wheel(window, -1)
    assert area(window) == sizes[1]
    assert (window.viewer.camera.zoom, window.viewer.dims.current_step) == (zoom, step)
    turn_wheel(window, 1, Qt.KeyboardModifier.NoModifier)
    assert window.viewer.camera.zoom != zoom  # the wheel alone zooms as ever
    assert area(window) == sizes[1]


def test_the_wheel_does_nothing_without_candidates(window):
    turn_wheel(window, 1)
    assert window.prompting.asker.current is None


def test_a_click_on_a_row_chooses_it(window):
    click(window, 40, 60)
    tree = window.prompting.panel.candidates.rows
    place = tree.visualItemRect(tree.topLevelItem(2)).center()
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert area(window) == max(one.mask.area for one in window.prompting.asker.current.candidates)
    assert [row[3] for row in rows(window)] == [False, False, True]


def test_the_size_chosen_is_shown_first_for_the_next_object(window):
    first = window.prompting.panel.candidates.first
    click(window, 40, 60)
    small = area(window)
    window.press(Qt.Key.Key_N)
    window.press(Qt.Key.Key_Enter)
    assert first.currentText() == "whole"
    click(window, 70, 20)
    assert area(window) > 3 * small
    first.setCurrentIndex(0)
    first.activated.emit(0)
    assert area(window) == pytest.approx(small, rel=0.2)
    window.press(Qt.Key.Key_Enter)
    click(window, 12, 100)
    assert area(window) == pytest.approx(small, rel=0.2)


def test_b_brings_back_the_answer_before_with_its_candidate(window):
    click(window, 40, 60)
    window.press(Qt.Key.Key_N)
    chosen = window.bench.prompts.preview.data.copy()
    window.click_and_wait(35 / 2, 60 / 2)
    assert area(window) != (chosen == 1).sum()
    window.press(Qt.Key.Key_B)
    assert np.array_equal(window.bench.prompts.preview.data, chosen)
    assert len(window.bench.prompts.points.data) == 1
    window.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert len(window.bench.prompts.points.data) == 2
    window.press(Qt.Key.Key_B)
    window.press(Qt.Key.Key_B)
    assert len(window.bench.prompts.points.data) == 0
    assert not window.bench.prompts.preview.data.any()
    window.press(Qt.Key.Key_B)
    window.until_said("no click here to take back")


def test_b_takes_back_a_click_of_the_object_in_work_alone(window):
    click(window, 40, 60)
    window.press(Qt.Key.Key_O)
    click(window, 70, 20)
    window.click_and_wait(72 / 2, 22 / 2)
    window.press(Qt.Key.Key_B)
    left = window.bench.prompts.points.data
    assert np.abs(left - [[40, 60], [70, 20]]).max() < 1


def test_an_outline_that_a_click_only_confirms_stays_and_is_said(window):
    click(window, 40, 60)
    before = area(window)
    window.click_and_wait(41 / 2, 61 / 2)  # in the outline: it only confirms
    window.until_said("the outline before agrees")
    assert area(window) == before
    assert [row[0] for row in rows(window)] == ["answer before", "new answer"]
    window.press(Qt.Key.Key_N)
    assert area(window) > before


def test_a_worse_answer_is_not_silent(window):
    click(window, 40, 60)
    window.click_and_wait(40 / 2, 69 / 2)  # beside the outline: a correction
    window.until_said("predicted IoU fell from 0.95 to 0.70, B steps back")


# -- of the object of a review --------------------------------------------------------------------


class BoxedDiscs(Discs):
    """Answers a box as a point in its middle."""

    def decode(self, features, coords, labels, boxes, mask_input, several, guide=None):
        if not coords.shape[1]:
            coords = boxes.reshape(-1, 2, 2).mean(axis=1, keepdims=True)
        return super().decode(features, coords, labels, boxes, mask_input, several, guide)


KEPT = Mask.of(np.ones((11, 11), bool), (55, 35), (96, 128))  # its middle is (60, 40)


@pytest.fixture(params=["painted", "clicked"])
def reviewed(request, open_dock, model):
    """A window in which a review shows an object, with prompts or without."""
    model.made = BoxedDiscs()
    hands = open_dock(("add_image", np.full((96, 128), 50, np.uint8), {"name": "grey"}))
    hands.bench.ensure_layers()
    view = hands.bench.results
    prompts = Prompts([(60, 40), (61, 41)], [1, 1]) if request.param == "clicked" else None
    outline = Outline(KEPT, prompts, origin="painted" if prompts is None else "prompted")
    view.apply(edits.keep(view.store, [{SliceKey((0, 1)): outline}]))
    objects = hands.dock.feature(Objects)
    objects.look()
    hands.until(lambda: objects.assessing.is_ready and objects.assessing.assessed)
    hands.press(Qt.Key.Key_R)
    hands.until_said("N shows other outlines")
    return hands


def test_in_a_review_n_shows_the_candidates_and_enter_keeps_one(reviewed):
    hands = reviewed
    before = hands.labels.copy()
    hands.press(Qt.Key.Key_N)
    hands.until(lambda: len(rows(hands)) == 3)
    assert [row[0] for row in rows(hands)] == ["part", "whole", "group"]
    assert hands.context.work.numbers() == [-1]
    assert np.array_equal(hands.labels, before)
    hands.press(Qt.Key.Key_N)
    chosen = hands.prompting.asker.current
    assert chosen.mask is chosen.candidates[1].mask
    assert chosen.mask.area > 2 * KEPT.area
    hands.press(Qt.Key.Key_Enter)
    hands.until(lambda: not hands.context.work.numbers())
    assert np.array_equal(hands.labels == 1, np.asarray(chosen.mask))
    (outline,) = hands.bench.results.store.objects[1].outlines.values()
    assert outline.score == pytest.approx(0.8)
    assert stability_of(hands, 1) == stable(chosen)
    hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    hands.until(lambda: np.array_equal(hands.labels, before))


def test_in_a_review_esc_leaves_the_object_as_it_was(reviewed):
    hands = reviewed
    before = hands.labels.copy()
    hands.press(Qt.Key.Key_N, SHIFT)
    hands.until(lambda: len(rows(hands)) == 3)
    hands.press(Qt.Key.Key_Escape)
    hands.until_said("object 1 stays as it was")
    assert np.array_equal(hands.labels, before)
    assert not hands.bench.prompts.drawing()


def test_in_a_review_a_finished_object_offers_no_candidates(reviewed):
    hands = reviewed
    hands.press(Qt.Key.Key_K)
    hands.press(Qt.Key.Key_N)
    hands.until_said("object 1 is finished; K unlocks it")
    assert hands.prompting.asker.current is None
