from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from tiny import SceneModel, discs

from napari_sam.everything.amg import AutomaticMaskGenerator, FoundSoFar
from napari_sam.everything.amg_params import AmgParams
from napari_sam.everything.amg_select import Candidate, Candidates, select
from napari_sam.everything.seams import joined, merged
from napari_sam.everything.tiles import tiles_of
from napari_sam.masks import iou
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.stack.planes import PlaneResult, everything_in
from napari_sam.steps import drive
from napari_sam.types import Mask, Plane

AUTO = AmgParams(seeds="auto", pred_iou_thresh=0.3, stability_score_thresh=0.3, box_nms_thresh=0.3)
SIZE = (20, 30)
LEFT, RIGHT = (0, 0, 18, 20), (12, 0, 30, 20)


def candidate(pixels, tile, score=0.9):
    """A candidate of what a tile shows of pixels, a part of the plane given as slices."""
    whole = np.zeros(SIZE, bool)
    whole[pixels] = True
    seen = np.zeros(SIZE, bool)
    x0, y0, x1, y1 = tile
    seen[y0:y1, x0:x1] = whole[y0:y1, x0:x1]
    return Candidate(Mask.of(seen), score, 1.0, (0.0, 0.0), tile)


def masks(found):
    """The boxes of candidates."""
    return sorted(one.mask.box for one in found)


class Tiled(SceneModel):
    """A model whose input is 64 pixels wide."""

    def __init__(self):
        super().__init__(image_size=64)


def grid(size, radius, step=23):
    """Return centres of discs on a slanted grid that do not touch."""
    count = (size - 28) // step
    places = np.arange(count) * step
    return [
        (14 + int(x + 3 * k) % (count * step), 14 + int(y))
        for k, y in enumerate(places)
        for x in places
    ]


def test_a_plane_of_twice_the_input_is_seen_at_once():
    assert tiles_of((128, 100), 64) == ()
    assert [len(level) for level in tiles_of((129, 100), 64)] == [3 * 2, 1]
    assert tiles_of((100, 100), 64, (1.0, 1.0)) == ()
    assert tiles_of((40, 100), 64, (4.0, 1.0)) != ()  # a pixel is four times as high as wide


@pytest.mark.parametrize("size", [(129, 64), (200, 333), (1000, 130)])
def test_tiles_cover_the_plane_and_overlap_by_a_quarter_at_least(size):
    tiles = tiles_of(size, 64)[0]
    seen = np.zeros(size, int)
    for x0, y0, x1, y1 in tiles:
        assert (x1 - x0, y1 - y0) == (min(64, size[1]), 64)
        seen[y0:y1, x0:x1] += 1
    assert seen.min() == 1
    for axis in (0, 1):
        starts = np.unique([tile[axis] for tile in tiles])
        assert (np.diff(starts) <= 48).all()


def test_coarser_levels_are_tiles_up_to_the_largest_or_the_whole_plane():
    assert [len(level) for level in tiles_of((2000, 2000), 512)] == [25, 1]
    assert tiles_of((2000, 2000), 512)[1] == ((0, 0, 2000, 2000),)
    levels = tiles_of((20_000, 20_000), 512)
    assert [level[0] for level in levels] == [(0, 0, side, side) for side in (512, 2048, 8192)]
    assert [len(level) for level in tiles_of((20_000, 20_000), 1024)] == [26**2, 7**2]


def test_tiles_are_square_on_screen():
    x0, y0, x1, y1 = tiles_of((80, 400), 64, (2.0, 0.5))[0][0]
    assert (y1 - y0, x1 - x0) == (16, 64)


def test_an_object_is_taken_from_the_tile_that_shows_it_whole():
    part = np.s_[5:10, 10:16]  # the right tile begins at 12
    found = [candidate(part, LEFT, 0.6), candidate(part, RIGHT, 0.9)]
    # 18 - 16 = 2 pixels from the left tile's edge: it may go on
    assert masks(joined(found, (LEFT, RIGHT))) == [(10, 5, 15, 9)]
    whole = np.s_[5:10, 8:13]
    found = [candidate(whole, LEFT, 0.6), candidate(whole, RIGHT, 0.9)]
    (kept,) = joined(found, (LEFT, RIGHT))
    assert kept.crop == LEFT
    assert kept.mask.box == (8, 5, 12, 9)


