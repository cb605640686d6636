"""Where prompts are answered, in numpy alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_sam.models.pocket_windows import (
    LARGEST,
    OUTSIDE,
    WINDOW,
    PromptBatch,
    ScaleAnswers,
    at_half,
    cells,
    choose_scales,
    find_extent,
    in_windows,
    merge,
    outline_boxes,
)

FRAME = (512, 384)  # (h, w)
GRID = (128, 96)
CLICKS = PromptBatch(np.float32([[[10, 20]], [[300, 500]]]), np.ones((2, 1), np.int64))


def outline(*corners):
    """Return logits (P, *GRID) that mark the cells of one box each, (x0, y0, x1, y1)."""
    logits = np.full((len(corners), *GRID), -5, np.float32)
    for part, (x0, y0, x1, y1) in zip(logits, corners, strict=True):
        part[y0 : y1 + 1, x0 : x1 + 1] = 2
    return logits


def extents(prompts):
    return np.concatenate(find_extent(prompts), axis=1).tolist()


def test_outlines_have_boxes_in_pixels():
    logits = outline((3, 4, 5, 9), (0, 0, 95, 127), (7, 7, 6, 6))
    found = outline_boxes(logits)
    np.testing.assert_array_equal(found[:2], [(12, 16, 23, 39), (0, 0, 383, 511)])
    assert np.isnan(found[2]).all()


def test_object_points_boxes_and_outlines_say_where_a_prompt_is():
    coords = np.float32([[(10, 20), (90, 5), (200, 300)]])
    labels = np.array([[1, 0, 1]])
    points = PromptBatch(coords, labels)
    assert extents(points) == [[10, 20, 200, 300]]
    box = np.float32([[50, 60, 250, 70]])
    assert extents(points._replace(boxes=box)) == [[10, 20, 250, 300]]
    marked = outline((0, 100, 1, 101))
    for name in ("mask_input", "guide_logits"):
        assert extents(points._replace(**{name: marked})) == [[0, 20, 200, 407]]
    both = points._replace(mask_input=marked, guide_logits=outline((95, 127, 95, 127)))
    assert extents(both) == [[0, 20, 200, 407]]  # the answer before, not the earlier plane


def test_background_points_say_it_where_nothing_else_does():
    coords = np.float32([[(10, 20), (90, 5)]])
    assert extents(PromptBatch(coords, np.array([[0, 0]]))) == [[10, 5, 90, 20]]
    assert extents(PromptBatch(coords, np.array([[-1, -1]]))) == [[0, 0, 0, 0]]
    marked = PromptBatch(coords, np.array([[0, -1]]), None, outline((2, 2, 2, 2)))
    assert extents(marked) == [[8, 8, 11, 11]]


def scales(prompts, frame=512):
    return tuple(part.tolist() for part in choose_scales(prompts, find_extent(prompts), frame))


def test_a_click_is_answered_at_both_scales_and_what_says_its_size_at_one():
    assert scales(CLICKS) == ([True, True], [True, True])
    boxes = np.float32([[5, 5, 5 + LARGEST, 50], [5, 5, 5 + LARGEST + 1, 50]])
    boxed = PromptBatch(np.zeros((2, 1, 2), np.float32), np.full((2, 1), -1), boxes)
    assert scales(boxed) == ([True, False], [False, True])
    assert scales(boxed, WINDOW) == ([True, True], [False, False])
    for name in ("mask_input", "guide_logits"):
        marked = CLICKS._replace(**{name: outline((0, 0, 4, 6), (9, 9, 8, 8))})
        assert scales(marked) == ([True, True], [False, True])


def test_windows_lie_in_the_frame_and_begin_at_cells():
    coords = np.float32([[(0, 0)], [(383, 511)], [(200, 250)], [(383, 505)]])
    maps = np.random.default_rng(0).normal(size=(4, *GRID)).astype(np.float32)
    prompts = PromptBatch(coords, np.ones((4, 1), np.int64), None, maps, maps + 1)
    span = coords[:, 0], coords[:, 0]
    placed = in_windows(prompts, span, FRAME)
    np.testing.assert_array_equal(placed.size, (256, 256))
    starts = placed.starts[placed.owner]
    assert len(placed.starts) == 3  # two prompts share one
    np.testing.assert_array_equal(starts, [(0, 0), (128, 256), (64, 128), (128, 256)])
    np.testing.assert_array_equal(placed.prompts.coords[:, 0], coords[:, 0] - starts)
    for k, (x, y) in enumerate(starts // 4):
        window = maps[k, y : y + 64, x : x + 64]
        np.testing.assert_array_equal(placed.prompts.mask_input[k], window)
        np.testing.assert_array_equal(placed.prompts.guide_logits[k], window + 1)
    small = in_windows(CLICKS, find_extent(CLICKS), (64, 128))
    np.testing.assert_array_equal(small.size, (128, 64))
    np.testing.assert_array_equal(small.starts, [(0, 0)])


def test_points_beyond_a_window_are_left_out():
    coords = np.float32([[(100, 100), (255.5, 10), (255.6, 10)]])
    placed = in_windows(PromptBatch(coords, np.array([[1, 0, 0]])), (coords[:, 0],) * 2, FRAME)
    np.testing.assert_array_equal(placed.starts, [(0, 0)])
    np.testing.assert_array_equal(placed.prompts.labels, [(1, 0, -1)])


@pytest.mark.parametrize("grid", [(64, 48), (72, 56)])
def test_outlines_at_half_the_size_are_means_continued_at_the_far_ends(grid):
    maps = np.random.default_rng(0).normal(size=(2, *GRID)).astype(np.float32)
    boxes = np.float32([[3, 4, 10, 12]] * 2)
    placed = at_half(CLICKS._replace(boxes=boxes, mask_input=maps, guide_logits=-maps), grid)
    means = F.avg_pool2d(torch.from_numpy(maps)[None], 2)
    missing = (0, grid[1] - 48, 0, grid[0] - 64)
    wanted = F.pad(means, missing, mode="replicate")[0].numpy()
    np.testing.assert_array_equal(placed.prompts.mask_input, wanted)
    np.testing.assert_array_equal(placed.prompts.guide_logits, -wanted)
    np.testing.assert_array_equal(placed.prompts.coords, (CLICKS.coords + 0.5) / 2 - 0.5)
    np.testing.assert_array_equal(placed.prompts.boxes, (boxes + 0.5) / 2 - 0.5)
    np.testing.assert_array_equal(placed.size, (4 * grid[1], 4 * grid[0]))
    np.testing.assert_array_equal(placed.owner, [0, 0])


def test_maps_of_numpy_and_torch_are_cut_alike():
    maps = np.arange(2 * 32 * 24).reshape(2, 32, 24)
    index = cells(np.array([32, 64]), np.array([64, 48]), 8)
    np.testing.assert_array_equal(maps[index], maps[:, 8:14, 4:12])
    np.testing.assert_array_equal(torch.from_numpy(maps)[index], maps[index])


def answers(chosen, scores, side, value):
    """Return answers of 4 masks: mask k of prompt p is `value + 10 * p + k` everywhere."""
    count = sum(chosen)
    logits = value + 10 * np.arange(count)[:, None] + np.arange(4)
    maps = np.broadcast_to(logits[..., None, None], (count, 4, side, side)).astype(np.float32)
    iou = np.float32(scores)[:, None] - np.float32([0, 0.1, 0.2, 0.3])
    return ScaleAnswers(np.array(chosen), maps, iou, np.float32(scores))


def double(maps):
    return maps.repeat(2, axis=-1).repeat(2, axis=-2)


def test_the_scale_that_scores_higher_is_kept():
    placed = in_windows(CLICKS, find_extent(CLICKS), (512, 480))
    window = answers([True, True, False], [0.5, 0.8], 64, 100)
    half = answers([True, False, True], [0.6, 0.1], 64, 500)
    grid = (128, 120)
    for masks in (slice(1, None), slice(0, 1)):
        logits, iou, presence = merge((window, placed), half, grid, masks, double)
        which = np.arange(4)[masks]
        assert logits.shape == (3, len(which), *grid)
        np.testing.assert_array_equal(presence, np.float32([0.6, 0.8, 0.1]))
        kept = np.stack([half.iou[0], window.iou[1], half.iou[1]])
        np.testing.assert_array_equal(iou, kept[:, masks])
        np.testing.assert_array_equal(logits[0, :, 0, 0], 500 + which)
        np.testing.assert_array_equal(logits[2, :, -1, -1], 510 + which)
        x, y = placed.starts[placed.owner][1] // 4
        np.testing.assert_array_equal(logits[1, :, y, x], 110 + which)
        assert (logits[1] == OUTSIDE).sum() == len(which) * (128 * 120 - 64 * 64)
