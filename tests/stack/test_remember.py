"""Objects are followed by what a model remembers of them."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from remembering import RememberingModel
from tiny import SceneModel

from napari_sam.masks import iou
from napari_sam.models.contract import Answers
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.stack.propagate import FoundPlane, propagate, propagator_of
from napari_sam.types import Mask, Plane, Progress, SliceKey

SIDE, PLANES = 64, 16
FIRST, LAST = 3, 12


def disc(z, row=30, column=20, radius=9.0, speed=1.0):
    """Return the outline in a plane of a rod that leans."""
    if not FIRST <= z <= LAST:
        return np.zeros((SIDE, SIDE), bool)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (rows - row) ** 2 + (columns - column - speed * (z - FIRST)) ** 2 <= radius**2


def volume(*objects):
    image = np.full((PLANES, SIDE, SIDE), 30, np.uint8)
    image[:, 0, 0] = 255  # no plane is blank
    for one in objects:
        for z in range(PLANES):
            image[z][one(z)] = 220
    return image


def planes_of(image):
    return [Plane(image, SliceKey((1, 2), ((0, z),)), (0, 255)) for z in range(len(image))]


@pytest.fixture
def session():
    return Session(SamPredictor(RememberingModel()))


def followed(session, image, keyframes, **options):
    found = {}
    for step in propagate(session, planes_of(image), keyframes, **options):
        if isinstance(step, FoundPlane):
            for number, one in step.found.items():
                found.setdefault(number, {})[step.place] = one
        else:
            assert isinstance(step, Progress)
    return found


def test_an_object_is_followed_both_ways_and_ends_where_the_model_does_not_see_it(session):
    found = followed(session, volume(disc), {7: {8: Mask.of(disc(8))}})
    assert sorted(found[7]) == [z for z in range(FIRST, LAST + 1) if z != 8]
    assert all(iou(one.mask, disc(z)) > 0.85 for z, one in found[7].items())
    assert {round(one.score, 3) for one in found[7].values()} == {0.8}
    assert session.predictor.model.decoded == 0  # the prompts of the other way are not asked


def test_each_keyframe_and_direction_is_a_pass_of_its_own(session):
    known = {1: {4: Mask.of(disc(4)), 9: Mask.of(disc(9))}}
    found = followed(session, volume(disc), known)
    assert sorted(found[1]) == [3, 5, 6, 7, 8, 10, 11, 12]
    passes = {places for batch in session.predictor.model.passes for places in batch}
    assert (4, 5, 6, 7) in passes
    assert (9, 8, 7, 6) in passes
    assert not any(4 in places and 9 in places for places in passes)


def test_objects_share_the_encoder(session):
    def other(z):
        return disc(z, row=52, radius=8)

    image = volume(disc, other)
    known = {1: {8: Mask.of(disc(8))}, 2: {8: Mask.of(other(8))}}
    forbidden = np.zeros((PLANES, SIDE, SIDE), np.int32)
    forbidden[:, :28] = 5
    found = followed(session, image, known, others=lambda z: forbidden[z])
    assert session.predictor.model.encoded == LAST - FIRST + 3  # and where they end
    assert len(found[1]) == len(found[2]) == 9
    assert not any(np.asarray(one.mask)[:28].any() for one in found[1].values())


def square(first, last):
    inside = np.zeros((SIDE, SIDE), bool)
    inside[first:last, first:last] = True
    return inside


CELL, NUCLEUS = square(8, 56), square(24, 40)


class Standing(RememberingModel):
    """Says that objects stay as they are, each with a logit of its own by its area."""

    def __init__(self, **options):
        super().__init__(**options)
        self.logits = {int(CELL.sum()): 9.0, int(NUCLEUS.sum()): 22.5}

    def follow(self, features, memories, place):
        answers = []
        for outline, _ in memories:
            cells = outline.reshape(outline.shape[0] // 4, 4, outline.shape[1] // 4, 4)
            coarse = cells.mean((1, 3)) > 0.5
            answers.append([np.where(coarse, self.logits[int(outline.sum())], -20.0)])
        scores = np.full((len(memories), 1), 0.9, np.float32)
        return Answers(np.array(answers, np.float32), scores, scores[:, 0]), list(memories)


@pytest.mark.parametrize("keyframes", [(8,), (2, 13)], ids=["one side", "both sides"])
@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["the cell first", "the nucleus first"])
def test_objects_that_overlap_share_pixels_by_the_higher_logit(order, keyframes):
    """Both are beyond what counts as certain, and the number of an object does not decide."""
    session = Session(SamPredictor(Standing()))
    cell, nucleus = order
    outlines = {cell: CELL, nucleus: NUCLEUS}
    known = {
        number: dict.fromkeys(keyframes, Mask.of(outlines[number])) for number in sorted(order)
    }
    planes = range(keyframes[0] + 1, keyframes[-1] if len(keyframes) > 1 else PLANES)
    found = followed(session, volume(), known, only=planes)
    for z in planes:
        inner, outer = (np.asarray(found[number][z].mask) for number in (nucleus, cell))
        assert iou(inner, NUCLEUS) > 0.7
        assert inner[26:38, 26:38].all()
        assert not (inner & outer).any()
        assert outer[10:22, 10:54].all()  # the rest of the cell is the cell's
        assert outer[42:54, 10:54].all()


def test_an_object_smaller_than_the_cells_of_the_input_is_shown():
    """A plane of 512 pixels is seen with 64."""
    session, shown = Session(SamPredictor(Standing(image_size=SIDE))), []
    model = session.predictor.model
    begun = model.memory_of
    model.memory_of = lambda *given: shown.append(given[1]) or begun(*given)
    model.logits = dict.fromkeys(range(1, 9), 9.0)
    image = np.random.default_rng(0).integers(0, 255, (3, 512, 512), np.uint8)
    speck = np.zeros((512, 512), bool)
    speck[203:206, 301:306] = True
    followed(session, image, {1: {1: Mask.of(speck)}})
    ((mask,),) = shown
    assert np.argwhere(mask > 0).tolist() == [[25, 37], [25, 38]]


def test_what_is_remembered_does_not_grow_with_the_keyframes(session):
    """Of one object, the two sweeps of a gap; the memory of a keyframe is made once."""
    model, alive, most, begun = session.predictor.model, weakref.WeakSet(), [], []

    class Kept:
        def __init__(self, value):
            self.value = value
            alive.add(self)

    follow, memory_of = model.follow, model.memory_of

    def kept_of(features, masks, place, length):
        begun.append(place)
        return [Kept(one) for one in memory_of(features, masks, place, length)]

    def kept_follow(features, memories, place):
        answers, after = follow(features, [one.value for one in memories], place)
        most.append(len(alive))
        return answers, [Kept(one) for one in after]

    model.memory_of, model.follow = kept_of, kept_follow
    known = {1: {z: Mask.of(disc(z)) for z in range(FIRST, LAST + 1, 3)}}
    found = followed(session, volume(disc), known)
    assert sorted(found[1]) == [4, 5, 7, 8, 10, 11]
    assert sorted(begun) == sorted(known[1])
    assert max(most) <= 5  # of two sweeps the latest, what each began with, the last keyframe


def test_an_object_that_ends_early_on_one_side_stays_in_step_on_the_other(session):
    def short(z):
        return disc(z, row=52, radius=8) & (z > 5)

    known = {1: {8: Mask.of(disc(8))}, 2: {8: Mask.of(short(8))}}
    found = followed(session, volume(disc, short), known)
    assert sorted(found[2]) == [6, 7, 9, 10, 11, 12]
    ahead = [batch for batch in session.predictor.model.passes if batch[0][-1] > 8]
    assert [len(batch) for batch in ahead] == [2] * 4  # from 9 to 12


def test_an_object_is_there_again_between_two_keyframes(session):
    image = volume(disc)
    image[6:8] = 30
    image[6:8, 0, 0] = 255
    known = {1: {4: Mask.of(disc(4)), 10: Mask.of(disc(10))}}
    assert {5, 8, 9} <= set(followed(session, image, known)[1])
    assert not {6, 7} & set(followed(session, image, known)[1])
    alone = {1: {4: Mask.of(disc(4))}}
    assert set(followed(session, image, alone)[1]) == {3, 5}


def test_one_plane_that_shows_nothing_is_passed_and_two_are_an_end(session):
    image = volume(disc)
    image[10] = 30
    known = {1: {8: Mask.of(disc(8))}}
    assert sorted(followed(session, image, known)[1]) == [3, 4, 5, 6, 7, 9, 11, 12]
    image[11] = 30
    session.clear()
    assert sorted(followed(session, image, known)[1]) == [3, 4, 5, 6, 7, 9]


def test_the_outline_in_a_keyframe_reaches_the_model_in_its_own_pixels(session):
    seen = []
    model = session.predictor.model
    begun = model.memory_of
    model.memory_of = lambda *given: seen.append(given) or begun(*given)
    followed(session, volume(disc), {1: {8: Mask.of(disc(8))}}, only=[9])
    ((features, masks, place, length),) = seen
    assert features.shape == masks.shape[1:] == (SIDE, SIDE)
    assert np.array_equal(masks[0] > 0, disc(8))
    assert (place, length) == (8, PLANES)


def test_the_propagator_is_the_memory_of_a_model_that_has_one():
    assert propagator_of(RememberingModel()) == "memory"
    assert propagator_of(RememberingModel(), "appearance") == "appearance"
    assert propagator_of(SceneModel()) == "appearance"
    with pytest.raises(ValueError, match="stub has no memory of objects: use the propagator app"):
        propagator_of(SceneModel(), "memory")
    with pytest.raises(ValueError, match="one of appearance, memory, but is 'guide'"):
        propagator_of(RememberingModel(), "guide")


def test_the_other_propagator_can_be_asked_for(session):
    known = {1: {8: Mask.of(disc(8))}}
    found = followed(session, volume(disc), known, propagator="appearance")
    assert len(found[1]) == 9
    assert not session.predictor.model.passes
