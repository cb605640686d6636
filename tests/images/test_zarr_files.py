"""Images in OME-Zarr and in plain zarr arrays: axes, scale, and what is read of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from numcodecs import Blosc

from napari_sam.images.plane_stack import PlaneStack
from napari_sam.images.readers import read_image

FULL = np.random.default_rng(0).integers(0, 60_000, (3, 2, 4, 20, 24), np.uint16)
"""(T, C, Z, Y, X)"""
KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def write(folder, values, names, version="0.5", chunks=None, units=True, **more):
    """Write an image of two levels, of which the first is the whole one."""
    modern = version == "0.5"
    group = zarr.open_group(folder, mode="w", zarr_format=3 if modern else 2)
    for name, data in (("full", values), ("half", values[..., ::2, ::2])):
        group.create_array(
            name, data=data, chunks=chunks or (1,) * (data.ndim - 2) + (8, 16),
            **({} if modern else {"compressors": Blosc(), "filters": None}),
        )  # fmt: skip
    sizes = {"t": 2.0, "c": 1.0, "z": 500.0, "y": 0.25, "x": 0.25}
    given = {"t": "minute", "z": "nanometer", "y": "micrometer", "x": "micrometer"}
    axes = [
        {"name": n, "type": KINDS[n], **({"unit": given[n]} if units and n in given else {})}
        for n in names
    ]
    transforms = [
        {"type": "scale", "scale": [sizes[n] for n in names]},
        {"type": "translation", "translation": [1000.0 if n == "z" else 0.0 for n in names]},
    ]
    multiscale = {
        "axes": axes,
        "datasets": [
            {"path": "full", "coordinateTransformations": transforms},
            {"path": "half", "coordinateTransformations": transforms},
        ],
        **more,
    }
    if modern:
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [{"version": version, **multiscale}]
    return folder


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("names", "axes", "values"),
    [
        ("tczyx", "TZYXC", np.moveaxis(FULL, 1, -1)),
        ("tzyx", "TZYX", FULL[:, 0]),
        ("czyx", "ZYXC", np.moveaxis(FULL[0], 0, -1)),
        ("zyx", "ZYX", FULL[0, 0]),
        ("tyx", "TYX", FULL[:, 0, 0]),
        ("cyx", "YXC", np.moveaxis(FULL[0, :, 0], 0, -1)),
        ("yx", "YX", FULL[0, 0, 0]),
    ],
)
def test_the_first_level_with_its_axes(tmp_path, version, names, axes, values):
    stored = FULL[tuple(slice(None) if n in names else 0 for n in "tczyx")]
    image = read_image(write(tmp_path / "a.ome.zarr", stored, names, version))
    assert image.axes == axes
    assert np.array_equal(np.asarray(image.data), values)
    assert isinstance(image.data, PlaneStack) == (len(image.label_axes) > 2)
    sizes = {"T": 120.0, "Z": 0.5, "Y": 0.25, "X": 0.25}
    assert image.scale == tuple(sizes[letter] for letter in image.label_axes)
    if "Z" in axes:
        assert image.translate == tuple(float(letter == "Z") for letter in image.label_axes)
    kinds = {"T": "second"}
    assert image.units == tuple(kinds.get(letter, "micrometer") for letter in image.label_axes)


def test_axes_of_one_position_are_left_out(tmp_path):
    image = read_image(write(tmp_path / "a.zarr", FULL[:1, :1], "tczyx"))
    assert (image.axes, image.data.shape) == ("ZYX", (4, 20, 24))


def test_pixels_of_unknown_size_have_no_scale(tmp_path):
    assert read_image(write(tmp_path / "a.zarr", FULL[0, 0], "zyx", units=False)).scale is None


def test_a_transformation_of_the_whole_pyramid_counts(tmp_path):
    more = {"coordinateTransformations": [{"type": "scale", "scale": [1.0, 2.0, 2.0]}]}
    image = read_image(write(tmp_path / "a.zarr", FULL[0, 0], "zyx", **more))
    assert image.scale == (0.5, 0.5, 0.5)


def test_a_plane_is_read_when_it_is_indexed_and_no_other(tmp_path, monkeypatch):
    folder = write(tmp_path / "a.zarr", FULL, "tczyx", chunks=(1, 1, 1, 20, 24))
    read = []
    get = zarr.Array.__getitem__
    monkeypatch.setattr(
        zarr.Array, "__getitem__", lambda self, at: read.append(at[:-1]) or get(self, at)
    )
    image = read_image(folder)
    assert read == []
    assert np.array_equal(image.data[2, 1], np.moveaxis(FULL[2, :, 1], 0, -1))
    t, c, z, *_ = read.pop()
    assert (read, t, c, z) == ([], slice(2, 3), slice(0, 2), slice(1, 2))


@pytest.mark.parametrize("index", [
    (1, 2), (1,), (slice(None), 3), (-1, [0, 3]), (slice(0, 2), slice(1, 3), slice(2, 9)),
    (..., 4), (0, ..., 5), (slice(0, 0), 1), (slice(None), slice(None), 6),
])  # fmt: skip
def test_indices_of_a_series_of_stacks(tmp_path, index):
    data = read_image(write(tmp_path / "a.zarr", FULL[:, 0], "tzyx")).data
    assert np.array_equal(data[index], FULL[:, 0][index])


@pytest.mark.parametrize("form", [2, 3])
def test_a_plain_array(tmp_path, form):
    names = {"dimension_names": ["t", "y", "x"]} if form == 3 else {}
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(4, 20, 24), chunks=(2, 20, 24), dtype="u2", zarr_format=form,
        **names,
    )  # fmt: skip
    array[...] = FULL[0, 0]
    image = read_image(tmp_path / "a.zarr")
    assert image.axes == ("TYX" if form == 3 else "ZYX")
    assert np.array_equal(image.data[:], FULL[0, 0])


def test_several_images_of_a_group(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    write(tmp_path / "a.zarr" / "0", FULL[0, 0], "zyx")
    assert read_image(tmp_path / "a.zarr").data.shape == (4, 20, 24)
    write(tmp_path / "a.zarr" / "1", FULL[:, 0, 0], "tyx")
    with pytest.raises(ValueError, match=r"holds several images: 0, 1; choose one with --series"):
        read_image(tmp_path / "a.zarr")
    assert read_image(tmp_path / "a.zarr", 1).axes == "TYX"
    with pytest.raises(ValueError, match="has no series 2"):
        read_image(tmp_path / "a.zarr", 2)


def damage(folder, case):
    meta = folder / "zarr.json"
    data = json.loads(meta.read_text())
    scene = data["attributes"]["ome"]["multiscales"][0]
    if case == "no pyramid":
        data["attributes"] = {}
    elif case == "plate":
        data["attributes"]["ome"] = {"plate": {}}
    elif case == "outside":
        scene["datasets"][0]["path"] = "../other"
    elif case == "missing":
        scene["datasets"][0]["path"] = "nothing"
    elif case == "axes":
        scene["axes"] = scene["axes"][1:]
    elif case == "scale":
        scene["datasets"][0]["coordinateTransformations"][0]["scale"] = [0, 1, 1]
    elif case == "no list":
        scene["datasets"] = 3
    elif case == "order":
        scene["axes"] = scene["axes"][::-1]
    elif case == "codec":
        inner = folder / "full" / "zarr.json"
        array = json.loads(inner.read_text())
        array["codecs"] = [{"name": "numcodecs.pickle"}]
        inner.write_text(json.dumps(array))
    meta.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("no pyramid", "is a group of zarr, but holds no image"),
        ("plate", "several images of a plate; name one of them"),
        ("outside", "no place inside of"),
        ("missing", "has no 'nothing'"),
        ("axes", "a transformation has 2 numbers"),
        ("scale", "the scale is not 0"),
        ("no list", "is not an image that can be read"),
        ("order", "has the axes XYZ"),
        ("codec", "which is not read here"),
    ],
)
def test_a_damaged_group_is_a_sentence(tmp_path, case, sentence):
    folder = write(tmp_path / "a.zarr", FULL[0, 0], "zyx")
    damage(folder, case)
    with pytest.raises(ValueError, match=sentence) as caught:
        read_image(folder)
    assert str(folder) in str(caught.value)


def test_a_damaged_chunk_is_a_sentence(tmp_path):
    folder = write(tmp_path / "a.zarr", FULL[0, 0], "zyx")
    image = read_image(folder)
    (folder / "full" / "c" / "2" / "0" / "0").write_bytes(b"nothing")
    assert np.array_equal(image.data[1], FULL[0, 0, 1])
    with pytest.raises(ValueError, match=r"a\.zarr is not an image that can be read"):
        image.data[2]


def test_an_array_whose_planes_fit_no_memory_is_refused(tmp_path):
    folder = tmp_path / "huge.zarr"
    side = 2**24
    zarr.create_array(folder, shape=(2, side, side), chunks=(1, 64, 64), dtype="f8")
    with pytest.raises(ValueError, match="do not fit into memory"):
        read_image(folder)
