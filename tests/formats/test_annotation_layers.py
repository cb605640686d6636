"""Annotations as layers: what napari's own Open and Save do, without napari."""

import copy

import numpy as np
import pytest
from npe2 import PluginManager
from npe2.io_utils import read_get_reader

from napari_sam.formats.annotation_layers import annotation_reader, write_labels_layer
from napari_sam.formats.carried import METADATA, Carried
from napari_sam.formats.exchange import FORMATS, format_of
from napari_sam.formats.project import PROJECT

from .annotations import annotation

PLUGIN = "napari-sam-stack"


@pytest.fixture(autouse=True, scope="module")
def discovered():
    """Let npe2 find the package, as napari does when it starts."""
    PluginManager.instance().discover()


@pytest.mark.parametrize("suffix", [".samproject", ".ome.zarr"])
def test_open_and_save_again(tmp_path, suffix):
    whole, path = annotation(), tmp_path / f"cells{suffix}"
    format_of(path).write(whole, path)
    ((data, options, kind),), reader = read_get_reader([str(path)], stack=False, plugin_name=PLUGIN)
    assert (kind, reader.command) == ("labels", f"{PLUGIN}.read_annotation")
    assert np.array_equal(data, whole.labels)
    assert options["scale"] == whole.geometry.scale
    assert options["units"] == whole.geometry.units
    carried = options["metadata"][METADATA]
    assert carried.objects.keys() == whole.objects.keys()
    again = tmp_path / f"again{suffix}"
    assert write_labels_layer(str(again), data, options) == [str(again)]
    found = format_of(again).read(again, None)
    assert np.array_equal(found.labels, whole.labels)
    assert found.geometry == whole.geometry
    assert found.objects.keys() == whole.objects.keys()


@pytest.mark.parametrize("suffix", [".samproject", ".ome.zarr", ".tif", ".json", ".zip"])
def test_napari_finds_the_writer(suffix):
    writer, path = PluginManager.instance().get_writer(f"a{suffix}", ["labels"], PLUGIN)
    assert writer.command == f"{PLUGIN}.write_labels"
    assert path == f"a{suffix}"


def test_the_file_of_a_project_opens_it(tmp_path):
    path = tmp_path / "cells.samproject"
    PROJECT.write(annotation(), path)
    index = str(path / "project.json")
    (layer,) = annotation_reader(index)(index)
    assert layer[1]["name"] == "cells"
    assert len(layer[1]["metadata"][METADATA].objects) == 3


def test_other_folders_are_left_to_napari(tmp_path):
    (tmp_path / "image.ome.zarr").mkdir()
    (tmp_path / "project.json").write_text("{}")
    for name in ("", "image.ome.zarr", "missing.samproject"):
        assert annotation_reader(str(tmp_path / name)) is None
    assert annotation_reader([]) is None


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=FORMATS[0].suffixes[0]):
        write_labels_layer(str(tmp_path / "a.jpg"), np.zeros((2, 2), int), {})


def test_a_copied_layer_keeps_the_objects_of_then():
    objects = dict(annotation().objects)
    copied = copy.deepcopy(Carried(objects))
    objects.clear()
    assert len(copied.objects) == 3
