"""Limits where none are given: hot pixels, spots, noise, channels, large offsets, little memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_sam.images import contrast
from napari_sam.images.contrast import check_limits, measure
from napari_sam.images.transforms import contrast_of, to_rgb8

RNG = np.random.default_rng(0)


def noise(shape=(256, 256), sigma=2.0, seed=0):
    return np.random.default_rng(seed).normal(100, sigma, shape)


def spot(radius, value, **options):
    plane = noise(**options)
    y, x = np.ogrid[: plane.shape[0], : plane.shape[1]]
    disc = np.where((y - 100) ** 2 + (x - 150) ** 2 < radius**2, value - 100.0, 0)
    return plane + ndimage.gaussian_filter(disc, 1)


@pytest.mark.parametrize("radius", [3, 5, 7, 9, 15])
@pytest.mark.parametrize("dtype", ["u2", "i4", "u8", "f4"])
def test_a_small_bright_spot_is_white_and_the_noise_around_it_black(radius, dtype):
    rgb = to_rgb8(spot(radius, 4000).astype(dtype))
    assert rgb[100, 150, 0] > 240
    assert rgb[200:].max() < 3


def test_a_small_dark_spot_is_black_and_the_noise_around_it_white():
    rgb = to_rgb8(8000 - spot(5, 4000))
    assert rgb[100, 150, 0] < 15
    assert rgb[200:].min() > 250


def test_hot_pixels_beside_a_spot_do_not_flatten_it():
    plane = spot(5, 4000)
    plane[RNG.integers(0, 256, 20), RNG.integers(200, 256, 20)] = 60_000
    plane[20:22, 20:22] = 60_000
    assert to_rgb8(plane)[100, 150, 0] > 240


def test_hot_pixels_in_noise_do_not_flatten_it():
    plane = noise()
    plane[::50, ::50] = 60_000
    limits = contrast_of(plane)
    assert 90 < limits[0] < limits[1] < 110


def test_a_spot_on_a_flat_plane_is_seen_beside_a_hot_pixel():
    plane = np.zeros((512, 512), np.uint16)
    plane[100:108, 100:108] = 50
    plane[3, 3] = 9999
    assert to_rgb8(plane)[104, 104, 0] == 255


@pytest.mark.parametrize(
    "plane",
    [
        noise(),
        noise((96, 128)).round(),
        noise((16, 16)),
        noise(sigma=0.3).astype(np.uint8),
        RNG.poisson(0.1, (256, 256)),
        RNG.poisson(3.0, (256, 256)),
        255 * (RNG.random((256, 256)) < 0.02),
        noise() + np.linspace(0, 20, 256),
        noise((512, 512)) + 60 * np.hanning(512)[:, None] * np.hanning(512),
        np.where(np.arange(256) < 60, np.nan, noise()),
        np.full((40, 50), 7),
        np.zeros((20, 20), np.uint16),
    ],
)
def test_planes_of_noise_only_are_known_and_seen_over_the_range_that_is_given(plane):
    assert measure(plane).noise
    low, high = contrast_of(plane, reach=lambda: 3900.0)
    assert high == low + 3900
    assert contrast_of(plane)[1] < 500


@pytest.mark.parametrize("signal", [4, 10, 40])
def test_a_dim_plane_with_objects_keeps_its_own_stretch(signal):
    plane = noise()
    y, x = np.mgrid[:256, :256]
    for row, column in RNG.integers(20, 236, (8, 2)):
        plane += signal * ((y - row) ** 2 + (x - column) ** 2 < 144)
    limits = contrast_of(plane, reach=lambda: pytest.fail("this is no noise"))
    np.testing.assert_allclose(limits, np.percentile(plane, (0.1, 99.9)), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">i2"])
def test_percentiles_of_small_integers_are_those_of_numpy(dtype):
    info = np.iinfo(dtype)
    plane = RNG.integers(info.min, info.max, (64, 100), endpoint=True).astype(dtype)
    found = contrast._percentiles(plane)
    np.testing.assert_allclose(found, np.percentile(plane, (0.1, 1, 99, 99.9)))


@pytest.mark.parametrize(
    ("dtype", "offset"),
    [
        ("i4", 2**31 - 200),
        ("i4", -(2**31)),
        ("u4", 2**32 - 200),
        ("u8", 2**64 - 200),
        ("i8", 2**63 - 200),
        ("i8", -(2**63)),
        ("f8", 10**9),
    ],
)
def test_a_large_offset_costs_no_contrast(dtype, offset):
    ramp = np.linspace(0, 100, 64 * 64).reshape(64, 64).astype(np.int64)
    plane = np.array([offset + int(v) for v in ramp.ravel()], dtype).reshape(64, 64)
    np.testing.assert_array_equal(to_rgb8(plane), to_rgb8(ramp))
    np.testing.assert_array_equal(to_rgb8(plane, (offset, offset + 100)), to_rgb8(ramp, (0, 100)))


def test_the_whole_range_of_64_bits_is_stretched():
    plane = np.array([[-(2**63), 0, 2**63 - 1]])
    assert to_rgb8(plane)[0, :, 0].tolist() == pytest.approx([0, 128, 255], abs=1)
    largest = np.finfo(float).max
    assert to_rgb8(np.array([[-largest, 0, largest]]))[0, :, 0].tolist() == pytest.approx(
        [0, 128, 255], abs=1
    )


@pytest.mark.parametrize(
    "limits",
    [(0, np.inf), (-np.inf, 5), (np.nan, 5), (5, 4), (5, 5), (1,), (1, 2, 3), "ab", 7, None],
)
def test_limits_that_are_no_two_rising_numbers_are_refused(limits):
    with pytest.raises(ValueError, match="contrast limits"):
        check_limits(limits)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((2000, 2000), "u2"), ((1200, 1200, 3), "u2"), ((1500, 1500), "f8"), ((3, 900_000), "f4")],
)
def test_it_takes_few_bytes_a_pixel(shape, dtype):
    plane = (RNG.random(shape) * 200).astype(dtype)
    tracemalloc.start()
    to_rgb8(plane)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    fixed = 40e6  # of the sample of a million values and its local means, at any size
    assert peak < 5 * shape[0] * shape[1] + fixed


def planes(dtypes):
    shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9)
    return hnp.arrays(dtypes, shapes)


ANYTHING = st.one_of(
    planes(hnp.scalar_dtypes()),
    planes(hnp.array_dtypes(max_size=2)),
    hnp.arrays(object, (2, 3), elements=st.none()),
    st.lists(st.lists(st.integers() | st.floats())),
)
LIMITS = st.none() | st.tuples(st.floats() | st.integers(), st.floats() | st.integers())
CHANNELS = st.none() | st.lists(st.integers(-2, 9), max_size=4)


@given(ANYTHING, LIMITS, CHANNELS)
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_array_gives_a_picture_or_one_sentence(plane, limits, channels):
    try:
        rgb = to_rgb8(plane, limits, channels)
    except ValueError:
        return
    assert rgb.shape == (*np.shape(plane)[:2], 3)
    assert rgb.dtype == np.uint8


@given(planes(hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.floating_dtypes()))
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
def test_limits_of_any_plane_rise_and_make_the_same_picture(plane):
    if plane.ndim != 2 or 0 in plane.shape:
        return
    limits = contrast_of(plane)
    if limits is None:
        assert not np.isfinite(plane.astype(float)).any()
        return
    assert check_limits(limits) == limits
    np.testing.assert_array_equal(to_rgb8(plane), to_rgb8(plane, limits))


@pytest.mark.parametrize("column", [0, 128, 255])
@pytest.mark.parametrize("value", [-60_000.0, 60_000.0])
@pytest.mark.parametrize("turned", [False, True])
def test_a_hot_column_or_row_does_not_flatten_a_dim_object(column, value, turned):
    plane = spot(40, 120)
    plane[:, column] = value
    rgb = to_rgb8(plane.T if turned else plane)[..., 0]
    rgb = rgb.T if turned else rgb
    assert float(np.median(rgb[90:110, 140:160])) - float(np.median(rgb[200:])) > 120


def test_hot_pixels_beyond_the_percentile_do_not_flatten_a_dim_object():
    plane = spot(40, 120)
    plane[np.random.default_rng(3).random(plane.shape) < 0.004] = 60_000
    rgb = to_rgb8(plane)[..., 0]
    assert float(np.median(rgb[90:110, 140:160])) - float(np.median(rgb[200:])) > 120
