from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny import SceneModel, discs

from napari_sam import load_model
from napari_sam.everything.amg import CLOSER, AutomaticMaskGenerator, FoundSoFar
from napari_sam.everything.amg_params import AmgParams
from napari_sam.everything.amg_select import Candidate, Candidates, select
from napari_sam.everything.closer import SMALL, are_small, closer_tiles, is_better
from napari_sam.everything.similar import OneLook
from napari_sam.everything.tiles import tiles_of
from napari_sam.masks import iou, to_labels
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.stack.planes import PlaneResult, everything_in
from napari_sam.steps import drive
from napari_sam.types import Mask, MaskRecord, Plane

AUTO = AmgParams(seeds="auto", pred_iou_thresh=0.3, stability_score_thresh=0.3, box_nms_thresh=0.3)
NEVER = replace(AUTO, look_closer="never")
CENTRES = [(x, y) for y in (9, 32, 53) for x in (8, 31, 55)]
"""Of discs of which five lie where the closer look's tiles meet."""


class Magnifying(SceneModel):
    """A model whose input is 64 pixels wide, and which magnifies planes."""

    largest_scale = 4.0

    def __init__(self):
        super().__init__(image_size=64)


class Doubtful(Magnifying):
    """From its second plane on it is less sure."""

    def instance_fields(self, features):
        found = super().instance_fields(features)
        for fields in found if self.encoded > 1 else ():
            fields.foreground[:] *= 0.7
            fields.field[:] *= 0.2
        return found


def record(iou):
    return MaskRecord(Mask.of(np.ones((2, 2), bool)), iou, 1.0, (0.0, 0.0), (0, 0, 2, 2))


def test_objects_are_small_if_those_that_count_are():
    assert not are_small([])
    assert are_small([(SMALL - 1, 0.8)] * 3)
    assert not are_small([(SMALL, 0.8)] * 3)
    assert are_small([(10, 0.8)] * 11 + [(100, 0.8)])
    assert not are_small([(10, 0.8)] * 9 + [(100, 0.8)])
    assert not are_small([(10, 0.3)] * 11 + [(100, 0.8)])  # specks


@pytest.mark.parametrize(
    ("size", "spacing", "count"),
    [
        ((512, 512), (1.0, 1.0), 4),
        ((1000, 700), (1.0, 1.0), 4),
        ((1000, 300), (1.0, 1.0), 2),
        ((300, 512), (2.0, 1.0), 4),  # 600 pixels of the smaller spacing high
        ((2000, 2000), (1.0, 1.0), 81),
    ],
)
def test_closer_tiles_cover_the_plane_at_nearly_twice_the_resolution(size, spacing, count):
    levels = tiles_of(size, 512, spacing)
    tiles = closer_tiles(size, levels, 512, 4.0, spacing)
    assert len(tiles) == count
    shown = np.zeros(size, int)
    for x0, y0, x1, y1 in tiles:
        shown[y0:y1, x0:x1] += 1
    assert shown.min() == 1
    x0, y0, x1, y1 = levels[0][0] if levels else (0, 0, size[1], size[0])
    coarse = max((y1 - y0) * spacing[0], (x1 - x0) * spacing[1])
    x0, y0, x1, y1 = tiles[0]
    fine = max((y1 - y0) * spacing[0], (x1 - x0) * spacing[1])
    assert 1.8 < coarse / fine < 1.9


def test_no_closer_tiles_where_pixels_are_large_already():
    assert closer_tiles((256, 256), (), 512, 4.0) == ()
    assert closer_tiles((512, 512), (), 512, 1.0) == ()
    tiles = closer_tiles((512, 512), (), 512, 4.0)
    assert closer_tiles((512, 512), (tiles,), 512, 4.0) == ()
    tiles = closer_tiles((1000, 1000), (), 512, 4.0)
    assert len(closer_tiles((1000, 1000), (tiles,), 512, 4.0)) == 16