def test_an_object_that_no_tile_shows_whole_is_united():
    part = np.s_[5:10, 3:28]
    found = [candidate(part, LEFT, 0.6), candidate(part, RIGHT, 0.9)]
    (kept,) = joined(found, (LEFT, RIGHT))
    assert kept.mask.box == (3, 5, 27, 9)
    assert kept.mask.area == 25 * 5
    assert kept.iou == 0.6


def test_a_sliver_that_the_other_tile_does_not_confirm_goes():
    sliver = candidate(np.s_[2:18, 15:18], LEFT)
    assert joined([sliver], (LEFT, RIGHT)) == []
    assert joined([replace(sliver, crop=RIGHT)], (LEFT, RIGHT)) != []


def test_objects_of_one_tile_are_never_united():
    one = candidate(np.s_[2:8, 3:18], LEFT)
    other = candidate(np.s_[8:14, 3:18], LEFT)
    both = candidate(np.s_[2:14, 12:26], RIGHT)
    found = joined([one, other, both], (LEFT, RIGHT))
    assert len(found) == 3
    assert all(part.mask.area <= max(both.mask.area, one.mask.area) for part in found)


def test_where_objects_do_not_overlap_the_one_nearer_to_its_tiles_edge_goes():
    cut = candidate(np.s_[5:10, 4:18], LEFT)
    whole = candidate(np.s_[2:18, 16:22], RIGHT)
    small = candidate(np.s_[5:10, 16:18], RIGHT)
    assert len(joined([cut, whole], (LEFT, RIGHT), told_apart=True)) == 2
    assert len(joined([cut, small], (LEFT, RIGHT), told_apart=True)) == 1


def shown(box, level, score):
    """A filled box (x0, y0, x1, y1), as a coarser or a finer level shows it."""
    x0, y0, x1, y1 = box
    pixels = np.ones((y1 - y0 + 1, x1 - x0 + 1), bool)
    return Candidate(Mask.of(pixels, (x0, y0), (300, 300)), score, 1.0, (0.0, 0.0), level)


@pytest.mark.parametrize(("fine", "coarse", "count"), [(0.9, 0.6, 2), (0.5, 0.9, 1)])
def test_of_two_levels_the_one_counts_of_which_more_is_to_be_expected(fine, coarse, count):
    near, far = (0, 0, 299, 300), (0, 0, 300, 300)
    halves = [shown((20, 20, 119, 220), near, fine), shown((125, 20, 220, 220), near, fine)]
    found = [*halves, shown((20, 20, 220, 220), far, coarse)]
    assert len(merged(found, ((near,), (far,)), True, 0.7)) == count


def test_a_coarser_level_shows_large_objects_only():
    near, far = (0, 0, 299, 300), (0, 0, 300, 300)
    large, small = (shown((20, 20, 20 + side, 60), far, 0.9) for side in (170, 150))
    for apart in (True, False):
        assert masks(merged([large], ((near,), (far,)), apart, 0.7)) == [large.mask.box]
        assert merged([small], ((near,), (far,)), apart, 0.7) == []


def test_where_objects_overlap_only_the_same_is_left_out():
    near, far = (0, 0, 299, 300), (0, 0, 300, 300)
    nucleus, cell = shown((60, 60, 90, 90), near, 0.9), shown((20, 20, 220, 220), far, 0.7)
    again = shown((21, 20, 220, 220), near, 0.8)
    levels = (near,), (far,)
    assert len(merged([nucleus, cell], levels, False, 0.7)) == 2
    assert merged([again, cell], levels, False, 0.7) == [again]


def test_nothing_found_is_nothing_joined():
    assert joined([], (LEFT, RIGHT)) == []
    assert select(Candidates(SIZE, (), 0.0, tiles=((LEFT, RIGHT),)), AUTO) == []


@pytest.mark.parametrize("params", [AUTO, replace(AUTO, seeds="grid", points_per_side=10)])
def test_every_object_is_found_once_and_whole_wherever_the_seams_are(params):
    radius, centres = 6, grid(150, 6)
    scene = discs((150, 150), centres, radius)
    generator = AutomaticMaskGenerator(SamPredictor(Tiled()), params)
    found = generator.generate(scene)
    assert len(found) == len(centres)
    for x, y in centres:
        truth = discs(scene.shape, [(x, y)], radius) > 0
        assert max(iou(one.mask, truth) for one in found) > 0.8


def test_an_object_over_many_tiles_is_one():
    scene = np.zeros((64, 300), np.uint8)
    scene[20:44, 10:290] = 200
    model, params = SamPredictor(Tiled()), replace(AUTO, seeds="grid", points_per_side=4)
    (found,) = AutomaticMaskGenerator(model, params).generate(scene)
    assert iou(found.mask, scene > 0) > 0.95


