"""Channels: none is dropped silently, each is stretched by itself, noise stays dark."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.images.channels import channels_of, channels_text, check_channels
from napari_sam.images.transforms import contrast_of, to_rgb8


def noise(seed, offset=100):
    return np.random.default_rng(seed).normal(offset, 2, (96, 128))


def with_square(seed, value, top):
    plane = noise(seed)
    plane[top : top + 20, 30:60] = value
    return plane


def stacked(*channels):
    return np.stack(channels, axis=-1).astype(np.uint16)


@pytest.mark.parametrize("count", [2, 4, 5, 8])
def test_an_object_in_the_last_channel_is_seen(count):
    plane = stacked(*(noise(k) for k in range(count - 1)), with_square(9, 4000, 20))
    rgb = to_rgb8(plane, channels=range(count))
    assert rgb[30, 45].max() > 240
    assert rgb[60:].max() < 5  # noise of the other channels stays dark


def test_a_dim_channel_is_seen_beside_a_bright_one():
    plane = stacked(with_square(0, 60_000, 10), with_square(1, 150, 60))
    rgb = to_rgb8(plane, channels=(0, 1))
    assert rgb[20, 45, 0] > 240
    assert rgb[70, 45, 1] > 220
    assert not rgb[..., 2].any()


def test_noise_with_a_high_offset_stays_dark():
    plane = stacked(noise(0, 3000), with_square(1, 4000, 10), noise(2), noise(3))
    rgb = to_rgb8(plane, channels=range(4))
    assert rgb[60:].max() < 5
    assert rgb[20, 45].min() > 240


def test_two_or_three_channels_are_red_green_and_blue_and_one_is_grey():
    plane = np.zeros((4, 6, 5), np.uint8)
    plane[0, 0, 1] = plane[1, 1, 2] = plane[2, 2, 4] = 200
    three = to_rgb8(plane, channels=(4, 2, 1))
    assert three[2, 2].tolist() == [255, 0, 0]
    assert three[1, 1].tolist() == [0, 255, 0]
    assert three[0, 0].tolist() == [0, 0, 255]
    assert to_rgb8(plane, channels=(2,))[1, 1].tolist() == [255, 255, 255]
    every = to_rgb8(plane)
    assert all(every[k, k].tolist() == [255] * 3 for k in range(3))


def test_limits_of_channels_are_given_one_by_one_or_for_all():
    plane = np.tile(np.array([0.0, 50.0, 100.0])[:, None, None], (1, 2, 2))
    assert to_rgb8(plane, ((0, 100), (50, 100)), (0, 1))[1, 0].tolist() == [128, 0, 0]
    assert to_rgb8(plane, (0, 50), (0, 1))[1, 0].tolist() == [255, 255, 0]
    with pytest.raises(ValueError, match="2 channels need 2 contrast limits, not 3"):
        to_rgb8(plane, ((0, 1),) * 3, (0, 1))
    limits = contrast_of(plane, (1,))
    assert len(limits) == 1
    np.testing.assert_array_equal(to_rgb8(plane, limits, (1,)), to_rgb8(plane, None, (1,)))


def test_a_channel_without_a_finite_value_is_black():
    plane = np.stack([np.full((5, 5), np.nan), np.arange(25.0).reshape(5, 5)], -1)
    rgb = to_rgb8(plane)
    assert not rgb[..., 0].any()
    assert rgb[4, 4, 1] == 255


def test_what_the_last_axis_means_where_nothing_is_said():
    assert channels_of((4, 5)) is None
    assert channels_of((4, 5, 3)) is channels_of((4, 5, 4)) is None
    assert channels_of((4, 5, 1)) == (0,)
    assert channels_of((4, 5, 6)) == tuple(range(6))


@pytest.mark.parametrize(
    ("channels", "text"),
    [
        ([], "counted|count"),
        ([-1], "count from 0"),
        ([1, 1], "named once"),
        ([0.5], "whole numbers"),
        (3, "whole numbers"),
        ([5], "no channel 5: the image has 5, from 0 to 4"),
    ],
)
def test_channels_that_there_are_not_are_refused(channels, text):
    with pytest.raises(ValueError, match=text):
        channels_of((3, 4, 5), channels)


def test_a_plane_without_channels_has_none_to_choose():
    with pytest.raises(ValueError, match="no channels to choose"):
        to_rgb8(np.zeros((4, 4)), channels=(0,))
    assert check_channels(np.array([2, 0])) == (2, 0)


def test_the_choice_in_words():
    assert channels_text([3], 4) == "channel 3 is used (the image has 0 to 3)"
    assert channels_text([0, 2], 4).endswith("as red and green")
    assert channels_text([0, 1, 2], 3).endswith("as red, green and blue")
    assert channels_text(range(4), 4).startswith("channels 0, 1, 2 and 3 are used")
    assert "brightest" in channels_text(range(4), 4)
