from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sam.everything.exemplars import Described
from napari_sam.types import Mask, SliceKey
from napari_sam.widget.features.similar.logic import Similar
from napari_sam.widget.features.similar.search import Search
from napari_sam.widget.scheduler import Lane

SHIFT = Qt.KeyboardModifier.ShiftModifier
DISCS = [(30, 30), (30, 90), (30, 150), (90, 30), (90, 90), (90, 150)]
BARS = [(140, 20), (140, 100), (165, 20), (165, 100)]


def two_kinds():
    """Return a plane (192, 192) with six discs and four bars, and their labels."""
    truth = np.zeros((192, 192), np.int32)
    y, x = np.mgrid[:192, :192]
    for label, (row, column) in enumerate(DISCS, 1):
        truth[np.hypot(y - row, x - column) < 14] = label
    for label, (row, column) in enumerate(BARS, 1 + len(DISCS)):
        truth[row : row + 8, column : column + 64] = label
    return np.where(truth > 0, 200, 20).astype(np.uint8), truth


@pytest.fixture
def similar(open_dock):
    """A window on discs and bars, with the hands that use it and the feature."""
    image, truth = two_kinds()
    hands = open_dock(("add_image", image, {"name": "kinds"}))
    return hands, hands.dock.feature(Similar), truth


def keep(hands, place):
    hands.click_and_wait(*place)
    hands.press(Qt.Key.Key_Return)
    hands.until(lambda: hands.labels[place])


def found(hands, feature):
    hands.press(Qt.Key.Key_F)
    hands.until(lambda: feature.search is not None and not hands.busy(Lane.SIMILAR))


def test_discs_are_proposed_for_a_disc_and_accepted_by_key(similar):
    hands, feature, truth = similar
    keep(hands, DISCS[0])
    found(hands, feature)
    assert len(feature.ranked) >= 5
    for _ in range(5):
        one = feature.ranked[0]
        assert set(truth[np.asarray(one.mask)]) <= {2, 3, 4, 5, 6}
        hands.press(Qt.Key.Key_A)
        hands.until_said("accepted as object")
    assert set(np.unique(truth[hands.labels > 0])) == {1, 2, 3, 4, 5, 6}
    assert hands.labels.max() == 6
    objects = hands.bench.results.store.objects
    assert "stability" in objects[2].attributes
    hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    hands.until(lambda: hands.labels.max() == 5)
    hands.until(lambda: feature.ranked)
    assert set(truth[np.asarray(feature.ranked[0].mask)]) <= {2, 3, 4, 5, 6}


def test_a_rejected_proposal_comes_no_more(similar):
    hands, feature, _ = similar
    keep(hands, DISCS[0])
    found(hands, feature)
    first = feature.ranked[0].mask.box
    hands.press(Qt.Key.Key_X)
    hands.until_said("rejected")
    assert all(one.mask.box != first for one in feature.ranked)


def test_all_are_accepted_as_one_step(similar):
    hands, feature, truth = similar
    keep(hands, (144, 50))
    found(hands, feature)
    feature.panel.slider.setValue(85)
    count = len(feature.ranked)
    assert count == 3
    assert str(count) in feature.panel.count.text()
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.until_said("accepted as 3 objects")
    assert set(np.unique(truth[hands.labels > 0])) == {7, 8, 9, 10}
    hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    hands.until(lambda: hands.labels.max() == 1)


def test_without_an_object_it_says_what_to_do(similar):
    hands, feature, _ = similar
    hands.press(Qt.Key.Key_F)
    hands.until_said("keep an object or two by clicks first")
    assert feature.search is None


def test_the_layer_goes_with_the_search(similar):
    hands, feature, _ = similar
    keep(hands, DISCS[0])
    found(hands, feature)
    layer = feature.shown.layer
    assert layer in hands.viewer.layers
    hands.viewer.layers.remove(layer)
    hands.until(lambda: feature.search is None)
    assert hands.context.proposals is None


