from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest
from exchanged import annotation

from napari_sam.formats.exchange import FORMATS
from napari_sam.formats.imports import import_objects, imported, objects_of
from napari_sam.formats.losses import overlapping
from napari_sam.objects import Canvas, ObjectStore, Outline, SegmentedObject
from napari_sam.objects.history import History
from napari_sam.steps import drive
from napari_sam.types import Mask, SliceKey

from .annotations import annotation as with_prompts

WHOLE = [
    one for one in FORMATS if one.read and one.write and not one.title.startswith(("YOLO", "DICOM"))
]
"""Those that need nothing but an annotation; for DICOM see test_medical_labels."""


@pytest.mark.parametrize("kind", WHOLE, ids=lambda one: one.title)
@pytest.mark.parametrize("shape", [(20, 30), (2, 3, 20, 30)])
def test_every_format_gives_objects_of_any_stack(tmp_path, kind, shape):
    first = with_prompts(shape)
    path = tmp_path / f"cells{kind.suffixes[0]}"
    kind.write(first, path)
    objects, _ = imported(path, shape)
    assert {one.category for one in objects} == {"cell"}
    labels = np.zeros(shape, np.int32)
    store, history = ObjectStore(Canvas(labels)), History()
    history.make(store, drive(import_objects(store, objects)))
    np.testing.assert_array_equal(labels, first.labels)
    _, boxes = imported(path, shape, as_prompts=True)
    wanted = (*(0.0 for _ in shape[:-2]), 2.0, 2.0)
    assert next(row.vertices[0] for row in boxes if row.layer == "shapes") == wanted


def test_outlines_as_the_labels_show_them_keep_their_prompts():
    first = with_prompts((20, 30))
    (one,) = objects_of(first)
    ((key, outline),) = one.outlines.items()
    assert outline is first.objects[1].outlines[key]
    first.labels[2, 3] = 0
    ((_, outline),) = objects_of(first)[0].outlines.items()
    assert outline.origin == "imported"
    assert outline.prompts is None


def square(x, y, size=(20, 30), side=4):
    return Outline(Mask.of(np.ones((side, side), bool), (x, y), size), origin="imported")


def test_first_come_and_finished_objects_keep_their_pixels():
    key = SliceKey((0, 1), ())
    labels = np.zeros((20, 30), np.int32)
    store, history = ObjectStore(Canvas(labels)), History()
    done = SegmentedObject(9, {key: square(0, 0)}, status="finished")
    history.make(store, drive(import_objects(store, [done])))
    objects = [SegmentedObject(9, {key: square(2, 2)}), SegmentedObject(9, {key: square(4, 2)})]
    history.make(store, drive(import_objects(store, objects, lambda mask, labels: mask)))
    assert store.objects[1].locked
    assert [(labels == k).sum() for k in (1, 2, 3)] == [16, 4, 16]
    history.undo()
    assert labels.sum() == 16
    with pytest.raises(ValueError, match="nothing to import"):
        drive(import_objects(store, [SegmentedObject(1, {key: square(0, 0)})]))
    with pytest.raises(ValueError, match="planes of"):
        drive(import_objects(store, [SegmentedObject(1, {key: square(0, 0, (20, 31))})]))


def test_many_objects_are_imported_in_pieces():
    size = (1000, 1000)
    key = SliceKey((0, 1), ())
    places = [(x, y) for x in range(0, 980, 14) for y in range(0, 980, 14)]
    objects = [SegmentedObject(1, {key: square(x, y, size, 10)}) for x, y in places]
    labels = np.zeros(size, np.int32)
    store, history = ObjectStore(Canvas(labels)), History()
    pieces, work, last = [], import_objects(store, objects), perf_counter()
    while True:
        try:
            next(work)
        except StopIteration as ended:
            edit = ended.value
            break
        pieces.append(perf_counter() - last)
        last = perf_counter()
    assert len(edit.objects) == len(objects) == 4900
    assert np.median(pieces) < 0.05
    history.make(store, edit)
    assert labels.max() == 4900
    assert (labels > 0).sum() == 490000


def test_losses_name_objects_that_overlap():
    first = annotation()
    assert overlapping(first) == 0
    key = SliceKey((1, 2), ((0, 0),))
    other = SegmentedObject(7, {key: square(3, 2)})
    both = replace(first, objects={**first.objects, 7: other})
    assert overlapping(both) == 2
    apart = SegmentedObject(7, {key: square(5, 4, side=2)})  # in the hole
    assert overlapping(replace(first, objects={**first.objects, 7: apart})) == 0
    losses = {one.title: list(one.losses(both)) for one in FORMATS}
    shared = "which pixels 2 objects share: each is of one"
    assert losses["COCO"] == ["the size of the pixels", shared]
    assert losses["ImageJ ROIs"] == ["the size of the pixels", shared]
    assert losses["YOLO segmentation"] == [
        *("the size of the pixels", shared),
        "holes, and pieces of an object beside its largest",
    ]
    assert losses["Measures (CSV)"] == ["the pixels of the objects"]
    everything = [
        *("the prompts", "which objects are finished or to be checked"),
        *("who made the objects, and their attributes", "the size of the pixels"),
    ]
    assert list(next(k for k in FORMATS if k.title == "COCO").losses(with_prompts())) == everything
