"""Objects are followed through stacks: where they are, where they end, what is asked again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_sam.masks import iou
from napari_sam.predict.session import Session
from napari_sam.stack.appearance import Appearance, pixel_features
from napari_sam.stack.keyframes import Keyframes
from napari_sam.stack.propagate import FoundPlane, propagate, stale_places
from napari_sam.types import Mask, Plane, Progress, SliceKey

SIDE, PLANES = 64, 16
FIRST, LAST = 3, 12


def ball(z, row=30, column=26, radius=11.0, speed=0.7):
    """Return a ball's outline in a plane; it leans."""
    height = (z - (FIRST + LAST) / 2) / ((LAST - FIRST) / 2 + 0.3)
    if abs(height) >= 1:
        return np.zeros((SIDE, SIDE), bool)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    away = (rows - row) ** 2 + (columns - column - speed * (z - 8)) ** 2
    return away <= max(radius**2 * (1 - 0.6 * height**2), 9)


def volume(*balls):
    noise = np.random.default_rng(0).normal(0, 4, (PLANES, SIDE, SIDE))
    image = 40 + noise
    for one in balls:
        for z in range(PLANES):
            image[z][one(z)] += 170
    return np.clip(image, 0, 255).astype(np.uint8)


def planes_of(image):
    return [Plane(image, SliceKey((1, 2), ((0, z),)), (0, 255)) for z in range(len(image))]


@pytest.fixture
def session(scene_predictor):
    return Session(scene_predictor)


def followed(session, image, keyframes, **options):
    """Return the outlines found, by object and place, and the places in their order."""
    found, order = {}, []
    for step in propagate(session, planes_of(image), keyframes, **options):
        if isinstance(step, FoundPlane):
            order.append(step.place)
            for number, one in step.found.items():
                found.setdefault(number, {})[step.place] = one
    return found, order


def test_an_object_is_found_in_each_plane_and_ends_where_it_ends(session):
    found, order = followed(session, volume(ball), {7: {8: Mask.of(ball(8))}})
    assert sorted(found[7]) == [z for z in range(FIRST, LAST + 1) if z != 8]
    assert all(iou(one.mask, ball(z)) > 0.9 for z, one in found[7].items())
    assert all(0 < one.score <= 1 for one in found[7].values())
    assert order[:4] in ([7, 9, 6, 10], [9, 7, 10, 6])


def test_objects_do_not_share_pixels_nor_take_those_of_others(session):
    def neighbour(z):
        return ball(z, column=50, radius=9)

    image = volume(ball, neighbour)
    others = np.zeros((PLANES, SIDE, SIDE), np.int32)
    others[:, :26] = 5
    known = {1: {8: Mask.of(ball(8))}, 2: {8: Mask.of(neighbour(8))}}
    found, _ = followed(session, image, known, others=lambda z: others[z])
    for z in set(found[1]) & set(found[2]):
        a, b = (np.asarray(found[k][z].mask) for k in (1, 2))
        assert not (a & b).any()
        assert not a[:26].any()
        assert not b[:26].any()
    assert len(found[1]) >= 5
    assert len(found[2]) >= 5


def test_the_keyframe_of_one_object_is_not_of_another(session):
    half = ball(9)
    half[:, :28] = False
    known = {1: {8: Mask.of(ball(8))}, 2: {9: Mask.of(half)}}
    found, _ = followed(session, volume(ball), known)
    assert not (np.asarray(found[1][9].mask) & half).any()


def test_between_two_keyframes_it_is_there_and_an_empty_keyframe_is_an_end(session):
    image = volume(ball)
    image[7] = 40  # nothing is seen there
    known = {1: {5: Mask.of(ball(5)), 9: Mask.of(ball(9)), 11: Mask.of(ball(0))}}
    found, _ = followed(session, image, known)
    assert {6, 8, 10} <= set(found[1])
    assert not set(found[1]) & {11, 12, 13}


