from __future__ import annotations

import numpy as np
import pytest

from napari_sam import masks
from napari_sam.types import MaskRecord


def record(mask, score=0.9):
    x0, y0, x1, y1 = masks.box_of(mask).astype(int)
    box = (x0, y0, x1 - x0 + 1, y1 - y0 + 1)
    h, w = mask.shape
    return MaskRecord(mask, int(mask.sum()), box, score, 0.9, (x0, y0), (0, 0, w, h))


def rectangle(shape, x0, y0, x1, y1):
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def random_masks(count, shape=(13, 9)):
    rng = np.random.default_rng(0)
    return [rng.random(shape) < chance for chance in np.linspace(0, 1, count)]


def naive_rle(mask):
    counts, value = [0], False
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if mask[row, column] != value:
                counts.append(0)
                value = not value
            counts[-1] += 1
    return counts


@pytest.mark.parametrize("mask", random_masks(7))
def test_rle_is_that_of_the_naive_walk_and_comes_back(mask):
    rle = masks.to_rle(mask)
    assert rle == {"size": [13, 9], "counts": naive_rle(mask)}
    assert sum(rle["counts"]) == mask.size
    np.testing.assert_array_equal(masks.from_rle(rle), mask)


def test_box_of_is_tight_and_inclusive():
    assert masks.box_of(rectangle((20, 30), 4, 5, 9, 7)).tolist() == [4, 5, 8, 6]
    with pytest.raises(ValueError, match="empty"):
        masks.box_of(np.zeros((3, 3), bool))


def test_middle_of_lies_deepest():
    mask = rectangle((40, 40), 0, 0, 40, 5) | rectangle((40, 40), 10, 10, 31, 31)
    assert masks.middle_of(mask) == (20, 20)


def pieces():
    """Return a body with a small and a large hole, and a small and a large piece beside it."""
    mask = rectangle((60, 60), 5, 5, 35, 35)
    mask[10, 10:13] = False  # 3 of some 900 pixels
    mask[20:28, 20:28] = False
    return mask, rectangle((60, 60), 40, 5, 43, 8), rectangle((60, 60), 40, 20, 55, 40)


NONE = (np.zeros((0, 2)), np.zeros(0, int))


def test_a_click_says_which_piece_is_the_object():
    body, small, large = pieces()
    clean = body.copy()
    clean[10, 10:13] = True
    everything = body | small | large
    for point in ((7, 7), (4, 20)):  # on it, and a pixel beside it
        found = masks.tidied(everything, np.array([point], float), np.array([1]))
        np.testing.assert_array_equal(found, clean)
    both = masks.tidied(everything, np.array([(7.2, 6.8), (41, 6)]), np.array([1, 1]))
    np.testing.assert_array_equal(both, clean | small)
    beyond = masks.tidied(everything, np.array([(-3.0, 200.0)]), np.array([1]))
    np.testing.assert_array_equal(beyond, clean | large)


def test_without_a_click_pieces_much_smaller_than_the_largest_go():
    body, small, large = pieces()
    found = masks.tidied(body | small | large, *NONE)
    np.testing.assert_array_equal(found[:, 36:], large[:, 36:])
    assert found[10, 11]


def test_large_holes_and_those_that_were_clicked_stay():
    body, *_ = pieces()
    kept = masks.tidied(body, np.array([(11, 10)]), np.array([0]))
    np.testing.assert_array_equal(kept, body)
    ring = rectangle((9, 9), 0, 0, 9, 9) & ~rectangle((9, 9), 3, 3, 6, 6)  # reaches the border
    np.testing.assert_array_equal(masks.tidied(ring, *NONE), ring)
    empty = np.zeros((4, 4), bool)
    np.testing.assert_array_equal(masks.tidied(empty, *NONE), empty)


def test_worst_click_marks_the_deeper_error():
    truth, answer = rectangle((40, 40), 0, 0, 11, 11), rectangle((40, 40), 30, 30, 35, 35)
    assert masks.worst_click(truth, answer) == ((5, 5), 1)
    assert masks.worst_click(answer, truth) == ((5, 5), 0)
    assert masks.worst_click(truth, truth) is None


def test_iou():
    a, b = rectangle((10, 10), 0, 0, 4, 4), rectangle((10, 10), 2, 0, 6, 4)
    assert masks.iou(a, b) == pytest.approx(8 / 24)
    assert masks.iou(a, ~a) == 0
    assert masks.iou(a & ~a, a & ~a) == 1


