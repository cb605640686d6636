"""Objects ranked by words: crops, planes, shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from text_pair import Knows

from napari_sam.everything import worded
from napari_sam.everything.worded import PLANES, Looks, best, crops_of
from napari_sam.steps import drive
from napari_sam.types import Mask, Plane, SliceKey

CONTRAST = (0.0, 255.0)


def keys(count):
    return [SliceKey((1, 2), ((0, z),)) for z in range(count)]


@pytest.fixture
def scene():
    """Return a plane of five objects, the brighter the larger their label, and its labels."""
    pixels, labels = np.full((60, 100), 100, np.uint8), np.zeros((60, 100), np.int32)
    for k, value in enumerate((10, 60, 120, 180, 250), 1):
        part = np.s_[20:34, 20 * k - 18 : 20 * k - 8]
        pixels[part], labels[part] = value, k
    return pixels, labels


def test_crops_are_square_and_larger_than_the_object():
    rgb = np.full((50, 80, 3), 7, np.uint8)
    bits = np.ones((10, 20), bool)
    bits[0, 0] = False
    mask = Mask.of(bits, (30, 20), (50, 80))
    alone, context = crops_of(rgb, mask, (90, 91, 92))
    assert alone.shape == context.shape == (30, 30, 3)
    assert (context == 7).all()
    assert (alone == 7).all(axis=2).sum() == 199
    assert (alone[10, 5] == (90, 91, 92)).all()  # the hole, 10 rows and 5 columns inside
    assert (alone[10, 6] == 7).all()


def test_beyond_the_plane_there_is_ground():
    rgb = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)[..., None].repeat(3, 2)
    rgb = (rgb % 251).astype(np.uint8)
    corner = Mask.of(np.ones((8, 8), bool), (22, 12), (20, 30))
    _, context = crops_of(rgb, corner, (255, 254, 253))
    assert context.shape == (12, 12, 3)
    assert np.array_equal(context[:10, :10], rgb[10:, 20:])
    assert (context[10:] == (255, 254, 253)).all()
    assert (context[:, 10:] == (255, 254, 253)).all()


def test_a_crop_is_square_on_screen_where_pixels_are_not():
    mask = Mask.of(np.ones((4, 12), bool), (10, 10), (40, 40))
    alone, _ = crops_of(np.zeros((40, 40, 3), np.uint8), mask, (9, 9, 9), (3.0, 1.0))
    assert alone.shape == (6, 18, 3)  # 18 x 18 units


def test_a_large_crop_is_averaged_in_blocks(monkeypatch):
    monkeypatch.setattr(worded, "LARGEST", 10)
    rgb = np.random.default_rng(0).integers(0, 256, (80, 60, 3), np.uint8)
    mask = Mask.of(np.ones((8, 16), bool), (20, 30), (80, 60))
    _, context = crops_of(rgb, mask, (0, 0, 0))  # 24 pixels a side, in blocks of 3
    part = rgb[22:46, 16:40].astype(float)
    wanted = [[part[y : y + 3, x : x + 3].mean((0, 1)) for x in range(0, 24, 3)]
              for y in range(0, 24, 3)]  # fmt: skip
    np.testing.assert_array_equal(context, np.round(wanted))
    stretched, _ = crops_of(rgb, mask, (0, 0, 0), (4.0, 1.0))  # 48 units: 12 rows, 48 columns
    assert stretched.shape == (6, 10, 3)


def test_no_crop_is_as_large_as_a_large_object():
    labels = np.ones((900, 2000), np.int32)
    model = Seen()
    drive(Looks(model).scores([Plane(labels.astype(np.uint8), contrast=CONTRAST)], labels, "dark"))
    assert len(model.images) == 2
    assert all(max(image.shape) <= worded.LARGEST for image in model.images)


class Seen(Knows):
    """Keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.images = []

    def embed_images(self, images):
        self.images += images
        return super().embed_images(images)


