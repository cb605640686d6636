"""Masks beside what the same does with arrays of the plane's size, on many small planes."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_masks import drawn, rectangle
from scipy import ndimage

from napari_sam import masks
from napari_sam.masks import cleanup
from napari_sam.types import Mask, MaskRecord

SEEDS = range(300)


def record(mask, score=0.9):
    x0, y0 = masks.box_of(mask)[:2].tolist()
    h, w = mask.shape
    return MaskRecord(Mask.of(mask), score, 0.9, (x0, y0), (0, 0, w, h))


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
    assert masks.to_rle(Mask.of(mask)) == rle


def test_run_lengths_come_from_the_box_alone():
    for seed in SEEDS:
        mask = drawn(seed)
        rle = masks.to_rle(Mask.of(mask))
        assert rle == {"size": list(mask.shape), "counts": naive_rle(mask)}, seed
        np.testing.assert_array_equal(masks.from_rle(rle), mask, err_msg=f"{seed}")


def test_box_of_is_tight_and_inclusive():
    assert masks.box_of(rectangle((20, 30), 4, 5, 9, 7)).tolist() == [4, 5, 8, 6]
    with pytest.raises(ValueError, match="empty"):
        masks.box_of(np.zeros((3, 3), bool))


def test_middle_of_lies_deepest():
    mask = rectangle((40, 40), 0, 0, 40, 5) | rectangle((40, 40), 10, 10, 31, 31)
    assert masks.middle_of(mask) == (20, 20)
    assert masks.middle_of(Mask.of(mask)) == (20, 20)
    assert masks.middle_of(np.zeros((3, 3), bool)) == (0, 0)


def naive_middle(mask):
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), mask.shape)
    return (float(column), float(row)), depth[row, column]


def test_deepest_places_are_those_of_the_whole_plane():
    for seed in SEEDS:
        truth = drawn(seed)
        answer = drawn(seed + 1000, truth.shape)
        assert masks.middle_of(Mask.of(truth)) == naive_middle(truth)[0], seed
        missed, wrong = naive_middle(truth & ~answer), naive_middle(answer & ~truth)
        expected = (missed[0], 1) if missed[1] >= wrong[1] else (wrong[0], 0)
        if not (truth ^ answer).any():
            expected = None
        assert masks.worst_click(truth, answer) == expected, seed
        assert masks.worst_click(Mask.of(truth), Mask.of(answer)) == expected, seed


def pieces():
    """Return a body with a small and a large hole, and a small and a large piece beside it."""
    mask = rectangle((60, 60), 5, 5, 35, 35)
    mask[10, 10:13] = False  # 3 of some 900 pixels
    mask[20:28, 20:28] = False
    return mask, rectangle((60, 60), 40, 5, 43, 8), rectangle((60, 60), 40, 20, 55, 40)


NONE = (np.zeros((0, 2)), np.zeros(0, int))


def tidied(mask, points, labels):
    """Tidy an array."""
    found = masks.tidied(Mask.of(mask), points, labels)
    assert found.size == mask.shape
    return np.asarray(found)


def test_a_click_says_which_piece_is_the_object():
    body, small, large = pieces()
    clean = body.copy()
    clean[10, 10:13] = True
    everything = body | small | large
    for point in ((7, 7), (4, 20)):  # on it, and a pixel beside it
        found = tidied(everything, np.array([point], float), np.array([1]))
        np.testing.assert_array_equal(found, clean)
    both = tidied(everything, np.array([(7.2, 6.8), (41, 6)]), np.array([1, 1]))
    np.testing.assert_array_equal(both, clean | small)
    beyond = tidied(everything, np.array([(-3.0, 200.0)]), np.array([1]))
    np.testing.assert_array_equal(beyond, clean | large)


def test_without_a_click_pieces_much_smaller_than_the_largest_go():
    body, small, large = pieces()
    found = tidied(body | small | large, *NONE)
    np.testing.assert_array_equal(found[:, 36:], large[:, 36:])
    assert found[10, 11]


def test_large_holes_and_those_that_were_clicked_stay():
    body, *_ = pieces()
    kept = tidied(body, np.array([(11, 10)]), np.array([0]))
    np.testing.assert_array_equal(kept, body)
    ring = rectangle((9, 9), 0, 0, 9, 9) & ~rectangle((9, 9), 3, 3, 6, 6)  # reaches the border
    np.testing.assert_array_equal(tidied(ring, *NONE), ring)
    empty = np.zeros((4, 4), bool)
    np.testing.assert_array_equal(tidied(empty, *NONE), empty)


def naive_tidied(mask, points, labels):
    """The same with arrays (H, W) throughout."""
    if not mask.any():
        return mask
    places = np.rint(points).astype(int)

    def touched(regions, wanted):
        found = set()
        for x, y in places[wanted]:
            near = regions[max(y - 1, 0) : max(y + 2, 0), max(x - 1, 0) : max(x + 2, 0)]
            found |= set(near[near > 0].tolist())
        return found

    own = mask
    pieces, count = ndimage.label(own, np.ones((3, 3)))
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        kept = touched(pieces, labels == 1)
        kept = kept or set(np.flatnonzero(sizes > cleanup.PIECE * sizes.max()).tolist())
        own = np.isin(pieces, list(kept))
    holes, _ = ndimage.label(~np.pad(own, 1))
    outside = holes[0, 0]
    sizes = np.bincount(holes.ravel())
    small = set(np.flatnonzero(sizes <= cleanup.HOLE * own.sum()).tolist()) - {0, int(outside)}
    places = places + 1
    small -= touched(holes, labels == 0)
    return own | np.isin(holes, list(small))[1:-1, 1:-1]


def test_tidied_is_that_of_whole_planes(monkeypatch):
    monkeypatch.setattr(cleanup, "HOLE", 0.2)  # the planes are small, and so are their objects
    for seed in SEEDS:
        mask = drawn(seed)
        rng = np.random.default_rng(seed)
        count = int(rng.integers(0, 4))
        points = rng.uniform(-2, np.array(mask.shape[::-1]) + 1, (count, 2))
        given = mask, points, rng.integers(0, 2, count)
        np.testing.assert_array_equal(tidied(*given), naive_tidied(*given), err_msg=f"{seed}")


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


def test_iou_is_that_of_whole_planes():
    for seed in SEEDS:
        a = drawn(seed)
        b = drawn(seed + 1000, a.shape)
        assert masks.shared_pixels(Mask.of(a), Mask.of(b)) == (a & b).sum(), seed
        expected = (a & b).sum() / (a | b).sum() if (a | b).any() else 1.0
        for one in (a, Mask.of(a)):
            for other in (b, Mask.of(b)):
                assert masks.iou(one, other) == pytest.approx(expected), seed


def test_stability_score_compares_the_cut_above_and_below():
    logits = np.array([[-3.0, -0.5, 0.5, 2.0, 3.0]])
    assert masks.stability_score(logits, 0.0, 1.0) == pytest.approx(2 / 4)
    assert masks.stability_score(logits, 0.0, 0.1) == 1
    assert masks.stability_score(logits - 9, 0.0, 1.0) == 0


def cleaned(mask, area, mode):
    """Clean an array."""
    found, changed = masks.remove_small_regions(Mask.of(mask), area, mode)
    assert found.size == mask.shape
    return np.asarray(found), changed


def test_small_holes_are_filled_and_small_islands_dropped():
    mask = rectangle((40, 40), 0, 0, 20, 20) | rectangle((40, 40), 30, 30, 33, 33)
    mask[5:8, 5:8] = False
    mask[12:18, 12:18] = False
    filled, changed = cleaned(mask, 10, "holes")
    assert changed
    assert filled.sum() == mask.sum() + 9
    dropped, changed = cleaned(mask, 10, "islands")
    assert changed
    assert dropped.sum() == mask.sum() - 9
    same, changed = cleaned(mask, 9, "islands")
    assert not changed
    np.testing.assert_array_equal(same, mask)


def test_the_largest_island_stays():
    mask = rectangle((20, 20), 0, 0, 2, 2) | rectangle((20, 20), 10, 10, 13, 13)
    left, changed = cleaned(mask, 1000, "islands")
    assert changed
    np.testing.assert_array_equal(left, rectangle((20, 20), 10, 10, 13, 13))


def test_remove_small_regions_knows_two_modes():
    with pytest.raises(ValueError, match="'blobs'"):
        cleaned(np.zeros((3, 3), bool), 1, "blobs")


def naive_regions(mask, area, mode):
    """The published SAM's way, with arrays (H, W)."""
    holes = mode == "holes"
    regions, count = ndimage.label(mask ^ holes, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel())
    small = [k for k in range(1, count + 1) if sizes[k] < area]
    if not small:
        return mask, False
    if holes:
        return mask | np.isin(regions, small), True
    kept = [k for k in range(1, count + 1) if k not in small] or [1 + np.argmax(sizes[1:])]
    return np.isin(regions, kept), True


