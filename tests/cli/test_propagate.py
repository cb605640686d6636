"""`napari-sam segment --propagate`: what is asked for, and what is written as it comes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import zarr
from tiny import SceneModel

from napari_sam.cli import parser as cli
from napari_sam.cli import segment
from napari_sam.images.readers import read_image
from napari_sam.stack import small
from napari_sam.stack.propagate import Found, FoundPlane
from napari_sam.types import Progress


class Propagation:
    """Stands for `stack.propagate`: carries the mask of the nearest keyframe on, outward."""

    def __init__(self):
        self.calls = []
        self.error = None
        self.after = 2

    def __call__(self, session, planes, keyframes, only=None, others=None, propagator=None):
        self.calls.append((planes, keyframes, only))
        self.propagator = propagator
        first = min(min(places) for places in keyframes.values())
        places = [z for z in range(len(planes)) if only is None or z in only]
        for count, z in enumerate(sorted(places, key=lambda z: (abs(z - first), z))):
            if self.error is not None and count == self.after:
                raise self.error
            found = {}
            for number, known in keyframes.items():
                if z not in known:
                    nearest = min(known, key=lambda place: abs(place - z))
                    found[number] = Found(known[nearest], 0.9 - 0.1 * abs(nearest - z))
            yield FoundPlane(z, found)
            yield Progress(count + 1, len(places), f"plane {z}")


@pytest.fixture
def propagation(monkeypatch):
    stand_in = Propagation()
    monkeypatch.setattr(segment, "propagate", stand_in)
    return stand_in


BOXES = ("--box", "6,10,26,30,1", "--box", "36,18,56,38,3")


@pytest.mark.parametrize("suffix", [".tif", ".ome.zarr", ".npy"])
def test_objects_are_followed_from_their_planes(
    succeed, stub, propagation, volume, tmp_path, suffix
):
    result = tmp_path / f"labels{suffix}"
    out = succeed("segment", volume, "-o", result, *BOXES, "--propagate")
    labels = np.asarray(read_image(result).data)
    assert labels.shape == (5, 48, 64)
    assert (labels[:, 20, 16] == 1).all()
    assert (labels[:, 28, 46] == 2).all()
    ((planes, keyframes, only),) = propagation.calls
    assert len(planes) == 5
    assert {number: set(known) for number, known in keyframes.items()} == {1: {1}, 2: {3}}
    assert only == range(5)
    summary = json.loads(out)
    assert summary["objects"] == 2
    assert summary["planes"] == {"1": [0, 4], "2": [0, 4]}
    assert summary["doubtful"] == {"1": [4, 0.6], "2": [0, 0.6]}


def test_only_some_planes(succeed, stub, propagation, volume, tmp_path):
    result = tmp_path / "labels.tif"
    succeed("segment", volume, "-o", result, *BOXES[:2], "--propagate", "--slices", "1:3")
    labels = read_image(result).data
    assert labels.any(axis=(1, 2)).tolist() == [False, True, True, False, False]


def test_prompts_on_several_planes_are_keyframes_of_one_object(
    succeed, stub, propagation, volume, tmp_path
):
    result = tmp_path / "labels.tif"
    prompts = ("--point", "16,20,1", "--box", "6,10,26,30,4")
    out = succeed("segment", volume, "-o", result, *prompts, "--propagate", "--one-object")
    ((_, keyframes, _),) = propagation.calls
    assert {number: set(known) for number, known in keyframes.items()} == {1: {1, 4}}
    assert set(np.unique(read_image(result).data)) == {0, 1}
    assert json.loads(out)["objects"] == 1


def test_an_object_keeps_its_pixels_in_the_plane_of_its_prompt(
    succeed, stub, propagation, volume, tmp_path
):
    result = tmp_path / "labels.tif"
    same = ("--box", "6,10,26,30,1", "--box", "6,10,26,30,3")  # two names of one object
    succeed("segment", volume, "-o", result, *same, "--propagate")
    labels = read_image(result).data
    assert labels[:, 20, 16].tolist() == [1, 1, 1, 2, 1]


def test_planes_along_another_axis_with_square_pixels(succeed, stub, propagation, volume, tmp_path):
    result = tmp_path / "labels.ome.zarr"
    prompt = ("--box", "6,0,26,4,20")  # x, z, and then the plane y
    succeed("segment", volume, "-o", result, *prompt, "--propagate", "--axis", "y")
    ((planes, _, only),) = propagation.calls
    assert (len(planes), only) == (48, range(48))
    assert planes[7].key.index == (slice(None), 7, slice(None))
    assert planes[7].spacing == (2.0, 0.25)
    labels = np.asarray(read_image(result).data)
    assert (labels[2, :, 16] == 1).all()
    assert not labels[..., 40:].any()


def test_a_series_of_stacks(succeed, stub, propagation, volume, tmp_path):
    image = np.stack([read_image(volume).data] * 3)
    path, result = tmp_path / "series.tif", tmp_path / "labels.ome.zarr"
    tifffile.imwrite(path, image, imagej=True, metadata={"axes": "TZYX"})
    box = ("--box", "6,10,26,30,2,1")  # z 2, t 1
    succeed("segment", path, "-o", result, *box, "--propagate")
    labels = np.asarray(read_image(result).data)
    assert labels.shape == (3, 5, 48, 64)
    assert (labels[1, :, 20, 16] == 1).all()
    assert not labels[[0, 2]].any()
    result = tmp_path / "through time.ome.zarr"
    succeed("segment", path, "-o", result, *box, "--propagate", "--axis", "T")
    labels = np.asarray(read_image(result).data)
    assert (labels[:, 2, 20, 16] == 1).all()
    assert not labels[:, [0, 1, 3, 4]].any()


@pytest.mark.parametrize("suffix", [".tif", ".ome.zarr"])
@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (KeyboardInterrupt(), 130, "napari-sam: interrupted"),
        (ValueError("plane 3 is torn"), 2, "napari-sam: plane 3 is torn"),
    ],
)
def test_what_is_done_is_kept_when_it_is_stopped(
    stub, propagation, capsys, volume, tmp_path, suffix, error, code, sentence
):
    propagation.error = error
    result = tmp_path / f"labels{suffix}"
    arguments = ["segment", volume, "-o", result, *BOXES[:2], "--propagate"]
    assert cli.main([str(one) for one in arguments]) == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == sentence
    assert lines[-2] == f"napari-sam: the labels of the planes that are done are in {result}"
    labels = np.asarray(read_image(result).data)
    assert labels.any(axis=(1, 2)).tolist() == [True, True, False, False, False]
    assert sorted(one.name for one in tmp_path.iterdir() if "labels" in one.name) == [result.name]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--propagate", "--slices", "3:9"], "beyond the stack"),
        (["--slices", "1:3"], "--slices goes together with --propagate"),
        (["--one-object"], "--one-object goes together with --propagate"),
        (["--propagator", "memory"], "--propagator goes together with --propagate"),
        (["--propagate", "--propagator", "memory"], "has no memory of objects: use the propagator"),
        (["--propagate", "--propagator", "guide"], "invalid choice: 'guide'"),
        (["--propagate", "--axis", "t"], "--axis is one of Z, Y, X in this image, but is 't'"),
        (["--propagate", "--axis", "zy"], "--axis is one of Z, Y, X"),
    ],
)
def test_wrong_flags(fail, stub, volume, tmp_path, arguments, sentence):
    assert sentence in fail("segment", volume, "-o", tmp_path / "a.tif", *BOXES, *arguments)


def test_the_propagator_is_noted(succeed, stub, propagation, volume, tmp_path, monkeypatch):
    result = tmp_path / "labels.ome.zarr"
    given = ("segment", volume, "-o", result, *BOXES, "--propagate")
    succeed(*given, "--propagator", "appearance")
    assert propagation.propagator == "appearance"
    monkeypatch.setattr(SceneModel, "remembers", True)
    succeed(*given, "--overwrite")
    assert propagation.propagator == "memory"
    note = zarr.open_group(result, mode="r").attrs["provenance"]
    assert note["propagator"] == "memory"


def test_of_objects_small_for_the_memory_the_other_way_is_told(
    stub, propagation, volume, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(SceneModel, "remembers", True)
    monkeypatch.setattr(small, "LEAST_WIDTH", 30)
    given = [str(one) for one in ("segment", volume, "-o", tmp_path / "a.tif", *BOXES)]
    assert cli.main([*given, "--propagate", "--propagator", "appearance"]) == 0
    assert "little for its memory" not in capsys.readouterr().err
    assert cli.main([*given, "--propagate", "--overwrite"]) == 0
    assert "2 objects are less than 30 pixels wide as stub sees" in capsys.readouterr().err


def test_a_plane_is_no_stack(fail, stub, plane, tmp_path):
    given = ("segment", plane, "-o", tmp_path / "a.tif", "--box", "6,10,26,30")
    assert "--propagate needs a stack" in fail(*given, "--propagate")
    assert "--axis z needs a stack" in fail(*given, "--axis", "z")


def test_planes_are_written_as_they_come(stub, propagation, volume, tmp_path, monkeypatch):
    result = tmp_path / "labels.ome.zarr"
    seen = []

    def followed(*given, **named):
        for step in Propagation()(*given, **named):
            if isinstance(step, FoundPlane):
                parts = list(tmp_path.glob(".labels*partial*/0/c/*/0/0"))
                seen.append(len(parts))
            yield step

    monkeypatch.setattr(segment, "propagate", followed)
    arguments = ["segment", volume, "-o", result, *BOXES[:2], "--propagate"]
    assert cli.main([str(one) for one in arguments]) == 0
    assert seen == [1, 1, 2, 3, 4]
    assert zarr.open_array(result / "0", mode="r").chunks == (1, 48, 64)
