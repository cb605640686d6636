"""Logits magnified to the plane, and moved between windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_sam.masks import iou
from napari_sam.predict.upsampling import NO_OBJECT, Upsampler, moved_logits
from napari_sam.types import MaskLogits

RNG = np.random.default_rng(0)
PLANE = (300, 400)
WHOLE = (-0.5, -0.5, 399.5, 299.5)


SIZES = [
    ((16, 16), (64, 64), (38, 64), (48, 80)),
    ((16, 16), (64, 64), (64, 64), (64, 64)),
    ((16, 16), (64, 64), (64, 3), (200, 9)),
    ((16, 16), (64, 64), (1, 64), (1, 3000)),
    ((24, 8), (96, 32), (90, 31), (23, 8)),
]


@pytest.mark.parametrize("sizes", SIZES)
def test_upsampler_is_torch_in_two_steps(sizes):
    low, padded, inner, full = sizes
    logits = torch.from_numpy(RNG.normal(size=(2, 3, *low)).astype(np.float32))
    large = F.interpolate(logits, padded, mode="bilinear", align_corners=False)
    cut = large[..., : inner[0], : inner[1]]
    expected = F.interpolate(cut, full, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(Upsampler.between(*sizes)(logits.numpy()), expected, atol=1e-5)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 1.5, 9.0])
def test_upsampling_within_loses_nothing_above_the_threshold(sizes, threshold):
    upsampler = Upsampler.between(*sizes)
    logits = RNG.normal(size=sizes[0]).astype(np.float32) - 1
    whole = upsampler(logits)
    part, fine = upsampler.within(logits, threshold)
    np.testing.assert_allclose(fine, whole[part], atol=1e-5)
    outside = np.ones(whole.shape, bool)
    outside[part] = False
    assert not (whole[outside] > threshold + 1e-5).any()


def test_upsampling_within_touches_only_a_part():
    logits = np.full((16, 16), -5.0, np.float32)
    logits[3:5, 10:12] = 5
    upsampler = Upsampler.between((16, 16), (64, 64), (64, 64), (128, 128))
    (rows, columns), fine = upsampler.within(logits, -1)
    assert fine.shape == (rows.stop - rows.start, columns.stop - columns.start)
    assert 16 <= fine.shape[0] <= 32
    assert 16 <= fine.shape[1] <= 32
    assert upsampler.within(logits, 6)[1].size == 0


def logits_of(frame, shape, centre=(150.0, 120.0), radius=30.0):
    """Return logits of a disc (x, y) of the plane: its signed distance, a quarter a pixel."""
    x0, y0, x1, y1 = frame
    x = x0 + (np.arange(shape[1]) + 0.5) * (x1 - x0) / shape[1]
    y = y0 + (np.arange(shape[0]) + 0.5) * (y1 - y0) / shape[0]
    distance = np.hypot(x[None] - centre[0], y[:, None] - centre[1])
    return MaskLogits((0.25 * (radius - distance)).astype(np.float32), frame)


def outline(logits):
    """Return the mask (H, W) of logits, by the cell nearest to each pixel."""
    x0, y0, x1, y1 = logits.frame
    h, w = logits.values.shape
    rows = np.floor((np.arange(PLANE[0]) - y0) * h / (y1 - y0)).astype(int)
    columns = np.floor((np.arange(PLANE[1]) - x0) * w / (x1 - x0)).astype(int)
    inside = ((rows >= 0) & (rows < h))[:, None] & ((columns >= 0) & (columns < w))
    values = logits.values[np.clip(rows, 0, h - 1)][:, np.clip(columns, 0, w - 1)]
    return inside & (values > 0)


@pytest.mark.parametrize("window", [(89.5, 59.5, 217.5, 187.5), (100.5, 80.5, 300.5, 260.5)])
def test_logits_moved_to_a_window_and_back_keep_the_outline(window):
    y, x = np.mgrid[: PLANE[0], : PLANE[1]]
    truth = np.hypot(x - 150, y - 120) < 30
    fine = logits_of(window, (128, 128))
    coarse = MaskLogits(moved_logits(fine, WHOLE, (75, 100)), WHOLE)
    back = MaskLogits(moved_logits(coarse, window, (128, 128)), window)
    assert iou(outline(fine), truth) > 0.95
    assert iou(outline(coarse), truth) > 0.9  # cells of 4 pixels
    assert iou(outline(back), outline(fine)) > 0.95
    again = MaskLogits(moved_logits(back, WHOLE, (75, 100)), WHOLE)
    assert iou(outline(again), outline(coarse)) > 0.95


def test_logits_keep_their_values_on_the_way():
    """Linear in x and y, they are exact wherever the target lies."""
    frame = (9.5, 19.5, 89.5, 69.5)
    x = 9.5 + (np.arange(40) + 0.5) * 2
    y = 19.5 + (np.arange(25) + 0.5) * 2
    logits = MaskLogits(np.float32(x[None] + 10 * y[:, None]), frame)
    moved = moved_logits(logits, (20.5, 25.5, 80.5, 65.5), (8, 30))
    expected_x = 20.5 + (np.arange(30) + 0.5) * 2
    expected_y = 25.5 + (np.arange(8) + 0.5) * 5
    np.testing.assert_allclose(moved, expected_x[None] + 10 * expected_y[:, None], rtol=1e-5)


def test_beyond_their_frame_logits_say_that_there_is_no_object():
    logits = MaskLogits(np.full((10, 10), 5, np.float32), (99.5, 99.5, 139.5, 139.5))
    moved = moved_logits(logits, WHOLE, (75, 100))
    inside = np.zeros((75, 100), bool)
    inside[25:35, 25:35] = True
    np.testing.assert_allclose(moved[inside], 5)
    assert (moved[~inside] == NO_OBJECT).all()
    assert (moved_logits(logits, (0, 0, 50, 50), (10, 10)) == NO_OBJECT).all()


def test_logits_of_the_same_frame_are_taken_as_they_are():
    logits = MaskLogits(RNG.normal(size=(75, 100)).astype(np.float32), WHOLE)
    assert moved_logits(logits, WHOLE, (75, 100)) is logits.values
    assert moved_logits(logits, WHOLE, (30, 40)).shape == (30, 40)


def test_larger_cells_hold_the_mean_of_those_they_cover():
    values = RNG.normal(size=(60, 80)).astype(np.float32)
    moved = moved_logits(MaskLogits(values, (0, 0, 80, 60)), (0, 0, 80, 60), (6, 8))
    np.testing.assert_allclose(moved, values.reshape(6, 10, 8, 10).mean((1, 3)), atol=1e-5)
