"""An object is prompted in one plane, followed through the stack, corrected and kept."""

from __future__ import annotations

from threading import Semaphore

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtTest import QTest
from tiny import DiscModel

from napari_sam.masks import iou
from napari_sam.objects.canvas import Canvas
from napari_sam.objects.journal import Journal
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.stack.propagate import Found, FoundPlane
from napari_sam.types import Mask, Plane, SliceKey
from napari_sam.widget.features.prompting import logic
from napari_sam.widget.features.stack import run
from napari_sam.widget.features.stack.following import Line
from napari_sam.widget.features.stack.logic import Stack
from napari_sam.widget.scheduler import Lane
from napari_sam.widget.work import planes

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}
PLANES = 9


def key(plane):
    return SliceKey((1, 2), ((0, plane),))


class Follower:
    """Stands for `propagate`: the keyframe nearest to a plane is what is found there.

    Attributes
    ----------
    calls : list of (keyframes, places)
        What was asked for.
    gate : Semaphore or None
        Acquired before each plane.
    end : int
        From this plane on, objects are not there.
    planes : list of Plane or None
        What they were followed through the last time.
    masks : dict of int to dict of int to Mask
        The keyframes of the last time.
    """

    def __init__(self):
        self.calls, self.gate, self.end = [], None, PLANES
        self.planes, self.masks = None, {}

    def __call__(self, session, planes, keyframes, only=None, others=None, propagator=None):
        places = sorted(range(len(planes)) if only is None else only)
        self.calls.append(({n: sorted(one) for n, one in keyframes.items()}, places))
        self.planes, self.masks = planes, keyframes
        first = min(min(one) for one in keyframes.values())
        for place in sorted(places, key=lambda p: abs(p - first)):
            if self.gate is not None:
                assert self.gate.acquire(timeout=20)
            found = {}
            for number, one in keyframes.items():
                nearest = min(one, key=lambda known: abs(known - place))
                if one[nearest] and place < self.end:
                    found[number] = Found(one[nearest], 1 - 0.05 * abs(place - nearest))
            yield FoundPlane(place, found)


@pytest.fixture
def follower(monkeypatch):
    follower = Follower()
    monkeypatch.setattr(run, "propagate", follower)
    return follower


@pytest.fixture
def stack(open_dock, scene, follower):
    """A window on nine planes of the scene, at plane 2."""
    hands = open_dock(("add_image", np.repeat(scene[0][None], PLANES, 0), {"name": "stack"}))
    hands.go(1)
    hands.go(2)  # forward: planes 3, 4, 5 and 1 are encoded
    hands.settled()
    hands.stack = hands.dock.feature(Stack)
    return hands


@pytest.fixture
def propagated(stack):
    """The same window with the first object followed through all planes."""
    stack.click_and_wait(*CENTRES[1])
    propagate(stack)
    return stack


def propagate(hands):
    hands.press(Qt.Key.Key_P)
    ended(hands)


def ended(hands):
    hands.rest(0.05)
    hands.until(lambda: not hands.busy(Lane.FOLLOW, Lane.CLICK))
    hands.rest(0.05)


def preview(hands):
    return np.asarray(hands.bench.prompts.preview.data)


def marks(hands):
    return {place: mark.kind for place, mark in hands.stack.panel.strip.marks.items()}


def alike(pixels, truth):
    return bool((np.asarray(pixels) == np.asarray(truth)).mean() > 0.99)


def test_the_real_propagation_finds_the_object_in_every_plane(open_dock, scene):
    image = np.repeat(scene[0][None], PLANES, 0)
    image[7:] = 0  # it ends before
    hands = open_dock(("add_image", image, {"name": "stack", "contrast_limits": (0, 255)}))
    hands.go(2)
    hands.settled()
    hands.click_and_wait(*CENTRES[1])
    propagate(hands)
    hands.press(Qt.Key.Key_Return)
    assert all(alike(plane == 1, scene[1] == 1) for plane in hands.labels[:7])
    assert not hands.labels[7:].any()