def test_progress_counts_tiles():
    generator = AutomaticMaskGenerator(SamPredictor(Tiled()), AUTO)
    steps = list(generator.propose(discs((150, 60), [(30, 30)], 8)))
    assert steps[0].done == 0
    assert {step.total for step in steps} == {4}
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[1].text == "tile 1 of 4"


def test_what_the_tiles_show_that_are_done_is_a_result_where_it_is_wanted(monkeypatch):
    monkeypatch.setattr("napari_sam.everything.amg.TILES", 3)
    centres = grid(150, 6)
    session, planes = Session(SamPredictor(Tiled())), [Plane(discs((150, 150), centres, 6))]
    steps = list(everything_in(session, planes, AUTO, largest=10, so_far=True))
    results = [step for step in steps if isinstance(step, PlaneResult)]
    counts = [len(one.values) for one in results]
    tiles = sum(len(level) for level in tiles_of((150, 150), 64))
    assert tiles == 10
    assert len(results) == 3  # after 3 tiles, after 6, and at the end
    assert 0 < counts[0] < counts[1] < counts[2] == len(centres)
    assert all(one.values.min() == 11 for one in results)
    assert results[0].labels[:64].any()
    assert not results[0].labels[64:].any()  # the first three tiles end there
    done = [step.done for step in steps if not isinstance(step, PlaneResult)]
    assert done == sorted(done)
    (last,) = (s for s in everything_in(session, planes, AUTO, 10) if isinstance(s, PlaneResult))
    assert np.array_equal(last.labels, results[-1].labels)


def test_what_was_found_so_far_is_told_after_twice_as_many_tiles_each_time(monkeypatch):
    monkeypatch.setattr("napari_sam.everything.amg.TILES", 2)
    generator = AutomaticMaskGenerator(SamPredictor(Tiled()), AUTO)
    steps = generator.propose(discs((300, 300), grid(300, 6), 6))
    told = [step for step in steps if isinstance(step, FoundSoFar)]
    assert [step.done for step in told] == [2, 4, 8, 16, 32]
    assert told[0].total == sum(len(level) for level in tiles_of((300, 300), 64)) < 64


def test_crops_that_are_asked_for_take_the_place_of_tiles():
    generator = AutomaticMaskGenerator(SamPredictor(Tiled()), replace(AUTO, crop_n_layers=1))
    candidates = drive(generator.propose(discs((150, 60), [(30, 30)], 8)))
    assert candidates.tiles == ()


def test_other_thresholds_join_anew():
    scene = discs((150, 150), grid(150, 6), 6)
    generator = AutomaticMaskGenerator(SamPredictor(Tiled()), AUTO)
    candidates = drive(generator.propose(scene))
    assert len(select(candidates, AUTO)) == len(grid(150, 6))
    assert select(candidates, replace(AUTO, pred_iou_thresh=1.0)) == []
    assert len(select(candidates, replace(AUTO, min_mask_region_area=50))) == len(grid(150, 6))


class Lazy:
    """An array elsewhere that notes how much of it is read at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, index):
        part = self.array[index]
        self.largest = max(self.largest, part.size)
        return part


def test_a_lazy_plane_is_read_tile_by_tile(monkeypatch):
    monkeypatch.setattr("napari_sam.predict.image_cache.SAMPLED_PLANE", 64 * 64)
    monkeypatch.setattr("napari_sam.predict.image_cache.BLOCK", 32)
    monkeypatch.setattr("napari_sam.everything.tiles.LARGEST", 64)
    centres = grid(150, 6)
    image = Lazy(discs((150, 150), centres, 6))
    session = Session(SamPredictor(Tiled()))
    steps = everything_in(session, [Plane(image)], AUTO)
    (result,) = (step for step in steps if isinstance(step, PlaneResult))
    assert len(result.values) == len(centres)
    assert image.largest <= 64 * 64  # the coarser level is left out


def test_tiles_do_not_take_the_place_of_what_is_clicked_on():
    plane = Plane(discs((150, 150), [(30, 30)], 8))
    session = Session(SamPredictor(Tiled()))
    drive(everything_in(session, [plane], AUTO))
    before = session.predictor.model.encoded
    assert before == 10
    embed = partial(session.crop_embedding, plane)
    embed((0, 0, 64, 64))
    assert session.predictor.model.encoded == before + 1
    embed((0, 0, 64, 64))
    assert session.predictor.model.encoded == before + 1
