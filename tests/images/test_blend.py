"""A blend is what is on screen; it reads no more than the planes that are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.images.blend import Blend, BlendLayer
from napari_sam.images.transforms import to_rgb8
from napari_sam.types import Plane, SliceKey

RAMP = np.arange(256)


def tint(red, green, blue):
    """Colours from black to one colour."""
    return np.stack([np.uint8(RAMP * part) for part in (red, green, blue)], axis=-1)


RED, GREEN, GREY = tint(1, 0, 0), tint(0, 1, 0), tint(1, 1, 1)


class Noting:
    """An array that notes which parts of it were read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.read = []

    def __getitem__(self, index):
        self.read.append(index)
        return self.array[index]


def volume(seed, shape=(4, 6, 8), top=1000):
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.uint16)


def test_added_layers_keep_their_colours_and_limits():
    first, second = volume(0), volume(1)
    blend = Blend(
        [BlendLayer(first, RED, (0, 500)), BlendLayer(second, GREEN, (200, 1000))], first.shape
    )
    plane = SliceKey((1, 2), ((0, 2),)).read(blend)
    assert plane.dtype == np.uint8
    assert np.array_equal(plane[..., 0], np.rint(np.clip(first[2] / 500, 0, 1) * 255))
    seen = np.rint(np.clip((second[2].astype(np.float32) - 200) / 800, 0, 1) * 255)
    assert np.array_equal(plane[..., 1], seen)
    assert not plane[..., 2].any()


def test_added_light_ends_at_white():
    one = BlendLayer(np.full((2, 3), 200, np.uint8), GREY, (0, 255))
    assert (Blend([one, one], (2, 3))[:, :] == 255).all()


@pytest.mark.parametrize(
    ("blending", "opacity", "expected"),
    [
        ("additive", 1.0, 150),
        ("additive", 0.5, 125),
        ("translucent", 1.0, 50),
        ("translucent", 0.5, 75),
        ("opaque", 0.5, 50),
        ("minimum", 1.0, 50),
        ("multiplicative", 1.0, 20),
    ],
)
def test_the_ways_of_blending_are_those_of_the_screen(blending, opacity, expected):
    below = BlendLayer(np.full((2, 2), 100, np.uint8), GREY, (0, 255), blending="translucent")
    above = BlendLayer(
        np.full((2, 2), 50, np.uint8), GREY, (0, 255), opacity=opacity, blending=blending
    )
    assert (Blend([below, above], (2, 2))[:, :] == expected).all()


def test_only_the_plane_that_is_asked_for_is_read():
    noting = Noting(volume(0))
    blend = Blend([BlendLayer(noting, GREY)], noting.shape)
    key = SliceKey((0, 2), ((1, 3),), (2, 1, 6, 3))
    part = key.read(blend)
    assert part.shape == (2, 4, 3)
    assert noting.read == [key.index, SliceKey((0, 2), ((1, 3),)).index]
    assert np.array_equal(part, SliceKey((0, 2), ((1, 3),)).read(blend)[1:3, 2:6])
    assert np.array_equal(part, key.read(blend))


def test_without_limits_a_layer_is_seen_as_by_itself():
    image = volume(3)
    blend = Blend([BlendLayer(image, GREY)], image.shape)
    assert np.array_equal(SliceKey((1, 2), ((0, 1),)).read(blend), to_rgb8(image[1]))


def test_channels_of_an_axis_become_colours_wherever_the_slider_stands():
    image = volume(4, (3, 5, 6, 8))
    blue = tint(0, 0, 1)
    blend = Blend(
        [BlendLayer(image, c, fixed=(0, k)) for k, c in ((2, RED), (0, GREEN), (1, blue))],
        image.shape,
    )
    planes = [SliceKey((2, 3), ((0, c), (1, 4))).read(blend) for c in range(3)]
    assert np.array_equal(planes[0], planes[2])
    expected = np.moveaxis(image[[2, 0, 1], 4], 0, -1)
    for k in range(3):
        assert np.array_equal(planes[0][..., k], to_rgb8(expected[..., k])[..., 0])


def test_transposed_planes_and_colours_are_read(tmp_path):
    grey, rgb = volume(5), np.random.default_rng(6).integers(0, 255, (4, 6, 8, 3)).astype(np.uint8)
    blend = Blend([BlendLayer(rgb, None), BlendLayer(grey, RED, (0, 999))], grey.shape)
    turned = SliceKey((2, 1), ((0, 1),)).read(blend)
    assert np.array_equal(turned.swapaxes(0, 1), SliceKey((1, 2), ((0, 1),)).read(blend))
    assert np.array_equal(turned.swapaxes(0, 1)[..., 1:], rgb[1, ..., 1:])


def test_opacity_of_a_picture_counts():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[..., 0], rgba[0, :, 3] = 200, 255
    below = BlendLayer(np.full((2, 2), 100, np.uint8), GREY, (0, 255))
    blend = Blend([below, BlendLayer(rgba, None, blending="translucent")], (2, 2))
    assert blend[:, :][0, 0].tolist() == [200, 0, 0]
    assert blend[:, :][1, 0].tolist() == [100, 100, 100]


def test_a_model_takes_a_blend_as_it_is(scene_predictor):
    first, second = volume(0), volume(1)
    blend = Blend([BlendLayer(first, RED), BlendLayer(second, GREEN)], first.shape)
    plane = Plane(blend, SliceKey((1, 2), ((0, 2),)))
    assert plane.size == (6, 8)
    assert np.array_equal(scene_predictor.prepare(plane.read()).rgb[..., 0], plane.read()[..., 0])


def test_a_plane_without_a_finite_value_is_black():
    blend = Blend([BlendLayer(np.full((4, 5), np.nan), GREY)], (4, 5))
    assert not blend[:, :].any()


def test_what_cannot_be_blended_is_refused():
    image = volume(0)
    with pytest.raises(ValueError, match="at least one"):
        Blend([], (4, 6, 8))
    with pytest.raises(ValueError, match="one shape"):
        Blend([BlendLayer(image, RED)], (4, 6, 9))
    blend = Blend([BlendLayer(image, RED)], image.shape)
    with pytest.raises(ValueError, match="plane by plane"):
        blend[0, 0, 0]
