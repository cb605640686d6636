from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np

from napari_sam.everything.amg_params import AmgParams
from napari_sam.everything.amg_select import Candidate, Candidates, select
from napari_sam.types import Mask


def candidate(mask, iou, stability=1.0):
    """A candidate of a mask (H, W) with a single crop."""
    h, w = mask.shape
    return Candidate(Mask.of(mask), iou, stability, (0.0, 0.0), (0, 0, w, h))


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


def test_of_two_that_cleaning_makes_alike_the_unchanged_one_stays():
    whole = np.zeros((40, 40), bool)
    whole[5:25, 5:25] = True
    holed = whole.copy()
    holed[10:12, 10:12] = False
    params = AmgParams(pred_iou_thresh=0.5, box_nms_thresh=0.99, min_mask_region_area=9)
    (found,) = select(Candidates((40, 40), (candidate(holed, 0.9),), 0.0), params)
    np.testing.assert_array_equal(found.segmentation, whole)
    twins = Candidates((40, 40), (candidate(holed, 0.9), candidate(whole, 0.8)), 0.0, True)
    assert [r.predicted_iou for r in select(twins, params)] == [0.8]
    plain = replace(params, min_mask_region_area=0)
    assert [r.predicted_iou for r in select(twins, plain)] == [0.9, 0.8]


def test_nothing_of_the_planes_size_is_made_for_a_mask():
    """100 masks of 3 kB each in a plane of 16 MB."""
    square = np.ones((150, 150), bool)
    square[50:60, 50:60] = False
    places = [(x, y) for x in range(0, 4000, 400) for y in range(0, 4000, 400)]
    items = tuple(
        Candidate(Mask.of(square, place, (4096, 4096)), 0.9, 1.0, place, (0, 0, 4096, 4096))
        for place in places
    )
    tracemalloc.start()
    records = select(Candidates((4096, 4096), items, 0.0), AmgParams(min_mask_region_area=200))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(records) == 100
    assert all(record.area == 150**2 for record in records)
    assert peak < 5e6