@pytest.mark.parametrize("nothing", [0, 255, np.nan])
def test_one_plane_that_shows_nothing_is_passed_and_two_are_an_end(session, nothing):
    image = volume(ball).astype(np.float32)
    image[10] = nothing
    known = {1: {8: Mask.of(ball(8))}}
    found, _ = followed(session, image, known)
    assert sorted(found[1]) == [3, 4, 5, 6, 7, 9, 11, 12]
    image[11] = nothing
    found, _ = followed(session, image, known)
    assert sorted(found[1]) == [3, 4, 5, 6, 7, 9]


def test_between_two_keyframes_a_plane_that_shows_nothing_stays_empty(session):
    image = volume(ball)
    image[8] = 0
    known = {1: {6: Mask.of(ball(6)), 10: Mask.of(ball(10))}}
    found, _ = followed(session, image, known, only=range(7, 10))
    assert sorted(found[1]) == [7, 9]


def test_only_the_planes_that_are_wanted_are_asked(session):
    known = {1: {5: Mask.of(ball(5)), 9: Mask.of(ball(9))}}
    wanted = stale_places(known[1], 9, PLANES)
    assert wanted == range(6, PLANES)
    found, order = followed(session, volume(ball), known, only=range(6, 9))
    assert sorted(found[1]) == sorted(order) == [6, 7, 8]
    assert session.predictor.model.encoded == 3


def test_a_run_that_is_left_early_has_done_no_more(session):
    steps = propagate(session, planes_of(volume(ball)), {1: {8: Mask.of(ball(8))}})
    first = next(step for step in steps if isinstance(step, FoundPlane))
    assert first.place in (7, 9)
    steps.close()
    assert session.predictor.model.encoded == 1


def test_progress_ends_at_its_total(session):
    steps = list(propagate(session, planes_of(volume(ball)), {1: {8: Mask.of(ball(8))}}))
    progress = [step for step in steps if isinstance(step, Progress)]
    assert all(a.done <= b.done <= b.total for a, b in itertools.pairwise(progress))
    assert progress[-1].done == progress[-1].total == PLANES - 1


@pytest.mark.parametrize(
    ("place", "side", "text"), [(99, SIDE, "go from 0 to 15"), (8, 32, "is \\(32, 32\\) pixels")]
)
def test_keyframes_that_do_not_fit_are_refused(session, place, side, text):
    known = {1: {place: Mask.of(np.ones((side, side), bool))}}
    with pytest.raises(ValueError, match=text):
        list(propagate(session, planes_of(volume(ball)), known))


def test_stale_places_end_at_the_neighbouring_keyframes():
    assert stale_places([2, 6, 9], 6, 20) == range(3, 9)
    assert stale_places([6], 6, 20) == range(20)


def test_the_look_of_an_object_tells_its_pixels():
    image = volume(ball)[8]
    features = pixel_features(image, (0, 255))
    look = Appearance(features.reshape(-1, features.shape[-1]), ball(8).ravel())
    evidence = look.evidence(features)
    assert evidence.shape == (SIDE, SIDE)
    assert iou(evidence > 0, ball(8)) > 0.9
    colours = pixel_features(np.stack([image] * 3, axis=-1))
    assert colours.shape[-1] == features.shape[-1] + 2


def test_all_keyframes_teach_how_an_object_looks(session):
    """A small outline at the end of an object says little; the large one counts as well."""
    image = volume(ball)
    image[8][ball(8)] = 120  # darker in its middle
    masks = {8: Mask.of(ball(8)), 12: Mask.of(ball(12))}
    planes, both, small = planes_of(image), Keyframes(masks), Keyframes({12: masks[12]})
    assert both.area == masks[8].area > small.area == masks[12].area
    for one in (both, small):
        one.learn(session, planes)
    dark = pixel_features(image[8], (0, 255))[ball(8)]
    assert both.appearance.evidence(dark).mean() > 1
    assert small.appearance.evidence(dark).mean() < both.appearance.evidence(dark).mean()
    assert both.cells is None  # the model has no fine features