@pytest.mark.parametrize("mode", ["holes", "islands"])
@pytest.mark.parametrize("area", [1, 2, 5, 12, 40])
def test_regions_are_those_of_whole_planes(area, mode):
    """Masks reach one edge, several and none; some planes are smaller than the area."""
    for seed in SEEDS:
        mask = drawn(seed)
        if mode == "islands" and not mask.any():
            continue
        expected, changed = naive_regions(mask, area, mode)
        if mode == "holes" and not mask.any():
            expected, changed = mask, False  # an empty mask has no hole
        found = cleaned(mask, area, mode)
        np.testing.assert_array_equal(found[0], expected, err_msg=f"{seed}")
        assert found[1] == changed, seed


def test_nothing_of_the_planes_size_is_made_for_a_mask(monkeypatch):
    def refuse(self, dtype=None, copy=None):
        raise AssertionError("a whole plane")

    mask = Mask.of(np.pad(drawn(5), 3), (70_000, 90_000), (100_000, 100_000))
    monkeypatch.setattr(Mask, "__array__", refuse)
    for mode in ("holes", "islands"):
        masks.remove_small_regions(mask, 9, mode)
    masks.tidied(mask, np.array([[70_005.0, 90_005.0]]), np.array([1]))
    masks.middle_of(mask)
    assert masks.iou(mask, mask) == 1
    assert sum(masks.to_rle(mask)["counts"]) == 10**10


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