def test_a_prompt_is_followed_shown_kept_and_taken_back(propagated, scene, follower):
    truth = scene[1] == 1
    assert follower.calls == [({1: [2]}, [0, 1, 3, 4, 5, 6, 7, 8])]
    assert not propagated.labels.any()
    propagated.go(6)
    propagated.rest()
    assert alike(preview(propagated) > 0, truth)
    assert "propagated" in propagated.status
    propagated.press(Qt.Key.Key_Return)
    assert all(alike(plane == 1, truth) for plane in propagated.labels)
    assert "8 propagated outlines" in propagated.status
    outlines = propagated.bench.results.store.objects[1].outlines
    assert {k for k, one in outlines.items() if one.origin == "propagated"} == {
        key(place) for place in range(PLANES) if place != 2
    }
    assert outlines[key(4)].score == pytest.approx(0.9)
    assert outlines[key(4)].model == outlines[key(2)].model
    propagated.press(Qt.Key.Key_Z, CONTROL)
    propagated.until(lambda: not propagated.context.history.walking)
    assert not propagated.labels.any()
    propagated.press(Qt.Key.Key_Z, CONTROL | SHIFT)
    propagated.until(lambda: not propagated.context.history.walking)
    assert all(alike(plane == 1, truth) for plane in propagated.labels)


def test_a_correction_has_only_the_planes_to_its_neighbours_done_again(propagated, follower, scene):
    propagated.go(6)
    propagated.settled()
    propagated.click_and_wait(30, 30)
    ended(propagated)
    assert follower.calls[1:] == [({1: [2, 6]}, [3, 4, 5, 7, 8])]
    assert set(propagated.answers.objects) == {1}
    assert marks(propagated)[6] == marks(propagated)[2] == "keyframe"
    propagated.go(4)
    propagated.settled()
    propagated.click_and_wait(30, 30)
    ended(propagated)
    assert follower.calls[2:] == [({1: [2, 4, 6]}, [3, 5])]
    propagated.press(Qt.Key.Key_Return)
    assert propagated.bench.results.store.objects[1].keyframes == (key(2), key(4), key(6))
    assert all(plane.any() for plane in propagated.labels)


def test_a_background_point_corrects_the_outline_that_was_propagated(propagated, follower):
    propagated.go(6)
    propagated.settled()
    propagated.press(Qt.Key.Key_T)
    propagated.click_and_wait(30, 30)
    one = propagated.answers.objects[1]
    assert not one.kept
    assert one.start is not None
    assert one.prompts.point_labels.tolist() == [0]


def test_a_correction_that_is_taken_back_is_followed_back(propagated, follower):
    propagated.go(6)
    propagated.settled()
    propagated.click_and_wait(30, 30)
    ended(propagated)
    propagated.press(Qt.Key.Key_Z, CONTROL)
    propagated.until(lambda: not propagated.context.history.walking)
    ended(propagated)
    assert follower.calls[2:] == [({1: [2]}, [3, 4, 5, 6, 7, 8])]
    assert marks(propagated)[6] == "found"


@pytest.mark.parametrize("by", ["Escape", "P", "the button of the bar"])
def test_cancelled_propagation_keeps_what_was_found(stack, follower, by):
    stack.click_and_wait(*CENTRES[1])
    follower.gate = Semaphore(0)
    stack.press(Qt.Key.Key_P)
    assert "following object 1" in stack.status
    follower.gate.release(2)
    stack.until(lambda: len(stack.context.work.propagated[1]) == 2)
    found = dict(stack.context.work.propagated[1])
    bar = stack.dock.long_work
    stack.until(bar.isVisible)
    if by == "the button of the bar":
        QTest.mouseClick(bar.button, Qt.MouseButton.LeftButton)
    else:
        stack.press(Qt.Key.Key_P if by == "P" else Qt.Key.Key_Escape)
    follower.gate.release(PLANES)
    ended(stack)
    assert "what was found so far is kept" in stack.status
    assert not bar.isVisible()
    assert len(stack.context.work.propagated[1]) == len(found)
    assert stack.answers is not None
    stack.press(Qt.Key.Key_Return)
    held = [place for place, plane in enumerate(stack.labels) if plane.any()]
    assert held == sorted({2, *(k.fixed[0][1] for k in found)})


def test_escape_takes_propagation_back_before_prompts(propagated):
    propagated.go(6)
    propagated.rest()
    propagated.press(Qt.Key.Key_Escape)
    assert not preview(propagated).any()
    assert len(propagated.bench.prompts.points.data) == 1
    assert marks(propagated) == {2: "keyframe"}
    propagated.press(Qt.Key.Key_Return)
    assert [place for place, plane in enumerate(propagated.labels) if plane.any()] == [2]


