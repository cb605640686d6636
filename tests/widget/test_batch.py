"""Prompts from a layer: each point, shape or label of any layer becomes an object."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels, Points

from napari_sam.masks import iou
from napari_sam.objects import edits, properties
from napari_sam.objects.classes import classes_of
from napari_sam.objects.segmented import Outline
from napari_sam.types import Mask, Progress, SliceKey
from napari_sam.widget.features.batch.logic import BatchPrompts
from napari_sam.widget.features.batch.reading import (
    EACH,
    Drawn,
    Grouping,
    group_columns,
    read_points,
    read_shapes,
    seeds_of_labels,
)
from napari_sam.widget.scheduler import Lane

PLANE = SliceKey((0, 1))
STACK = SliceKey((1, 2), ((0, 0),))
POINTS = [(25, 25), (30, 90), (5, 5), (30, 30), (70, 50)]
"""On objects 1, 2, none, 1 again, and 3."""


def batch_of(hands):
    return hands.dock.feature(BatchPrompts)


def run(hands, layer=None, everywhere=False):
    batch = batch_of(hands)
    if layer is not None:
        batch.pick(layer)
    batch.refresh()
    button = batch.panel.all if everywhere else batch.panel.here
    button.click()
    return batch


def failed(batch):
    return [batch.panel.failed.item(k).text() for k in range(batch.panel.failed.count())]


# -- reading ----------------------------------------------------------------------------------


def test_points_are_grouped_by_a_column_of_whole_numbers():
    table = pd.DataFrame({"label": ["a", "b"], "id": [1, 1], "score": [0.5, 0.5]})
    assert group_columns(table) == ["id", EACH, "label", "score"]
    assert group_columns(pd.DataFrame(index=range(2))) == [EACH]


def test_points_with_one_id_are_one_object():
    layer = Points([(1, 2), (3, 4), (5, 6)], features={"id": [7, 9, 7], "class": ["a", "", "b"]})
    reading = read_points(Drawn.of(layer), lambda p: p, PLANE, (10, 10), Grouping("id"))
    (seeds,) = reading.seeds.values()
    assert [one.prompts.point_coords.tolist() for one in seeds] == [[[2, 1], [6, 5]], [[4, 3]]]
    assert reading.names == {1: "id 7", 2: "id 9"}
    assert reading.classes == {1: "a"}


def test_background_points_go_to_the_nearest_object():
    layer = Points([(1, 1), (8, 8), (7, 9)], features={"label": ["object", "object", "background"]})
    reading = read_points(Drawn.of(layer), lambda p: p, PLANE, (10, 10), Grouping())
    (seeds,) = reading.seeds.values()
    assert [one.prompts.point_labels.tolist() for one in seeds] == [[1], [1, 0]]
    assert list(reading.names) == [1, 2]


def test_background_points_alone_in_a_plane_are_passed_over():
    table = {"id": [1, 1, 1], "label": ["object", "background", "background"]}
    layer = Points([(0, 1, 1), (0, 8, 8), (2, 5, 5)], ndim=3, features=table)
    reading = read_points(Drawn.of(layer), lambda p: p, STACK, (3, 10, 10), Grouping("id"))
    assert [key.fixed for key in reading.seeds] == [((0, 0),)]
    assert reading.passed_over == 1


def test_columns_may_be_named_by_numbers():
    layer = Points([(1, 2), (3, 4)], features=pd.DataFrame({7: [5, 5]}))
    reading = read_points(Drawn.of(layer), lambda p: p, PLANE, (10, 10), Grouping("7"))
    assert reading.names == {1: "7 5"}


def test_points_outside_the_image_and_of_other_planes():
    layer = Points([(0, 1, 1), (2.4, 8, 8), (9, 1, 1), (0, 50, 1), (0, np.nan, 1)], ndim=3)
    reading = read_points(Drawn.of(layer), lambda p: p, STACK, (3, 10, 10), Grouping())
    assert [key.fixed for key in reading.seeds] == [((0, 0),), ((0, 2),)]
    assert reading.outside == [3, 4, 5]


def test_a_gaze_becomes_a_point_for_each_stay():
    track = [(1, 1), (1, 2), (1, 1), (9, 5), (15, 15), (15, 16), (15, 17), (1, 1)]
    reading = read_points(
        Drawn.of(Points(track)), lambda p: p, PLANE, (20, 20), Grouping(EACH, radius=2.0, least=3)
    )
    (seeds,) = reading.seeds.values()
    places = [one.prompts.point_coords.tolist() for one in seeds]
    assert places == [[[pytest.approx(4 / 3), 1.0]], [[16.0, 15.0]]]
    assert reading.passed_over == 2


def test_shapes_are_boxes_regions_and_scribbles():
    from napari.layers import Shapes

    box = [(1, 2), (1, 8), (6, 8), (6, 2)]
    layer = Shapes([box], shape_type="rectangle")
    layer.add(np.array([(1, 1), (1, 9), (9, 5)]), shape_type="polygon")
    layer.add(np.array(box), shape_type="ellipse")
    layer.add(np.array([(1, 1), (5, 5)]), shape_type="path")
    layer.add(np.array([(1, 1), (1.5, 1), (1, 1.5)]), shape_type="polygon")
    reading = read_shapes(Drawn.of(layer), lambda p: p, PLANE, (10, 10), Grouping())
    (seeds,) = reading.seeds.values()
    prompts = [one.prompts for one in seeds]
    assert prompts[0].box.tolist() == [2, 1, 8, 6]
    assert prompts[1].region.tolist() == [[1, 1], [9, 1], [5, 9]]
    assert np.allclose(prompts[2].extent, [2, 1, 8, 6], atol=0.02)
    assert prompts[3].strokes[0].path.tolist() == [[1, 1], [5, 5]]
    assert reading.outside == [5]
    assert reading.names[1] == "rectangle 0"


def test_labels_are_rough_outlines():
    labels = np.zeros((10, 12), np.int64)
    labels[2:5, 3:9] = 4
    labels[7:9, 1:3] = 3_000_000_000
    one, other = seeds_of_labels(labels)
    assert (one.number, one.label, one.prompts.box.tolist()) == (4, 0, [3, 2, 8, 4])
    assert np.array_equal(np.asarray(other.outline), labels == 3_000_000_000)
    assert [seed.label for seed in seeds_of_labels(labels, kept=True)] == [4, 3_000_000_000]


# -- in the window ----------------------------------------------------------------------------


def test_points_become_objects_in_one_step(hands, scene):
    layer = hands.viewer.add_points(POINTS, features={"class": ["a", "b", "a", "a", ""]})
    hands.dock.sections["Prompts from a layer"].expand()
    batch = run(hands, layer)
    hands.until_said("3 of 5 prompts gave an object")
    assert batch.panel.summary.text() == (
        "3 of 5 prompts gave an object; 1 found nothing (the model sees none there), 1 duplicate "
        "of others (IoU > 0.8)"
    )
    assert failed(batch)[0] == "point 2: the model sees no object"
    assert failed(batch)[1].endswith("the same as another object")
    objects = hands.bench.results.store.objects
    assert len(objects) == 3
    for label, one in objects.items():
        (outline,) = one.outlines.values()
        assert max(iou(outline.mask, scene[1] == k) for k in (1, 2, 3)) > 0.98
        assert np.count_nonzero(hands.labels == label) == outline.mask.area
        assert outline.model
        assert len(outline.prompts.point_coords) == 1
        assert 0 < one.attributes["stability"] <= 1
    assert sorted(one.category for one in objects.values()) == ["", "a", "b"]
    named = [one.name for one in classes_of(hands.bench.results.store.properties)]
    assert named == ["a", "b"]
    hands.prompting.changes.undo()
    hands.until(lambda: not hands.labels.any())
    assert not hands.bench.results.store.objects


def test_failed_prompts_are_shown_by_a_click(open_dock, scene):
    stack = np.stack([scene[0]] * 3)
    hands = open_dock(("add_image", stack, {}))
    layer = hands.viewer.add_points([(0, 25, 25), (2, 5, 100)])
    batch = run(hands, layer, everywhere=True)
    hands.until_said("1 of 2 prompts gave an object")
    hands.go(0)
    panel = batch.panel
    panel.failed.itemClicked.emit(panel.failed.item(0))
    assert hands.viewer.dims.current_step[0] == 2
    assert hands.viewer.camera.center[-2:] == (5, 100)


def test_boxes_of_another_scale_and_a_second_run(open_dock, scene):
    hands = open_dock(("add_image", scene[0], {"scale": (0.5, 0.5), "translate": (10, 20)}))
    corners = [(10, 12), (10, 44), (40, 44), (40, 12)]  # of object 1, in pixels of the image
    in_world = np.array(corners) * 0.5 + (10, 20)
    layer = hands.viewer.add_shapes([in_world / 0.25], shape_type="rectangle", scale=(0.25, 0.25))
    batch = run(hands, layer)
    hands.until_said("1 of 1 prompt gave an object")
    assert iou(hands.labels == 1, scene[1] == 1) > 0.98
    run(hands, layer)
    hands.until_said("0 of 1 prompt gave an object; 1 duplicate of others")
    assert hands.labels.max() == 1
    assert failed(batch) == ["rectangle 0: the same as another object"]


def test_rough_labels_of_another_grid(open_dock, scene):
    hands = open_dock(("add_image", np.stack([scene[0]] * 2), {}))
    rough = np.roll(scene[1], 2, axis=0)[::2, ::2]
    layer = Labels(np.stack([rough] * 2), name="rough", scale=(1, 2, 2), translate=(0, 0.5, 0.5))
    hands.viewer.add_layer(layer)
    batch = run(hands, layer, everywhere=True)
    hands.until_said("3 of 3 prompts gave an object")
    objects = hands.bench.results.store.objects
    assert sorted(len(one.outlines) for one in objects.values()) == [2, 2, 2]
    assert iou(hands.labels[1] > 0, scene[1] > 0) > 0.98
    assert failed(batch) == []


def test_kept_labels_are_made_better(hands, scene):
    rough = np.roll(scene[1], 2, axis=0)
    hands.labels[...] = rough
    hands.bench.results.layer.refresh()
    run(hands, hands.bench.results.layer)
    hands.until_said("3 of 3 objects changed")
    for label in (1, 2, 3):
        assert iou(hands.labels == label, scene[1] == label) > 0.98


def when_answered(batch, change):
    """Let something happen after a run was answered, before its objects are written."""
    original = batch._keep

    def keep(*given):
        batch._keep = original
        change()
        original(*given)

    batch._keep = keep


def test_objects_changed_meanwhile_stay_as_they_are(hands, scene):
    view, rough = hands.bench.results, np.roll(scene[1], 2, axis=0)
    outlines = [{PLANE: Outline(Mask.of(rough == label))} for label in (1, 2)]
    view.apply(edits.keep(view.store, outlines))
    view.layer.data[rough == 3] = 3
    view.layer.refresh()

    def change():
        view.apply(properties.set_status(view.store, [1], "finished"))
        view.apply(properties.delete_objects(view.store, [2]))

    when_answered(batch_of(hands), change)
    run(hands, view.layer)
    hands.until_said("1 of 3 objects changed; 2 covered")
    assert np.array_equal(hands.labels == 1, rough == 1)
    assert not (hands.labels == 2).any()
    assert iou(hands.labels == 3, scene[1] == 3) > 0.98
    assert sorted(view.store.objects) == [1, 3]
    assert hands.labels.max() == 3


def test_a_removed_layer_of_labels_is_said(hands):
    points = hands.viewer.add_points(POINTS)
    labels = hands.bench.results.layer
    when_answered(batch_of(hands), lambda: hands.viewer.layers.remove(labels))
    run(hands, points)
    hands.until_said("the Labels layer was removed; no object was made")
    assert not labels.data.any()


def test_a_run_waits_until_the_last_one_is_written(hands):
    history, points = hands.dock.context.history, hands.viewer.add_points(POINTS[:1])
    free = []

    def writing():
        while not free:
            yield Progress(0, 1)

    history.run(writing(), lambda failed: None)
    batch = run(hands, points)
    hands.until(lambda: not hands.busy(Lane.BATCH))
    batch.panel.here.click()
    hands.until_said("wait until the objects of the last prompts are written")
    free.append(True)
    hands.until_said("1 of 1 prompt gave an object")
    run(hands)
    hands.until_said("0 of 1 prompt gave an object; 1 duplicate")


def test_what_failed_stays_said(hands, scene, monkeypatch):
    def fails(*args):
        raise ValueError("the plane cannot be read")

    monkeypatch.setattr(hands.dock.context.session, "predict_many", fails)
    run(hands, hands.viewer.add_labels(scene[1], name="rough"))
    hands.until_said("the plane cannot be read")
    assert hands.status.endswith("the plane cannot be read")


def test_answers_that_others_cover_are_listed(hands, scene):
    view = hands.bench.results
    everywhere = Mask.of(np.ones(scene[0].shape, bool))
    points = hands.viewer.add_points(POINTS[:1])
    cover = edits.keep(view.store, [{PLANE: Outline(everywhere)}])
    when_answered(batch_of(hands), lambda: view.apply(cover))
    batch = run(hands, points)
    hands.until_said("nothing to commit here: other objects cover all of it")
    assert failed(batch) == ["point 0: most of it belongs to other objects"]
    assert sorted(view.store.objects) == [1]


def test_columns_that_are_new_are_offered(hands):
    layer = hands.viewer.add_points(POINTS, features={"score": [0.5] * 5})
    batch = batch_of(hands)
    batch.use_layer(layer)
    batch.panel.group.setCurrentText("score")
    layer.features = pd.DataFrame({"score": [0.5] * 5, "id": [1] * 5})
    names = [batch.panel.group.itemText(k) for k in range(batch.panel.group.count())]
    assert names == ["id", "each prompt", "score"]
    assert batch.panel.grouping.column == "score"


def test_cancelled_run_keeps_the_planes_that_are_done(open_dock, scene):
    hands = open_dock(("add_image", np.stack([scene[0]] * 4), {}))
    layer = hands.viewer.add_points([(z, 25, 25) for z in range(4)])
    batch = batch_of(hands)
    batch.use_layer(layer)
    seen = []

    def cancel_after_two(batch_, step):
        original(batch_, step)
        if isinstance(step, list):
            seen.append(step)
            if len(seen) == 2:
                batch.cancel()

    original = batch._on_step
    batch._on_step = cancel_after_two
    batch.run(everywhere=True)
    hands.until_said("2 of 4 prompts gave an object; 2 not asked")
    assert [bool(plane.any()) for plane in hands.labels] == [True, True, False, False]


def test_nothing_to_do_is_said(open_dock, scene):
    hands = open_dock(("add_image", np.stack([scene[0]] * 2), {}))
    batch = batch_of(hands)
    empty = hands.viewer.add_points(np.zeros((0, 3)), name="spots")
    run(hands, empty)
    hands.until_said("spots holds no prompt in the plane shown")
    outside = hands.viewer.add_points([(0, 500, 5)])
    run(hands, outside)
    hands.until_said("0 of 1 prompt gave an object; 1 outside the image")
    batch.show(None)
    hands.until_said("lies outside the image")


def test_layers_of_the_dock_are_not_offered(hands):
    batch = batch_of(hands)
    offered = [batch.panel.layer.itemText(k) for k in range(batch.panel.layer.count())]
    assert offered == ["scene objects"]
    overlay = Labels(np.zeros_like(hands.labels), name="overlay")
    hands.bench.add_below_prompts(overlay, overlay=True)
    results = hands.source.panel.results
    for chooser in (batch.panel.layer, results):
        assert "overlay" not in [chooser.itemText(k) for k in range(chooser.count())]
    hands.viewer.add_points([(1, 1)], name="spots")
    offered = [batch.panel.layer.itemText(k) for k in range(batch.panel.layer.count())]
    assert "spots" in offered


# -- prompts of a file ------------------------------------------------------------------------


def results_of(scene, path):
    """Write boxes of a detector around two objects, with classes and scores."""
    entries = []
    for label, score in ((1, 0.875), (3, 0.5)):
        y, x = np.nonzero(scene[1] == label)
        box = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
        entries.append({"image_id": 7, "category_id": label, "bbox": box, "score": score})
    path.write_text(json.dumps(entries))
    return path


def test_boxes_of_a_file_become_objects_with_class_and_score(hands, scene, tmp_path):
    batch = batch_of(hands)
    batch.importing.read(results_of(scene, tmp_path / "results.json"))
    hands.until_said("2 prompts of results.json drawn")
    layer = hands.viewer.layers["results"]
    assert batch.panel.layer.currentText() == "results"
    assert list(layer.features["class"]) == ["class 1", "class 3"]
    assert list(layer.features["score"]) == [0.875, 0.5]
    batch.panel.here.click()
    hands.until_said("2 of 2 prompts gave an object")
    found = hands.bench.results.store.objects
    assert [(one.category, one.attributes["prompt score"]) for one in found.values()] == [
        ("class 1", 0.875),
        ("class 3", 0.5),
    ]
    for label, wanted in zip(found, (1, 3), strict=True):
        assert iou(hands.labels == label, scene[1] == wanted) > 0.98


def test_points_and_areas_of_a_file_lie_on_a_scaled_image(open_dock, scene, tmp_path):
    hands = open_dock(("add_image", scene[0], {"scale": (0.5, 0.5), "translate": (10, 20)}))
    y, x = (int(n.mean()) for n in np.nonzero(scene[1] == 2))
    ring = [[10, 10], [30, 12], [20, 30], [10, 10]]
    shapes = {"Polygon": [ring], "Point": [x + 0.5, y + 0.5]}
    features = [
        {"type": "Feature", "geometry": {"type": kind, "coordinates": places}, "properties": {}}
        for kind, places in shapes.items()
    ]
    path = tmp_path / "q.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    batch = batch_of(hands)
    hands.dock.context.opening.import_prompts(path)  # the entry of the menu
    hands.until_said("2 prompts of q.geojson drawn")
    areas, points = (one for one in hands.viewer.layers if one.name.startswith("q"))
    areas, points = (points, areas) if isinstance(areas, Points) else (areas, points)
    assert areas.shape_type == ["polygon"]
    low, high = areas.data[0].min(axis=0), areas.data[0].max(axis=0)
    assert low.tolist() == pytest.approx([9.5, 9.5], abs=1)
    assert high.tolist() == pytest.approx([29.5, 29.5], abs=1.5)
    assert points.data.tolist() == [[y, x]]
    assert points.scale.tolist() == [0.5, 0.5]
    run(hands, points)  # the one that the user chose
    hands.until_said("1 of 1 prompt gave an object")
    assert iou(hands.labels == 1, scene[1] == 2) > 0.98
    assert batch.panel.layer.currentText() == points.name


def test_points_and_boxes_of_a_file_are_answered_together(hands, scene, tmp_path):
    """With their own classes, as one step; and results of another image are not drawn."""
    places = [[int(n.mean()) for n in np.nonzero(scene[1] == k)[::-1]] for k in (1, 3)]
    y, x = np.nonzero(scene[1] == 2)
    low, high = (int(x.min()), int(y.min())), (int(x.max()) + 1, int(y.max()) + 1)
    ring = [[*low], [high[0], low[1]], [*high], [low[0], high[1]], [*low]]
    features = [
        {"type": "Feature", "geometry": {"type": kind, "coordinates": at},
         "properties": {"classification": {"name": name}}}
        for kind, at, name in (
            ("Point", places[0], "one"), ("Polygon", [ring], "two"), ("Point", places[1], "three"),
        )
    ]  # fmt: skip
    path = tmp_path / "q.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    batch = batch_of(hands)
    batch.importing.read(path)
    hands.until_said("3 prompts of q.geojson drawn")
    batch.panel.here.click()
    hands.until_said("3 of 3 prompts gave an object")
    found = {one.category: k for k, one in hands.bench.results.store.objects.items()}
    assert found.keys() == {"one", "two", "three"}
    for number, name in ((1, "one"), (2, "two"), (3, "three")):
        assert iou(hands.labels == found[name], scene[1] == number) > 0.98
    results = [{"image_id": k, "bbox": [1, 1, 5, 5], "score": 0.5} for k in (1, 2)]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(results))
    batch.importing.read(path)
    hands.until_said("results of the images 1, 2; leave only those of this image in the file")


def test_a_file_that_is_wrong_is_named_with_its_line(hands, tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("x,y\n1,2\n3,there\n")
    before = len(hands.viewer.layers)
    batch_of(hands).importing.read(path)
    hands.until_said("p.csv: line 3: y is a number, but is 'there'")
    assert len(hands.viewer.layers) == before
