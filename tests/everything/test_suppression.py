from __future__ import annotations

import numpy as np
import pytest

from napari_sam.everything.suppression import box_nms, boxes_touch_edge, mask_nms
from napari_sam.types import Mask


def naive_nms(boxes, scores, threshold):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda k: -scores[k]):
        for j in kept:
            a, b = boxes[i], boxes[j]
            w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
            h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
            areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
            if w * h / (sum(areas) - w * h) > threshold:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_nms_is_that_of_the_naive_loops(threshold):
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 30, (200, 2))
    boxes = np.hstack([low, low + rng.uniform(1, 30, (200, 2))])
    scores = rng.permutation(200) / 200
    kept = box_nms(boxes, scores, threshold).tolist()
    assert kept == naive_nms(boxes, scores, threshold)
    assert 0 < len(kept) <= 200


def test_nms_of_nothing_and_of_flat_boxes():
    assert box_nms(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []
    flat = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [2, 1, 2, 9], [2, 1, 2, 9], [2, 1, 2, 8]])
    assert box_nms(flat, np.arange(5), 0.5).tolist() == [4, 3, 1]


def test_boxes_at_the_edge_of_a_crop_but_not_of_the_image():
    boxes = np.array([[0, 0, 50, 50], [60, 60, 100, 100], [40, 40, 60, 60], [0, 0, 99, 99]], float)
    touched = boxes_touch_edge(boxes, (0, 0, 100, 100), (200, 200), tolerance=5)
    assert touched.tolist() == [False, True, False, True]
    assert not boxes_touch_edge(boxes, (0, 0, 100, 100), (100, 100), tolerance=5).any()


def crossing():
    """Two long objects that cross, and a third one that is nearly the first."""
    y, x = np.mgrid[:60, :60]
    first, second = np.abs(x - y) < 4, np.abs(x + y - 59) < 4
    return [Mask.of(mask) for mask in (first, second, np.abs(x - y - 1) < 4)]


def test_of_masks_that_overlap_the_best_stays():
    assert mask_nms(crossing(), np.array([0.1, 0.2, 0.3]), 0.3).tolist() == [2, 1]
    assert mask_nms(crossing(), np.array([0.3, 0.2, 0.1]), 1.0).tolist() == [0, 1, 2]


def test_masks_in_boxes_that_overlap_in_part():
    square = np.ones((10, 10), bool)
    inside = [Mask.of(square, corner, (15, 20)) for corner in ((0, 0), (5, 5), (10, 0))]
    scores = np.array([3.0, 2.0, 1.0])
    assert mask_nms(inside, scores, 25 / 175 + 0.01).tolist() == [0, 1, 2]
    assert mask_nms(inside, scores, 25 / 175 - 0.01).tolist() == [0, 2]
    assert mask_nms([], scores[:0], 0.5).tolist() == []
