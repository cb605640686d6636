"""Surfaces of objects: triangles around their pixels, for a view in three dimensions."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from ..types import Mask, Progress, SliceKey
from .boxes import Box, enclosing, shape_of

Outlines = Mapping[SliceKey, Mask]
Mesh = tuple[NDArray[np.float32], NDArray[np.int32]]
"""Vertices (V, 3) and faces (F, 3)."""

SIDES = (256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3)
"""So many places at most are looked at on each axis of an object's box."""
MOST_PLACES = 20_000_000
MOST_VERTICES = 200_000
"""The largest of `SIDES` is taken with which all boxes together have no more than these."""
MOST_OBJECTS = 4_000
"""Of more objects, those with the largest boxes are shown."""
SMOOTHING = 0.8
"""Standard deviation by which the steps between pixels are smoothed, in places."""
REACH = 2
"""To which that is felt, in places."""
CLEAR = 0.03
"""So far from the level of the surface stays each place, on its own side."""
SLAB = 500_000
"""Places whose surface is made in one piece: marching cubes holds Python's lock meanwhile."""
BLOCK = 4_000_000
"""Pixels whose labels are looked for in one piece."""
LARGE_LABEL = 1_000_000
"""Labels above this are counted anew: the search for boxes makes a list as long as the largest."""


@dataclass(frozen=True)
class Volume:
    """Three axes of an array, at one position on all others.

    Attributes
    ----------
    axes : (int, int, int)
        Ascending.
    fixed : tuple of (axis, index)
        The position on every other axis.
    """

    axes: tuple[int, int, int]
    fixed: tuple[tuple[int, int], ...] = ()

    def read(self, labels: Any, box: Sequence[slice]) -> NDArray[Any]:
        """Read a part of the volume, given by a slice for each of its axes, from an array."""
        index: list[int | slice] = [slice(None)] * (3 + len(self.fixed))
        for axis, position in self.fixed:
            index[axis] = position
        for axis, part in zip(self.axes, box, strict=True):
            index[axis] = part
        return np.asarray(labels[tuple(index)])

    def box_of(self, key: SliceKey, mask: Mask) -> Box | None:
        """Return where a mask of a plane lies on the axes; None if it lies in another volume."""
        position = dict(key.fixed)
        if not mask or any(position.get(axis, place) != place for axis, place in self.fixed):
            return None
        if any(axis in key.displayed for axis, _ in self.fixed):
            return None
        x0, y0, x1, y1 = mask.box
        spans = dict(zip(key.displayed, ((y0, y1 + 1), (x0, x1 + 1)), strict=True))
        for axis, place in position.items():
            spans[axis] = place, place + 1
        return tuple(spans[axis] for axis in self.axes)