def test_a_closer_look_is_better_if_its_masks_are_as_sure():
    sure, unsure = record(0.8), record(0.6)
    assert is_better([sure, sure, unsure], [sure, unsure])
    assert not is_better([sure, unsure, unsure], [sure, unsure])
    assert is_better([unsure], [])
    assert not is_better([], [unsure])
    assert not is_better([], [])


def square(size, place, side, tile, score=0.9):
    """What a tile shows of a square whose corner is at a place (x, y)."""
    x0, y0, x1, y1 = tile
    left, top = max(place[0], x0), max(place[1], y0)
    right, bottom = min(place[0] + side, x1), min(place[1] + side, y1)
    mask = Mask.of(np.ones((bottom - top, right - left), bool), (left, top), size)
    return Candidate(mask, score, 1.0, place, tile)


def small_ones(size, tiles):
    """Squares of 9 pixels along the upper edge, each in all tiles that show it whole."""
    return [
        square(size, (x, 5), 9, tile)
        for x in range(5, size[1] - 9, 20)
        for tile in tiles
        if tile[0] <= x and x + 9 <= tile[2] and tile[1] == 0
    ]


@pytest.mark.parametrize("side", [45, 60, 79, 100, 150])
def test_an_object_that_only_the_first_look_shows_whole_is_taken_from_it(side):
    size, whole = (512, 512), (0, 0, 512, 512)
    tiles = closer_tiles(size, (), 512, 4.0)
    place = (256 - side // 2, 256 - side // 2)  # where all four tiles meet
    small, first = small_ones(size, tiles), square(size, place, side, whole, 0.95)
    pieces = [square(size, place, side, tile, 0.5) for tile in tiles]
    for found in ([*small, first], [*small, *pieces, first]):
        candidates = Candidates(size, tuple(found), 0.0, True, (tiles, (whole,)), closer=1)
        chosen = [one.mask.box for one in select(candidates, AUTO)]
        assert chosen.count(first.mask.box) == 1
        assert len(chosen) == 1 + len(range(5, 503, 20))


def test_two_closer_looks_leave_the_objects_of_the_first_look_as_they_are():
    size, whole = (1000, 1000), (0, 0, 1000, 1000)
    closer = closer_tiles(size, (), 512, 4.0)
    levels = (closer_tiles(size, (closer,), 512, 4.0), closer, (whole,))
    once = square(size, (470, 470), 60, closer[0])
    first = square(size, (400, 700), 200, whole)
    found = (*small_ones(size, levels[0]), once, first)
    candidates = Candidates(size, found, 0.0, True, levels, closer=2)
    chosen = [one.mask.box for one in select(candidates, AUTO)]
    assert {once.mask.box, first.mask.box} < set(chosen)
    assert len(chosen) == 2 + len(range(5, 991, 20))


def test_a_closer_look_leaves_the_objects_of_a_coarser_level_as_they_are():
    size = (2000, 2000)
    native, coarse = levels = tiles_of(size, 512)
    closer = closer_tiles(size, levels, 512, 4.0)
    small = small_ones(size, closer)
    own = square(size, (150, 150), 50, native[0])
    large = square(size, (900, 900), 300, coarse[0])
    too_small = square(size, (1500, 1500), 150, coarse[0])
    found = (*small, own, large, too_small)
    candidates = Candidates(size, found, 0.0, True, (closer, *levels), closer=1)
    chosen = [one.mask.box for one in select(candidates, AUTO)]
    assert {own.mask.box, large.mask.box} < set(chosen)
    assert len(chosen) == 2 + len(range(5, 1991, 20))


def test_small_objects_are_looked_at_again_and_found_once_wherever_the_seams_are():
    model, scene = Magnifying(), discs((64, 64), CENTRES, 4)
    candidates = drive(AutomaticMaskGenerator(SamPredictor(model), AUTO).propose(scene))
    assert model.encoded == 1 + 4
    assert [len(level) for level in candidates.tiles] == [4, 1]
    assert candidates.closer == 1
    found = AutomaticMaskGenerator(SamPredictor(model), AUTO).select(candidates)
    assert len(found) == len(CENTRES)
    for centre in CENTRES:
        truth = discs(scene.shape, [centre], 4) > 0
        assert max(iou(one.mask, truth) for one in found) > 0.8


def test_large_objects_are_not_looked_at_again():
    model = Magnifying()
    scene = discs((64, 64), [(20, 20), (46, 46)], 17)
    candidates = drive(AutomaticMaskGenerator(SamPredictor(model), AUTO).propose(scene))
    assert model.encoded == 1
    assert candidates.tiles == ()


@pytest.mark.parametrize(
    "params",
    [NEVER, replace(AUTO, seeds="grid", points_per_side=4), replace(AUTO, crop_n_layers=1)],
)
def test_nothing_is_looked_at_again_where_that_is_not_wanted(params):
    scene = discs((64, 64), CENTRES, 4)
    steps = list(AutomaticMaskGenerator(SamPredictor(Magnifying()), params).propose(scene))
    assert not any(step.text.startswith(CLOSER) for step in steps)


def test_a_closer_look_that_is_less_sure_changes_nothing():
    model, scene = Doubtful(), discs((64, 64), CENTRES, 4)
    candidates = drive(AutomaticMaskGenerator(SamPredictor(model), AUTO).propose(scene))
    assert model.encoded == 1 + 4
    assert {one.crop for one in candidates.items} == {(0, 0, 64, 64)}
    assert candidates.tiles == ()
    assert candidates.closer == 0


def test_progress_says_that_it_looks_closer():
    scene = discs((64, 64), CENTRES, 4)
    steps = list(AutomaticMaskGenerator(SamPredictor(Magnifying()), AUTO).propose(scene))
    closer = [step for step in steps if step.text.startswith(CLOSER)]
    assert closer[1].text == "closer look, tile 1 of 4"
    assert {step.total for step in closer} == {4}
    assert [step.done for step in closer] == sorted(step.done for step in closer)


def test_a_plane_in_tiles_is_a_result_before_it_is_looked_at_closer():
    scene = discs((130, 64), [(x, y) for y in range(9, 120, 21) for x in range(9, 60, 21)], 4)
    steps = AutomaticMaskGenerator(SamPredictor(Magnifying()), AUTO).propose(scene)
    (told,) = (step for step in steps if isinstance(step, FoundSoFar))
    assert told.text == "closer look, encoding"
    assert [len(level) for level in told.candidates.tiles] == [3, 1]


def test_a_session_keeps_the_plane_but_not_the_closer_tiles():
    model = Magnifying()
    session, plane = Session(SamPredictor(model)), Plane(discs((64, 64), CENTRES, 4))
    for again in (1, 2):
        (found,) = (s for s in everything_in(session, [plane], AUTO) if isinstance(s, PlaneResult))
        assert len(found.values) == len(CENTRES)
        assert model.encoded == 1 + 4 * again


def test_one_look_is_one():
    model, scene = Magnifying(), discs((64, 64), CENTRES, 4)
    drive(OneLook(SamPredictor(model), NEVER).propose(scene))
    assert model.encoded == 1


def test_pocket_finds_small_discs():
    """They are as small as the nuclei of a plane on which it finds none at first sight."""
    centres = [(8 + 16 * k + k % 3, 12 + 24 * row + k % 2) for row in range(2) for k in range(31)]
    noise = np.random.default_rng(0).normal(30, 4, (48, 512))
    plane = noise + 0.4 * discs((48, 512), centres, 3.5)
    predictor = SamPredictor(load_model("pocket"))
    defaults = AmgParams(**predictor.model.amg_defaults)
    counts = {}
    for setting in ("never", "auto"):
        params = replace(defaults, look_closer=setting)
        found = AutomaticMaskGenerator(predictor, params).generate(plane)
        labels = to_labels(found, plane.shape)
        own = [labels[y, x] for x, y in centres if labels[y, x]]
        areas = np.bincount(labels.ravel())
        counts[setting] = sum(25 < areas[label] < 60 and own.count(label) == 1 for label in own)
    assert counts["auto"] > 0.9 * len(centres)
    assert counts["never"] < counts["auto"]
