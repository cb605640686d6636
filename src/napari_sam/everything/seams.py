"""Objects of overlapping tiles, joined across seams and chosen between resolutions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..masks import iou, shared_pixels
from ..types import Mask, Window
from .tiles import STEP, Levels

if TYPE_CHECKING:
    from .amg_select import Candidate

EDGE = 4
"""An object that ends within so many pixels of its tile's edge may go on beyond it: a logit covers
4 x 4 pixels of the input."""
AGREEMENT = 0.5
"""Masks of two tiles are one object if their IoU in what the tiles share is larger."""
SAME = 0.5
"""Of two masks that share more than this part of the smaller one, one is a duplicate."""
COARSE = 40
"""Longer side, pixels of the input, of the smallest object that a coarser level may show."""


@dataclass(frozen=True)
class _Pair:
    """Masks of two tiles that have pixels in common."""

    one: int
    other: int
    agreement: float
    shared: int


def merged(
    found: Sequence[Candidate],
    levels: Levels,
    told_apart: bool,
    threshold: float,
    closer: int = 0,
) -> list[Candidate]:
    """Return the objects of a plane from those of its tiles at all levels.

    Parameters
    ----------
    found : sequence of Candidate
        Those selected in each tile; `crop` is the tile.
    levels : see `tiles.tiles_of`
    told_apart : bool
        See `Candidates.told_apart`. If so, an object of a coarser level takes the place of those
        that it covers if more is to be expected of it. Else it is left out if a finer level shows
        the same.
    threshold : float
        IoU of what is the same.
    closer : int
        See `Candidates.closer`.

    Returns
    -------
    list of Candidate
    """
    objects: list[Candidate] = []
    for number, tiles in enumerate(levels):
        reduction = STEP ** max(number - closer, 0)
        own = set(tiles)
        level = [one for one in found if one.crop in own]
        level = joined(level, tiles, told_apart, EDGE * reduction)
        if number == 0:
            objects = level
            continue
        large = [one for one in level if _side(one.mask) >= COARSE * reduction]
        if told_apart:
            objects = _better(objects, large)
        else:
            objects += [one for one in large if not _shown(one, objects, threshold)]
    return objects


def joined(
    found: Sequence[Candidate],
    tiles: Sequence[Window],
    told_apart: bool = False,
    edge: float = EDGE,
) -> list[Candidate]:
    """Return the objects of a plane from those of its tiles.

    Masks of overlapping tiles that agree in what the tiles share are one object. The mask of the
    tile that shows it whole is taken, of several the one farthest from its tile's edges; where
    none shows it whole, they are united. Where tiles do not agree, each has its say in the part of
    the plane that lies deepest in it.

    Parameters
    ----------
    found : sequence of Candidate
        Those selected in each tile; `crop` is the tile.
    tiles : sequence of (x0, y0, x1, y1) int, end exclusive
    told_apart : bool
        Whether objects do not overlap; see `Candidates.told_apart`.
    edge : float
        An object that ends within so many pixels of its tile's edge may go on beyond it.

    Returns
    -------
    list of Candidate
    """
    if not found:
        return []
    boxes = np.array([one.mask.box for one in found])
    number = {tile: index for index, tile in enumerate(tiles)}
    home = np.array([number[one.crop] for one in found])
    extent = np.array(tiles)
    rims = _inner_rims(extent, found[0].mask.size)
    depth = np.minimum(boxes[:, :2] - rims[home, :2], rims[home, 2:] - 1 - boxes[:, 2:]).min(1)
    near = _neighbours(extent)
    pairs = _pairs(found, home, extent, near)
    members = _united(pairs, home)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    best = {}
    for root, group in members.items():
        deepest = max(group, key=lambda index: depth[index])
        if len(group) == 1 and not _owns(home[deepest], middles[deepest], near, rims):
            continue
        best[root] = deepest
    if told_apart:
        _drop_duplicates(best, members, pairs, found, depth)
    return [
        found[deepest]
        if depth[deepest] > edge or len(members[root]) == 1
        else _united_mask([found[index] for index in members[root]])
        for root, deepest in best.items()
    ]


def _better(finer: list[Candidate], coarser: Sequence[Candidate]) -> list[Candidate]:
    """Return the objects of two levels, each from the level of which more is to be expected.

    That is the predicted IoU: the mean one where several objects of the finer level share an area.
    The size of what is shown counts for nothing: the largest may be a piece of background.
    """
    kept = dict(enumerate(finer))
    boxes = np.array([one.mask.box for one in finer]).reshape(-1, 4)
    taken = []
    for one in sorted(coarser, key=lambda one: -one.iou):
        rivals = []
        for index in _meeting(boxes, one.mask):
            if index in kept:
                least = min(kept[index].mask.area, one.mask.area)
                if shared_pixels(kept[index].mask, one.mask) > SAME * least:
                    rivals.append(index)
        areas = np.array([kept[index].mask.area for index in rivals], np.float64)
        scores = np.array([kept[index].iou for index in rivals], np.float64)
        if one.iou > scores @ areas / max(areas.sum(), 1):
            taken.append(one)
            for index in rivals:
                del kept[index]
    return [*kept.values(), *taken]


def _shown(one: Candidate, finer: Sequence[Candidate], threshold: float) -> bool:
    """Tell whether one of the objects of a finer level is the same."""
    boxes = np.array([other.mask.box for other in finer]).reshape(-1, 4)
    return any(iou(finer[index].mask, one.mask) > threshold for index in _meeting(boxes, one.mask))


def _meeting(boxes: NDArray[np.int64], mask: Mask) -> list[int]:
    """Return which of boxes (N, 4) have a pixel in common with that of a mask."""
    box = np.array(mask.box)
    meets = (boxes[:, :2] <= box[2:]).all(1) & (boxes[:, 2:] >= box[:2]).all(1)
    return np.flatnonzero(meets).tolist()


def _side(mask: Mask) -> int:
    """Return the longer side of a mask, pixels."""
    x0, y0, x1, y1 = mask.box
    return max(x1 - x0, y1 - y0) + 1


def _inner_rims(extent: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return tiles (T, 4) without bound where they end with the plane."""
    rims = extent.astype(np.float64)
    rims[:, :2][extent[:, :2] == 0] = -np.inf
    rims[:, 2:][extent[:, 2:] == (size[1], size[0])] = np.inf
    return rims


