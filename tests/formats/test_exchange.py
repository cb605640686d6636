"""Projects, OME-Zarr labels and label TIFF: round trips, other readers, damage, kills."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import ome_zarr_models.v04
import ome_zarr_models.v05
import pytest
import tifffile
import zarr

from napari_sam.formats import project
from napari_sam.formats.annotation import Annotation, Geometry
from napari_sam.formats.exchange import format_of
from napari_sam.formats.label_tiff import LABEL_TIFF
from napari_sam.formats.labels_store import open_labels
from napari_sam.formats.ome_zarr import OME_ZARR, write_ome_zarr
from napari_sam.formats.project import PROJECT, ProjectWriter
from napari_sam.objects.documents import object_from_json, object_to_json
from napari_sam.steps import drive

from .annotations import annotation

SHAPES = [(20, 30), (3, 20, 30), (2, 3, 20, 30)]
OURS = [PROJECT, OME_ZARR, LABEL_TIFF]


def place(tmp_path, kind):
    return tmp_path / f"cells{kind.suffixes[0]}"


@pytest.mark.parametrize("kind", OURS, ids=lambda one: one.suffixes[0])
@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip(tmp_path, kind, shape):
    whole, path = annotation(shape), place(tmp_path, kind)
    assert format_of(path) is kind
    kind.write(whole, path)
    kind.write(whole, path)  # over an earlier one
    found = kind.read(path, shape)
    assert np.array_equal(found.labels, whole.labels)
    assert found.geometry == whole.geometry
    assert found.name == "cells"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    for label, one in whole.objects.items():
        again = found.objects[label]
        assert (again.category, again.status, again.annotator, again.time) == (
            *("cell", "finished", "Ada"),
            12.5,
        )
        assert again.attributes == one.attributes


@pytest.mark.parametrize("shape", SHAPES)
def test_a_project_loses_nothing(tmp_path, shape):
    whole, path = annotation(shape), place(tmp_path, PROJECT)
    assert PROJECT.losses(whole) == []
    PROJECT.write(whole, path)
    shutil.move(path, tmp_path / "elsewhere.samproject")
    found = PROJECT.read(tmp_path / "elsewhere.samproject", None)
    assert found.labels.dtype == whole.labels.dtype
    objects = [[object_to_json(one) for one in a.objects.values()] for a in (found, whole)]
    assert objects[0] == objects[1]
    assert found.prompts == whole.prompts
    assert found.prompts[0].owner == 7
    assert found.properties == whole.properties
    assert found.image == whole.image
    assert str(tmp_path) not in (tmp_path / "elsewhere.samproject" / "project.json").read_text()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("shape", SHAPES)
def test_ome_zarr_is_valid(tmp_path, version, shape):
    whole, path = annotation(shape), place(tmp_path, OME_ZARR)
    write_ome_zarr(whole, path, version)
    models = ome_zarr_models.v05 if version == "0.5" else ome_zarr_models.v04
    image = models.ImageLabel.from_zarr(zarr.open_group(path, mode="r"))
    attributes = image.attributes.model_dump(by_alias=True)
    attributes = attributes.get("ome", attributes)
    assert attributes["image-label"]["colors"][0]["rgba"] == (255, 0, 0, 255)
    axes = attributes["multiscales"][0]["axes"]
    assert axes[-1] == {"name": "x", "type": "space", "unit": "micrometer"}
    assert np.array_equal(zarr.open_group(path, mode="r")["0"][...], whole.labels)
    found = OME_ZARR.read(path, shape)
    assert np.array_equal(found.labels, whole.labels)
    assert found.geometry == whole.geometry


def test_a_pyramid_takes_every_second_pixel(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (1100, 2050), np.uint16)
    whole = Annotation(labels, {}, Geometry(("y", "x"), (0.5, 0.5), ("pixel",) * 2, (0.0, 1.0)))
    path = place(tmp_path, OME_ZARR)
    OME_ZARR.write(whole, path)
    group = zarr.open_group(path, mode="r")
    assert sorted(group.array_keys()) == ["0", "1", "2"]
    for level, step in ((0, 1), (1, 2), (2, 4)):
        assert np.array_equal(group[str(level)][...], labels[::step, ::step])
    ome_zarr_models.v05.ImageLabel.from_zarr(group)
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    scale, translation = datasets[2]["coordinateTransformations"]
    assert scale["scale"] == [2.0, 2.0]
    assert translation["translation"] == [0.0, 1.0]


def test_the_tiff_tells_other_programs_its_axes_and_scale(tmp_path):
    whole, path = annotation(), place(tmp_path, LABEL_TIFF)
    LABEL_TIFF.write(whole, path)
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == "ZYX"
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert np.array_equal(file.asarray(), whole.labels)
    assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == [2.0, 0.5, 0.25]
    imageio = pytest.importorskip("imageio.v3")
    assert np.array_equal(imageio.imread(path), whole.labels)


def test_labels_of_another_program(tmp_path):
    path = place(tmp_path, LABEL_TIFF)
    tifffile.imwrite(path, annotation().labels.astype(np.uint16), photometric="minisblack")
    found = LABEL_TIFF.read(path, None)
    assert np.array_equal(found.labels, annotation().labels)
    assert found.objects == {}


@pytest.mark.parametrize("kind", OURS, ids=lambda one: one.suffixes[0])
def test_labels_of_another_shape_are_refused(tmp_path, kind):
    path = place(tmp_path, kind)
    kind.write(annotation(), path)
    with pytest.raises(ValueError, match="shape"):
        kind.read(path, (3, 20, 31))


@pytest.mark.parametrize("kind", [PROJECT, OME_ZARR], ids=lambda one: one.suffixes[0])
def test_what_is_no_annotation_is_not_replaced(tmp_path, kind):
    path = place(tmp_path, kind)
    path.mkdir()
    (path / "holiday.jpg").write_text("a picture")
    with pytest.raises(ValueError, match="choose another name"):
        kind.write(annotation(), path)
    assert (path / "holiday.jpg").read_text() == "a picture"


def test_an_image_is_not_replaced_by_labels(tmp_path):
    path = place(tmp_path, OME_ZARR)
    write_ome_zarr(annotation(), path)
    group = zarr.open_group(path, mode="r+")
    ome = dict(group.attrs["ome"])
    del ome["image-label"]
    group.attrs["ome"] = ome
    with pytest.raises(ValueError, match="not replaced"):
        write_ome_zarr(annotation(), path)
    with pytest.raises(ValueError, match="an image"):
        OME_ZARR.read(path, None)


@pytest.mark.parametrize("name", ["../other.ome.zarr", "/etc", "link", "a\\b", "", 3, "C:/x"])
def test_a_project_names_nothing_outside(tmp_path, name):
    path = place(tmp_path, PROJECT)
    PROJECT.write(annotation(), path)
    OME_ZARR.write(annotation(), tmp_path / "other.ome.zarr")
    (path / "link").symlink_to(tmp_path / "other.ome.zarr")
    index = json.loads((path / "project.json").read_text())
    (path / "project.json").write_text(json.dumps(index | {"labels": name}))
    with pytest.raises(ValueError, match="no project"):
        PROJECT.read(path, None)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("codec", ["pickle", "numcodecs.pickle", "unknown"])
def test_codecs_that_run_code_are_not_decoded(tmp_path, version, codec):
    path = place(tmp_path, OME_ZARR)
    write_ome_zarr(annotation(), path, version)
    file = path / "0" / (".zarray" if version == "0.4" else "zarr.json")
    data = json.loads(file.read_text())
    if version == "0.4":
        data["filters"] = [{"id": codec}]
    else:
        data["codecs"].insert(0, {"name": codec})
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="not read here"):
        OME_ZARR.read(path, None)


def test_links_inside_are_refused(tmp_path):
    path = place(tmp_path, OME_ZARR)
    write_ome_zarr(annotation(), path)
    chunk = next((path / "0").rglob("c/*/0/0"))
    chunk.unlink()
    chunk.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="link"):
        OME_ZARR.read(path, None)


PLANE = {"displayed": [1, 2], "fixed": [[0, 1]], "window": None, "level": None}


@pytest.mark.parametrize(
    "properties",
    [
        [],
        {"classes": 3},
        {"classes": [{"name": "a"}]},
        {"classes": [{"name": " ", "colour": "#ff0000", "key": ""}]},
        {"classes": [{"name": "a", "colour": "red", "key": ""}]},
        {"classes": 2 * [{"name": "a", "colour": "#ff0000", "key": ""}]},
        {"classes": [{"name": n, "colour": "#ff0000", "key": "A"} for n in "ab"]},
        {"complete": {}},
        {"complete": [3]},
        {"complete": [{"plane": PLANE | {"fixed": [[0, 9]]}, "box": None}]},
        {"complete": [{"plane": PLANE | {"displayed": [0, 1], "fixed": []}, "box": None}]},
        {"complete": [{"plane": PLANE, "box": [3, 0, 2, 5]}]},
        {"complete": [{"plane": PLANE, "box": [1.5, 0, 2, 5]}]},
    ],
)
def test_properties_of_a_stranger_are_checked(tmp_path, properties):
    path = place(tmp_path, PROJECT)
    PROJECT.write(annotation(), path)
    index = json.loads((path / "project.json").read_text())
    (path / "project.json").write_text(json.dumps(index | {"properties": properties}))
    with pytest.raises(ValueError, match=r"class|complete|properties"):
        PROJECT.read(path, None)
    good = {"complete": [{"plane": PLANE, "box": [1, 0, 2, 5]}], "other": 3}
    (path / "project.json").write_text(json.dumps(index | {"properties": good}))
    assert PROJECT.read(path, None).properties == good


@pytest.mark.parametrize(
    ("layer", "mark", "corners"),
    [
        ("points", "1", 1),
        ("points", "object", 2),
        ("shapes", "star", 4),
        ("shapes", "rectangle", 3),
    ],
)
def test_prompts_that_cannot_be_drawn_are_refused(tmp_path, layer, mark, corners):
    path = place(tmp_path, PROJECT)
    PROJECT.write(annotation(), path)
    file = path / "objects-1.json"
    document = json.loads(file.read_text())
    prompt = document["prompts"][0]
    changed = {"layer": layer, "mark": mark, "vertices": corners * prompt["vertices"]}
    file.write_text(json.dumps(document | {"prompts": [prompt | changed]}))
    with pytest.raises(ValueError, match="no prompt"):
        PROJECT.read(path, None)


def test_chunks_of_an_array_in_a_folder_are_copied_as_they_are(tmp_path, monkeypatch):
    whole = annotation((4, 20, 30))
    array = open_labels(tmp_path / "labels", "objects", (4, 20, 30), (1, 2), "zyx", {})
    array[:3] = whole.labels[:3]
    monkeypatch.setattr("napari_sam.formats.labels_group._write_plane", None)
    writer = ProjectWriter(place(tmp_path, PROJECT), array, whole.geometry)
    drive(writer.write_planes([(0,), (1,), (2,), (3,)]))
    array[1], array[2] = 0, 5
    drive(writer.write_planes([(1,), (2,)]))
    writer.finish(replace(whole, labels=array))
    writer.close()
    array[2] = 7
    found = PROJECT.read(place(tmp_path, PROJECT), None).labels
    assert np.array_equal(found[0], whole.labels[0])
    assert [int(plane.max()) for plane in found[1:]] == [0, 5, 0]


@pytest.mark.parametrize("kind", [OME_ZARR, LABEL_TIFF], ids=lambda one: one.suffixes[0])
def test_losses_name_all_that_is_lost(tmp_path, kind):
    whole = annotation()
    complete = [{"plane": PLANE, "box": None}]
    whole = replace(whole, properties=dict(whole.properties) | {"complete": complete})
    lost = kind.losses(whole)
    kind.write(whole, place(tmp_path, kind))
    found = kind.read(place(tmp_path, kind), None)
    assert ("the prompts" in lost) == (found.prompts != whole.prompts)
    assert ("how each outline was made, with its score and other candidates" in lost) == (
        not found.objects[1].outlines
    )
    assert ("the list of classes with its keys" in lost) == ("classes" not in found.properties)
    assert ("which image was annotated" in lost) == (found.image is None)
    assert ("the complete regions" in lost) == ("complete" not in found.properties)
    bare = Annotation(whole.labels, {}, whole.geometry, {}, whole.name)
    assert kind.losses(bare) == []


def test_a_later_version_is_refused(tmp_path):
    path = place(tmp_path, PROJECT)
    PROJECT.write(annotation(), path)
    index = json.loads((path / "project.json").read_text())
    (path / "project.json").write_text(json.dumps(index | {"version": 2}))
    with pytest.raises(ValueError, match="update"):
        PROJECT.read(path, None)


@pytest.mark.parametrize("failing", ["LabelsGroup", "replacing", "_text"])
def test_an_error_leaves_the_earlier_project(tmp_path, monkeypatch, failing):
    path = place(tmp_path, PROJECT)
    PROJECT.write(annotation(), path)

    def fail(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(project, failing, fail)
    with pytest.raises(ValueError, match="No space left"):
        PROJECT.write(replace(annotation(), name="new"), path)
    found = PROJECT.read(path, None)
    assert found.name == "cells"
    assert sorted(one.name for one in path.iterdir()) == [
        *("labels-1.ome.zarr", "objects-1.json", "project.json")
    ]


def test_labels_still_shown_survive_a_save(tmp_path, monkeypatch):
    path = place(tmp_path, PROJECT)
    PROJECT.write(annotation(), path)
    monkeypatch.setattr("napari_sam.formats.ome_zarr.LIMIT_BYTES", 0)
    found = PROJECT.read(path, None)
    assert isinstance(found.labels, zarr.Array)
    PROJECT.write(found, path)
    assert np.array_equal(found.labels[...], annotation().labels)
    del found
    PROJECT.write(annotation(), path)
    assert len(list(path.iterdir())) == 3


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.formats.annotations import annotation
from dataclasses import replace
from napari_sam.formats.exchange import format_of
path, steps = Path(sys.argv[2]), int(sys.argv[3])
def count(event, args):
    global steps
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"):
        steps -= 1
        if steps == 0:
            os._exit(9)
sys.addaudithook(count)
format_of(path).write(replace(annotation(), name="new"), path)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", [PROJECT, OME_ZARR], ids=lambda one: one.suffixes[0])
def test_a_kill_leaves_the_old_or_the_new(tmp_path, request, kind):
    path = place(tmp_path, kind)
    for steps in range(1, 40, 3):
        shutil.rmtree(path, ignore_errors=True)
        kind.write(annotation(), path)
        arguments = [sys.executable, "-c", KILLED, str(request.config.rootpath), path, str(steps)]
        ended = subprocess.run(arguments, check=False)
        found = kind.read(path, None)
        assert found.name in ("cells", "new")
        assert np.array_equal(found.labels, annotation().labels)
        if ended.returncode == 0:
            assert found.name == "new"
            break
    kind.write(annotation(), path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", OURS, ids=lambda one: one.suffixes[0])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", ">u2", ">i4", "uint32", "int64"])
def test_labels_of_any_type_are_read_again(tmp_path, kind, dtype):
    path, largest = place(tmp_path, kind), 1 if dtype == "bool" else 100
    labels = np.random.default_rng(0).integers(0, largest + 1, (2, 9, 7)).astype(dtype)
    whole = Annotation(labels, {}, annotation().geometry)
    kind.write(whole, path)
    found = kind.read(path, (2, 9, 7)).labels
    assert np.array_equal(found, labels)
    if kind is not LABEL_TIFF:  # which holds the smallest type
        assert found.dtype == ("uint8" if dtype == "bool" else np.dtype(dtype).newbyteorder("="))


@pytest.mark.parametrize("kind", OURS, ids=lambda one: one.suffixes[0])
@pytest.mark.parametrize("shape", [(1, 9, 7), (2, 1, 9, 7), (1, 1, 9, 7), (3, 1, 7)])
def test_axes_of_one_plane_are_kept(tmp_path, kind, shape):
    path, labels = place(tmp_path, kind), np.random.default_rng(0).integers(0, 9, shape)
    whole = replace(annotation((1,) * len(shape)), labels=labels, objects={})
    kind.write(whole, path)
    for known in (shape, None):
        found = kind.read(path, known)
        assert np.array_equal(found.labels, labels)
        assert found.geometry == whole.geometry


@pytest.mark.parametrize("kind", OURS, ids=lambda one: one.suffixes[0])
def test_a_reversed_axis_is_kept(tmp_path, kind):
    whole, path = annotation(), place(tmp_path, kind)
    geometry = replace(whole.geometry, scale=(2.0, -0.5, 0.25))
    kind.write(replace(whole, geometry=geometry), path)
    assert kind.read(path, None).geometry == geometry


def test_half_of_a_sign_does_not_hinder_a_save(tmp_path):
    whole, path = annotation(), place(tmp_path, PROJECT)
    whole.objects[1] = replace(whole.objects[1], category="a\ud800")  # as JSON of others may hold
    PROJECT.write(whole, path)
    assert PROJECT.read(path, None).objects[1].category == "a\ud800"


def test_a_project_of_another_program_is_not_replaced(tmp_path):
    path = place(tmp_path, PROJECT)
    path.mkdir()
    (path / "project.json").write_text('{"name": "other"}')
    with pytest.raises(ValueError, match="another program"):
        PROJECT.write(annotation(), path)
    assert (path / "project.json").read_text() == '{"name": "other"}'
    assert [one.name for one in path.iterdir()] == ["project.json"]


def test_labels_are_not_replaced_while_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sam.formats.ome_zarr.LIMIT_BYTES", 0)
    whole, path = annotation(), place(tmp_path, OME_ZARR)
    write_ome_zarr(whole, path, "0.4")
    found = OME_ZARR.read(path, None)
    with pytest.raises(ValueError, match="still read from"):
        OME_ZARR.write(found, path)
    assert np.array_equal(found.labels[...], whole.labels)


def test_numbers_of_a_stranger_do_not_hinder_a_save(tmp_path):
    path = place(tmp_path, OME_ZARR)
    OME_ZARR.write(annotation(), path)
    data = json.loads((path / "zarr.json").read_text())
    data["attributes"]["ome"]["image-label"]["properties"][0]["attributes"] = {"size": float("nan")}
    (path / "zarr.json").write_text(json.dumps(data))
    found = OME_ZARR.read(path, None)
    assert found.objects[1].attributes == {}
    PROJECT.write(found, place(tmp_path, PROJECT))
    with pytest.raises(ValueError, match="JSON"):
        object_from_json({**object_to_json(found.objects[1]), "attributes": {"size": float("nan")}})
