"""Planes in which an object is missing, or shares an outline with another one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .partition import LINK_IOU, parts_of
from .pieces import Pieces


class Repair(NamedTuple):
    """What is drawn in a plane.

    Attributes
    ----------
    outline : int
        The piece that is divided among objects; -1 if one object is drawn on free pixels.
    shapes : dict of int to list of int
        For each object its pieces in the planes before and after.
    """

    outline: int
    shapes: dict[int, list[int]]


@dataclass(frozen=True)
class Repairs:
    """What is drawn in which plane.

    Attributes
    ----------
    in_plane : dict of int to list of Repair
    sources : frozenset of int
        The pieces whose pixels are needed for it.
    """

    in_plane: dict[int, list[Repair]] = field(default_factory=dict)
    sources: frozenset[int] = frozenset()

    @classmethod
    def of(
        cls,
        pieces: Pieces,
        objects: NDArray[np.intp],
        least: float = LINK_IOU,
        gaps_only: bool = False,
    ) -> Self:
        """Find the gaps of objects, and outlines that hold several of them.

        Parameters
        ----------
        pieces : Pieces
        objects : (N,) int
            The object of each piece.
        least : float, 0..1
            As given to `partition`.
        gaps_only : bool
            Leave an outline whole that holds an object which begins or ends beside it.
        """
        members: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for piece, (name, z) in enumerate(zip(objects.tolist(), pieces.planes, strict=True)):
            members[name][z].append(piece)

        def around(name: int, z: int) -> list[int]:
            return [p for at in (z - 1, z + 1) for p in members[name].get(at, ())]

        shared: dict[int, set[int]] = defaultdict(set)
        for whole, part in parts_of(pieces, least).tolist():
            name = int(objects[part])
            z, own = pieces.planes[whole], members[name]
            if z not in own and (not gaps_only or (z - 1 in own and z + 1 in own)):
                shared[whole].add(name)
        in_plane: dict[int, list[Repair]] = defaultdict(list)
        divided = set()
        for whole, names in shared.items():
            z = pieces.planes[whole]
            divided |= {(name, z) for name in names}
            shapes = {name: around(name, z) for name in (int(objects[whole]), *names)}
            in_plane[z].append(Repair(whole, {k: v for k, v in shapes.items() if v}))
        for name, at in members.items():
            for z in sorted(at):
                missing = z + 2 in at and z + 1 not in at and z + 1 in pieces.in_plane
                if missing and (name, z + 1) not in divided:
                    in_plane[z + 1].append(Repair(-1, {name: around(name, z + 1)}))
        for repairs in in_plane.values():  # in an order that no direction changes
            repairs.sort(key=lambda one: (one.outline < 0, _key(pieces, one)))
        every = [one for repairs in in_plane.values() for one in repairs]
        sources = frozenset(p for one in every for shape in one.shapes.values() for p in shape)
        return cls(dict(in_plane), sources)

    def draw(
        self,
        z: int,
        plane: NDArray[np.integer],
        labels: NDArray[np.int32],
        pieces: Pieces,
        numbers: NDArray[np.int32],
        outlines: Mapping[int, NDArray[np.bool_]],
    ) -> None:
        """Draw what is missing in a plane.

        Parameters
        ----------
        z : int
        plane : (H, W) int
            As it was found.
        labels : (H, W) int32
            As it will be; written in place.
        pieces : Pieces
        numbers : (M,) int32
            The label of each object; 0 if it is left out.
        outlines : mapping of int to (h, w) bool
            Of the pieces in `sources`, in their boxes.
        """
        for repair in self.in_plane.get(z, ()):
            names = list(repair.shapes)
            used = [p for shape in repair.shapes.values() for p in shape]
            box = _around(pieces, used if repair.outline < 0 else [*used, repair.outline])
            depth = np.stack([_depth(box, pieces, repair.shapes[k], outlines) for k in names])
            part = labels[box]
            if repair.outline < 0:
                inside = (part == 0) & (plane[box] == 0) & (depth[0] > 0)
            else:
                inside = plane[box] == pieces.labels[repair.outline]
            part[inside] = numbers[names][depth.argmax(0)[inside]]


def _depth(
    box: tuple[slice, slice],
    pieces: Pieces,
    shape: Iterable[int],
    outlines: Mapping[int, NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """Return how deep pixels lie in an object, from its outlines in the planes before and after.

    That is the mean of the distances from both outlines, in pixels: above 0 inside, below outside.
    """
    masks: dict[int, NDArray[np.bool_]] = {}
    for piece in shape:
        size = tuple(side.stop - side.start for side in box)
        mask = masks.setdefault(pieces.planes[piece], np.zeros(size, bool))
        rows, columns = (
            slice(own.start - whole.start, own.stop - whole.start)
            for own, whole in zip(pieces.part_of(piece), box, strict=True)
        )
        mask[rows, columns] |= outlines[piece]
    distances = [_signed_distance(np.pad(mask, 1))[1:-1, 1:-1] for mask in masks.values()]
    return np.asarray(np.mean(distances, axis=0))


def _signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the distance from the outline of a mask in pixels, above 0 inside, below outside."""
    inside = ndimage.distance_transform_edt(mask)
    return np.asarray(inside - ndimage.distance_transform_edt(~mask))


def _around(pieces: Pieces, several: Iterable[int]) -> tuple[slice, slice]:
    """Return a box around pieces."""
    boxes = np.array([pieces.boxes[piece] for piece in several])
    top, left = boxes[:, :2].min(0).tolist()
    bottom, right = boxes[:, 2:].max(0).tolist()
    return slice(top, bottom), slice(left, right)


def _key(pieces: Pieces, repair: Repair) -> list[tuple[int, ...]]:
    """Return what tells repairs of one plane apart."""
    used = [p for shape in repair.shapes.values() for p in shape]
    return sorted((pieces.areas[p], *pieces.boxes[p]) for p in used)