def _neighbours(extent: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Return which other tiles each of (T, 4) overlaps."""
    found = []
    for index, tile in enumerate(extent):
        over = (extent[:, :2] < tile[2:]).all(1) & (extent[:, 2:] > tile[:2]).all(1)
        over[index] = False
        found.append(np.flatnonzero(over))
    return found


def _pairs(
    found: Sequence[Candidate],
    home: NDArray[np.intp],
    extent: NDArray[np.int64],
    near: Sequence[NDArray[np.intp]],
) -> list[_Pair]:
    """Return all pairs of masks of different tiles that have pixels in common."""
    own = [np.flatnonzero(home == tile) for tile in range(len(extent))]
    boxes = np.array([one.mask.box for one in found])
    pairs = []
    for tile, others in enumerate(near):
        for other in others[others > tile].tolist():
            low = np.maximum(extent[tile, :2], extent[other, :2])
            high = np.minimum(extent[tile, 2:], extent[other, 2:])
            left, top, right, bottom = (int(v) for v in (*low, *high))
            here, there = (
                index[(boxes[index, :2] < high).all(1) & (boxes[index, 2:] >= low).all(1)]
                for index in (own[tile], own[other])
            )
            cut = {
                int(k): _within(found[k].mask, (left, top, right, bottom)) for k in (*here, *there)
            }
            for one in here.tolist():
                meets = (boxes[there, :2] <= boxes[one, 2:]).all(1)
                meets &= (boxes[there, 2:] >= boxes[one, :2]).all(1)
                for rival in there[meets].tolist():
                    shared = shared_pixels(cut[one], cut[rival])
                    if shared:
                        union = cut[one].area + cut[rival].area - shared
                        pairs.append(_Pair(one, rival, shared / union, shared))
    return pairs


def _united(pairs: Sequence[_Pair], home: NDArray[np.intp]) -> dict[int, list[int]]:
    """Group masks that are one object, those that agree most first; one of each tile at most."""
    root = list(range(len(home)))
    members = {index: [index] for index in root}
    for pair in sorted(pairs, key=lambda pair: -pair.agreement):
        if pair.agreement <= AGREEMENT:
            break
        a, b = root[pair.one], root[pair.other]
        if a == b or {home[k] for k in members[a]} & {home[k] for k in members[b]}:
            continue
        for index in members[b]:
            root[index] = a
        members[a] += members.pop(b)
    return members


def _owns(
    tile: int,
    middle: NDArray[np.float64],
    near: Sequence[NDArray[np.intp]],
    rims: NDArray[np.float64],
) -> bool:
    """Tell whether a place (x, y) lies as deep in a tile as in any other."""
    tiles = np.concatenate([[tile], near[tile]])
    depth = np.minimum(middle - rims[tiles, :2], rims[tiles, 2:] - 1 - middle).min(1)
    return bool(depth[0] >= depth.max())


def _drop_duplicates(
    best: dict[int, int],
    members: dict[int, list[int]],
    pairs: Sequence[_Pair],
    found: Sequence[Candidate],
    depth: NDArray[np.float64],
) -> None:
    """Take objects out of `best` that another one hides; the one nearer to its tile's edge goes."""
    groups = defaultdict(list)
    root = {index: key for key, group in members.items() for index in group}
    for pair in pairs:
        a, b = root[pair.one], root[pair.other]
        least = min(found[pair.one].mask.area, found[pair.other].mask.area)
        if a != b and pair.shared > SAME * least:
            groups[a, b].append(pair)
    for a, b in groups:
        if a in best and b in best:
            del best[a if depth[best[a]] < depth[best[b]] else b]


def _united_mask(parts: Sequence[Candidate]) -> Candidate:
    """Return one object from its masks in several tiles."""
    largest = max(parts, key=lambda part: part.mask.area)
    return replace(
        largest,
        mask=_union([part.mask for part in parts]),
        iou=min(part.iou for part in parts),
        stability=min(part.stability for part in parts),
    )


def _within(mask: Mask, window: Window) -> Mask:
    """Return the part of a mask in a window (x0, y0, x1, y1), end exclusive, of its plane."""
    left, top, right, bottom = window
    x0, y0, x1, y1 = mask.box
    if left <= x0 and top <= y0 and x1 < right and y1 < bottom:
        return mask
    rows = slice(max(top - y0, 0), max(bottom - y0, 0))
    columns = slice(max(left - x0, 0), max(right - x0, 0))
    return Mask.of(mask.bits[rows, columns], (max(left, x0), max(top, y0)), mask.size)


def _union(masks: Sequence[Mask]) -> Mask:
    """Return what any of some masks of one plane covers."""
    boxes = np.array([mask.box for mask in masks])
    (x0, y0), (x1, y1) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    pixels = np.zeros((y1 - y0 + 1, x1 - x0 + 1), bool)
    for mask in masks:
        left, top, right, bottom = mask.box
        pixels[top - y0 : bottom - y0 + 1, left - x0 : right - x0 + 1] |= mask.bits
    return Mask.of(pixels, (x0, y0), masks[0].size)