def test_all_planes_are_searched_and_the_view_moves_on(open_dock):
    image, truth = two_kinds()
    hands = open_dock(("add_image", np.stack([image] * 3), {"name": "stack"}))
    feature = hands.dock.feature(Similar)
    hands.go(0)
    hands.settled()
    hands.click_and_wait(*DISCS[0])
    hands.press(Qt.Key.Key_Return)
    hands.until(lambda: hands.labels[0][DISCS[0]])
    assert feature.panel.everywhere.isVisibleTo(feature.panel)
    feature.find(everywhere=True)
    hands.until(lambda: len(feature.search.found) == 3 and not hands.busy(Lane.SIMILAR))
    assert "3 planes" in feature.panel.count.text()
    feature.panel.slider.setValue(80)
    here = len(feature.ranked)
    assert here == 5
    hands.until(lambda: f"{here + 6 + 6} in 3 planes" in feature.panel.count.text())
    for _ in range(here):
        hands.press(Qt.Key.Key_A)
        hands.until_said("accepted as object")
    hands.until(lambda: hands.viewer.dims.current_step[0] == 1)
    assert len(feature.ranked) == 6
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.until_said("accepted as 12 objects")
    for plane in hands.labels:
        assert set(np.unique(truth[plane > 0])) == {1, 2, 3, 4, 5, 6}
    feature.end()
    assert hands.context.proposals is None


def test_keys_act_on_the_proposal_under_the_pointer(similar):
    hands, feature, truth = similar
    keep(hands, DISCS[0])
    found(hands, feature)
    QTest.mouseMove(hands.canvas, hands.place(*DISCS[5]))
    hands.rest()
    hands.press(Qt.Key.Key_A)
    hands.until_said("accepted as object")
    assert truth[DISCS[5]] == 6
    assert hands.labels[DISCS[5]] == 2


def test_proposals_of_a_pyramid_are_accepted_and_others_found(open_dock):
    image, truth = two_kinds()
    fine = np.kron(image, np.ones((2, 2), np.uint8))
    options = {"multiscale": True, "name": "pyramid"}
    hands = open_dock(("add_image", [fine, fine[::2, ::2]], options))
    feature = hands.dock.feature(Similar)
    truth = np.kron(truth, np.ones((2, 2), np.int32))
    keep(hands, (60, 60))
    found(hands, feature)
    hands.press(Qt.Key.Key_A)
    hands.until_said("accepted as object 2")
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.until_said("objects (Ctrl+Z")
    assert set(np.unique(truth[hands.labels > 0])) >= {1, 2, 3, 4, 5, 6}
    hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    hands.until(lambda: hands.labels.max() == 2)


def test_what_was_taken_back_is_no_exemplar_for_another_object(similar):
    hands, feature, _ = similar
    keep(hands, DISCS[0])
    found(hands, feature)
    hands.press(Qt.Key.Key_A)
    hands.until_said("accepted as object 2")
    search, control = feature.search, Qt.KeyboardModifier.ControlModifier
    assert len(search.exemplars().accepted) == 2
    hands.press(Qt.Key.Key_Z, control)
    hands.until(lambda: hands.labels.max() == 1)
    assert len(search.exemplars().accepted) == 1
    hands.press(Qt.Key.Key_Z, control | SHIFT)
    hands.until(lambda: hands.labels.max() == 2)
    assert len(search.exemplars().accepted) == 2
    hands.press(Qt.Key.Key_Z, control)
    hands.until(lambda: hands.labels.max() == 1)
    keep(hands, (144, 50))
    assert hands.labels[144, 50] == 2
    assert len(search.exemplars().accepted) == 1


class ReadParts:
    """Labels that note which parts of them are read."""

    def __init__(self, labels):
        self.labels, self.shape, self.dtype, self.parts = labels, labels.shape, labels.dtype, []

    def __getitem__(self, index):
        self.parts.append(index)
        return self.labels[index]


def test_only_labels_around_likely_proposals_are_read():
    labels = np.zeros((3, 60, 90), np.int32)
    labels[1, 10:20, 30:40] = 4
    masks = [Mask.of(np.ones((10, 10), bool), place, (60, 90)) for place in ((30, 10), (60, 30))]
    far = Mask.of(np.ones((3, 3), bool), (0, 50), (60, 90))
    rows = np.ones((3, 10), np.float32)
    sure = np.array([1, 1, 0.01], np.float32)
    data = ReadParts(labels)
    view = SimpleNamespace(layer=SimpleNamespace(data=data), store=SimpleNamespace(objects={}))
    search = Search(view, [], "", "model", "")
    search.learnt[1] = rows[0]
    for key in (SliceKey((1, 2), ((0, 1),), level=0), SliceKey((2, 1), ((0, 1),))):
        turned = key.displayed == (2, 1)
        here = [Mask.of(np.asarray(one).T) if turned else one for one in (*masks, far)]
        search.found[key] = Described.of(here, rows, sure, sure)
        assert [one.mask for one in search.ranked(key, 0.5)] == [here[1]]
        assert data.parts == [(1, slice(0, 50), slice(20, 80))]
        data.parts.clear()
        assert search.ranked(key, 1.1) == []
        assert not data.parts
