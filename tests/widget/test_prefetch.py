"""Planes that are encoded before anybody asks: which, in what order, and never in the way."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tiny import SceneModel

from napari_sam.everything.amg_params import AmgParams
from napari_sam.objects.journal import MOST_PLANES
from napari_sam.predict.image_cache import nbytes
from napari_sam.types import SliceKey
from napari_sam.widget.features.prefetch.logic import neighbours, travelled
from napari_sam.widget.scheduler import Lane

PLANES = 12


class Lazy:
    """A stack whose planes workers read slowly; remembers which they read, in which order."""

    def __init__(self, plane, planes=PLANES, delay=0.0):
        self.plane, self.delay = plane, delay
        self.shape, self.dtype, self.ndim = (planes, *plane.shape), plane.dtype, 3
        self.read, self.broken = [], set()

    def __getitem__(self, index):
        place = index[0] if isinstance(index, tuple) else index
        if threading.current_thread() is not threading.main_thread():
            self.read.append(place)
            time.sleep(self.delay)
            if place in self.broken:
                raise OSError(f"plane {place} is damaged")
        whole = np.broadcast_to(self.plane, self.shape)
        return whole[index]


@pytest.fixture
def lazy(scene):
    return Lazy(scene[0])


@pytest.fixture
def open_lazy(open_dock, lazy):
    """Return a function that opens the lazy stack, and goes to a plane."""

    def open_at(start, plane):
        hands = open_dock(("add_image", lazy, {"contrast_limits": (0, 255), "name": "lazy"}))
        hands.go(start)
        hands.settled()
        lazy.read.clear()
        hands.context.session.clear()
        hands.go(plane)
        return hands

    return open_at


def line(hands):
    return hands.prefetch.panel.text()


def test_neighbours_stay_in_the_stack():
    key = SliceKey((2, 3), ((0, 1), (1, 8)))
    shape = (2, 10, 64, 64)

    def places(travel):
        return [one.fixed for one in neighbours(key, travel, shape, 3, 1)]

    assert places((1, 1)) == [((0, 1), (1, 9)), ((0, 1), (1, 7))]
    assert [fixed[1][1] for fixed in places((1, -1))] == [7, 6, 5, 9]
    assert places((0, 1)) == [((0, 0), (1, 8))]
    assert places((2, 1)) == places((0, 1))  # an axis that is displayed now
    assert neighbours(SliceKey((0, 1)), (0, 1), (64, 64), 3, 1) == []


def test_travel_is_the_slider_that_moved():
    def at(t, z):
        return SliceKey((2, 3), ((0, t), (1, z)))

    assert travelled(at(1, 5), at(1, 6)) == (1, 1)
    assert travelled(at(1, 5), at(0, 5)) == (0, -1)
    assert travelled(at(1, 5), at(1, 5)) is None
    assert travelled(at(1, 5), SliceKey((1, 3), ((0, 1), (2, 5)))) is None


@pytest.mark.parametrize(
    ("start", "plane", "order", "text"),
    [
        (4, 5, [5, 6, 7, 8, 4], "plane 5 (0 to 11) - ready (next 6, 7, 8)"),
        (6, 5, [5, 4, 3, 2, 6], "plane 5 (0 to 11) - ready (next 4, 3, 2)"),
        (9, 10, [10, 11, 9], "plane 10 (0 to 11) - ready (next 11)"),
        (1, 0, [0, 1], "plane 0 (0 to 11) - ready"),
    ],
)
def test_the_plane_shown_comes_first_then_those_ahead(open_lazy, lazy, start, plane, order, text):
    hands = open_lazy(start, plane)
    assert "encoding" in line(hands)
    hands.until(lambda: line(hands) == text)
    hands.settled()
    assert lazy.read == order


def test_moving_on_encodes_only_what_is_missing(open_lazy, lazy):
    hands = open_lazy(4, 5)
    hands.settled()
    lazy.read.clear()
    hands.go(6)
    hands.until(lambda: line(hands) == "plane 6 (0 to 11) - ready (next 7, 8, 9)")
    assert lazy.read == [9]


def test_the_slider_goes_before_neighbours(open_lazy, lazy):
    lazy.delay = 0.3
    hands = open_lazy(1, 2)
    hands.until(lambda: 3 in lazy.read)
    hands.go(9)
    hands.until(lambda: "plane 9 (0 to 11) - ready" in line(hands))
    assert lazy.read[:3] == [2, 3, 9]
    hands.go(8)
    hands.settled()
    assert 4 not in lazy.read


def test_a_click_is_answered_while_a_neighbour_is_read(open_lazy, lazy):
    lazy.delay = 0.5
    hands = open_lazy(1, 2)
    hands.until(lambda: 3 in lazy.read)
    hands.click_and_wait(25, 28)
    assert hands.answers.plane.key.fixed == ((0, 2),)
    assert lazy.read[:2] == [2, 3]
    assert 4 not in lazy.read  # the answer came before the next neighbour was begun


def test_neighbours_wait_for_everything_mode(open_lazy, lazy):
    hands = open_lazy(1, 2)
    hands.settled()
    hands.context.session.clear()
    lazy.read.clear()
    lazy.delay = 0.1
    hands.everything.panel.set_params(AmgParams(points_per_side=4))
    hands.everything.run(all_planes=True)
    hands.go(8)
    hands.until(lambda: not hands.busy(Lane.BULK), timeout=60)
    # the one shown comes before its turn; the journal reads a few again to know the image by
    others = [plane for plane in dict.fromkeys(lazy.read) if plane != 8]
    assert others == [plane for plane in range(PLANES) if plane != 8]
    assert len(lazy.read) <= PLANES + MOST_PLANES
    hands.until(lambda: line(hands) == "plane 8 (0 to 11) - ready (next 9, 10, 11)")


def test_a_neighbour_that_cannot_be_read_is_silent_and_speaks_when_it_is_shown(open_lazy, lazy):
    hands = open_lazy(4, 5)
    lazy.broken = {8}
    hands.until(lambda: line(hands) == "plane 5 (0 to 11) - ready (next 6, 7)")
    hands.settled()
    assert "damaged" not in hands.status
    hands.press(Qt.Key.Key_Escape)
    hands.settled()
    assert lazy.read.count(8) == 1  # not tried again
    hands.go(8)
    hands.until_said("plane 8 is damaged")
    hands.until(lambda: line(hands) == "plane 8 (0 to 11) - not encoded")
    lazy.broken = set()
    hands.click_and_wait(25, 28)
    hands.until(lambda: "plane 8 (0 to 11) - ready" in line(hands))


@pytest.mark.parametrize(("capacity", "ready"), [(3, [5, 6, 7]), (1, [5])])
def test_neighbours_never_push_the_plane_shown_out(open_lazy, lazy, capacity, ready):
    hands = open_lazy(4, 4)
    hands.settled()
    session = hands.context.session
    one = nbytes(session.embedding(hands.context.shown()).features)
    session.max_bytes = capacity * one
    hands.go(5)
    hands.settled()
    lazy.read.clear()
    hands.press(Qt.Key.Key_Escape)
    hands.settled()
    assert lazy.read == []
    shown = hands.context.shown()
    planes = [replace(shown, key=replace(shown.key, fixed=((0, z),))) for z in range(PLANES)]
    assert [z for z, plane in enumerate(planes) if session.ready(plane)] == ready


def test_prompts_left_on_a_plane_are_asked_again_there(open_lazy):
    hands = open_lazy(1, 2)
    hands.click_and_wait(25, 28)
    hands.go(3)
    assert not hands.answers
    hands.settled()
    hands.go(2)
    hands.until(lambda: hands.answers)
    assert hands.bench.prompts.preview.data.any()


def test_another_model_begins_anew(open_lazy, lazy, model):
    hands = open_lazy(1, 2)
    hands.settled()
    lazy.read.clear()
    model.made = SceneModel()
    model.made.fingerprint = "another"
    hands.source.loader.open_file("another.pt")
    hands.until(lambda: line(hands) == "plane 2 (0 to 11) - ready (next 3, 4, 5)")
    assert lazy.read[:4] == [2, 3, 4, 5]
    assert model.made.encoded >= 4


def test_closing_the_dock_ends_it(open_lazy, lazy):
    lazy.delay = 0.2
    hands = open_lazy(1, 2)
    hands.until(lambda: 3 in lazy.read)
    hands.viewer.window.remove_dock_widget(hands.dock)
    hands.scheduler.wait()
    hands.rest(0.3)
    assert lazy.read == [2, 3]


def test_the_image_alone_has_no_neighbours(hands):
    hands.until(lambda: line(hands) == "the image - ready")