def test_enter_waits_for_the_end(stack, follower):
    stack.click_and_wait(*CENTRES[1])
    follower.gate = Semaphore(0)
    stack.press(Qt.Key.Key_P)
    stack.press(Qt.Key.Key_Return)
    assert not stack.labels.any()
    follower.gate.release(PLANES)
    stack.until(stack.labels.any)
    assert all(plane.any() for plane in stack.labels)


def test_forward_and_backward(stack, follower):
    stack.click_and_wait(*CENTRES[1])
    stack.stack.panel.direction.setCurrentText("forward")
    propagate(stack)
    assert follower.calls[0][1] == [3, 4, 5, 6, 7, 8]
    stack.stack.panel.direction.setCurrentText("backward")
    propagate(stack)
    assert follower.calls[1][1] == [0, 1]
    assert len(stack.context.work.propagated[1]) == PLANES - 1


def test_an_object_that_is_not_here_has_ended(propagated, follower):
    propagated.go(5)
    propagated.rest()
    propagated.press(Qt.Key.Key_P, SHIFT)
    ended(propagated)
    assert follower.calls[1:] == [({1: [2, 5]}, [3, 4, 6, 7, 8])]
    assert not preview(propagated).any()
    assert marks(propagated)[5] == "ended"
    assert [key.fixed[0][1] for key in propagated.context.work.keys(1)] == [0, 1, 2, 3]
    propagated.press(Qt.Key.Key_Return)
    held = [place for place, plane in enumerate(propagated.labels) if plane.any()]
    assert held == [0, 1, 2, 3]


def test_objects_are_followed_together_and_corrected_by_their_place(stack, follower):
    stack.click_and_wait(*CENTRES[1])
    stack.press(Qt.Key.Key_O)
    stack.click_and_wait(*CENTRES[2])
    propagate(stack)
    assert follower.calls == [({1: [2], 2: [2]}, [0, 1, 3, 4, 5, 6, 7, 8])]
    stack.go(6)
    stack.settled()
    stack.click_and_wait(30, 30)
    ended(stack)
    assert follower.calls[1:] == [({1: [2, 6]}, [3, 4, 5, 7, 8])]
    stack.press(Qt.Key.Key_Return)
    assert sorted(stack.bench.results.store.objects) == [1, 2]
    assert all(set(np.unique(plane)) == {0, 1, 2} for plane in stack.labels)


def test_a_kept_object_is_corrected_and_followed_again(propagated, follower):
    propagated.press(Qt.Key.Key_Return)
    propagated.go(6)
    propagated.settled()
    propagated.prompting.reopener.reopen(1, propagated.bench.results)
    propagated.rest()
    assert marks(propagated)[2] == "keyframe"
    assert marks(propagated)[6] == "found"
    follower.calls.clear()
    follower.end = 8
    propagated.click_and_wait(30, 30)
    ended(propagated)
    assert follower.calls == [({-1: [2, 6]}, [3, 4, 5, 7, 8])]
    propagated.press(Qt.Key.Key_Return)
    held = [place for place, plane in enumerate(propagated.labels) if plane.any()]
    assert held == [0, 1, 2, 3, 4, 5, 6, 7]
    assert set(np.unique(propagated.labels)) == {0, 1}


def test_keys_and_clicks_on_the_strip_go_to_planes(propagated):
    propagated.press(Qt.Key.Key_U)
    assert propagated.viewer.dims.current_step[0] == 8
    propagated.press(Qt.Key.Key_U)
    assert propagated.viewer.dims.current_step[0] == 7
    strip = propagated.stack.panel.strip
    assert strip.current == 7
    place = strip.rect().center()
    place.setX(round((4 + 0.5) * strip.width() / PLANES))
    QTest.mouseClick(strip, Qt.MouseButton.LeftButton, pos=place)
    assert propagated.viewer.dims.current_step[0] == 4


def test_kept_objects_keep_their_pixels(propagated, monkeypatch, scene):
    propagated.press(Qt.Key.Key_Return)
    seen = []

    def propagate_looking(session, planes, keyframes, only, others, propagator):
        seen.append(others(5))
        yield FoundPlane(5, {})

    monkeypatch.setattr(run, "propagate", propagate_looking)
    propagated.click_and_wait(*CENTRES[2])
    propagate(propagated)
    assert alike(seen[0] == 1, scene[1] == 1)


