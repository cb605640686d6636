from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import zarr
from tiny import SceneModel, discs

from napari_sam.images import transforms
from napari_sam.masks import iou
from napari_sam.predict import image_cache
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.predict.windows import window_in_view
from napari_sam.types import Plane, Prompts, SliceKey

SIDE = 64
SIZE = (400, 600)
CENTRES = [(300, 200), (330, 200), (100, 300)]
IMAGE = discs(SIZE, CENTRES, 6)
CLOSE = (280, 180, 344, 244)
"""A view of 64 x 64 pixels."""


class Lazy:
    """An array elsewhere that notes how much of it is read at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.read = []

    def __getitem__(self, index):
        part = self.array[index]
        self.read.append(part.shape)
        return part


@pytest.fixture
def session():
    return Session(SamPredictor(SceneModel(image_size=SIDE)))


def at(*points):
    return Prompts(np.array(points, float), np.ones(len(points), int))


def window(prompts, view, size=SIZE, spacing=(1.0, 1.0)):
    return window_in_view(prompts, view, size, SIDE, spacing)


def test_a_window_is_as_large_as_the_view_and_holds_the_prompts():
    for x in range(0, 600, 7):
        for view in (CLOSE, (0, 0, 128, 100), (0, 0, 250, 250)):
            x0, y0, x1, y1 = window(at((x, 150), (x, 160)), view)
            side = max(view[2:]) if view != CLOSE else 64
            assert x1 - x0 == {64: 64, 128: 128, 250: 256}[side]
            assert x0 <= x < x1
            assert y0 <= 150
            assert y1 > 160
            assert 0 <= x0 < x1 <= 600
            assert 0 <= y0 < y1 <= 400


def test_prompts_near_each_other_share_a_window():
    assert len({window(at((x, 200)), CLOSE) for x in range(280, 344)}) <= 5


def test_a_long_box_takes_a_larger_window():
    x0, _, x1, _ = window(Prompts(box=(100, 100, 250, 120)), CLOSE)
    assert x1 - x0 == 512
    assert x0 <= 100
    assert x1 > 250


def test_a_window_that_is_all_of_the_plane_is_none():
    assert window(at((50, 50)), (0, 0, 128, 128), (100, 128)) is None


def test_a_window_is_square_on_screen():
    x0, y0, x1, y1 = window(at((300, 200)), (284, 192, 316, 208), spacing=(4.0, 1.0))
    assert (x1 - x0, y1 - y0) == (64, 16)


def test_a_click_in_a_very_large_plane_looks_where_the_user_looks(session):
    image = Lazy(IMAGE)
    plane = Plane(image, contrast=(0, 255))
    (answer,) = session.predict_many(plane, [at(CENTRES[0])], view=CLOSE)
    assert max(max(shape) for shape in image.read) <= SIDE
    best = answer.masks[answer.best]
    assert best.size == SIZE
    assert iou(best, discs(SIZE, CENTRES[:1], 6) > 0) > 0.8
    assert answer.window is not None
    corrected = at(CENTRES[0], (CENTRES[0][0] + 2, CENTRES[0][1])).with_mask(answer.logits(0))
    encoded = session.predictor.model.encoded
    session.predict_many(plane, [corrected], view=CLOSE)
    assert session.predictor.model.encoded == encoded  # goes on in the same window


def test_clicks_near_each_other_are_answered_together():
    session = Session(SamPredictor(SceneModel(image_size=SIDE)), closer_look=False)
    prompts = [at(CENTRES[0]), at((303, 198)), at(CENTRES[2])]
    answers = session.predict_many(Plane(IMAGE), prompts, view=CLOSE)
    assert session.predictor.model.encoded == 2
    for centre, answer in zip((CENTRES[0], CENTRES[0], CENTRES[2]), answers, strict=True):
        assert iou(answer.masks[answer.best], discs(SIZE, [centre], 6) > 0) > 0.8


def test_smaller_planes_are_looked_at_as_a_whole(session):
    plane = Plane(IMAGE[:200, :256])
    assert not session.follows_view(plane)
    assert session.follows_view(Plane(IMAGE))
    session.predict_many(plane, [at((100, 100))], view=CLOSE)
    assert session.ready(plane)


def test_a_guide_and_logits_without_a_frame_need_the_whole_plane(session):
    plane = Plane(IMAGE)
    low = np.zeros((11, 16), np.float32)
    session.predict_many(plane, [at(CENTRES[0]).with_mask(low)], view=CLOSE)
    assert session.ready(plane)


def test_the_contrast_of_a_very_large_lazy_plane_comes_from_blocks(monkeypatch):
    monkeypatch.setattr(image_cache, "SAMPLED_PLANE", 1000)
    monkeypatch.setattr(image_cache, "BLOCK", 20)
    ramp = np.tile(np.arange(600, dtype=np.uint16), (400, 1))
    lazy = Lazy(ramp)
    pixels = image_cache.pixels_for_contrast(Plane(lazy))
    assert pixels.shape == (160, 160)
    assert (pixels.min(), pixels.max()) == (0, 599)
    assert set(lazy.read) == {(20, 20)}
    assert image_cache.pixels_for_contrast(Plane(ramp)).shape == ramp.shape  # in memory: all


def test_the_contrast_of_a_very_large_lazy_plane_is_that_of_its_blocks_whatever_is_asked_for_first(
    monkeypatch,
):
    monkeypatch.setattr(image_cache, "SAMPLED_PLANE", 1000)
    monkeypatch.setattr(image_cache, "BLOCK", 20)
    ramp = np.tile(np.arange(600, dtype=np.uint16) ** 2, (2, 400, 1))
    key = SliceKey((1, 2), ((0, 1),))
    found = []
    for first in (None, (100, 50, 300, 200)):
        cache = image_cache.ImageCache(Lazy(ramp))
        asked = Plane(cache.image, key)
        contrast = cache.read(asked.within(first))[1]
        assert cache.read(asked)[1] == cache.read(asked.within((0, 0, 9, 9)))[1] == contrast
        found.append(contrast)
    blocks = image_cache.pixels_for_contrast(Plane(Lazy(ramp), key))
    assert found == [transforms.contrast_of(blocks)] * 2
    assert found[0] != transforms.contrast_of(ramp[1])


@pytest.mark.parametrize("level", [None, 1])
def test_a_lazy_array_is_read_in_whole_chunks_and_each_once(level):
    values = np.random.default_rng(0).integers(0, 60_000, (6, 20, 24), np.uint16)
    read = []

    def chunk(block, block_info):
        read.append(tuple(block_info[0]["chunk-location"]))
        return block

    lazy = da.from_array(values, (2, 8, 24)).map_blocks(chunk, meta=np.empty((0, 0, 0), np.uint16))
    image = lazy if level is None else [lazy[:, ::2], lazy]
    cache = image_cache.ImageCache(image, lambda: 0.0)
    for y in range(6, 12):
        plane = Plane(cache.image, SliceKey((0, 2), ((1, y),), level=level), (0, 60_000))
        assert (cache.read(plane)[0] == values[:, y]).all()
    assert sorted(read) == [(z, y, 0) for z in range(3) for y in range(2)]
    for z in (0, 1):
        plane = Plane(cache.image, SliceKey((2, 1), ((0, z),), (3, 2, 9, 17), level), (0, 60_000))
        assert (cache.read(plane)[0] == values[z].T[2:17, 3:9]).all()
    assert sorted(read[6:]) == [(0, y, 0) for y in (0, 1)]


def test_pixels_of_another_revision_are_read_again():
    lazy = Lazy(np.zeros((2, 8, 8)))
    lazy.chunks = (1, 8, 8)
    cache = image_cache.ImageCache(lazy)
    plane = Plane(lazy, SliceKey((1, 2), ((0, 1),)), (0, 1))
    assert not cache.read(plane)[0].any()
    lazy.array[:] = 1
    assert cache.read(replace(plane, revision=1))[0].all()
    assert lazy.read == [(1, 8, 8)] * 2


def test_chunks_of_an_array_that_is_still_written_to_are_read_again_after_some_seconds():
    lazy, now = Lazy(np.zeros((2, 8, 8))), [100.0]
    lazy.chunks = (2, 8, 8)
    cache = image_cache.ImageCache(lazy, lambda: now[0])

    def plane(z):
        return cache.read(Plane(lazy, SliceKey((1, 2), ((0, z),)), (0, 1)))[0]

    assert not plane(0).any()
    lazy.array[1] = 1  # the next plane of an acquisition
    now[0] += image_cache.KEPT_SECONDS
    assert not plane(1).any()
    assert lazy.read == [(2, 8, 8)]
    now[0] += 0.1
    assert plane(1).all()
    now[0] += image_cache.KEPT_SECONDS
    assert not plane(0).any()
    assert lazy.read == [(2, 8, 8)] * 2


def test_chunks_that_take_long_to_read_are_kept_longer():
    now = [100.0]

    class Slow(Lazy):
        def __getitem__(self, index):
            now[0] += 6.0
            return super().__getitem__(index)

    lazy = Slow(np.zeros((2, 8, 8)))
    lazy.chunks = (2, 8, 8)
    cache = image_cache.ImageCache(lazy, lambda: now[0])
    for seconds, reads in ((0, 1), (60, 1), (0.1, 2)):
        now[0] += seconds
        cache.read(Plane(lazy, SliceKey((1, 2), ((0, 1),)), (0, 1)))
        assert len(lazy.read) == reads


@pytest.mark.parametrize("chunks", [None, (1, 2), (0, 4, 4), (2.0, 4, 4), (float("nan"),) * 3])
def test_chunks_that_say_nothing_are_left_aside(chunks):
    lazy = Lazy(np.zeros((3, 4, 4)))
    lazy.chunks = chunks
    assert image_cache.chunks_of(lazy) is None
    assert image_cache.chunks_of(np.zeros((3, 4, 4))) is None


def test_chunks_of_the_common_lazy_arrays(tmp_path):
    assert image_cache.chunks_of(da.zeros((5, 9, 9), chunks=(2, 4, 9))) == (2, 4, 9)
    array = zarr.create_array(tmp_path / "a.zarr", shape=(5, 9, 9), chunks=(2, 4, 9), dtype="u1")
    assert image_cache.chunks_of(array) == (2, 4, 9)
