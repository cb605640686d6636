"""Random work on a store, beside a plain model that copies whole arrays at each step."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from napari_sam.objects import Canvas, ObjectStore, Outline, edits, strokes
from napari_sam.objects import patch as patch_module
from napari_sam.objects.history import History
from napari_sam.types import Mask, SliceKey

SHAPES = {2: (13, 17), 3: (3, 13, 17), 4: (2, 2, 13, 17)}


class Model:
    """Labels, objects and the next label as a person would keep them."""

    def __init__(self, shape):
        self.labels, self.objects, self.following = np.zeros(shape, int), {}, 1
        self.done, self.undone = [], []

    def state(self):
        return self.labels.copy(), dict(self.objects), self.following

    def begin(self):
        self.done.append(self.state())
        self.undone.clear()

    def go(self, taken, given):
        given.append(self.state())
        self.labels, self.objects, self.following = taken.pop()

    def raise_label(self):
        self.following = max(
            [self.following, self.labels.max() + 1, *(k + 1 for k in self.objects)]
        )

    def plane(self, key):
        """Return a view of the plane in displayed orientation."""
        plane = self.labels[key.index]
        return plane.T if key.displayed[0] > key.displayed[1] else plane


class Work:
    """Does the same to store and model."""

    def __init__(self, seed, shape, data):
        self.rng = np.random.default_rng(seed)
        self.store, self.model = ObjectStore(Canvas(data)), Model(shape)
        self.data, self.history = data, History()

    def key(self):
        shape = self.data.shape
        a, b = self.rng.permutation(len(shape))[:2].tolist()
        if self.rng.random() < 0.6:
            a, b = len(shape) - 2, len(shape) - 1
        rest = [axis for axis in range(len(shape)) if axis not in (a, b)]
        return SliceKey((a, b), tuple((axis, int(self.rng.integers(shape[axis]))) for axis in rest))

    def mask(self, size):
        mask = np.zeros(size, bool)
        y, x = (int(self.rng.integers(n)) for n in size)
        mask[y : y + 6, x : x + 6] = self.rng.random(mask[y : y + 6, x : x + 6].shape) < 0.8
        return mask

    def make(self, edit):
        """Apply an edit; sometimes as a part of the step before. The model is not changed yet."""
        if self.history.newest is not None and self.rng.random() < 0.2:
            self.history.join(self.store, edit)
            self.model.undone.clear()
            self.amended = True
        else:
            self.history.make(self.store, edit)
            self.model.begin()
            self.amended = False

    def settle(self):
        self.model.objects = dict(self.store.objects)
        if self.amended:
            assert self.store.next_label > max([0, self.model.labels.max(), *self.model.objects])
            self.model.following = self.store.next_label
        else:
            self.model.raise_label()

    def keep(self):
        things = []
        for _ in range(self.rng.integers(1, 4)):
            keys = [self.key() for _ in range(self.rng.integers(1, 4))]
            shape = self.data.shape
            sizes = [tuple(shape[axis] for axis in key.displayed) for key in keys]
            things.append(
                {k: Outline(Mask.of(self.mask(s))) for k, s in zip(keys, sizes, strict=True)}
            )
        labels, label, kept = self.model.labels.copy(), self.model.following, {}
        expected = Model(labels.shape)
        expected.labels = labels
        for one in things:
            planes = []
            for key, outline in one.items():
                plane = expected.plane(key)
                free = np.asarray(outline.mask) & (plane == 0)
                if free.any():
                    plane[free] = label
                    planes.append(key)
            if planes:
                kept[label] = planes
                label += 1
        if not kept:
            with pytest.raises(ValueError, match="nothing to commit"):
                edits.keep(self.store, things)
            return
        edit = edits.keep(self.store, things)
        assert {k: list(after.outlines) for k, (_, after) in edit.objects.items()} == kept
        self.make(edit)
        self.model.labels = labels
        self.settle()

    def delete(self):
        key, present = self.key(), np.unique(self.model.labels)
        label = int(self.rng.choice(present))
        known = self.model.objects.get(label)
        labels = self.model.labels.copy()
        changed = Model(labels.shape)
        changed.labels = labels
        if known is not None:
            for plane_key, outline in known.outlines.items():
                view = changed.plane(plane_key)[outline.mask.part]
                view[view == label] = 0
        where = key if self.rng.random() < 0.5 else None
        if where is not None:
            view = changed.plane(where)
            view[view == label] = 0
        if known is None and np.array_equal(labels, self.model.labels):
            with pytest.raises(ValueError, match="there is no object"):
                edits.delete(self.store, label, where)
            return
        self.make(edits.delete(self.store, label, where))
        self.model.labels = labels
        self.settle()

    def replace_plane(self):
        key = self.key()
        labels = self.model.plane(key).copy()
        changed = self.rng.random(labels.shape) < self.rng.choice([0, 0.02, 0.7])
        labels[changed] = self.rng.integers(0, self.model.following + 5, changed.sum())
        self.make(edits.replace_plane(self.store, key, labels, "everything"))
        self.model.plane(key)[...] = labels
        self.settle()

    def stroke(self):
        atoms, painted = [], self.model.labels.copy()
        value = int(self.rng.integers(0, self.model.following + 3))
        for _ in range(self.rng.integers(1, 5)):
            places = tuple(self.rng.integers(0, n, 7) for n in painted.shape)
            atoms.append((places, painted[places].copy(), value))
            painted[places] = value
            value += int(self.rng.integers(2))
        self.data[...] = painted  # by somebody else
        self.history.note(self.store, edits.stroke(self.store.canvas, atoms))
        self.model.begin()
        self.model.labels = painted
        self.model.raise_label()

    def undo(self):
        assert (self.history.newest is not None) == bool(self.model.done)
        if self.model.done:
            self.history.undo()
            self.model.go(self.model.done, self.model.undone)

    def redo(self):
        assert (self.history.next_undone is not None) == bool(self.model.undone)
        if self.model.undone:
            self.history.redo()
            self.model.go(self.model.undone, self.model.done)

    def compare(self):
        assert np.array_equal(self.data[...], self.model.labels)
        assert dict(self.store.objects) == self.model.objects  # the very same values
        assert self.store.next_label == self.model.following


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ndim", [2, 3, 4])
@pytest.mark.parametrize("kind", ["numpy", "zarr"])
def test_random_work(ndim, seed, kind, monkeypatch):
    monkeypatch.setattr(patch_module, "TILE", 5)
    monkeypatch.setattr(strokes, "PIECE", 200 if seed % 2 else 2**18)
    data = np.zeros(SHAPES[ndim], np.int32)
    if kind == "zarr":
        data = zarr.array(
            data, chunks=((1,) * (ndim - 2) + (13, 17)) if seed % 2 else (2, 5, 7, 9)[:ndim]
        )
    work = Work(100 * ndim + seed, data.shape, data)
    acts = [
        work.keep,
        work.delete,
        work.replace_plane,
        work.stroke,
        work.undo,
        work.undo,
        work.redo,
    ]
    for _ in range(120 if kind == "numpy" else 50):
        acts[work.rng.integers(len(acts))]()
        work.compare()
    while work.model.done:
        work.undo()
        work.compare()
    assert not np.any(data[...])
    assert work.store.next_label == 1
    while work.model.undone:
        work.redo()
        work.compare()