def test_an_object_is_followed_at_once_where_planes_are_encoded(stack, follower):
    stack.stack.panel.live.setChecked(True)
    stack.click_and_wait(*CENTRES[1])
    stack.until(lambda: {1, 3, 4, 5} <= set(marks(stack)))
    stack.settled()
    ended(stack)
    found = set(marks(stack))
    asked = [place for _, places in follower.calls for place in places]
    assert sorted(asked) == sorted(found - {2})  # each once
    stack.go(4)
    stack.rest()
    assert preview(stack).any()
    stack.settled()
    ended(stack)
    follower.calls.clear()
    stack.click_and_wait(30, 30)
    stack.until(lambda: follower.calls)
    ended(stack)
    assert follower.calls[0][0] == {1: [2, 4]}
    assert not {0, 1} & {place for _, places in follower.calls for place in places}
    stack.press(Qt.Key.Key_Escape)
    stack.settled()
    assert marks(stack) == {2: "keyframe", 4: "keyframe"}


def test_without_an_object_or_a_stack_the_dock_says_so(stack, follower):
    stack.press(Qt.Key.Key_P)
    assert "prompt an object in one plane first" in stack.status
    stack.press(Qt.Key.Key_U)
    assert "no plane was propagated to yet" in stack.status
    stack.press(Qt.Key.Key_P, SHIFT)
    assert "no object in work" in stack.status
    assert not follower.calls


def test_an_image_of_one_plane_has_no_panel(hands):
    assert not hands.dock.feature(Stack).panel.isVisible()


def test_3d_view_is_said(stack):
    stack.viewer.dims.ndisplay = 3
    stack.rest()
    stack.press(Qt.Key.Key_P)
    assert "2-D view" in stack.status


def image_of(hands):
    return hands.viewer.layers["stack"]


def second_object(hands, place, centre):
    """Prompt another object in another plane."""
    hands.go(place)
    hands.settled()
    hands.press(Qt.Key.Key_O)
    hands.click_and_wait(*centre)


def test_objects_prompted_in_different_planes_are_followed_together(stack, follower):
    stack.click_and_wait(*CENTRES[1])
    second_object(stack, 5, CENTRES[2])
    propagate(stack)
    assert follower.calls == [({1: [2], 2: [5]}, list(range(PLANES)))]
    assert {place for place, kind in marks(stack).items() if kind == "keyframe"} == {5}
    assert set(marks(stack)) == set(range(PLANES))
    assert "ended" not in marks(stack).values()
    stack.press(Qt.Key.Key_Return)
    assert all(set(np.unique(plane)) == {0, 1, 2} for plane in stack.labels)
    outlines = stack.bench.results.store.objects
    assert outlines[1].keyframes == (key(2),)
    assert outlines[2].keyframes == (key(5),)


def test_the_same_thing_prompted_twice_does_not_overlap(open_dock, scene):
    hands = open_dock(("add_image", np.repeat(scene[0][None], PLANES, 0), {"name": "stack"}))
    hands.go(2)
    hands.settled()
    hands.click_and_wait(*CENTRES[1])
    second_object(hands, 5, CENTRES[1])
    propagate(hands)
    work = hands.context.work
    one, other = (
        {k: outline.mask for k, outline in work.outlines(n).items()} | work.keyframes(n)
        for n in (1, 2)
    )
    assert set(one) == set(other) == {key(place) for place in range(PLANES)}
    assert not any((np.asarray(one[k]) & np.asarray(other[k])).any() for k in one)
    assert all(one[k] or other[k] for k in one)
    assert alike(work.keyframes(1)[key(2)], scene[1] == 1)
    assert alike(work.keyframes(2)[key(5)], scene[1] == 1)


def test_objects_with_other_planes_may_not_have_what_was_found_before(scene, monkeypatch):
    image, mask = np.repeat(scene[0][None], PLANES, 0), Mask.of(scene[1] == 1)
    line = Line(Plane(image, key(2)), 0)
    taken = {}

    def propagate_looking(session, planes, keyframes, only, others, propagator):
        (number,) = keyframes
        taken[number] = {place: np.asarray(others(place)).any() for place in sorted(only)}
        yield from (FoundPlane(place, {number: Found(mask, 1.0)}) for place in sorted(only))

    monkeypatch.setattr(run, "propagate", propagate_looking)
    first = run.Job(line, {1: {2: mask}}, frozenset({3, 4}), run.Occupied())
    second = run.Job(line, {2: {2: mask}}, frozenset({3, 4, 5}), run.Occupied())
    assert len(list(run.follow(None, [first, second]))) == 7
    assert taken == {1: {3: False, 4: False}, 2: {3: True, 4: True, 5: False}}


