from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
import zarr
from napari.layers import Labels

from napari_sam.objects import Canvas, ObjectStore, strokes
from napari_sam.objects.edits import stroke
from napari_sam.objects.history import History

Masked = namedtuple("Masked", "slice_key mask old_values new_value")


def paint_places(data, places, value):
    """Paint single pixels and return the atom that napari before 0.9 tells."""
    places = tuple(np.asarray(axis) for axis in places)
    atom = (places, np.asarray(data[places]).copy(), value)
    data[places] = value
    return atom


def paint_mask(data, box, mask, value):
    """Paint a mask of a box and return the atom that napari since 0.9 tells."""
    old = data[box].copy()
    if mask is None:
        data[box] = value
        return Masked(box, None, old, value)
    atom = Masked(box, mask, old[mask], value)
    data[box] = np.where(mask, value, old)
    return atom


@pytest.mark.parametrize("piece", [2**18, 60])
def test_atoms_that_touch_the_same_pixels_again(piece, monkeypatch):
    monkeypatch.setattr(strokes, "PIECE", piece)
    rng = np.random.default_rng(3)
    data = rng.integers(0, 4, (3, 20, 20))
    before = data.copy()
    atoms = []
    for k in range(12):
        y, x = rng.integers(0, 12, 2)
        box = (slice(1, 2), slice(y, y + 5), slice(x, x + 4))
        mask = rng.random((1, 5, 4)) < 0.5 if k % 3 else None
        atoms.append(paint_mask(data, box, mask, 10 + k))
        places = np.full(6, 1), rng.integers(0, 20, 6), rng.integers(0, 20, 6)
        atoms.append(paint_places(data, places, 40 + k))
    after = data.copy()
    state = ObjectStore(Canvas(data))
    edit = stroke(state.canvas, atoms)
    assert edit.text == "the last stroke"
    assert all(patch.fixed == ((0, 1),) for patch in edit.patches)
    assert len(edit.patches) == 1 if piece > 400 else len(edit.patches) > 10
    history = History()
    history.note(state, edit)
    assert state.next_label == after.max() + 1
    assert np.array_equal(data, after)
    history.undo()
    assert np.array_equal(data, before)
    history.redo()
    assert np.array_equal(data, after)


def test_a_stroke_across_planes_and_a_thin_one():
    data = np.zeros((4, 9, 9), np.uint8)
    canvas = Canvas(data)
    block = paint_mask(data, (slice(1, 3), slice(2, 5), slice(3, 4)), None, 6)
    (patch,) = stroke(canvas, [block]).patches
    assert patch.index == (slice(1, 3), slice(2, 5), 3)
    line = paint_places(data, ([3, 3], [7, 7], [1, 2]), 8)
    (patch,) = stroke(canvas, [line]).patches
    assert patch.index == (3, slice(7, 8), slice(1, 3))
    flat = Canvas(np.ones((5, 5), int))
    (patch,) = stroke(flat, [(([2], [2]), np.array([0]), 1)]).patches
    assert patch.index == (slice(2, 3), slice(2, 3))


def test_values_of_their_own_for_each_pixel():
    data = np.zeros((5, 5), int)
    atom = paint_places(data, ([0, 1, 2], [1, 1, 4]), np.array([3, 4, 5]))
    state, history = ObjectStore(Canvas(data)), History()
    history.note(state, stroke(state.canvas, [atom]))
    assert state.next_label == 6
    history.undo()
    assert not data.any()


def test_a_stroke_that_is_told_of_before_it_is_painted():
    data = np.zeros((5, 5), int)
    first = (([0, 1], [1, 1]), np.array([0, 0]), 3)
    again = Masked(np.s_[0:1, 1:3], None, np.array([[3, 0]]), 4)
    state, history = ObjectStore(Canvas(data)), History()
    history.note(state, stroke(state.canvas, [first, again]))
    data[[0, 1], [1, 1]] = 3
    data[0, 1:3] = 4
    history.undo()
    assert not data.any()
    history.redo()
    assert np.argwhere(data).tolist() == [[0, 1], [0, 2], [1, 1]]
    assert data[1, 1] == 3


def test_a_long_stroke_is_never_read_in_one_box():
    class Data:
        shape, dtype = (50, 100_000, 100_000), np.dtype(np.int32)

        def __getitem__(self, index):
            assert np.prod([one.stop - one.start for one in index]) <= strokes.PIECE
            return np.zeros([one.stop - one.start for one in index], np.int32)

    old = np.zeros(400, np.int32)
    atoms = []
    for k in range(0, 20_000, 10):
        y, x = np.mgrid[k : k + 20, k : k + 20]
        atoms.append(((np.full(400, 7), y.ravel(), x.ravel()), old, 3))
    edit = stroke(Canvas(Data()), atoms)
    assert 35 < len(edit.patches) < 50
    assert edit.nbytes < 200_000


def test_a_stroke_of_nothing():
    canvas = Canvas(np.zeros((5, 5), int))
    none = np.zeros(0, int)
    assert not stroke(canvas, []).changes
    assert not stroke(canvas, [((none, none), none, 3)]).changes


@pytest.fixture(params=["numpy", "zarr"])
def layer(request):
    data = np.zeros((3, 24, 32), np.int32)
    data[:, 2:9, 2:9] = 1
    if request.param == "zarr":
        data = zarr.array(data, chunks=(1, 24, 32))
    return Labels(data)


@pytest.mark.parametrize("brush", ["paint", "drag", "fill", "erase", "volume", "setitem"])
def test_what_napari_tells(layer, brush):
    state, history = ObjectStore(Canvas(layer.data)), History()
    before = layer.data[:].copy()
    layer.events.paint.connect(lambda event: history.note(state, stroke(state.canvas, event.value)))
    if brush == "paint":
        layer.paint((0, 8, 8), 3)
    elif brush == "fill":
        layer.fill((0, 4, 4), 5)
    elif brush == "erase":
        layer.paint((0, 8, 8), 0)
    elif brush == "volume":
        layer.n_edit_dimensions = 3
        layer.paint((1, 12, 12), 7)
    elif brush == "setitem":
        layer.data_setitem((np.array([0, 0]), np.array([3, 20]), np.array([4, 30])), 8)
    else:
        with layer.block_history():
            for x in range(5, 20, 3):
                layer.paint((0, 8, x), 4 + x % 2)
    after = layer.data[:].copy()
    assert not np.array_equal(before, after)
    assert state.next_label == max(1, history.newest.parts[0][1].largest + 1)
    history.undo()
    assert np.array_equal(layer.data[:], before)
    history.redo()
    assert np.array_equal(layer.data[:], after)