def test_masks_are_painted_like_records():
    large, small = rectangle((20, 20), 0, 0, 12, 12), rectangle((20, 20), 3, 3, 6, 6)
    painted = masks.to_labels([Mask.of(large), Mask.of(small)], (20, 20))
    recorded = masks.to_labels([record(large), record(small)], (20, 20))
    np.testing.assert_array_equal(painted, recorded)
    empty = Mask.of(large & ~large)
    np.testing.assert_array_equal(masks.to_labels([Mask.of(large), empty], (20, 20)), large)


def test_no_masks_make_an_empty_label_image():
    labels = masks.to_labels([], (4, 5))
    assert labels.shape == (4, 5)
    assert not labels.any()


def random_labels(seed, shape=(23, 17)):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 5, (6, 5)) * rng.choice([1, 7, 1000])
    return np.kron(coarse, np.ones((4, 4), int))[: shape[0], : shape[1]]


@pytest.mark.parametrize("seed", range(20))
def test_overlap_counts_are_those_of_the_naive_loops(seed):
    a, b = random_labels(seed), np.roll(random_labels(seed + 100), 2, 1)
    for dtype in (np.int32, np.int64, np.uint16):
        rows, columns, counts = masks.overlap_counts(a.astype(dtype), b.astype(dtype))
        np.testing.assert_array_equal(rows, np.unique(a))
        np.testing.assert_array_equal(columns, np.unique(b))
        expected = [[((a == i) & (b == j)).sum() for j in columns] for i in rows]
        np.testing.assert_array_equal(counts.toarray(), expected)
    assert counts.sum() == a.size