def test_other_contrast_stops_following_and_p_follows_anew(stack, follower):
    stack.click_and_wait(*CENTRES[1])
    follower.gate = Semaphore(0)
    stack.press(Qt.Key.Key_P)
    follower.gate.release(2)
    stack.until(lambda: len(stack.context.work.propagated[1]) == 2)
    stack.press(Qt.Key.Key_F13)  # later messages count
    image_of(stack).contrast_limits = (0, 150)
    stack.until_said("the image looks otherwise now: following was stopped")
    follower.gate.release(2 * PLANES)
    stack.settled()
    ended(stack)
    assert len(stack.context.work.propagated[1]) == 2
    propagate(stack)
    assert follower.calls[-1] == ({1: [2]}, [0, 1, 3, 4, 5, 6, 7, 8])
    assert {plane.contrast for plane in follower.planes} == {(0.0, 150.0)}
    assert len(stack.context.work.propagated[1]) == PLANES - 1


def test_a_correction_in_another_contrast_is_followed_in_that(propagated, follower):
    image_of(propagated).contrast_limits = (0, 150)
    propagated.go(6)
    propagated.settled()
    propagated.click_and_wait(30, 30)
    ended(propagated)
    assert follower.calls[-1] == ({1: [2, 6]}, [3, 4, 5, 7, 8])
    assert {plane.contrast for plane in follower.planes} == {(0.0, 150.0)}
    propagated.press(Qt.Key.Key_Return)
    assert all(plane.any() for plane in propagated.labels)


def test_other_pixels_are_asked_about_and_followed_anew(propagated, scene, follower):
    propagated.go(6)
    propagated.settled()
    larger = scene[0].copy()
    larger[8:42, 10:46] = 200
    propagated.press(Qt.Key.Key_F13)
    image_of(propagated).data = np.repeat(larger[None], PLANES, 0)
    propagated.until_said("what was propagated before is kept; P follows the objects anew")
    propagated.settled()
    propagate(propagated)
    assert follower.calls[-1] == ({1: [2]}, [0, 1, 3, 4, 5, 6, 7, 8])
    assert follower.planes[0].image is propagated.context.shown().image
    propagated.press(Qt.Key.Key_Return)
    truth = np.zeros(scene[1].shape, bool)
    truth[8:42, 10:46] = True
    assert all(alike(plane == 1, truth) for plane in propagated.labels)


def test_another_model_is_asked_about_all_planes_with_prompts_first(propagated, scene, follower):
    propagated.go(6)
    propagated.settled()
    propagated.click_and_wait(30, 30)
    ended(propagated)
    propagated.go(4)
    propagated.settled()
    follower.calls.clear()
    propagated.context.use_session(Session(SamPredictor(DiscModel())))
    propagated.settled()
    assert not follower.calls
    propagate(propagated)
    propagated.until(lambda: follower.calls)
    ended(propagated)
    assert follower.calls == [({1: [2, 6]}, [0, 1, 3, 4, 5, 7, 8])]
    areas = {one.area for one in follower.masks[1].values()}
    assert max(areas) < 400  # a disc of radius 8, not the object
    propagated.press(Qt.Key.Key_Return)
    assert all(0 < np.count_nonzero(plane) < 400 for plane in propagated.labels)


class Actions(QObject):
    """Counts what a user does on the canvas: keys, and clicks or drags."""

    def __init__(self, canvas):
        super().__init__()
        self.count = 0
        canvas.installEventFilter(self)

    def eventFilter(self, watched, event):
        self.count += event.type() in (QEvent.Type.KeyPress, QEvent.Type.MouseButtonPress)
        return False


def test_one_object_through_a_stack_takes_five_actions(open_dock, scene):
    image = np.repeat(scene[0][None], PLANES, 0)
    image[4:, 10:40, 12:20] = 20  # a part is gone
    truth = (scene[1] == 1) & (image > 100)
    hands = open_dock(("add_image", image, {"name": "stack", "contrast_limits": (0, 255)}))
    hands.go(2)
    hands.settled()
    actions = Actions(hands.canvas)
    steps = (
        lambda: hands.drag((9, 11), (40, 44)),
        lambda: hands.press(Qt.Key.Key_P),
        lambda: hands.press(Qt.Key.Key_U),
        lambda: hands.drag((9, 19), (40, 44)),
        lambda: hands.press(Qt.Key.Key_Return),
    )
    for step in steps:
        step()
        hands.settled()
        ended(hands)
    assert actions.count == 5
    assert hands.bench.results.store.objects[1].keyframes[0] == key(2)
    for plane, wanted in zip(hands.labels, truth, strict=True):
        assert iou(plane == 1, wanted) > 0.9


