"""Objects across planes: outlines of neighbouring planes that belong together get one label."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import shown, whole_number
from ..types import Progress, SliceKey
from .partition import LINK_IOU, METHODS, Method, partition
from .pieces import Pieces
from .repairs import Repairs

PlaneLabels = tuple[int, NDArray[np.int32]]
"""The place of a plane along its axis, and its labels (H, W)."""


class StoredPlanes(Mapping[int, NDArray[np.int32]]):
    """Planes of a label array by their place along an axis, read when they are asked for.

    Parameters
    ----------
    data : array
    keys : iterable of SliceKey
        They differ in their position on one axis only.
    axis : int, optional
        That axis; by default the first one that is not displayed.

    Attributes
    ----------
    keys_by_place : dict of int to SliceKey
    """

    def __init__(self, data: Any, keys: Iterable[SliceKey], axis: int | None = None) -> None:
        self.data = data
        self.keys_by_place = {
            key.fixed[0][1] if axis is None else dict(key.fixed)[axis]: key for key in keys
        }

    def __getitem__(self, place: int) -> NDArray[np.int32]:
        key = self.keys_by_place[place]
        return turned(np.asarray(self.data[key.index]), key)

    def __iter__(self) -> Iterator[int]:
        return iter(self.keys_by_place)

    def __len__(self) -> int:
        return len(self.keys_by_place)


def turned(labels: NDArray[np.int32], key: SliceKey) -> NDArray[np.int32]:
    """Return labels as displayed in the order of the array's axes, or the other way round."""
    return labels.T if key.displayed[0] > key.displayed[1] else labels


def linked(
    planes: Mapping[int, NDArray[np.int32]],
    least: float = LINK_IOU,
    largest: int = 0,
    method: Method = "multicut",
    least_volume: float = 0.0,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> Generator[Progress | PlaneLabels, None, int]:
    """Give the outlines of an object one label in all planes.

    With "multicut" an object that is missing in one plane is drawn there, between its outlines in
    the planes before and after; and an outline that holds several objects of a neighbouring plane
    is divided among them. The result does not depend on the direction of the stack, apart from
    the order of the labels.

    Parameters
    ----------
    planes : mapping of z to (H, W) int32
        A label that occurs in two planes does not make them one object. Each plane is asked for
        twice, and two are held at a time; one that was yielded is not asked for again. Objects go
        on only between planes that follow one another.
    least : float, 0..1
        Least overlap (IoU) of two outlines of one object; see `partition`.
    largest : int
        The new labels begin after it.
    method : {"multicut", "assignment", "greedy"}
        See `partition`.
    least_volume : float
        Objects of less volume are left out, in the unit of `spacing` cubed.
    spacing : (3,) float
        Distance of planes, of rows and of columns.

    Yields
    ------
    Progress
        After each plane that was compared with those before, and while objects are found.
    (z, labels)
        Of each plane that changes.

    Returns
    -------
    int, the largest label; labels run from `largest` + 1 to it without gaps

    Raises
    ------
    ValueError
        If a plane has no number or holds no labels, neighbours differ in size, `least` is no IoU,
        `largest` is below 0 or so large that no label is left, or one of the others cannot be used.
    """
    if not isinstance(least, int | float) or not 0 <= least <= 1:
        raise ValueError(f"the least overlap is an IoU between 0 and 1, but is {shown(least)}")
    largest = whole_number("the largest label", largest)
    if not 0 <= largest < 2**30:
        raise ValueError(f"the largest label lies between 0 and {2**30}, but is {largest}")
    pixels = least_pixels(least_volume, spacing)
    check_method(method)
    if not all(isinstance(z, int | np.integer) for z in planes):
        raise ValueError(f"planes have whole numbers, but these are {shown(list(planes))}")
    order = sorted(planes)
    pieces = Pieces()
    for count, z in enumerate(order, start=1):
        pieces.add(z, np.asarray(planes[z]))
        yield Progress(count, len(order), f"linked {count} of {len(order)} planes")
    objects = yield from partition(pieces, method, least)
    repairs = Repairs.of(pieces, objects, least) if method == "multicut" else Repairs()
    kept = np.bincount(objects, np.array(pieces.areas, np.intp)) >= pixels
    numbers = np.where(kept, np.cumsum(kept) + largest, 0).astype(np.int32)
    yield from written(planes, order, pieces, numbers, objects, repairs)
    return int(max(numbers.max(initial=0), largest))


def check_method(method: Method) -> None:
    """Refuse what is no method of `linked`."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"objects are joined by one of {METHODS}, not by {shown(method)}")


def least_pixels(least_volume: float, spacing: Sequence[float]) -> float:
    """Return the number of voxels that a volume is.

    Raises
    ------
    ValueError
        If the volume is no number from 0, or the spacing no three numbers above 0.
    """
    if not isinstance(least_volume, int | float) or not 0 <= least_volume < np.inf:
        raise ValueError(f"the least volume is a number from 0, but is {shown(least_volume)}")
    try:
        sides = np.asarray(spacing, np.float64)
    except (TypeError, ValueError):
        sides = np.empty(0)
    if sides.shape != (3,) or not (np.isfinite(sides) & (sides > 0)).all():
        raise ValueError(f"the spacing is three numbers above 0, but is {shown(spacing)}")
    return float(least_volume / np.prod(sides))


def written(
    planes: Mapping[int, NDArray[np.int32]],
    order: Sequence[int],
    pieces: Pieces,
    numbers: NDArray[np.int32],
    objects: NDArray[np.intp],
    repairs: Repairs,
) -> Generator[PlaneLabels, None, None]:
    """Yield the planes that change; a plane is drawn when the next one has been read.

    Parameters
    ----------
    planes : mapping of z to (H, W) int32
    order : sequence of int
        Its keys, ascending.
    pieces : Pieces
        Of these planes.
    numbers : (M,) int32
        The label of each object; 0 leaves it out.
    objects : (N,) int
        The object of each piece.
    repairs : Repairs
    """
    outlines: dict[int, NDArray[np.bool_]] = {}
    held: list[PlaneLabels] = []
    for z in [*order, None]:
        if z is not None:
            plane = np.asarray(planes[z])
            for piece in range(*pieces.in_plane[z].indices(len(pieces))):
                if piece in repairs.sources:
                    outlines[piece] = plane[pieces.part_of(piece)] == pieces.labels[piece]
            held.append((z, plane))
        if len(held) > (z is not None):
            at, plane = held.pop(0)
            old, own = pieces.labels_of(at), objects[pieces.in_plane[at]]
            places = np.searchsorted(old, plane)
            new = np.append(numbers[own], np.int32(0))[places]
            new[plane == 0] = 0
            repairs.draw(at, plane, new, pieces, numbers, outlines)
            for piece in [one for one in outlines if pieces.planes[one] < at]:
                del outlines[piece]
            if not np.array_equal(new, plane):
                yield at, new
