"""Pure mask algebra: boxes, overlap, run lengths, stability, clean-up, label images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array

from .types import Mask, MaskRecord

Bools = NDArray[np.bool_]
MaskLike = Mask | Bools
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


def middle_of(mask: MaskLike) -> tuple[float, float]:
    """Return the pixel (x, y) of a mask that lies farthest from its edge; (0, 0) if it is empty."""
    return _deepest(as_mask(mask))[0]


def worst_click(truth: MaskLike, answer: MaskLike) -> tuple[tuple[float, float], int] | None:
    """Return the click that corrects the deepest error, and its label; None if all is right.

    The scheme of Sofiiuk et al. (ICIP 2022): the point farthest from the border of the missed or
    of the wrongly marked area, whichever is deeper.

    Parameters
    ----------
    truth, answer : Mask, or (H, W) bool

    Returns
    -------
    ((x, y), label) or None
    """
    wanted, shown = np.asarray(truth), np.asarray(answer)
    missed, wrong = _deepest(Mask.of(wanted & ~shown)), _deepest(Mask.of(shown & ~wanted))
    if missed[1] == wrong[1] == 0:
        return None
    return (missed[0], 1) if missed[1] >= wrong[1] else (wrong[0], 0)


def _deepest(mask: Mask) -> tuple[tuple[float, float], float]:
    """Return the pixel (x, y) farthest from the edge of a mask, and how far it lies from it."""
    if not mask:
        return (0.0, 0.0), 0.0
    depth = ndimage.distance_transform_edt(np.pad(mask.bits, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return (float(column + mask.box[0]), float(row + mask.box[1])), float(depth[row, column])


def tidied(mask: Mask, points: NDArray[np.floating[Any]], labels: NDArray[np.integer]) -> Mask:
    """Remove what lies apart from the prompted object, and fill small holes.

    Parameters
    ----------
    mask : Mask
    points : (N, 2) float, (x, y) in pixels of the plane
    labels : (N,) int
        1 on the object: the pieces that such points touch stay. Where they touch none, or there is
        none, all pieces stay that are not much smaller than the largest. 0 on background: a hole
        with such a point stays.

    Returns
    -------
    Mask
    """
    if not mask:
        return mask
    own = mask.bits
    places = np.rint(points).astype(int) - mask.box[:2]
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
    filled = own | np.isin(holes, list(small))[1:-1, 1:-1] if small else own
    return Mask.of(filled, mask.box[:2], mask.size)


def _touched(regions: NDArray[np.integer], places: NDArray[np.integer]) -> set[int]:
    """Return the regions, numbered from 1, that lie at places (N, 2), (x, y), or next to them."""
    found: set[int] = set()
    for x, y in places:
        near = regions[max(y - 1, 0) : max(y + 2, 0), max(x - 1, 0) : max(x + 2, 0)]
        found |= set(near[near > 0].tolist())
    return found


def as_mask(mask: MaskLike) -> Mask:
    """Return a mask, or an array (H, W) bool, as a mask."""
    return mask if isinstance(mask, Mask) else Mask.of(mask)


def shared_pixels(a: Mask, b: Mask) -> int:
    """Return how many pixels two masks of one plane have in common."""
    x0, y0 = max(a.box[0], b.box[0]), max(a.box[1], b.box[1])
    x1, y1 = min(a.box[2], b.box[2]), min(a.box[3], b.box[3])
    if x0 > x1 or y0 > y1:
        return 0
    parts = [
        m.bits[y0 - m.box[1] : y1 - m.box[1] + 1, x0 - m.box[0] : x1 - m.box[0] + 1] for m in (a, b)
    ]
    return int(np.count_nonzero(parts[0] & parts[1]))


def iou(a: MaskLike, b: MaskLike) -> float:
    """Return the intersection over union of two masks of one plane; 1 if both are empty."""
    one, other = as_mask(a), as_mask(b)
    shared = shared_pixels(one, other)
    union = one.area + other.area - shared
    return shared / union if union else 1.0


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


def to_rle(mask: MaskLike) -> dict[str, Any]:
    """Return a mask as uncompressed COCO run lengths, column by column.

    Returns
    -------
    dict with `size` [H, W] and `counts`, which begin with background
    """
    mask = as_mask(mask)
    height, width = mask.size
    steps = np.diff(np.pad(mask.bits.T, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    columns, starts = np.nonzero(steps > 0)
    _, ends = np.nonzero(steps < 0)
    origin = (columns + mask.box[0]) * height + mask.box[1]
    starts, ends = starts + origin, ends + origin
    apart = starts[1:] != ends[:-1]  # else a run goes on in the next column
    starts = starts[np.r_[True, apart][: len(starts)]]
    ends = ends[np.r_[apart, True][: len(ends)]]
    bounds = np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [height * width]])
    counts = np.diff(bounds).tolist()
    if len(counts) % 2 and counts[-1] == 0:
        counts.pop()  # the mask ends with the plane
    return {"size": [height, width], "counts": counts}


def from_rle(rle: dict[str, Any]) -> Bools:
    """Return the mask (H, W) of uncompressed COCO run lengths."""
    counts = np.asarray(rle["counts"], np.int64)
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(rle["size"], order="F")


def remove_small_regions(mask: Mask, area: int, mode: str) -> tuple[Mask, bool]:
    """Fill small holes or drop small islands (SAM's post-processing).

    Parameters
    ----------
    mask : Mask
    area : int
        Regions of fewer pixels are changed.
    mode : {"holes", "islands"}

    Returns
    -------
    mask : Mask
        Islands: at least the largest one stays.
    changed : bool
    """
    if mode not in ("holes", "islands"):
        raise ValueError(f'mode is "holes" or "islands", but is {mode!r}')
    if not mask:
        return mask, False
    if mode == "holes":
        return _without_holes(mask, area)
    own = mask.bits
    regions, _ = ndimage.label(own, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    kept = sizes >= max(area, 1)
    if kept[1:].all():
        return mask, False
    if not kept.any():
        kept[np.argmax(sizes)] = True
    return Mask.of(kept[regions], mask.box[:2], mask.size), True


def _without_holes(mask: Mask, area: int) -> tuple[Mask, bool]:
    """Fill the regions of background of fewer than `area` pixels.

    Only the box and one pixel about it are looked at; what lies beyond adds to the regions there.
    """
    (x0, y0, x1, y1), (height, width) = mask.box, mask.size
    left, top = min(x0, 1), min(y0, 1)
    right, bottom = min(width - 1 - x1, 1), min(height - 1 - y1, 1)
    own = np.pad(mask.bits, ((top, bottom), (left, right)))
    regions, _ = ndimage.label(~own, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel())
    beside = (regions[:top], regions[top + y1 - y0 + 1 :], regions[:, :left],
              regions[:, left + x1 - x0 + 1 :])  # fmt: skip
    # one region, or two where the box reaches from edge to edge
    outer = np.unique(np.concatenate([edge.ravel() for edge in beside]))
    if len(outer) == 1:
        sizes[outer] += height * width - own.size
    elif len(outer) == 2:
        before, after = (y0, height - 1 - y1) if top and bottom else (x0, width - 1 - x1)
        across = width if top and bottom else height
        sizes[regions[0, 0]] += (before - 1) * across
        sizes[regions[-1, -1]] += (after - 1) * across
    small = sizes < area
    small[0] = False
    if not small.any():
        return mask, False
    if small[outer].any():  # a region that reaches beyond the box is filled there too
        whole = np.asarray(mask)
        regions, _ = ndimage.label(~whole, structure=np.ones((3, 3)))
        small = np.bincount(regions.ravel()) < area
        small[0] = False
        return Mask.of(whole | small[regions]), True
    return Mask.of(own | small[regions], (x0 - left, y0 - top), mask.size), True


def to_labels(found: Sequence[Mask | MaskRecord], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Paint masks into one label image: large ones first, small ones on top.

    A mask that would be hidden altogether gets its pixels back from what hides it, so that no
    object is lost.

    Parameters
    ----------
    found : sequence of Mask or MaskRecord
    shape : (H, W) int

    Returns
    -------
    (H, W) int32; 0 is background, mask k has label k + 1
    """
    masks = [one.mask if isinstance(one, MaskRecord) else one for one in found]
    labels = np.zeros(shape, np.int32)
    order = sorted(range(len(masks)), key=lambda k: -masks[k].area)
    for k in order:
        labels[masks[k].part][masks[k].bits] = k + 1
    counts = np.bincount(labels.ravel(), minlength=len(masks) + 1)
    for k in order:
        if masks[k] and not counts[k + 1]:
            _give_back(labels, counts, masks[k], k + 1)
    return labels


def _give_back(
    labels: NDArray[np.int32], counts: NDArray[np.integer], mask: Mask, own: int
) -> None:
    """Paint a hidden mask again where it leaves every other object at least one pixel."""
    view = labels[mask.part]
    for row, column in np.argwhere(mask.bits):
        other = view[row, column]
        if other == 0 or counts[other] > 1:
            counts[other] -= 1
            counts[own] += 1
            view[row, column] = own


def labels_in(image: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the labels of a label image (H, W) that occur, ascending, without background."""
    flat = image.ravel()
    values = np.unique(flat[_run_starts(flat)])
    return np.asarray(values[values != 0])


def overlap_counts(
    a: NDArray[np.integer[Any]], b: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]], csr_array]:
    """Return how many pixels each label of one image shares with each of another.

    Parameters
    ----------
    a, b : (H, W) int

    Returns
    -------
    labels of a (N,), labels of b (M,), both ascending, and pixels (N, M) int64, sparse
    """
    if a.shape != b.shape:
        raise ValueError(f"label images of one size are compared, not {a.shape} and {b.shape}")
    one, other = a.ravel(), b.ravel()
    starts = _run_starts(one, other)
    lengths = np.diff(np.append(starts, one.size))
    rows, row = np.unique(one[starts], return_inverse=True)
    columns, column = np.unique(other[starts], return_inverse=True)
    shape = (len(rows), len(columns))
    return rows, columns, csr_array((lengths, (row, column)), shape=shape)


def _run_starts(*flat: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return where runs begin in which none of arrays (N,) changes; hardly any are to be sorted."""
    begins = np.ones(flat[0].size, bool)
    begins[1:] = np.logical_or.reduce([values[1:] != values[:-1] for values in flat])
    return np.flatnonzero(begins)
