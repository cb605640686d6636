"""Pure mask algebra: boxes, run lengths, suppression, stability, clean-up, label images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .types import MaskRecord

Bools = NDArray[np.bool_]
PIECE = 0.1
"""Pieces below this part of the largest are taken for loose ones, where no click tells."""
HOLE = 0.02
"""Holes up to this part of the object are taken for small ones."""


def box_of(mask: Bools) -> NDArray[np.float64]:
    """Return the tight box (x0, y0, x1, y1) of a non-empty mask, inclusive pixel centres.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise ValueError("an empty mask has no box")
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], dtype=np.float64)


def middle_of(mask: Bools) -> tuple[float, float]:
    """Return the pixel (x, y) of a mask (H, W) that lies farthest from its edge."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), mask.shape)
    return float(column), float(row)


def worst_click(truth: Bools, answer: Bools) -> tuple[tuple[float, float], int] | None:
    """Return the click that corrects the deepest error, and its label; None if all is right.

    The scheme of Sofiiuk et al. (ICIP 2022): the point farthest from the border of the missed or
    of the wrongly marked area, whichever is deeper.

    Parameters
    ----------
    truth, answer : (H, W) bool

    Returns
    -------
    ((x, y), label) or None
    """
    best: tuple[tuple[float, float], int] | None = None
    deepest = 0.0
    for error, label in ((truth & ~answer, 1), (answer & ~truth, 0)):
        if not error.any():
            continue
        depth = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
        index = int(np.argmax(depth))
        if depth.flat[index] > deepest:
            deepest = float(depth.flat[index])
            row, column = np.unravel_index(index, error.shape)
            best = ((float(column), float(row)), label)
    return best


def tidied(mask: Bools, points: NDArray[np.floating[Any]], labels: NDArray[np.integer]) -> Bools:
    """Remove what lies apart from the prompted object, and fill small holes.

    Parameters
    ----------
    mask : (H, W) bool
    points : (N, 2) float, (x, y) in pixels
    labels : (N,) int
        1 on the object: the pieces that such points touch stay. Where they touch none, or there is
        none, all pieces stay that are not much smaller than the largest. 0 on background: a hole
        with such a point stays.

    Returns
    -------
    (H, W) bool
    """
    if not mask.any():
        return mask
    x0, y0, x1, y1 = (int(v) for v in box_of(mask))
    own = mask[y0 : y1 + 1, x0 : x1 + 1]
    places = np.rint(points).astype(int) - (x0, y0)
    pieces, count = ndimage.label(own, np.ones((3, 3)))
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        kept = _touched(pieces, places[labels == 1])
        if not kept:
            kept = set(np.flatnonzero(sizes > PIECE * sizes.max()).tolist())
        own = np.isin(pieces, list(kept))
    holes, count = ndimage.label(~np.pad(own, 1))
    sizes = np.bincount(holes.ravel())
    small = set(np.flatnonzero(sizes <= HOLE * np.count_nonzero(own))) - {0, int(holes[0, 0])}
    small -= _touched(holes, places[labels == 0] + 1)
    result = np.zeros_like(mask)
    filled = own | np.isin(holes, list(small))[1:-1, 1:-1] if small else own
    result[y0 : y1 + 1, x0 : x1 + 1] = filled
    return result


def _touched(regions: NDArray[np.integer], places: NDArray[np.integer]) -> set[int]:
    """Return the regions, numbered from 1, that lie at places (N, 2), (x, y), or next to them."""
    found: set[int] = set()
    for x, y in places:
        near = regions[max(y - 1, 0) : max(y + 2, 0), max(x - 1, 0) : max(x + 2, 0)]
        found |= set(near[near > 0].tolist())
    return found


def iou(a: Bools, b: Bools) -> float:
    """Return the intersection over union of two masks of one shape; 1 if both are empty."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def stability_score(logits: NDArray[np.floating[Any]], threshold: float, offset: float) -> float:
    """Return the IoU of a mask cut `offset` above and below the threshold (SAM).

    Parameters
    ----------
    logits : (H, W) float
    threshold, offset : float

    Returns
    -------
    float, 0 for an empty mask
    """
    loose = np.count_nonzero(logits > threshold - offset)
    return float(np.count_nonzero(logits > threshold + offset) / loose) if loose else 0.0


def to_rle(mask: Bools) -> dict[str, Any]:
    """Return a mask (H, W) as uncompressed COCO run lengths, column by column.

    Returns
    -------
    dict with `size` [H, W] and `counts`, which begin with background
    """
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    counts = np.diff(bounds).tolist()
    if flat.size and flat[0]:
        counts.insert(0, 0)
    return {"size": list(mask.shape), "counts": counts}


def from_rle(rle: dict[str, Any]) -> Bools:
    """Return the mask (H, W) of uncompressed COCO run lengths."""
    counts = np.asarray(rle["counts"], np.int64)
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(rle["size"], order="F")


