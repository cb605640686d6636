from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np

from napari_sam.everything.amg_params import AmgParams
from napari_sam.everything.amg_select import Candidate, Candidates, select
from napari_sam.everything.spread import Spread, spread_of
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


def test_sizes_limit_what_is_selected():
    masks = []
    for place, side in ((0, 4), (10, 8), (30, 16)):
        masks.append(np.zeros((60, 60), bool))
        masks[-1][place : place + side, place : place + side] = True
    items = tuple(candidate(mask, 0.9 - 0.1 * k) for k, mask in enumerate(masks))
    candidates = Candidates((60, 60), items, 0.0)
    params = AmgParams(pred_iou_thresh=0.5)
    for limits, areas in (
        ({}, [16, 64, 256]),
        ({"min_area": 17}, [64, 256]),
        ({"max_area": 255}, [16, 64]),
        ({"min_area": 64, "max_area": 64}, [64]),
    ):
        found = select(candidates, replace(params, **limits))
        assert [one.area for one in found] == areas


def test_what_is_too_large_hides_nothing():
    large = np.ones((40, 40), bool)
    items = (candidate(large, 0.9), candidate(large & (np.arange(40) > 3), 0.8))
    params = AmgParams(pred_iou_thresh=0.5, max_area=1500)
    (found,) = select(Candidates((40, 40), items, 0.0), params)
    assert found.area == 40 * 36


def test_the_spread_of_all_distinct_objects():
    first, second, third = crossing()
    items = (candidate(first, 0.9), candidate(second, 0.3, 0.2), candidate(third, 0.7))
    candidates = Candidates((60, 60), items, 0.0, told_apart=True)
    params = AmgParams(pred_iou_thresh=0.88, box_nms_thresh=0.3, min_area=10_000)
    spread = spread_of(candidates, params)
    np.testing.assert_allclose(spread.ious, [0.9, 0.3])
    np.testing.assert_allclose(spread.stabilities, [1.0, 0.2])
    np.testing.assert_array_equal(spread.areas, [first.sum(), second.sum()])
    assert len(Spread.joined([spread, spread])) == 4
    assert len(Spread.joined([])) == 0