def test_stability_score_compares_the_cut_above_and_below():
    logits = np.array([[-3.0, -0.5, 0.5, 2.0, 3.0]])
    assert masks.stability_score(logits, 0.0, 1.0) == pytest.approx(2 / 4)
    assert masks.stability_score(logits, 0.0, 0.1) == 1
    assert masks.stability_score(logits - 9, 0.0, 1.0) == 0


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
    kept = masks.box_nms(boxes, scores, threshold).tolist()
    assert kept == naive_nms(boxes, scores, threshold)
    assert 0 < len(kept) <= 200


def test_nms_of_nothing_and_of_flat_boxes():
    assert masks.box_nms(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []
    flat = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [2, 1, 2, 9], [2, 1, 2, 9], [2, 1, 2, 8]])
    assert masks.box_nms(flat, np.arange(5), 0.5).tolist() == [4, 3, 1]


def test_small_holes_are_filled_and_small_islands_dropped():
    mask = rectangle((40, 40), 0, 0, 20, 20) | rectangle((40, 40), 30, 30, 33, 33)
    mask[5:8, 5:8] = False
    mask[12:18, 12:18] = False
    filled, changed = masks.remove_small_regions(mask, 10, "holes")
    assert changed
    assert filled.sum() == mask.sum() + 9
    dropped, changed = masks.remove_small_regions(mask, 10, "islands")
    assert changed
    assert dropped.sum() == mask.sum() - 9
    same, changed = masks.remove_small_regions(mask, 9, "islands")
    assert not changed
    np.testing.assert_array_equal(same, mask)


def test_the_largest_island_stays():
    mask = rectangle((20, 20), 0, 0, 2, 2) | rectangle((20, 20), 10, 10, 13, 13)
    left, changed = masks.remove_small_regions(mask, 1000, "islands")
    assert changed
    np.testing.assert_array_equal(left, rectangle((20, 20), 10, 10, 13, 13))


def test_remove_small_regions_knows_two_modes():
    with pytest.raises(ValueError, match="'blobs'"):
        masks.remove_small_regions(np.zeros((3, 3), bool), 1, "blobs")


def test_small_objects_lie_on_large_ones_and_zero_is_background():
    large, small = rectangle((20, 20), 0, 0, 12, 12), rectangle((20, 20), 3, 3, 6, 6)
    for order in ([large, small], [small, large]):
        labels = masks.to_labels([record(m) for m in order], (20, 20))
        assert labels.dtype == np.int32
        for k, mask in enumerate(order):
            own = mask & ~small if mask is large else mask
            np.testing.assert_array_equal(labels == k + 1, own)
        np.testing.assert_array_equal(labels == 0, ~large)


def test_a_small_object_that_sticks_out_of_a_large_one_stays_whole():
    large, small = rectangle((20, 20), 0, 0, 12, 12), rectangle((20, 20), 8, 8, 15, 15)
    labels = masks.to_labels([record(small), record(large)], (20, 20))
    np.testing.assert_array_equal(labels == 1, small)
    np.testing.assert_array_equal(labels == 2, large & ~small)


def test_no_object_is_lost():
    shape = (30, 30)
    rng = np.random.default_rng(1)
    twins = [rectangle(shape, 1, 1, 4, 4)] * 3
    covered = [
        rectangle(shape, 10, 10, 20, 20),
        rectangle(shape, 10, 10, 15, 20),
        rectangle(shape, 15, 10, 20, 20),
    ]
    others = []
    for _ in range(20):
        x, y = rng.integers(0, 24, 2)
        others.append(rectangle(shape, x, y, x + rng.integers(4, 6), y + rng.integers(4, 6)))
    every = twins + covered + others
    labels = masks.to_labels([record(m) for m in every], shape)
    assert set(np.unique(labels)) - {0} == set(range(1, len(every) + 1))
    np.testing.assert_array_equal(labels > 0, np.any(every, axis=0))
    for k, mask in enumerate(every):
        assert not ((labels == k + 1) & ~mask).any()


def test_no_masks_make_an_empty_label_image():
    labels = masks.to_labels([], (4, 5))
    assert labels.shape == (4, 5)
    assert not labels.any()


def test_boxes_at_the_edge_of_a_crop_but_not_of_the_image():
    boxes = np.array([[0, 0, 50, 50], [60, 60, 100, 100], [40, 40, 60, 60], [0, 0, 99, 99]], float)
    touched = masks.boxes_touch_edge(boxes, (0, 0, 100, 100), (200, 200), tolerance=5)
    assert touched.tolist() == [False, True, False, True]
    assert not masks.boxes_touch_edge(boxes, (0, 0, 100, 100), (100, 100), tolerance=5).any()
