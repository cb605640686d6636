from __future__ import annotations

import numpy as np

from napari_sam.everything.amg_params import AmgParams
from napari_sam.everything.amg_select import Candidate, Candidates, mask_nms, select


def candidate(mask, iou, stability=1.0):
    """A candidate of a mask (H, W) with a single crop."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1]))
    packed = np.packbits(mask[box[1] : box[3] + 1, box[0] : box[2] + 1])
    return Candidate(box, packed, iou, stability, (0.0, 0.0), (0, 0, mask.shape[1], mask.shape[0]))


def crossing():
    """Two long objects that cross, and a third one that is nearly the first."""
    y, x = np.mgrid[:60, :60]
    first, second = np.abs(x - y) < 4, np.abs(x + y - 59) < 4
    return first, second, np.abs(x - y - 1) < 4


def test_masks_are_compared_where_a_head_told_the_objects_apart():
    items = tuple(
        candidate(mask, iou) for mask, iou in zip(crossing(), (0.9, 0.8, 0.7), strict=True)
    )
    params = AmgParams(pred_iou_thresh=0.5, box_nms_thresh=0.3)
    told_apart = select(Candidates((60, 60), items, 0.0, told_apart=True), params)
    assert [r.predicted_iou for r in told_apart] == [0.9, 0.8]
    by_box = select(Candidates((60, 60), items, 0.0), params)
    assert [r.predicted_iou for r in by_box] == [0.9]


def test_of_masks_that_overlap_the_best_stays():
    inside = list(crossing())
    boxes = np.tile([0, 0, 59, 59], (3, 1))
    assert mask_nms(boxes, inside, np.array([0.1, 0.2, 0.3]), 0.3).tolist() == [2, 1]
    assert mask_nms(boxes, inside, np.array([0.3, 0.2, 0.1]), 1.0).tolist() == [0, 1, 2]


def test_masks_in_boxes_that_overlap_in_part():
    boxes = np.array([[0, 0, 9, 9], [5, 5, 14, 14], [10, 0, 19, 9]])
    inside = [np.ones((10, 10), bool)] * 3
    scores = np.array([3.0, 2.0, 1.0])
    assert mask_nms(boxes, inside, scores, 25 / 175 + 0.01).tolist() == [0, 1, 2]
    assert mask_nms(boxes, inside, scores, 25 / 175 - 0.01).tolist() == [0, 2]
    assert mask_nms(boxes[:0], [], scores[:0], 0.5).tolist() == []
