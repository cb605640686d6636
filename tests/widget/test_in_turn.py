"""What napari takes long for on a large plane is done in an event of its own."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_sam.formats import labels_store
from napari_sam.objects import edits
from napari_sam.objects.segmented import Outline
from napari_sam.types import Mask, SliceKey
from napari_sam.widget.features.objects.logic import Objects
from napari_sam.widget.features.similar.logic import Similar
from napari_sam.widget.in_turn import in_turn
from napari_sam.widget.scheduler import Lane


@pytest.fixture
def large(open_dock, scene, tmp_path, monkeypatch):
    """A stack whose labels go to a folder, which is named already."""
    monkeypatch.setattr(labels_store, "LIMIT_BYTES", 1000)
    hands = open_dock(("add_image", np.repeat(scene[0][None], 3, 0), {"name": "stack"}))
    hands.context.folder.use(str(tmp_path / "labels"))
    hands.until(lambda: not hands.busy(Lane.LABELS))
    return hands


def named(hands, name):
    return [layer for layer in hands.viewer.layers if layer.name == name]


def kept(hands):
    """Keep an object of the scene."""
    hands.click_and_wait(25, 28)
    hands.press(Qt.Key.Key_Return)
    hands.until_said("committed")


def added(hands):
    """Commit for the first time; the layer that is added then is not shown yet."""
    hands.click_and_wait(25, 28)
    hands.press(Qt.Key.Key_Return)
    hands.until(lambda: hands.bench.results)
    assert not hands.bench.results.layer.visible
    return hands.bench.results.layer


def test_steps_are_taken_in_events_of_their_own(events):
    taken = []
    in_turn(lambda: taken.append(1), lambda: taken.append(2))
    assert taken == []
    events.step()
    assert taken == [1]
    events.step()
    assert taken == [1, 2]
    assert not events.waiting


def test_the_first_commit_adds_the_layer_shows_it_and_writes_in_three_events(large, events):
    layer = added(large)
    assert named(large, "stack objects") == [layer]
    events.step()
    assert layer.visible
    assert not large.bench.results.store.objects
    events.step()
    large.until_said("committed")
    assert "hidden" not in large.status
    assert len(large.bench.results.store.objects) == 1


def test_a_layer_removed_before_it_is_shown_is_opened_again(large, events):
    added(large)
    large.viewer.layers.remove(large.bench.results.layer)
    events.rest()
    large.until_said("committed")
    (layer,) = named(large, "stack objects")
    assert layer is large.bench.results.layer
    assert layer.visible
    assert len(large.bench.results.store.objects) == 1


def test_a_dock_closed_before_the_layer_is_shown_commits_nothing(large, events):
    layer = added(large)
    large.viewer.window.remove_dock_widget(large.dock)
    large.dock.close_dock()
    events.rest()
    assert layer in large.viewer.layers
    assert layer.visible
    assert not np.any(layer.data[:])


def test_the_first_commit_is_left_out_on_another_image(large, events, scene):
    layer = added(large)
    other = large.viewer.add_image(np.repeat(scene[0][None], 3, 0), name="other")
    asked = []
    large.context.folder.asked.connect(lambda: asked.append(1))
    large.bench.use_image(other)
    large.click_and_wait(25, 28)
    events.rest()
    assert not asked
    assert not np.any(layer.data[:])
    large.bench.use_image(large.viewer.layers["stack"])
    assert len(large.bench.prompts.points.data) == 1


def test_a_second_enter_commits_once(large, events):
    added(large)
    large.press(Qt.Key.Key_Return)
    large.until_said("committed")
    large.until(lambda: not large.context.history.walking)
    events.rest()
    assert "committed" in large.status
    assert len(large.bench.results.store.objects) == 1


def test_the_folder_is_opened_by_a_worker(large, monkeypatch):
    opened = []

    def opening(*args):
        opened.append(large.scheduler.is_busy(Lane.LABELS))
        return labels_store.open_labels(*args)

    monkeypatch.setattr("napari_sam.widget.results_folder.open_labels", opening)
    kept(large)
    assert opened == [True]


def test_the_layer_of_everything_is_added_and_shown_in_two_events(large, events):
    large.everything.run()
    (layer,) = named(large, "stack everything")
    assert not layer.visible
    events.rest()
    assert layer.visible
    large.until(lambda: not large.busy(Lane.BULK))


def test_a_deleted_object_is_drawn_away_in_another_event(hands, events):
    kept(hands)
    drawn = []
    hands.bench.results.layer.events.set_data.connect(lambda event: drawn.append(1))
    hands.bench.results.delete(1, SliceKey((0, 1)))
    assert not hands.labels.any()
    assert not drawn
    events.rest()
    assert len(drawn) == 1


def test_a_review_draws_in_three_events(hands, events):
    side = np.ones((12, 12), bool)
    outlines = [{SliceKey((0, 1)): Outline(Mask.of(side, (x, 20), (96, 128)))} for x in (20, 60)]
    view, objects = hands.bench.results, hands.dock.feature(Objects)
    view.apply(edits.keep(view.store, outlines))
    objects.look()
    hands.until(lambda: objects.assessing.is_ready and objects.assessing.assessed)
    objects.review.go_on()
    assert hands.context.looked_at.label == 1
    assert view.layer.contour == 0
    events.step()
    assert view.layer.contour == 1
    assert not named(hands, "SAM review")
    events.step()
    (contour,) = named(hands, "SAM review")
    assert contour.data.shape == (1, 1)
    events.until(lambda: contour.data.shape == (14, 14))
    objects.review.go_on()
    objects.review.leave()  # before its contour is drawn
    events.rest()
    assert view.layer.contour == 0
    assert not contour.visible


def test_the_layer_of_proposals_is_made_in_an_event_of_its_own_and_stays(hands, events):
    kept(hands)
    feature = hands.dock.feature(Similar)
    feature.find()
    assert feature.shown.layer is None
    events.rest()
    layer = feature.shown.layer
    hands.until(lambda: not hands.busy(Lane.SIMILAR))
    feature.end()
    assert layer in hands.viewer.layers
    assert not layer.visible
    assert not layer.data.any()
    feature.find()
    assert feature.shown.layer is layer
    assert layer.visible


def test_the_preview_is_of_bytes(hands):
    hands.click_and_wait(25, 28)
    assert hands.bench.prompts.preview.data.dtype == np.uint8  # napari maps others to bytes first