def test_overlap_counts_of_other_layouts_and_of_nothing():
    a, b = random_labels(1), random_labels(2)
    plain = masks.overlap_counts(a, b)[2].toarray()
    np.testing.assert_array_equal(masks.overlap_counts(a.T, b.T)[2].toarray(), plain)
    a, b = (np.asfortranarray(labels) for labels in (a, b))
    np.testing.assert_array_equal(masks.overlap_counts(a, b)[2].toarray(), plain)
    assert masks.overlap_counts(a - 9, b)[0].min() < 0
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\)"):
        masks.overlap_counts(np.zeros((2, 3), int), np.zeros((3, 2), int))


@pytest.mark.parametrize("seed", range(20))
def test_labels_in_an_image(seed):
    image = random_labels(seed).astype(np.int32)
    found = masks.labels_in(image)
    np.testing.assert_array_equal(found, np.unique(image[image > 0]))
    assert found.dtype == np.int32
    assert masks.labels_in(image * 0).tolist() == []
    assert masks.labels_in(image[:0]).tolist() == []


def test_pieces_below_an_area_are_left_out_and_what_lies_below_shows():
    whole, bar = np.zeros((12, 12), bool), np.zeros((12, 12), bool)
    whole[2:10, 2:10] = True
    bar[2:10, 3:8] = True
    bar[10, 0:2] = True  # a piece of its own
    labels = masks.to_labels([Mask.of(whole), Mask.of(bar)], (12, 12), min_area=9)
    assert np.bincount(labels.ravel())[1:].tolist() == [16, 40]  # strips of 8 and 16 pixels
    assert not labels[10].any()
    assert not labels[2:10, 2].any()
    few = masks.to_labels([Mask.of(whole), Mask.of(bar)], (12, 12), min_area=41)
    assert np.bincount(few.ravel())[1:].tolist() == [64]


def test_without_an_area_no_mask_is_lost_and_no_piece():
    spot = np.zeros((9, 9), bool)
    spot[4, 4:7] = True
    for area in (0, 1):
        assert masks.to_labels([spot, spot], (9, 9), area).max() == 2
    assert (masks.to_labels([spot], (9, 9), 3) > 0).sum() == 3
    assert not masks.to_labels([spot], (9, 9), 4).any()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: masks.to_labels([np.zeros((3, 4), bool)], (4, 4)), "has no place in"),
        (lambda: masks.to_labels([], (3,)), "two sides, whole numbers"),
        (lambda: masks.to_labels([], (-1, 4)), "too small or too large"),
        (lambda: masks.to_labels([np.zeros((3, 4))], (3, 4)), r"of float64"),
        (lambda: masks.iou(np.zeros((3, 4), bool), np.zeros((4, 4), bool)), "one plane"),
        (lambda: masks.worst_click(np.ones((3, 4), bool), np.ones(4, bool)), "is .H, W. of true"),
        (lambda: masks.box_of(np.zeros((2, 3, 4), bool)), "is .H, W. of true and false"),
        (lambda: masks.labels_in(np.zeros((3, 4))), "labels are integers, but these are float64"),
        (lambda: masks.overlap_counts(np.zeros(3), np.zeros(3, int)), "labels are integers"),
        (lambda: masks.stability_score(np.zeros((3, 4)), 0.0, -1.0), "the offset from 0 up"),
        (lambda: masks.from_rle({"size": [2, 2]}), "a dictionary of size"),
        (lambda: masks.from_rle({"size": [2, 2], "counts": [1, 2]}), "3 pixels, but 2 x 2"),
        (lambda: masks.from_rle({"size": [2, 2], "counts": [-1, 5]}), "not negative"),
        (lambda: masks.from_rle({"size": [2, 2], "counts": "02"}), "a dictionary of size"),
    ],
)
def test_what_is_no_mask_is_refused_in_a_sentence(call, text):
    with pytest.raises(ValueError, match=text):
        call()