@dataclass(frozen=True, eq=False)
class Surfaces:
    """Triangles around objects.

    Attributes
    ----------
    vertices : (V, n) float32
        In pixels of the array; (0, ...) is the centre of its first pixel.
    faces : (F, 3) int32
        Places of their corners among the vertices, in the order in which napari lights the outside.
    labels : (V,) int64
        The object that a vertex belongs to.
    left_out : int
        Objects that are not among them, as there are too many.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    labels: NDArray[np.int64]
    left_out: int = 0


class _Sample:
    """The pixels of one object at regular places of its box.

    Parameters
    ----------
    label : int
    box : box
        On the axes of the volume.
    side : int
        So many places at most on each axis.
    """

    def __init__(self, label: int, box: Box, side: int) -> None:
        self.label = label
        self.steps = [-(-size // side) for size in shape_of(box)]
        self.places = [
            np.arange(start + (step - 1) // 2, stop, step)
            for (start, stop), step in zip(box, self.steps, strict=True)
        ]
        self.first = int(self.places[0][0])  # plane
        self.pixels = np.zeros([len(one) for one in self.places], bool)

    def paint(self, key: SliceKey, mask: Mask, box: Box, axes: Sequence[int]) -> None:
        """Add a mask of a plane, which lies in a box of the volume."""
        bits = mask.bits if key.displayed[0] < key.displayed[1] else mask.bits.T
        (across,) = (k for k, axis in enumerate(axes) if axis not in key.displayed)
        bits = np.expand_dims(bits, across)
        inside = [
            np.flatnonzero((one >= start) & (one < stop))
            for one, (start, stop) in zip(self.places, box, strict=True)
        ]
        there = [one[k] - b[0] for one, k, b in zip(self.places, inside, box, strict=True)]
        self.pixels[np.ix_(*inside)] |= bits[np.ix_(*there)]

    def mesh(self, progress: Progress) -> Generator[Progress, None, Mesh]:
        """Make the surface, in pixels of the volume, in pieces."""
        padded = np.pad(self.pixels, 1)
        depth = max(1, SLAB // padded[0].size)
        vertices, faces, count = [], [], 0
        for start in range(0, len(padded) - 1, depth):
            part = padded[start : start + depth + 1]
            if part.any() and not part.all():
                field = _smoothed(padded, start, len(part))
                found, corners, _, _ = marching_cubes(field, 0.5)  # type: ignore[no-untyped-call]
                found[:, 0] += start
                vertices.append(found)
                faces.append(corners + count)
                count += len(found)
                yield progress
        if not vertices:
            return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
        places, corners = np.concatenate(vertices), np.concatenate(faces)
        if len(vertices) > 1:
            places, corners = _welded(places, corners, padded.shape)
        first = np.array([one[0] for one in self.places])
        places = first + (places - 1) * np.array(self.steps)
        return places.astype(np.float32), corners[:, ::-1].astype(np.int32)


def surfaces_of_labels(
    labels: Any,
    volume: Volume,
    wanted: Collection[int] | None = None,
    outlines: Mapping[int, Outlines] | None = None,
) -> Generator[Progress, None, Surfaces]:
    """Make the surfaces of labels.

    Parameters
    ----------
    labels : (...) int array
        Read a plane at a time.
    volume : Volume
    wanted : collection of int, optional
        The labels; by default all but 0.
    outlines : mapping of int to mapping of SliceKey to Mask, optional
        Where the objects lie, by label. If given, the array is not searched for them.

    Yields
    ------
    Progress

    Returns
    -------
    Surfaces
    """
    if outlines is not None:
        boxes = _outline_boxes(outlines, volume)
    else:
        boxes = yield from _label_boxes(labels, volume, wanted)
    samples, left_out = _samples(boxes)
    waiting = sorted(samples.values(), key=lambda one: one.first, reverse=True)
    count, alive = int(labels.shape[volume.axes[0]]), list[_Sample]()
    for place in range(count):
        while waiting and waiting[-1].first <= place:
            alive.append(waiting.pop())
        alive = [one for one in alive if one.places[0][-1] >= place]
        here = [one for one in alive if (place - one.first) % one.steps[0] == 0]
        if here:
            _read_plane(labels, volume, place, here)
            yield Progress(place, count, f"reading plane {place + 1} of {count}")
    return (yield from _joined(samples, volume, labels.ndim, left_out))


def surfaces_of_outlines(
    outlines: Mapping[int, Outlines], volume: Volume
) -> Generator[Progress, None, Surfaces]:
    """Make the surfaces of objects that are known by their outlines.

    Parameters
    ----------
    outlines : mapping of int to mapping of SliceKey to Mask
        By label.
    volume : Volume

    Yields
    ------
    Progress

    Returns
    -------
    Surfaces
    """
    samples, left_out = _samples(_outline_boxes(outlines, volume))
    for label, sample in samples.items():
        for key, mask in outlines[label].items():
            box = volume.box_of(key, mask)
            if box is not None:
                sample.paint(key, mask, box, volume.axes)
    return (yield from _joined(samples, volume, 3 + len(volume.fixed), left_out))


def _read_plane(labels: Any, volume: Volume, place: int, samples: Sequence[_Sample]) -> None:
    """Take up the pixels of objects in one plane; the array is read once."""
    boxes = [tuple((int(p[0]), int(p[-1]) + 1) for p in one.places[1:]) for one in samples]
    rows, columns = (slice(*side) for side in enclosing(boxes))
    plane = volume.read(labels, (slice(place, place + 1), rows, columns))[0]
    for one in samples:
        there = (p - side.start for p, side in zip(one.places[1:], (rows, columns), strict=True))
        part = plane[
            tuple(
                slice(int(p[0]), int(p[-1]) + 1, s)
                for p, s in zip(there, one.steps[1:], strict=True)
            )
        ]
        one.pixels[(place - one.first) // one.steps[0]] = part == one.label


def _joined(
    samples: Mapping[int, _Sample], volume: Volume, ndim: int, left_out: int
) -> Generator[Progress, None, Surfaces]:
    """Make the surfaces one after the other, and put them together."""
    vertices, faces, labels, count = [], [], [], 0
    for done, (label, sample) in enumerate(samples.items(), 1):
        progress = Progress(done, len(samples), f"surface {done} of {len(samples)}")
        places, corners = yield from sample.mesh(progress)
        whole = np.zeros((len(places), ndim), np.float32)
        whole[:, volume.axes] = places
        for axis, position in volume.fixed:
            whole[:, axis] = position
        vertices.append(whole)
        faces.append(corners + np.int32(count))
        labels.append(np.full(len(places), label, np.int64))
        count += len(places)
        yield progress
    return Surfaces(
        np.concatenate([np.zeros((0, ndim), np.float32), *vertices]),
        np.concatenate([np.zeros((0, 3), np.int32), *faces]),
        np.concatenate([np.zeros(0, np.int64), *labels]),
        left_out,
    )


def _samples(boxes: Mapping[int, Box]) -> tuple[dict[int, _Sample], int]:
    """Return samples of the objects that are shown, and how many are not."""
    labels = np.array(list(boxes), np.int64)
    sizes = np.array([shape_of(box) for box in boxes.values()], np.int64).reshape(-1, 3)
    order = np.argsort(-sizes.prod(1), kind="stable")[:MOST_OBJECTS]
    sizes = sizes[order]

    def fits(side: int) -> bool:
        few = np.minimum(sizes, side)
        around = 2 * (few * np.roll(few, 1, axis=1)).sum()
        return bool(few.prod(1).sum() <= MOST_PLACES and around <= MOST_VERTICES)

    side = next((one for one in SIDES if fits(one)), SIDES[-1])
    chosen = {
        int(label): _Sample(int(label), boxes[int(label)], side) for label in sorted(labels[order])
    }
    return chosen, len(boxes) - len(chosen)


def _outline_boxes(outlines: Mapping[int, Outlines], volume: Volume) -> dict[int, Box]:
    boxes = {}
    for label, planes in outlines.items():
        found = [volume.box_of(key, mask) for key, mask in planes.items()]
        there = [box for box in found if box is not None]
        if there:
            boxes[label] = enclosing(there)
    return boxes


def _label_boxes(
    labels: Any, volume: Volume, wanted: Collection[int] | None
) -> Generator[Progress, None, dict[int, Box]]:
    """Return the boxes of labels in a volume, read a few planes at a time."""
    count, *size = (int(labels.shape[axis]) for axis in volume.axes)
    depth = max(1, BLOCK // max(1, size[0] * size[1]))
    boxes: dict[int, Box] = {}
    for start in range(0, count, depth):
        block = volume.read(labels, (slice(start, start + depth), slice(size[0]), slice(size[1])))
        for label, part in _objects_in(block):
            if wanted is None or label in wanted:
                first, *rest = ((one.start, one.stop) for one in part)
                box = ((first[0] + start, first[1] + start), *rest)
                boxes[label] = enclosing([boxes[label], box]) if label in boxes else box
        yield Progress(start, count, f"looking at plane {start + 1} of {count}")
    return boxes


def _objects_in(block: NDArray[Any]) -> Iterable[tuple[int, tuple[slice, ...]]]:
    """Return the labels of a block with their slices."""
    values = None
    if int(block.max(initial=0)) > LARGE_LABEL:
        values, places = np.unique(block, return_inverse=True)
        values = values.astype(np.int64) if values[0] == 0 else np.insert(values, 0, 0)
        block = places.reshape(block.shape) + (len(values) - places.max() - 1)
    for label, part in enumerate(ndimage.find_objects(block), 1):
        if part is not None:
            yield label if values is None else int(values[label]), part


def _smoothed(pixels: NDArray[np.bool_], start: int, depth: int) -> NDArray[np.float32]:
    """Return a field (depth, H, W) whose level 0.5 parts the same places as pixels, smoothly."""
    before = min(start, REACH)
    near = pixels[start - before : start + depth + REACH].astype(np.float32)
    field = ndimage.gaussian_filter(near, SMOOTHING, mode="constant", truncate=REACH / SMOOTHING)
    inside = pixels[start : start + depth]
    field = field[before : before + depth]
    smooth: NDArray[np.float32] = np.minimum(field, 0.5 - CLEAR)
    smooth[inside] = np.maximum(field[inside], 0.5 + CLEAR)
    return smooth


def _welded(
    places: NDArray[np.float32], faces: NDArray[np.int32], shape: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Join the vertices where slabs meet, so that shading sees no seam."""
    fine = np.round(places * 16).astype(np.int64)
    keys = (fine[:, 0] * 16 * shape[1] + fine[:, 1]) * 16 * shape[2] + fine[:, 2]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return places[first], inverse[faces]
