"""Selection among everything mode's candidates: thresholds and suppression, in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..masks import remove_small_regions
from ..types import Mask, MaskRecord, Window
from .amg_params import AmgParams
from .seams import merged
from .suppression import box_nms, boxes_touch_edge, mask_nms
from .tiles import Levels


@dataclass(frozen=True, eq=False)
class Candidate:
    """One proposed mask.

    Attributes
    ----------
    mask : Mask
    iou, stability : float
    point : (x, y) float, pixels of the plane
    crop : (x0, y0, x1, y1) int, end exclusive
    """

    mask: Mask
    iou: float
    stability: float
    point: tuple[float, float]
    crop: Window


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
    tiles : tuple of tuple of (x0, y0, x1, y1) int, end exclusive
        The crops, where the plane was too large for one look, or was looked at closer; see
        `tiles.tiles_of`.
    closer : int
        How many levels of `tiles`, the first ones, are of closer looks; the next one is of full
        resolution.
    """

    size: tuple[int, int]
    items: tuple[Candidate, ...]
    floor: float
    told_apart: bool = False
    tiles: Levels = ()
    closer: int = 0

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """The boxes of the masks, (N, 4) int, (x0, y0, x1, y1) inclusive."""
        return np.array([one.mask.box for one in self.items], np.int64).reshape(-1, 4)


def select(candidates: Candidates, params: AmgParams) -> list[MaskRecord]:
    """Choose among candidates, best first; only `SELECT_FIELDS` of the parameters are read."""
    good = [c for c in candidates.items if passes(c, params)]
    if not good:
        return []
    found = [c.mask for c in good]
    boxes = np.array([mask.box for mask in found], np.float64)
    crops = np.array([c.crop for c in good])

    def distinct(
        own: NDArray[np.intp], scores: NDArray[np.float64], threshold: float
    ) -> NDArray[np.intp]:
        if candidates.told_apart:
            return own[mask_nms([found[i] for i in own], scores, threshold)]
        return own[box_nms(boxes[own], scores, threshold)]

    kept: list[int] = []
    for crop in np.unique(crops, axis=0):
        own = np.flatnonzero((crops == crop).all(axis=1))
        x0, y0, x1, y1 = (int(v) for v in crop)
        if not candidates.tiles:
            own = own[~boxes_touch_edge(boxes[own], (x0, y0, x1, y1), candidates.size)]
        scores = np.array([good[i].iou for i in own])
        kept += distinct(own, scores, params.box_nms_thresh).tolist()
    if candidates.tiles:
        found_in_tiles = [good[i] for i in kept]
        nms = params.crop_nms_thresh
        chosen = merged(
            found_in_tiles, candidates.tiles, candidates.told_apart, nms, candidates.closer
        )
        chosen.sort(key=lambda one: -one.iou)
    else:
        if len(np.unique(crops, axis=0)) > 1:  # between crops the smaller, sharper one wins
            area = np.prod(crops[kept, 2:] - crops[kept, :2], axis=1)
            kept = distinct(np.array(kept, np.intp), 1.0 / area, params.crop_nms_thresh).tolist()
        chosen = [good[i] for i in kept]
    records = [_record(one) for one in chosen]
    if params.min_mask_region_area:
        nms = max(params.box_nms_thresh, params.crop_nms_thresh)
        records = _cleaned(records, params.min_mask_region_area, nms, candidates.told_apart)
    # pieces in tiles may be smaller than what they are joined to, or become larger
    return [one for one in records if one.area >= params.min_area and not _is_large(one, params)]


def passes(candidate: Candidate, params: AmgParams) -> bool:
    """Tell whether a candidate reaches both thresholds, and is not too large."""
    sure = candidate.iou > least_iou(params.pred_iou_thresh)
    stable = candidate.stability >= params.stability_score_thresh
    return sure and stable and not _is_large(candidate.mask, params)


def least_iou(threshold: float) -> float:
    """Return what a predicted IoU must exceed; as in the published SAM, 0 lets all pass."""
    return threshold if threshold > 0 else -np.inf


def _is_large(one: Mask | MaskRecord, params: AmgParams) -> bool:
    return bool(params.max_area) and one.area > params.max_area


def _record(candidate: Candidate) -> MaskRecord:
    left, top, right, bottom = candidate.crop
    return MaskRecord(
        mask=candidate.mask,
        predicted_iou=candidate.iou,
        stability_score=candidate.stability,
        point_coords=candidate.point,
        crop_box=(left, top, right - left, bottom - top),
    )


def _cleaned(
    records: Sequence[MaskRecord], area: int, nms: float, told_apart: bool
) -> list[MaskRecord]:
    """Fill small holes, drop small islands and small masks, suppress what became a duplicate.

    The published SAM keeps the largest island of a mask however small it is.

    Parameters
    ----------
    records : sequence of MaskRecord
    area : int
        Holes, islands and masks of fewer pixels are changed.
    nms : float
        IoU that makes duplicates; of two, one that was not changed stays.
    told_apart : bool
        Compare masks, not boxes.
    """
    cleaned, untouched = [], []
    for record in records:
        mask, filled = remove_small_regions(record.mask, area, "holes")
        mask, dropped = remove_small_regions(mask, area, "islands")
        if mask.area < area:
            continue
        cleaned.append(replace(record, mask=mask))
        untouched.append(float(not (filled or dropped)))
    masks, scores = [record.mask for record in cleaned], np.array(untouched)
    if told_apart:
        kept = mask_nms(masks, scores, nms)
    else:
        kept = box_nms(np.array([mask.box for mask in masks], np.float64), scores, nms)
    return [cleaned[i] for i in kept]