def walked(hands, *modifiers):
    """Undo or redo a step."""
    modifier = CONTROL
    for one in modifiers:
        modifier |= one
    hands.press(Qt.Key.Key_Z, modifier)
    hands.until(lambda: not hands.context.history.walking)
    ended(hands)


def test_undo_of_a_commit_brings_back_what_was_propagated(propagated, scene, follower):
    propagated.go(6)
    propagated.settled()
    propagated.click_and_wait(30, 30)
    propagated.go(4)
    propagated.rest()
    propagated.press(Qt.Key.Key_P, SHIFT)
    ended(propagated)
    before = marks(propagated)
    assert before[4] == "ended"
    assert before[2] == before[6] == "keyframe"
    found = dict(propagated.context.work.outlines(1))
    propagated.press(Qt.Key.Key_Return)
    assert marks(propagated) == {}
    labels = propagated.labels.copy()
    follower.calls.clear()
    walked(propagated)
    assert not propagated.labels.any()
    assert marks(propagated) == before
    assert propagated.context.work.outlines(1).keys() == found.keys()
    propagated.go(3)
    propagated.rest()
    assert alike(preview(propagated) > 0, scene[1] == 1)
    propagated.press(Qt.Key.Key_Return)
    assert np.array_equal(propagated.labels, labels)
    walked(propagated)
    walked(propagated, SHIFT)
    assert np.array_equal(propagated.labels, labels)
    assert marks(propagated) == {}
    assert not propagated.context.work.absent
    walked(propagated)
    assert marks(propagated) == before
    assert not follower.calls  # nothing had to be followed again
    propagated.go(8)
    propagated.settled()
    propagated.click_and_wait(30, 30)
    ended(propagated)
    assert follower.calls == [({1: [2, 4, 6, 8]}, [7])]


def test_undo_goes_on_in_the_direction_of_before(stack, follower):
    stack.click_and_wait(*CENTRES[1])
    stack.stack.panel.direction.setCurrentText("forward")
    propagate(stack)
    stack.press(Qt.Key.Key_Return)
    walked(stack)
    assert stack.stack.propagation.followed[1].direction == "forward"


@pytest.fixture
def long_commit(propagated, monkeypatch, turns):
    """The same window; commits are written a plane at a time, each when `turns` says so."""
    monkeypatch.setattr(logic, "AT_ONCE", 0)
    return propagated


@pytest.fixture
def writing(long_commit, turns):
    """The same window when one plane is written."""
    long_commit.prompting.commit()
    turns.until(long_commit.labels.any)
    assert long_commit.context.history.walking
    return long_commit


def begin_box(hands, moved=True):
    """Draw a box, or its first corner, and hold the button still."""
    hands.prompting.tools.use("boxes")
    places = [hands.place(*place) for place in ((60, 60), (70, 70), (80, 80))]
    QTest.mousePress(hands.canvas, Qt.MouseButton.LeftButton, pos=places[0])
    for place in places[1:] if moved else ():
        QTest.mouseMove(hands.canvas, place)
        hands.rest(0.02)
    assert hands.bench.prompts.is_drawing


def end_box(hands):
    QTest.mouseMove(hands.canvas, hands.place(80, 80))
    hands.rest(0.02)
    QTest.mouseRelease(hands.canvas, Qt.MouseButton.LeftButton, pos=hands.place(80, 80))
    hands.rest(0.02)


def fail(monkeypatch, error):
    """Let no label be written any more."""

    def write(canvas, *patches):
        if any(patch.new().any() for patch in patches):
            raise error
        written(canvas, *patches)

    written = Canvas.write
    monkeypatch.setattr(Canvas, "write", write)


def test_a_long_commit_is_written_while_the_window_lives(long_commit, scene, follower, turns):
    hands = long_commit
    hands.prompting.commit()
    assert hands.context.history.walking
    assert not hands.labels.any()
    hands.prompting.commit()
    assert "press Enter again" in hands.status
    turns.until(hands.labels.any)
    assert hands.context.history.walking
    hands.click_and_wait(*CENTRES[3])  # the next object is begun meanwhile
    turns.rest()
    assert not hands.context.history.walking
    assert all(alike(plane == 1, scene[1] == 1) for plane in hands.labels)
    walked(hands)
    assert hands.labels.any()
    walked(hands)
    assert not hands.labels.any()
    assert set(marks(hands)) == set(range(PLANES))
    walked(hands, SHIFT)
    assert all(alike(plane == 1, scene[1] == 1) for plane in hands.labels)


