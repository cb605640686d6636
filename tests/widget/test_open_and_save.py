"""napari's own Open and Save, with our project folders: objects go with their labels."""

import numpy as np

from napari_sam.formats.annotation import Annotation, Geometry
from napari_sam.formats.project import PROJECT
from napari_sam.objects.segmented import Outline, SegmentedObject
from napari_sam.types import Mask, SliceKey
from napari_sam.widget.history import History
from napari_sam.widget.labels_view import LabelsView
from napari_sam.widget.status import Status

PLUGIN = "napari-sam-stack"


def saved(path):
    labels = np.zeros((20, 30), np.int32)
    labels[3:6, 4:9] = 2
    outline = Outline(Mask.of(labels == 2))
    one = SegmentedObject(2, {SliceKey((0, 1)): outline}, "cell", "finished")
    geometry = Geometry(("y", "x"), (0.5, 0.5), ("micrometer",) * 2, (0.0, 0.0))
    PROJECT.write(Annotation(labels, {2: one}, geometry), path)
    return labels


def test_a_project_opens_with_its_objects_and_is_saved_with_them(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    labels = saved(tmp_path / "a.samproject")
    (layer,) = viewer.open(str(tmp_path / "a.samproject"), plugin=PLUGIN)
    view = LabelsView(layer, History(), Status(), 2)
    assert view.store.objects[2].category == "cell"
    assert view.store.next_label == 3
    written = viewer.layers.save(str(tmp_path / "b.samproject"), plugin=PLUGIN)
    assert written == [str(tmp_path / "b.samproject")]
    found = PROJECT.read(tmp_path / "b.samproject", None)
    assert np.array_equal(found.labels, labels)
    assert found.objects[2].status == "finished"
    view.close()


def test_other_data_of_a_layer_has_none_of_its_objects(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    saved(tmp_path / "a.samproject")
    (layer,) = viewer.open(str(tmp_path / "a.samproject"), plugin=PLUGIN)
    view = LabelsView(layer, History(), Status(), 2)
    layer.data = np.zeros((20, 30), np.int32)
    view.close()
    again = LabelsView(layer, History(), Status())
    assert not again.store.objects
    again.close()