def box_nms(
    boxes: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], threshold: float
) -> NDArray[np.intp]:
    """Keep the boxes that no better box overlaps by more than `threshold` (greedy NMS).

    Parameters
    ----------
    boxes : (N, 4) float, xyxy
    scores : (N,) float
    threshold : float, IoU

    Returns
    -------
    (K,) int, indices of the kept boxes, best first
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    best_first = np.argsort(-np.asarray(scores), kind="stable")
    by_left = np.argsort(boxes[:, 0], kind="stable")
    place = np.argsort(by_left)
    boxes = boxes[by_left]
    left, width = boxes[:, 0], boxes[:, 2] - boxes[:, 0]
    areas = width * (boxes[:, 3] - boxes[:, 1])
    # The IoU is at most that of the widths, so left edges further apart than this need no look.
    widest = width.max(initial=0.0)
    reach = np.minimum(width * (1 - threshold) / max(threshold, 1e-9), widest) + 1e-6
    first = np.searchsorted(left, left - reach, "left")
    last = np.searchsorted(left, left + reach, "right")
    alive = np.ones(len(boxes), bool)
    kept = []
    for index in best_first:
        at = place[index]
        if not alive[at]:
            continue
        kept.append(index)
        near = slice(first[at], last[at])
        low = np.maximum(boxes[at, :2], boxes[near, :2])
        high = np.minimum(boxes[at, 2:], boxes[near, 2:])
        common = np.clip(high - low, 0, None).prod(axis=1)
        union = areas[at] + areas[near] - common
        # outlines one pixel wide have no area; they are duplicates if they are equal
        equal = (boxes[at] == boxes[near]).all(axis=1).astype(np.float64)
        overlap = np.divide(common, union, out=equal, where=union > 0)
        alive[near] &= overlap <= threshold
    return np.array(kept, dtype=np.intp)


def remove_small_regions(mask: Bools, area: int, mode: str) -> tuple[Bools, bool]:
    """Fill small holes or drop small islands (SAM's post-processing).

    Parameters
    ----------
    mask : (H, W) bool
    area : int
        Regions of fewer pixels are changed.
    mode : {"holes", "islands"}

    Returns
    -------
    mask : (H, W) bool
        Islands: at least the largest one stays.
    changed : bool
    """
    if mode not in ("holes", "islands"):
        raise ValueError(f'mode is "holes" or "islands", but is {mode!r}')
    holes = mode == "holes"
    regions, count = ndimage.label(mask ^ holes, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel())
    small = np.flatnonzero(sizes < area)
    small = small[small > 0]
    if not len(small):
        return mask, False
    if holes:
        return mask | np.isin(regions, small), True
    kept = np.setdiff1d(np.arange(1, count + 1), small)
    if not len(kept):
        kept = np.array([int(np.argmax(sizes[1:])) + 1])
    return np.isin(regions, kept), True


def to_labels(records: Sequence[MaskRecord], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Paint masks into one label image: large ones first, small ones on top.

    A mask that would be hidden altogether gets its pixels back from what hides it, so that no
    object is lost.

    Parameters
    ----------
    records : sequence of MaskRecord
    shape : (H, W) int

    Returns
    -------
    (H, W) int32; 0 is background, record k has label k + 1
    """
    labels = np.zeros(shape, np.int32)
    order = sorted(range(len(records)), key=lambda k: -records[k].area)
    for k in order:
        part, mask = _cut(records[k])
        labels[part][mask] = k + 1
    for k in order:
        part, mask = _cut(records[k])
        if mask.any() and not (labels[part] == k + 1).any():
            _give_back(labels, part, mask, k + 1)
    return labels


def _give_back(labels: NDArray[np.int32], part: tuple[slice, slice], mask: Bools, own: int) -> None:
    """Paint a hidden mask again where it leaves every other object at least one pixel."""
    counts = np.bincount(labels.ravel())
    view = labels[part]
    rows, columns = np.nonzero(mask)
    for row, column in zip(rows, columns, strict=True):
        other = view[row, column]
        if other == 0 or counts[other] > 1:
            counts[other] -= 1
            view[row, column] = own


def _cut(record: MaskRecord) -> tuple[tuple[slice, slice], Bools]:
    x, y, width, height = record.bbox
    part = np.s_[y : y + height, x : x + width]
    return part, record.segmentation[part]


def boxes_touch_edge(
    boxes: NDArray[np.floating[Any]],
    crop: tuple[int, int, int, int],
    size: tuple[int, int],
    tolerance: float = 20.0,
) -> Bools:
    """Tell which boxes end at the edge of a crop that is not the edge of the image (SAM).

    Parameters
    ----------
    boxes : (N, 4) float, xyxy in pixels of the image
    crop : (x0, y0, x1, y1) int
    size : (H, W) int, of the image
    tolerance : float, pixels

    Returns
    -------
    (N,) bool
    """
    image = np.array([0, 0, size[1], size[0]])
    near_crop = np.abs(boxes - np.array(crop)) <= tolerance
    near_image = np.abs(boxes - image) <= tolerance
    return np.asarray((near_crop & ~near_image).any(axis=1))
