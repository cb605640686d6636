from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_sam.images import transforms
from napari_sam.images.transforms import (
    bilinear_matrix,
    scale_box,
    scale_points,
    scaled_size,
    to_rgb8,
)

DTYPES = ["u1", "i1", "<u2", ">u2", "<i2", "<u4", ">i4", "<u8", "<i8", "<f2", "<f4", ">f4", "<f8"]


def ramp(dtype):
    return np.linspace(0, 100, 64 * 64).reshape(64, 64).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_gives_the_same_grey_ramp(dtype):
    rgb = to_rgb8(ramp(dtype))
    assert rgb.shape == (64, 64, 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    expected = ramp("f8") / 100 * 255
    assert np.abs(rgb[..., 0] - expected).max() < 4  # 101 steps of 2.55, limits at 0.1 %
    assert (rgb == rgb[..., :1]).all()


def test_bool_becomes_black_and_white():
    plane = np.eye(5, dtype=bool)
    np.testing.assert_array_equal(to_rgb8(plane)[..., 1], np.eye(5) * 255)


def test_read_only_and_memory_mapped_planes(tmp_path):
    plane = ramp("f4")
    expected = to_rgb8(plane)
    plane.flags.writeable = False
    np.testing.assert_array_equal(to_rgb8(plane), expected)
    np.save(tmp_path / "plane.npy", plane)
    mapped = np.load(tmp_path / "plane.npy", mmap_mode="r")
    np.testing.assert_array_equal(to_rgb8(mapped), expected)


def test_nan_and_infinity_take_the_limits():
    plane = ramp("f4")
    plane[0, :4] = [np.nan, np.inf, -np.inf, 50]
    rgb = to_rgb8(plane)
    assert rgb[0, 0, 0] == 0
    assert rgb[0, 1, 0] == 255
    assert rgb[0, 2, 0] == 0
    assert abs(int(rgb[0, 3, 0]) - 128) <= 1


@pytest.mark.parametrize("value", [0, 7.5, np.nan, np.inf])
def test_a_plane_of_one_value_is_black(value):
    assert not to_rgb8(np.full((4, 6), value, np.float32)).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_small_and_oblong_planes(shape):
    plane = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    assert to_rgb8(plane).shape == (*shape, 3)


def test_one_hot_pixel_does_not_flatten_the_plane():
    plane = ramp("f4")
    plane[5, 5] = 1e6
    rgb = to_rgb8(plane)
    assert rgb[5, 5, 0] == 255
    assert np.ptp(rgb[10:, :, 0]) > 200


def test_a_few_bright_pixels_on_a_flat_plane_stay_visible():
    plane = np.zeros((100, 100), np.uint16)
    plane[3, 4] = 9
    rgb = to_rgb8(plane)
    assert rgb[3, 4, 0] == 255
    assert rgb.sum() == 3 * 255


def test_contrast_limits_are_black_and_white():
    plane = np.array([[0.0, 10.0, 15.0, 20.0, 90.0]])
    np.testing.assert_array_equal(to_rgb8(plane, (10, 20))[0, :, 0], [0, 0, 128, 255, 255])


@pytest.mark.parametrize("limits", [(5, 5), (6, 5), (np.nan, 5)])
def test_contrast_limits_must_rise(limits):
    with pytest.raises(ValueError, match="must rise"):
        to_rgb8(ramp("f4"), limits)


def test_eight_bit_colours_are_taken_as_they_are_and_opacity_is_left_out():
    rgba = np.random.default_rng(0).integers(0, 99, (6, 7, 4)).astype(np.uint8)
    np.testing.assert_array_equal(to_rgb8(rgba), rgba[..., :3])


def test_colours_are_stretched_together():
    plane = np.zeros((10, 10, 3), np.uint16)
    plane[..., 1] = 500
    plane[..., 2] = 1000
    assert to_rgb8(plane)[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((0, 5)),
        np.zeros((5, 0)),
        np.zeros((5, 5, 0)),
        np.zeros(5),
        np.zeros((2, 2, 2, 2)),
        np.zeros((4, 4), complex),
        np.zeros((4, 4), object),
        np.full((4, 4), "a"),
        np.zeros((4, 4), "M8[s]"),
    ],
    ids=lambda plane: f"{plane.dtype}{plane.shape}",
)
def test_what_is_no_real_plane_is_refused(plane):
    with pytest.raises(ValueError, match="plane"):
        to_rgb8(plane)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), (4, 4)),
        ((1, 3000), (1, 512)),
        ((100, 200), (256, 512)),
        ((50, 100), (200, 400)),
        ((2000, 1000), (512, 256)),
    ],
)
def test_scaled_size(size, expected):
    assert scaled_size(size, 512, 4.0) == expected


def test_resize_keeps_a_constant_and_the_mean():
    rgb = np.full((30, 50, 3), 93, np.uint8)
    assert (transforms.resize(rgb, (64, 17)) == 93).all()
    checks = ((np.indices((64, 64)).sum(0) % 2) * 255).astype(np.uint8)
    small = transforms.resize(np.repeat(checks[..., None], 3, 2), (16, 16))
    assert abs(small[4:-4, 4:-4].mean() - 127.5) < 2  # anti-aliased, not sampled


def test_resize_to_the_same_size_changes_nothing():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    np.testing.assert_array_equal(transforms.resize(rgb, (5, 6)), rgb)


def test_points_are_multiplied_as_in_the_published_model():
    points = np.array([[0.0, 0.0], [10.0, 4.0]])
    moved = scale_points(points, (100, 50), (200, 25))
    np.testing.assert_allclose(moved, [[0, 0], [5, 8]])


def test_half_pixel_points_keep_the_outer_edges():
    corners = np.array([[-0.5, -0.5], [49.5, 99.5]])
    moved = scale_points(corners, (100, 50), (200, 25), half_pixel=True)
    np.testing.assert_allclose(moved, [[-0.5, -0.5], [24.5, 199.5]])


def test_boxes_cover_the_same_pixels_after_scaling():
    box = np.array([0.0, 10.0, 9.0, 19.0])
    np.testing.assert_allclose(scale_box(box, (20, 20), (40, 40), half_pixel=True), [0, 20, 19, 39])
    np.testing.assert_allclose(scale_box(box, (20, 20), (40, 40)), [0, 20, 18, 38])


@pytest.mark.parametrize(
    ("source", "target"), [(1, 7), (2, 3), (5, 13), (16, 64), (64, 30), (9, 9)]
)
def test_bilinear_matrix_is_torch_interpolate(source, target):
    values = torch.randn(1, 1, source, 1, generator=torch.Generator().manual_seed(source))
    expected = F.interpolate(values, (target, 1), mode="bilinear", align_corners=False)
    matrix = bilinear_matrix(source, target)
    np.testing.assert_allclose(matrix @ values[0, 0].numpy(), expected[0, 0].numpy(), atol=1e-5)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
