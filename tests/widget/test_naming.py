"""Classes are proposed from a few named objects, by real keys and clicks in a window."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_sam.masks import labels_in
from napari_sam.objects import Outline, edits
from napari_sam.types import Mask, SliceKey
from napari_sam.widget.features.objects.logic import Objects
from napari_sam.widget.features.objects.naming_panel import count_text
from napari_sam.widget.features.objects.table import CLASS
from napari_sam.widget.features.similar.logic import Similar
from napari_sam.widget.scheduler import Lane

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
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


def keep_all(hands, truth, keys):
    view = hands.bench.results
    masks = [Mask.of(truth == label) for label in labels_in(truth).tolist()]
    objects = [{key: Outline(mask)} for key in keys for mask in masks]
    view.apply(edits.keep(view.store, objects))


@pytest.fixture
def named(open_dock):
    """A window with ten kept objects, of which a disc and a bar have a class."""
    image, truth = two_kinds()
    hands = open_dock(("add_image", image, {"name": "kinds"}))
    hands.objects = hands.dock.feature(Objects)
    hands.dock.sections["Objects"].expand()
    hands.bench.ensure_layers()
    keep_all(hands, truth, [SliceKey((0, 1))])
    for name, place in (("disc", DISCS[0]), ("bar", (144, 40))):
        hands.objects.panel.classes.add_asked.emit(name)
        point_at(hands, *place)
        hands.press(Qt.Key.Key_1 if name == "disc" else Qt.Key.Key_2, CTRL)
    away(hands)
    return hands


def point_at(hands, row, column):
    QTest.mouseMove(hands.canvas, hands.place(row, column))
    hands.viewer.mouse_over_canvas = True
    hands.rest(0.05)


def away(hands):
    QTest.mouseMove(hands.canvas, QPoint(-5, -5))
    hands.viewer.mouse_over_canvas = False


def classes(hands):
    return {label: one.category for label, one in hands.bench.results.store.objects.items()}


def propose(hands):
    hands.press(Qt.Key.Key_F, SHIFT)
    hands.until_said("classes are proposed")


def cell(hands, label):
    table = hands.objects.table
    row = table.rows_of([label])[0]
    return str(table.data(table.index(row, CLASS)))


def test_classes_are_proposed_and_all_accepted_as_one_step(named):
    hands = named
    assert classes(hands)[1] == "disc"
    assert classes(hands)[7] == "bar"
    propose(hands)
    hands.objects.panel.naming.slider.setValue(50)
    proposed = {label: one.name for label, one in hands.objects.naming.proposals.items()}
    assert proposed == {k: "disc" if k <= 6 else "bar" for k in range(1, 11) if k not in (1, 7)}
    hands.until(lambda: cell(hands, 3).startswith("disc? 0."))
    count = hands.objects.panel.naming.count
    assert count.text() == "5 disc and 3 bar proposed; 8 objects have no class"
    assert classes(hands)[3] == ""
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.until_said("8 objects have a class now")
    assert classes(hands) == {k: "disc" if k <= 6 else "bar" for k in range(1, 11)}
    hands.until(lambda: cell(hands, 3) == "disc")
    hands.until(lambda: count.text() == "all objects have a class")
    hands.press(Qt.Key.Key_A)
    hands.until_said("all objects have a class already")
    hands.press(Qt.Key.Key_Z, CTRL)
    hands.until(lambda: classes(hands)[3] == "" and hands.objects.naming.proposals)
    assert classes(hands)[1] == "disc"


def test_one_by_one_the_next_is_shown_and_a_key_means_it(named):
    hands = named
    propose(hands)
    naming = hands.objects.naming
    first = next(iter(naming.proposals))
    assert hands.objects.panel.selected == [first]
    assert hands.context.looked_at.label == first
    hands.press(Qt.Key.Key_A)
    hands.until_said("is of the class")
    assert classes(hands)[first]
    assert first not in naming.proposals
    second = next(iter(naming.proposals))
    assert hands.objects.panel.selected == [second]
    hands.press(Qt.Key.Key_X)
    hands.until_said("rejected")
    assert second not in naming.proposals
    assert classes(hands)[second] == ""


def test_keys_mean_the_object_under_the_pointer(named):
    hands = named
    propose(hands)
    hands.objects.panel.naming.slider.setValue(40)
    point_at(hands, *DISCS[3])
    point_at(hands, *DISCS[4])  # the pointer rests on the current one at first
    hands.press(Qt.Key.Key_A)
    hands.until_said("object 5 is of the class disc")
    assert classes(hands)[5] == "disc"


def test_proposals_are_seen_in_paler_colours_until_the_end(named):
    hands = named
    layer = hands.bench.results.layer
    own = layer.colormap
    propose(hands)
    hands.objects.panel.naming.slider.setValue(50)

    def colour(label):
        return np.asarray(layer.get_color(label))[:3]

    hands.until(lambda: np.allclose(colour(2), (1 + colour(1)) / 2, atol=0.01))
    hands.objects.panel.naming.forget.click()
    assert layer.colormap is own
    assert hands.context.proposals is None
    assert hands.context.looked_at is None
    assert cell(hands, 3) == ""
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.rest()
    assert classes(hands)[3] == ""


def test_it_says_what_to_do_first(open_dock):
    image, truth = two_kinds()
    hands = open_dock(("add_image", image, {"name": "kinds"}))
    hands.objects = hands.dock.feature(Objects)
    hands.press(Qt.Key.Key_F, SHIFT)
    hands.until_said("give a few objects a class first")
    assert hands.context.proposals is None
    hands.bench.ensure_layers()
    keep_all(hands, truth, [SliceKey((0, 1))])
    hands.objects.panel.classes.add_asked.emit("disc")
    hands.objects.look()
    hands.objects.panel.select(range(1, 11))
    away(hands)
    hands.press(Qt.Key.Key_1, CTRL)
    hands.press(Qt.Key.Key_F, SHIFT)
    hands.until_said("all objects have a class already")


def test_objects_of_all_planes_are_looked_at_and_it_can_be_cancelled(open_dock):
    image, truth = two_kinds()
    hands = open_dock(("add_image", np.stack([image] * 3), {"name": "stack"}))
    hands.objects = hands.dock.feature(Objects)
    hands.settled()
    hands.bench.ensure_layers()
    keys = [SliceKey((1, 2), ((0, z),)) for z in range(3)]
    keep_all(hands, truth, keys)
    hands.objects.panel.classes.add_asked.emit("disc")
    hands.objects.panel.classes.add_asked.emit("bar")
    hands.objects.look()
    away(hands)
    for label, key in ((1, Qt.Key.Key_1), (2, Qt.Key.Key_1), (7, Qt.Key.Key_2), (8, Qt.Key.Key_2)):
        hands.objects.panel.select([label])
        hands.press(key, CTRL)
    hands.objects.naming.propose_classes()
    hands.objects.naming.cancel()
    assert "cancelled" in hands.status
    assert not hands.busy(Lane.SIMILAR)
    assert hands.context.proposals is None
    propose(hands)
    hands.objects.panel.naming.slider.setValue(50)
    wanted = {10 * z + k: "disc" if k <= 6 else "bar" for z in range(3) for k in range(1, 11)}
    found = {label: one.name for label, one in hands.objects.naming.proposals.items()}
    assert found == {k: name for k, name in wanted.items() if k not in (1, 2, 7, 8)}
    hands.objects.panel.naming.accept_all.click()
    hands.until_said("26 objects have a class now")
    assert classes(hands) == wanted


def test_a_search_for_similar_objects_takes_its_place(named):
    hands, naming, similar = named, named.objects.naming, named.dock.feature(Similar)
    naming.propose_classes()
    similar.find()
    assert hands.context.proposals is similar
    assert "classes" not in hands.context.status.text
    assert not naming.panel.forget.isEnabled()
    hands.until(lambda: similar.search.found and not hands.busy(Lane.SIMILAR))
    assert not naming.proposals
    assert "looking" not in hands.context.status.text
    propose(hands)
    similar.find()
    assert not naming.proposals
    assert cell(hands, 3) == ""
    similar.end()
    assert hands.context.proposals is None


def test_it_takes_the_place_of_a_search_for_similar_objects(named):
    hands, naming, similar = named, named.objects.naming, named.dock.feature(Similar)
    similar.find()
    naming.propose_classes()
    assert similar.search is None
    assert hands.context.proposals is naming
    assert "similar objects" not in hands.context.status.text
    similar.cancel()
    similar.end()
    hands.until_said("classes are proposed")
    assert naming.proposals
    similar.end()
    assert hands.context.proposals is naming
    assert naming.proposals
    assert "looking" not in hands.context.status.text


def test_a_second_key_waits_until_the_next_object_is_seen(named, events):
    hands, naming = named, named.objects.naming
    hands.press(Qt.Key.Key_F, SHIFT)
    hands.until(lambda: naming.proposals)
    before = classes(hands)
    hands.press(Qt.Key.Key_A)
    assert classes(hands) == before
    events.until(lambda: hands.context.looked_at)
    first = hands.context.looked_at.label
    hands.press(Qt.Key.Key_A)
    hands.until(lambda: first not in naming.proposals)
    second, before = next(iter(naming.proposals)), classes(hands)
    assert before[first]
    hands.press(Qt.Key.Key_A)
    hands.press(Qt.Key.Key_X)
    assert classes(hands) == before
    assert next(iter(naming.proposals)) == second
    events.until(lambda: hands.context.looked_at.label == second)
    hands.press(Qt.Key.Key_A)
    hands.until(lambda: classes(hands)[second])


def test_a_review_that_began_since_goes_on(named, events):
    hands, naming, objects = named, named.objects.naming, named.objects
    hands.until(lambda: objects.assessing.is_ready and objects.assessing.assessed)
    hands.press(Qt.Key.Key_F, SHIFT)
    hands.until(lambda: naming.proposals)
    events.until(lambda: hands.context.looked_at)
    hands.press(Qt.Key.Key_X)
    objects.review.go_on()
    shown = hands.context.looked_at
    events.until(lambda: "rejected" in hands.status)
    assert "next" not in hands.status
    assert hands.context.looked_at is shown
    naming.end()
    assert hands.context.looked_at is shown


def test_objects_kept_since_are_counted_as_new(named):
    hands, view = named, named.bench.results
    propose(hands)
    hands.objects.panel.naming.slider.setValue(50)
    more = np.zeros((192, 192), bool)
    more[55:65, 55:65] = True
    view.apply(edits.keep(view.store, [{SliceKey((0, 1)): Outline(Mask.of(more))}]))
    text = "; 8 objects have no class; 1 is new: Shift+F looks at it, too"
    hands.until(lambda: hands.objects.panel.naming.count.text().endswith(text))
    assert 11 not in hands.objects.naming.proposals
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.until_said("8 objects have a class now")
    hands.press(Qt.Key.Key_A)
    hands.until_said("only objects that are new have no class")


def test_another_layer_ends_it_with_a_word(named):
    hands = named
    propose(hands)
    other = hands.viewer.add_labels(np.zeros((192, 192), np.int32), name="other")
    hands.bench.view_of(other)
    hands.viewer.layers.selection.active = other
    hands.until_said("classes were proposed for kinds objects; select it and press Shift+F")
    assert hands.context.proposals is None
    assert hands.context.looked_at is None


def test_no_class_is_proposed_for_objects_of_another_image(named):
    hands, layer = named, named.bench.results.layer
    hands.source.use_image(hands.viewer.add_image(np.zeros((64, 64), np.uint8), name="other"))
    hands.viewer.layers.selection.active = layer
    hands.press(Qt.Key.Key_F, SHIFT)
    hands.until_said("kinds objects belongs to another image; choose that image")
    assert hands.context.proposals is None
    assert not hands.busy(Lane.SIMILAR)


def test_counts_are_sentences():
    assert count_text([("disc", 5), ("bar", 3), ("dot", 1)], 1200, 0) == (
        "5 disc, 3 bar and 1 dot proposed; 1,200 objects have no class"
    )
    assert count_text([("disc", 1)], 1, 1) == (
        "1 disc proposed; 1 object has no class; 1 is new: Shift+F looks at it, too"
    )
    assert count_text([], 0, 2) == "2 are new: Shift+F looks at them, too"
    assert count_text([], 0, 0) == "all objects have a class"