def test_prompts_that_change_before_a_long_commit_is_written_end_it(long_commit, turns):
    hands = long_commit
    hands.prompting.commit()
    hands.prompting.clear()  # what was propagated
    hands.prompting.clear()  # the prompts
    turns.rest()
    hands.until_said("press Enter again")
    assert not hands.labels.any()
    assert not hands.bench.results.store.objects


@pytest.mark.parametrize("moved", [False, True])
def test_a_box_that_is_begun_before_a_long_commit_is_written_stays(long_commit, turns, moved):
    hands = long_commit
    hands.prompting.commit()
    begin_box(hands, moved)
    turns.rest()
    hands.until_said("press Enter again")
    assert hands.bench.prompts.is_drawing
    assert not hands.labels.any()
    end_box(hands)
    assert hands.bench.prompts.boxes.nshapes == 1
    assert len(hands.bench.prompts.points.data) == 1


def test_another_answer_chosen_before_a_long_commit_is_written_is_committed(long_commit, turns):
    hands = long_commit
    hands.prompting.commit()
    hands.prompting.candidates.next_candidate()
    turns.rest()
    outlines = hands.bench.results.store.objects[1].outlines
    assert outlines[key(2)].candidate == 1
    assert len(outlines) == PLANES


def test_a_plane_left_out_before_a_long_commit_is_written_has_no_label(
    long_commit, follower, turns
):
    hands = long_commit
    hands.prompting.commit()
    hands.go(5)
    follower.gate = Semaphore(0)
    hands.press(Qt.Key.Key_P, SHIFT)
    turns.rest()
    hands.until_said("press Enter again")  # others are being followed again
    assert not hands.labels.any()
    follower.gate.release(PLANES)
    ended(hands)
    hands.prompting.commit()
    assert [bool(plane.any()) for plane in hands.labels] == [k < 4 for k in range(PLANES)]


def test_what_is_followed_again_before_a_long_commit_is_written_is_committed(
    long_commit, follower, turns
):
    hands = long_commit
    hands.prompting.commit()
    hands.go(5)
    hands.press(Qt.Key.Key_P, SHIFT)
    ended(hands)
    turns.rest()
    assert [bool(plane.any()) for plane in hands.labels] == [k < 4 for k in range(PLANES)]


@pytest.mark.parametrize("error", [OSError("the disk is full"), RuntimeError("broken")])
def test_a_failed_commit_ends_the_box_that_is_drawn(writing, turns, monkeypatch, error):
    hands = writing
    begin_box(hands)
    fail(monkeypatch, error)
    if isinstance(error, OSError):
        turns.rest()
        hands.until_said("the disk is full")
    else:
        with pytest.raises(RuntimeError, match="broken"):
            turns.rest()
    assert not hands.context.history.walking
    assert hands.bench.results.layer.editable
    assert not hands.bench.prompts.is_drawing
    end_box(hands)
    assert not hands.labels.any()
    assert len(hands.bench.prompts.points.data) == 1
    hands.press(Qt.Key.Key_Z, CONTROL | SHIFT)  # what failed is not made again
    assert len(hands.bench.prompts.points.data) == 1


def test_prompts_of_a_failed_commit_are_not_drawn_on_another_image(writing, turns, monkeypatch):
    hands, layer = writing, writing.bench.results.layer
    first = image_of(hands)
    hands.source.use_image(hands.viewer.add_image(np.zeros_like(first.data), name="other"))
    fail(monkeypatch, OSError("the disk is full"))
    turns.rest()
    hands.until_said("the disk is full")
    assert not layer.data.any()
    assert len(hands.bench.prompts.points.data) == 0
    hands.source.use_image(first)
    assert len(hands.bench.prompts.points.data) == 1


def test_a_layer_that_goes_while_objects_are_committed_stops_that(writing, scene, turns):
    hands, image = writing, image_of(writing)
    hands.viewer.layers.remove(hands.bench.results.layer)
    turns.rest()
    assert not hands.context.history.walking
    hands.until(lambda: hands.answers is not None)
    assert hands.context.bench.frame.layer is image
    assert len(hands.bench.prompts.points.data) == 1
    assert not hands.labels.any()  # of a new layer
    hands.prompting.commit()
    assert all(alike(plane == 1, scene[1] == 1) for plane in hands.labels)