def test_crops_are_as_the_plane_is_seen():
    """The spacing of a plane shapes its crops, and only the channels that are used are shown."""
    labels, pixels = np.zeros((40, 60), np.int32), np.zeros((40, 60, 2), np.uint8)
    labels[10:14, 20:32] = 1
    pixels[10:14, 20:32, 0], pixels[..., 1] = 250, 30
    model = Seen()
    first = Plane(pixels, contrast=CONTRAST, channels=(0,), spacing=(3.0, 1.0))
    drive(Looks(model).scores([first], labels, "bright"))
    assert [image.shape for image in model.images] == [(6, 18, 3)] * 2
    assert model.images[1].max() == 250
    drive(Looks(model).scores([replace(first, channels=(1,))], labels, "bright"))
    assert model.images[3].max() == 30


def test_what_surrounds_an_object_tells_it_from_others():
    labels, pixels = np.zeros((30, 80), np.int32), np.full((30, 80), 40, np.uint8)
    pixels[:, 40:] = 90
    for label, column in enumerate((15, 55), 1):
        labels[10:18, column : column + 8] = label
        pixels[10:18, column : column + 8] = 200
    model = Knows()
    scores = drive(Looks(model).scores([Plane(pixels, contrast=CONTRAST)], labels, "bright"))
    assert model.seen == 4
    assert scores[2] > scores[1]


def test_what_was_looked_at_first_is_forgotten_first(scene, monkeypatch):
    monkeypatch.setattr(worded, "MOST", 2)
    pixels, labels = scene
    model, plane = Knows(), Plane(pixels, contrast=CONTRAST)
    looks = Looks(model)
    drive(looks.scores([plane], labels, "bright"))
    assert model.seen == 10
    drive(looks.scores([plane], np.where(labels > 3, labels, 0), "bright"))
    assert model.seen == 10  # the last two are remembered
    drive(looks.scores([plane], np.where(labels == 3, labels, 0), "bright"))
    assert model.seen == 12


def test_words_rank_objects(scene):
    pixels, labels = scene
    plane = Plane(pixels, contrast=CONTRAST)
    looks = Looks(Knows())
    bright = drive(looks.scores([plane], labels, "bright"))
    dark = drive(looks.scores([plane], labels, "dark"))
    assert best(bright, 1.0) == [5, 4, 3, 2, 1]
    assert best(dark, 0.4) == [1, 2]
    assert all(-1 <= one <= 1 for one in bright.values())


def test_other_words_need_no_other_look(scene):
    pixels, labels = scene
    model = Knows()
    looks = Looks(model)
    drive(looks.scores([Plane(pixels, contrast=CONTRAST)], labels, "bright"))
    assert model.seen == 10  # two crops of each
    renamed = np.where(labels > 0, labels + 40, 0)
    scores = drive(looks.scores([Plane(pixels, contrast=CONTRAST)], renamed, "dark"))
    assert model.seen == 10
    assert best(scores, 0.2) == [41]


def test_an_object_of_a_stack_is_judged_by_its_largest_outlines():
    """A bright cap of an object that is dark for the most part does not make it bright."""
    pixels, labels = np.full((6, 40, 80), 100, np.uint8), np.zeros((6, 40, 80), np.int32)
    for z, half in enumerate((2, 4, 6, 8, 6, 4)):
        part = np.s_[z, 20 - half : 20 + half, 20 - half : 20 + half]
        labels[part], pixels[part] = 1, 250 if half < 5 else 20
        part = np.s_[z, 20 - half : 20 + half, 60 - half : 60 + half]
        labels[part], pixels[part] = 2, 200
    model = Knows()
    planes = [Plane(pixels, key, CONTRAST) for key in keys(6)]
    scores = drive(Looks(model).scores(planes, labels, "bright"))
    assert scores[2] > 0 > scores[1]
    assert model.seen <= 2 * 2 * PLANES


def test_nothing_is_ranked_where_nothing_is(scene):
    pixels, labels = scene
    assert drive(Looks(Knows()).scores([Plane(pixels)], np.zeros_like(labels), "dark")) == {}
    assert best({}, 1.0) == []


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.2, 1), (0.21, 2), (0.4, 2), (1.0, 5)])
def test_a_share_is_rounded_up(share, count):
    assert len(best({k: k / 10 for k in range(5)}, share)) == count
