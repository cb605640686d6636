"""Islands: pieces of an object, over all its planes, that are connected to no larger one."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..types import Mask, Progress, SliceKey
from .reshape import ALL_AROUND

Masks = Mapping[SliceKey, Mask]


def without_islands(masks: Masks, size: float | None) -> Generator[Progress, None, Masks]:
    """Leave out pieces of an object that are connected to no larger one.

    Pieces touch in a plane where they have a side or a corner in common, and between planes that
    follow one another where one pixel lies behind the other.

    Parameters
    ----------
    masks : mapping of SliceKey to Mask
        Of all planes, displayed the same way.
    size : float or None
        Pieces of fewer pixels, in all their planes together, go; the largest stays in any case.
        None: only the largest stays.

    Yields
    ------
    Progress
        After each plane.

    Returns
    -------
    mapping of SliceKey to Mask
        Of the same planes.
    """
    starts: dict[SliceKey, int] = {}
    sizes: list[NDArray[np.integer]] = [np.zeros(1, int)]
    links: list[NDArray[np.integer]] = []
    count = 0
    for done, (key, mask) in enumerate(masks.items(), 1):
        starts[key] = count
        pieces = _numbered(mask, count)
        sizes.append(np.bincount(pieces.ravel())[count + 1 :])
        count += len(sizes[-1])
        for other in _before_and_after(key):
            if other in starts:
                before = masks[other]
                links.append(_links(mask, pieces, before, _numbered(before, starts[other])))
        yield Progress(done, len(masks), "looking for islands")
    pairs = np.concatenate(links) if links else np.zeros((0, 2), int)
    shape = (count + 1, count + 1)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=shape)
    _, groups = connected_components(graph, directed=False)
    volumes = np.bincount(groups, np.concatenate(sizes))
    kept = volumes >= (np.inf if size is None else size)
    kept[np.argmax(volumes)] = True
    kept_pieces = kept[groups]
    kept_pieces[0] = False
    return {
        key: Mask.of(kept_pieces[_numbered(mask, starts[key])], mask.box[:2], mask.size)
        for key, mask in masks.items()
    }


def _numbered(mask: Mask, start: int) -> NDArray[np.integer]:
    """Return the pieces of a mask in its box, (h, w), numbered from `start` + 1; 0 outside."""
    pieces, _ = ndimage.label(mask.bits, ALL_AROUND)
    numbered: NDArray[np.integer] = np.where(pieces > 0, pieces + start, 0)
    return numbered


def _before_and_after(key: SliceKey) -> list[SliceKey]:
    """Return the planes next to one, along each axis that is not displayed."""
    found = []
    for along, _ in key.fixed:
        for step in (-1, 1):
            fixed = tuple((axis, at + step * (axis == along)) for axis, at in key.fixed)
            found.append(replace(key, fixed=fixed))
    return found


def _links(
    a: Mask, pieces_a: NDArray[np.integer], b: Mask, pieces_b: NDArray[np.integer]
) -> NDArray[np.integer]:
    """Return the pairs (N, 2) of pieces of two planes that lie one behind the other."""
    x0, y0 = np.maximum(a.box[:2], b.box[:2])
    x1, y1 = np.minimum(a.box[2:], b.box[2:])
    if x1 < x0 or y1 < y0:
        return np.zeros((0, 2), int)
    shared = [
        pieces[y0 - one.box[1] : y1 - one.box[1] + 1, x0 - one.box[0] : x1 - one.box[0] + 1]
        for one, pieces in ((a, pieces_a), (b, pieces_b))
    ]
    both = (shared[0] > 0) & (shared[1] > 0)
    # as one number each: numpy sorts rows a hundred times as slowly
    step = int(pieces_b.max(initial=0)) + 1
    numbers = np.unique(shared[0][both].astype(np.int64) * step + shared[1][both])
    return np.stack(np.divmod(numbers, step), 1)