def test_answers_of_another_model_do_not_come_back(propagated, scene):
    propagated.press(Qt.Key.Key_Return)
    propagated.context.use_session(Session(SamPredictor(DiscModel())))
    propagated.settled()
    walked(propagated)
    propagated.settled()
    propagated.press(Qt.Key.Key_F13)
    propagated.until(lambda: propagated.answers and not propagated.prompting.asker.pending)
    assert 0 < propagated.answers.objects[1].mask.area < 400  # a disc of radius 8
    assert len(propagated.context.work.propagated[1]) == PLANES - 1


def test_what_was_known_of_commits_is_kept_within_limits(propagated, monkeypatch):
    work = propagated.context.work
    known = work.known()
    assert known.nbytes > 0
    monkeypatch.setattr(planes, "RECENT_BYTES", 0)
    work.remember(101, known)
    work.remember(102, known)
    for step, kept in ((101, False), (102, True)):
        work.clear()
        work.bring_back(step)
        assert bool(work.answers) == kept
        assert len(work.propagated[1]) == PLANES - 1
    image = image_of(propagated)
    propagated.source.use_image(propagated.viewer.add_image(np.zeros_like(image.data), name="b"))
    work.bring_back(102)
    assert not work.answers
    assert not work.propagated


def test_a_plane_without_the_object_says_nothing_of_the_direction(propagated):
    propagated.go(0)
    propagated.rest()
    propagated.press(Qt.Key.Key_P, SHIFT)
    ended(propagated)
    propagated.press(Qt.Key.Key_Return)
    walked(propagated)
    assert propagated.stack.propagation.followed[1].direction == "both ways"


def test_contrast_that_napari_goes_on_choosing_stops_nothing(stack):
    ramp = image_of(stack).data.astype(np.float32)
    for place, plane in enumerate(ramp):
        plane[plane > 100] = 200 + place
    image_of(stack).data = ramp
    image_of(stack).auto_contrast = True
    stack.settled()
    stack.click_and_wait(*CENTRES[1])
    propagate(stack)
    assert stack.context.shown().contrast is None
    limits = image_of(stack).contrast_limits
    stack.press(Qt.Key.Key_F13)
    stack.go(4)
    stack.settled()
    assert image_of(stack).contrast_limits != limits
    assert not any("the image looks otherwise" in said for said in stack._said)
    assert len(stack.context.work.propagated[1]) == PLANES - 1


def test_a_long_commit_that_cannot_be_written_is_taken_back(long_commit, monkeypatch, turns):
    hands = long_commit
    write, count = Canvas.write, []

    def full(canvas, *patches):
        count.append(1)
        if len(count) == 4:
            raise OSError("the disk is full")
        write(canvas, *patches)

    before = marks(hands)
    monkeypatch.setattr(Canvas, "write", full)
    hands.prompting.commit()
    turns.rest()
    hands.until_said("the disk is full")
    assert not hands.labels.any()
    assert not hands.bench.results.store.objects
    assert marks(hands) == before
    assert len(hands.bench.prompts.points.data) == 1
    hands.prompting.commit()
    hands.until(lambda: not hands.context.history.walking)
    assert all(plane.any() for plane in hands.labels)


def test_prompts_stay_where_neither_labels_nor_journal_can_be_written(propagated, monkeypatch):
    def full(*values):
        raise OSError("the disk is full")

    before = marks(propagated)
    with monkeypatch.context() as patch:
        for name in ("joined", "undone"):
            patch.setattr(Journal, name, full)
        propagated.press(Qt.Key.Key_Return)
        propagated.until_said("the disk is full")
    assert not propagated.labels.any()
    assert len(propagated.bench.prompts.points.data) == 1
    assert marks(propagated) == before
    propagated.press(Qt.Key.Key_Return)
    assert all(plane.any() for plane in propagated.labels)


def test_closing_the_dock_ends_a_long_commit(writing):
    layer = writing.bench.results.layer
    writing.dock.close_dock()
    assert all(plane.any() for plane in layer.data)


def test_closing_the_dock_leaves_what_another_part_of_it_writes(stack, turns):
    ended = []

    def steps():
        try:
            yield
            yield
            ended.append("all")
        finally:
            ended.append("left")

    stack.context.history.run(steps(), ended.append)
    stack.dock.close_dock()
    assert ended == ["left"]
