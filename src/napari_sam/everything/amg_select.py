"""What of everything mode's candidates is worth keeping: thresholds and suppression, instant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import masks
from ..types import MaskRecord, Window
from .amg_params import AmgParams


@dataclass(frozen=True, eq=False)
class Candidate:
    """One proposed mask.

    Attributes
    ----------
    box : (x0, y0, x1, y1) int, inclusive pixels of the plane
    packed : (n,) uint8
        The mask inside its box, eight pixels a byte.
    iou, stability : float
    point : (x, y) float, pixels of the plane
    crop : (x0, y0, x1, y1) int, end exclusive
    """

    box: tuple[int, int, int, int]
    packed: NDArray[np.uint8]
    iou: float
    stability: float
    point: tuple[float, float]
    crop: Window

    def mask(self) -> NDArray[np.bool_]:
        """Return the mask inside its box."""
        shape = (self.box[3] - self.box[1] + 1, self.box[2] - self.box[0] + 1)
        flat = np.unpackbits(self.packed, count=shape[0] * shape[1])
        return flat.reshape(shape).astype(bool)


@dataclass(frozen=True, eq=False)
class Candidates:
    """All that `propose` found on one plane.

    Attributes
    ----------
    size : (H, W) int
    items : tuple of Candidate
    floor : float
        Lowest predicted IoU that was kept.
    told_apart : bool
        Whether an instance head told the objects apart, so that boxes that overlap are no sign of
        a duplicate; masks are compared instead.
    """

    size: tuple[int, int]
    items: tuple[Candidate, ...]
    floor: float
    told_apart: bool = False


def select(candidates: Candidates, params: AmgParams) -> list[MaskRecord]:
    """Choose among candidates, best first; only `SELECT_FIELDS` of the parameters are read."""
    good = [c for c in candidates.items if passes(c, params)]
    if not good:
        return []
    boxes = np.array([c.box for c in good])
    crops = np.array([c.crop for c in good])
    inside = [c.mask() for c in good] if candidates.told_apart else []

    def distinct(
        own: NDArray[np.intp], scores: NDArray[np.float64], threshold: float
    ) -> NDArray[np.intp]:
        if not candidates.told_apart:
            return own[masks.box_nms(boxes[own].astype(np.float64), scores, threshold)]
        return own[mask_nms(boxes[own], [inside[i] for i in own], scores, threshold)]

    kept: list[int] = []
    for crop in np.unique(crops, axis=0):
        own = np.flatnonzero((crops == crop).all(axis=1))
        x0, y0, x1, y1 = (int(v) for v in crop)
        own = own[~masks.boxes_touch_edge(boxes[own], (x0, y0, x1, y1), candidates.size)]
        scores = np.array([good[i].iou for i in own])
        kept += distinct(own, scores, params.box_nms_thresh).tolist()
    if len(np.unique(crops, axis=0)) > 1:  # between crops the smaller, sharper one wins
        area = np.prod(crops[kept, 2:] - crops[kept, :2], axis=1)
        kept = distinct(np.array(kept, np.intp), 1.0 / area, params.crop_nms_thresh).tolist()
    records = [_record(good[i], candidates.size) for i in kept]
    if params.min_mask_region_area:
        nms = max(params.box_nms_thresh, params.crop_nms_thresh)
        records = _cleaned(records, params.min_mask_region_area, nms)
    return records


def passes(candidate: Candidate, params: AmgParams) -> bool:
    """Tell whether a candidate reaches both thresholds."""
    sure = candidate.iou > least_iou(params.pred_iou_thresh)
    return sure and candidate.stability >= params.stability_score_thresh


def least_iou(threshold: float) -> float:
    """Return what a predicted IoU must exceed; as in the published SAM, 0 lets all pass."""
    return threshold if threshold > 0 else -np.inf


def mask_nms(
    boxes: NDArray[np.integer],
    inside: Sequence[NDArray[np.bool_]],
    scores: NDArray[np.float64],
    threshold: float,
) -> NDArray[np.intp]:
    """Keep the masks that no better mask overlaps by more than `threshold` (greedy NMS).

    `masks.box_nms` takes long objects that cross or lie side by side for duplicates.

    Parameters
    ----------
    boxes : (N, 4) int, xyxy and inclusive
    inside : N times (h, w) bool
        Each mask in its box.
    scores : (N,) float
    threshold : float, IoU

    Returns
    -------
    (K,) int, indices of the kept masks, best first
    """
    areas = [int(np.count_nonzero(mask)) for mask in inside]
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        low = np.maximum(boxes[kept, :2], boxes[index, :2])
        high = np.minimum(boxes[kept, 2:], boxes[index, 2:])
        for rival in np.array(kept, int)[(low <= high).all(axis=1)].tolist():
            shared = _shared(boxes[index], inside[index], boxes[rival], inside[rival])
            if shared > threshold * (areas[index] + areas[rival] - shared):
                break
        else:
            kept.append(index)
    return np.array(kept, np.intp)


def _record(candidate: Candidate, size: tuple[int, int]) -> MaskRecord:
    mask = candidate.mask()
    x0, y0, x1, y1 = candidate.box
    whole = np.zeros(size, bool)
    whole[y0 : y1 + 1, x0 : x1 + 1] = mask
    left, top, right, bottom = candidate.crop
    return MaskRecord(
        segmentation=whole,
        area=int(np.count_nonzero(mask)),
        bbox=(x0, y0, x1 - x0 + 1, y1 - y0 + 1),
        predicted_iou=candidate.iou,
        stability_score=candidate.stability,
        point_coords=candidate.point,
        crop_box=(left, top, right - left, bottom - top),
    )


def _cleaned(records: Sequence[MaskRecord], area: int, nms: float) -> list[MaskRecord]:
    """Fill small holes, drop small islands and suppress what became a duplicate.

    Parameters
    ----------
    records : sequence of MaskRecord
    area : int
        Holes and islands of fewer pixels are changed.
    nms : float
        IoU of boxes that are duplicates; of two, one that was not changed stays.
    """
    changed, untouched = [], []
    for record in records:
        mask, filled = masks.remove_small_regions(record.segmentation, area, "holes")
        mask, dropped = masks.remove_small_regions(mask, area, "islands")
        rows, columns = ndimage.find_objects(mask.astype(np.uint8))[0]
        box = (columns.start, rows.start, columns.stop, rows.stop)
        changed.append(
            MaskRecord(
                mask,
                int(np.count_nonzero(mask)),
                (box[0], box[1], box[2] - box[0], box[3] - box[1]),
                record.predicted_iou,
                record.stability_score,
                record.point_coords,
                record.crop_box,
            )
        )
        untouched.append(float(not (filled or dropped)))
    boxes = np.array([(x, y, x + w - 1, y + h - 1) for x, y, w, h in (r.bbox for r in changed)])
    return [changed[i] for i in masks.box_nms(boxes, np.array(untouched), nms)]


def _shared(
    box: NDArray[np.integer],
    mask: NDArray[np.bool_],
    other: NDArray[np.integer],
    rival: NDArray[np.bool_],
) -> int:
    """Return how many pixels two masks, each in its box, have in common."""
    x0, y0 = np.maximum(box[:2], other[:2])
    x1, y1 = np.minimum(box[2:], other[2:])
    parts = [
        m[y0 - b[1] : y1 - b[1] + 1, x0 - b[0] : x1 - b[0] + 1]
        for b, m in ((box, mask), (other, rival))
    ]
    return int(np.count_nonzero(parts[0] & parts[1]))
