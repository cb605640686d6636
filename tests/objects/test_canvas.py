from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_sam.objects import Canvas, Patch

BOX = (1, slice(2, 5), slice(3, 7))


def patch(index=BOX, old=0, new=7, shape=(3, 4), dtype=np.int32):
    return Patch.of(index, np.full(shape, old, dtype), np.full(shape, new, dtype))


@pytest.fixture(params=["numpy", "zarr"])
def canvas(request):
    data = np.zeros((3, 16, 16), np.int32)
    if request.param == "zarr":
        data = zarr.array(data, chunks=(1, 8, 8))
    return Canvas(data, "my objects")


def test_write_and_inverse(canvas):
    canvas.write(patch())
    expected = np.zeros((3, 16, 16), int)
    expected[BOX] = 7
    assert np.array_equal(canvas.data[:], expected)
    assert np.array_equal(canvas.read(BOX), np.full((3, 4), 7))
    canvas.write(patch().inverse())
    assert not canvas.data[:].any()


def test_pixels_that_were_changed_since_stay(canvas):
    canvas.write(patch())
    canvas.data[1, 2, 3] = 9
    canvas.write(patch().inverse())
    assert canvas.data[1, 2, 3] == 9
    assert np.count_nonzero(canvas.data[:]) == 1
    canvas.write(patch())
    assert canvas.data[1, 2, 3] == 9
    assert (canvas.data[:] == 7).sum() == 11


def test_read_is_a_copy(canvas):
    canvas.read(BOX)[...] = 5
    assert not canvas.data[:].any()


def test_pixels_that_the_patch_leaves_are_not_set(canvas):
    canvas.data[1, 4, 6] = 3
    canvas.write(patch(old=3, new=3))
    assert np.count_nonzero(canvas.data[:]) == 1


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [("u1", 255, 256), ("i1", 127, 128), ("bool", 1, 2), ("i4", 9, -(2**40))],
)
def test_labels_that_the_type_cannot_hold_are_refused(dtype, good, bad):
    canvas = Canvas(np.zeros((3, 16, 16), dtype), "my objects")
    canvas.write(patch(new=good))
    assert (canvas.data[BOX] == good).all()
    name = np.dtype(dtype).name
    match = (
        f"no label {bad}" if bad < 0 else f"my objects holds {name} and so at most {good} labels"
    )
    with pytest.raises(ValueError, match=match):
        canvas.write(patch(old=good, new=bad, dtype=np.int64))
    assert (canvas.data[BOX] == good).all()


class Counted:
    """A zarr array that counts how often it is read and written."""

    def __init__(self, array):
        self.array, self.reads, self.writes = array, [], []
        self.shape, self.dtype, self.chunks = array.shape, array.dtype, array.chunks

    def __getitem__(self, index):
        self.reads.append(index)
        return self.array[index]

    def __setitem__(self, index, value):
        self.writes.append(index)
        self.array[index] = value


def test_neighbours_in_the_same_chunk_are_written_at_once():
    data = Counted(zarr.zeros((3, 16, 16), chunks=(1, 16, 16), dtype=np.int32))
    canvas = Canvas(data)
    patches = [
        patch((0, slice(0, 3), slice(0, 4))),
        patch((0, slice(10, 13), slice(10, 14))),
        patch((0, slice(10, 13), slice(10, 14)), 7, 8),
        patch((2, slice(0, 3), slice(0, 4))),
    ]
    steps = list(canvas.write_all(patches, "some"))
    assert [(s.done, s.total, s.text) for s in steps] == [(1, 2, "some"), (2, 2, "some")]
    assert len(data.reads) == len(data.writes) == 2
    expected = np.zeros((3, 16, 16), int)
    for z, y, x, value in ((0, 0, 0, 7), (0, 10, 10, 8), (2, 0, 0, 7)):
        expected[z, y : y + 3, x : x + 4] = value
    assert np.array_equal(data.array[:], expected)
    data = Counted(zarr.zeros((3, 16, 16), chunks=(1, 8, 8), dtype=np.int32))
    list(Canvas(data).write_all(patches))
    assert len(data.writes) == 3  # the first two lie in chunks of their own


def test_nothing_is_written_where_nothing_is_to_be_set():
    data = Counted(zarr.full((3, 16, 16), fill_value=4, chunks=(1, 16, 16), dtype=np.int32))
    Canvas(data).write(patch())
    Canvas(data).write(patch(old=4, new=4))
    Canvas(data).write()
    assert data.writes == []


class Full(Counted):
    """An array that takes so many writes and no more."""

    left = 2

    def __setitem__(self, index, value):
        if not self.left:
            self.left = 10
            raise OSError(28, "No space left on device")
        self.left -= 1
        super().__setitem__(index, value)


def three():
    return [patch((z, slice(2, 5), slice(3, 7))) for z in range(3)]


def test_a_write_that_fails_leaves_all_as_it_was():
    data = Full(zarr.zeros((3, 16, 16), chunks=(1, 16, 16), dtype=np.int32))
    canvas = Canvas(data)
    again = patch((0, slice(2, 5), slice(3, 7)), 7, 8)
    with pytest.raises(OSError, match="No space"):
        list(canvas.write_all([three()[0], again, *three()[1:]]))
    assert not data.array[:].any()
    list(canvas.write_all(three()))
    assert (data.array[:] == 7).sum() == 36


def test_writing_that_is_closed_leaves_all_as_it_was(canvas):
    steps = canvas.write_all(three())
    next(steps)
    next(steps)
    assert (canvas.data[:] == 7).sum() == 24
    with pytest.raises(ValueError, match="wait"):
        next(canvas.write_all(three()))
    steps.close()
    assert not canvas.data[:].any()
    list(canvas.write_all(three()))
    assert (canvas.data[:] == 7).sum() == 36


def test_several_patches_are_written_into_a_dask_array():
    canvas = Canvas(da.zeros((3, 16, 16), chunks=(1, 8, 8), dtype=np.int32))
    for _ in canvas.write_all([patch(), patch((2, slice(0, 3), slice(0, 4)), new=8)]):
        pass
    assert np.array_equal(np.unique(canvas.read((slice(None),) * 3)), [0, 7, 8])


def test_a_damaged_chunk_is_a_sentence(tmp_path):
    data = zarr.create_array(
        tmp_path / "labels.zarr", shape=(3, 16, 16), chunks=(1, 16, 16), dtype=np.int32
    )
    data[1] = 5
    (tmp_path / "labels.zarr" / "c" / "1" / "0" / "0").write_bytes(b"no labels")
    canvas = Canvas(data, "my objects")
    with pytest.raises(ValueError, match="my objects cannot be read"):
        list(canvas.write_all([patch((0, slice(2, 5), slice(3, 7))), patch()]))
    assert not data[0].any()
