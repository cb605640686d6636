"""Stacks that are read plane by plane, and files that other programs change meanwhile."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile

from napari_sam.images import plane_stack, readers, tiff_files
from napari_sam.images.blocks import Blocks, paged
from napari_sam.images.plane_stack import PlaneStack
from napari_sam.images.readers import read_image
from napari_sam.stopping import Stopped, stoppable
from napari_sam.types import SliceKey

VOLUME = np.random.default_rng(0).integers(0, 60_000, (5, 40, 48), np.uint16)
CHANNELS = np.random.default_rng(1).integers(0, 60_000, (5, 2, 40, 48), np.uint16)


@pytest.fixture(autouse=True)
def small_memory(monkeypatch):
    for module in (plane_stack, readers, tiff_files):
        monkeypatch.setattr(module, "LIMIT_BYTES", 5000)


def write(path, kind):
    """Write a stack of a kind; return it with its channels last."""
    if kind in ("npy", "npy colours"):
        stack = VOLUME if kind == "npy" else np.moveaxis(CHANNELS, 1, -1)[..., [0, 1, 1]]
        np.save(path.with_suffix(".npy"), stack)
        path.with_suffix(".npy").rename(path)
        return stack
    if kind == "colours":
        stack = np.stack([VOLUME] * 3, axis=-1).astype(np.uint8)
        tifffile.imwrite(path, stack, photometric="rgb")
        return stack
    if kind in ("ZCYX", "CZYX"):
        stack = np.moveaxis(CHANNELS, 1, kind.index("C"))
        tifffile.imwrite(path, stack, ome=True, metadata={"axes": kind}, compression="zlib")
        return np.moveaxis(CHANNELS, 1, -1)
    if kind == "imagej":
        tifffile.imwrite(path, CHANNELS, imagej=True, metadata={"axes": "ZCYX"})
        return np.moveaxis(CHANNELS, 1, -1)
    options = {"big-endian": {"byteorder": ">"}, "zlib": {"compression": "zlib"}}.get(kind, {})
    tifffile.imwrite(path, VOLUME, photometric="minisblack", **options)
    return VOLUME


KINDS = ["plain", "big-endian", "zlib", "colours", "ZCYX", "CZYX", "imagej", "npy", "npy colours"]


@pytest.mark.parametrize("kind", KINDS)
def test_planes_are_those_of_the_file(tmp_path, kind):
    stack = write(tmp_path / "a.tif", kind)
    data = read_image(tmp_path / "a.tif").data
    assert isinstance(data, PlaneStack)
    assert (data.shape, data.ndim, data.size) == (stack.shape, stack.ndim, stack.size)
    assert (data.dtype.kind, data.dtype.itemsize) == (stack.dtype.kind, stack.dtype.itemsize)
    assert np.array_equal(np.asarray(data), stack)
    for index in (3, -1, slice(1, 4), (2, slice(5, 9)), (slice(None), 7), (..., 1), (0, ..., 1),
                  [0, 4], [], slice(0, 0), (slice(None), slice(None), 4), slice(None, None, -2),
                  (slice(4, 1, -1), 7, slice(1, None, 3))):  # fmt: skip
        assert np.array_equal(data[index], stack[index]), index
    key = SliceKey((1, 2), ((0, 2),), window=(3, 4, 20, 30))
    assert np.array_equal(key.read(data), key.read(stack))
    assert np.array_equal(SliceKey((0, 2), ((1, 7),)).read(data), stack[:, 7])
    with pytest.raises(IndexError):
        data[5]


@pytest.mark.parametrize("axes", ["TZCYX", "ZTCYX", "CTZYX", "TZYX"])
def test_a_series_of_stacks(tmp_path, axes):
    values = np.random.default_rng(2).integers(0, 60_000, (3, 4, 2, 20, 24), np.uint16)
    order = ["TZCYX".index(axis) for axis in axes]
    left_out = [k for k in range(5) if k not in order]
    stored = values.transpose([*left_out, *order]).reshape(-1, *[values.shape[k] for k in order])
    tifffile.imwrite(tmp_path / "a.tif", stored[0], ome=True, metadata={"axes": axes})
    image = read_image(tmp_path / "a.tif")
    expected = np.moveaxis(values, 2, -1) if "C" in axes else values[:, :, 0]
    assert isinstance(image.data, PlaneStack)
    assert image.axes == ("TZYXC" if "C" in axes else "TZYX")
    assert np.array_equal(image.data[:], expected)
    for index in ((1, 2), (0,), (slice(None), 3), (..., 1), (2, ..., 1), (0, [1, 3])):
        assert np.array_equal(image.data[index], expected[index]), index
    key = SliceKey((0, 3), ((1, 2), (2, 7)))
    assert np.array_equal(key.read(image.data), key.read(expected))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["truncated", "rewritten", "removed"])
def test_a_file_that_is_changed_meanwhile_is_an_error_not_a_crash(tmp_path, kind, change):
    path = tmp_path / "a.tif"
    write(path, kind)
    data = read_image(path).data
    data[0]
    if change == "truncated":
        os.truncate(path, 300)
    elif change == "rewritten":
        path.write_bytes(bytes(path.stat().st_size + 1))
    else:
        path.unlink()
    with pytest.raises(ValueError, match=r"a\.tif"):
        data[4]


def test_channels_of_a_single_plane_are_read_whole(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", VOLUME, metadata={"axes": "CYX"})
    image = read_image(tmp_path / "a.ome.tif")
    assert image.axes == "YXC"
    assert np.array_equal(image.data, np.moveaxis(VOLUME, 0, -1))


@pytest.mark.parametrize("order", ["C", "F"])
def test_blocks_that_are_no_planes_are_read_whole(tmp_path, order):
    values = np.asarray(np.moveaxis(CHANNELS, 1, -1), order=order)
    if order == "F":
        np.save(tmp_path / "a", values)
        (tmp_path / "a.npy").rename(tmp_path / "a.tif")
    else:
        tifffile.imwrite(tmp_path / "a.tif", values)  # pages of rows and channels
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "ZYXC"
    assert np.array_equal(image.data, values)


def test_a_file_that_is_written_while_it_is_read(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", VOLUME[0, :20])
    read = readers.read_tiff

    def disturbed(path, series):
        found = read(path, series)
        path.write_bytes(b"II*\0")
        return found

    monkeypatch.setattr(readers, "read_tiff", disturbed)
    with pytest.raises(ValueError, match="changed by another program"):
        read_image(tmp_path / "a.tif")


def test_parts_of_one_plane_are_read_once_and_belong_to_the_caller():
    read = []

    def block(number):
        read.append(number)
        return VOLUME[number].copy()

    stack = PlaneStack(paged(VOLUME.shape, VOLUME.shape[1:], VOLUME.dtype, block))
    part = stack[2, :10, :10]
    part[:] = 0
    assert (stack[2, 5:20, 5:20] == VOLUME[2, 5:20, 5:20]).all()
    assert (stack[2] == VOLUME[2]).all()
    assert read == [2]
    assert (stack[3] == VOLUME[3]).all()
    assert read == [2, 3]


def counted(chunks):
    """Return a stack stored in chunks, and the boxes that are read of it."""
    read = []

    def box(part):
        read.append(tuple((one.start, one.stop) for one in part))
        return VOLUME[part].copy()

    return PlaneStack(Blocks(VOLUME.shape, chunks, VOLUME.dtype, box)), read


def test_planes_across_those_of_the_file_are_read_together():
    stack, read = counted((1, 40, 48))
    for y in range(40):
        assert (stack[:, y] == VOLUME[:, y]).all()
    for x in range(48):
        assert (SliceKey((1, 0), ((2, x),)).read(stack) == VOLUME[:, :, x].T).all()
    assert read == [((0, 5), (0, 40), (0, 48))]


def test_of_cubic_chunks_only_those_around_a_plane_are_read_and_once():
    stack, read = counted((2, 16, 16))
    for z in range(5):
        assert (stack[z] == VOLUME[z]).all()
    assert read == [((z, min(z + 2, 5)), (0, 40), (0, 48)) for z in (0, 2, 4)]
    stack, read = counted((2, 16, 16))
    for y in range(14, 34):
        assert (stack[:, y] == VOLUME[:, y]).all()
    assert read == [((0, 5), (y, min(y + 16, 40)), (0, 48)) for y in (0, 16, 32)]
    stack, read = counted((2, 16, 16))
    assert (stack[3, 10:20, 30:31] == VOLUME[3, 10:20, 30:31]).all()
    assert read == [((2, 4), (0, 32), (16, 32))]


def test_what_is_kept_is_a_bounded_part_of_the_memory(monkeypatch):
    plane = 40 * 48 * 2
    monkeypatch.setattr(plane_stack, "MOST_HELD", 2 * plane)
    stack, read = counted((1, 40, 48))
    for y in range(40):
        assert (stack[:, y] == VOLUME[:, y]).all()
    rows = 40 // 8  # half of five planes would be more than half of what may be kept
    assert read == [((0, 5), (y, y + rows), (0, 48)) for y in range(0, 40, rows)]
    read.clear()
    assert (stack[:] == VOLUME).all()
    assert (stack[:, 39] == VOLUME[:, 39]).all()  # the last rows are kept beside it
    assert read == [((0, 5), (0, 40), (0, 48))]
    stack.most_held = 0
    assert (stack[2] == VOLUME[2]).all()
    assert (stack[2] == VOLUME[2]).all()
    assert read[1:] == [((2, 3), (0, 40), (0, 48))] * 2


def test_planes_one_after_the_other_do_not_add_up():
    stack, read = counted((1, 40, 48))
    for z in (0, 1, 2, 3, 4, 1):
        stack[z]
    assert len(read) == 5
    stack[0]
    assert len(read) == 6


def test_work_that_nobody_waits_for_ends_while_a_stack_is_read_across():
    read = []

    def page(number):
        read.append(number)
        return VOLUME[number]

    stack = PlaneStack(paged(VOLUME.shape, VOLUME.shape[1:], VOLUME.dtype, page))
    with pytest.raises(Stopped), stoppable(lambda: len(read) == 2):
        stack[:, 7]
    assert read == [0, 1]
    assert (stack[:, 7] == VOLUME[:, 7]).all()
