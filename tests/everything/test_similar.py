import numpy as np
import pytest
from tiny import SceneModel, tiny_sam

from napari_sam import Plane, SamPredictor, Session
from napari_sam.everything.exemplars import Exemplars, distinct
from napari_sam.everything.similar import (
    PlaneCandidates,
    candidates_in,
    described_in,
    likeliest,
    windows_for,
)
from napari_sam.masks import iou
from napari_sam.steps import drive
from napari_sam.types import Mask, Progress

DISCS = [(30, 30), (30, 90), (30, 150), (90, 30), (90, 90), (90, 150)]


def two_kinds(size=192):
    """Return a plane with six discs and two bars, and their labels."""
    truth = np.zeros((size, size), np.int32)
    y, x = np.mgrid[:size, :size]
    for label, (row, column) in enumerate(DISCS, 1):
        truth[np.hypot(y - row, x - column) < 14] = label
    truth[140:148, 20:84] = 7
    truth[160:168, 60:124] = 8
    return np.where(truth > 0, 200, 20).astype(np.uint8), truth


def asked(model, image, truth, given):
    session, plane = Session(SamPredictor(model)), Plane(image)
    masks = [Mask.of(truth == label) for label in given]
    exemplars = Exemplars(described_in(session, plane, masks))
    labels = np.where(np.isin(truth, given), truth, 0)
    return exemplars, labels, candidates_in(session, plane, exemplars, masks, labels)


def best(exemplars, labels, found, count):
    likeness = exemplars.likeness(found)
    return [found.masks[k] for k in distinct(found.masks, likeness, labels, count)]


@pytest.mark.parametrize(("given", "wanted"), [([1], {2, 3, 4, 5, 6}), ([7], {8})])
def test_objects_of_the_same_kind_are_found(given, wanted):
    image, truth = two_kinds()
    exemplars, labels, steps = asked(SceneModel(), image, truth, given)
    masks = best(exemplars, labels, drive(steps).candidates, len(wanted))
    found = {max(wanted, key=lambda label: iou(mask, truth == label)) for mask in masks}
    assert found == wanted
    assert all(max(iou(mask, truth == label) for label in wanted) > 0.8 for mask in masks)


def test_what_the_head_shows_is_told_first():
    image, truth = two_kinds()
    *_, steps = asked(SceneModel(), image, truth, [1])
    told = list(steps)
    early = [one for one in told if isinstance(one, PlaneCandidates)]
    progress = [one.done for one in told if isinstance(one, Progress)]
    assert len(early) == 1
    assert len(early[0].candidates) >= 5
    assert progress == sorted(progress)


def test_a_model_without_a_head_is_asked_at_points():
    image, truth = two_kinds(64)
    truth[:] = 0
    truth[10:20, 10:20] = 1
    exemplars, _, steps = asked(tiny_sam(), image, truth, [1])
    found = drive(steps).candidates
    assert exemplars.accepted.shape == (1, 2 * 32 + 6)  # the embedding has 32 features
    assert found.features.shape[1] == exemplars.accepted.shape[1]


def test_so_many_candidates_are_kept_as_wanted_and_take_little_memory():
    image, truth = two_kinds()
    exemplars, labels, steps = asked(SceneModel(), image, truth, [1])
    found = drive(steps).candidates
    kept = likeliest(found, exemplars, labels, 4)
    assert found.features.dtype == kept.features.dtype == np.float16
    assert len(kept) == 4 < len(found)
    likeness = exemplars.likeness(found)
    assert exemplars.likeness(kept).max() == pytest.approx(likeness.max())


def test_a_blank_plane_holds_nothing():
    image, truth = two_kinds()
    *_, steps = asked(SceneModel(), np.zeros_like(image), truth, [1])
    assert len(drive(steps).candidates) == 0


def test_a_large_plane_is_looked_at_in_tiles_that_suit_the_objects():
    image, truth = two_kinds()
    wide, known = np.tile(image, (1, 3)), np.zeros((192, 576), np.int32)
    known[:, :192] = truth
    session = Session(SamPredictor(SceneModel(image_size=128)))
    small = Mask.of(known == 1)
    assert len(windows_for(session, Plane(wide), [small])) > 1
    assert len(windows_for(session, Plane(wide), [Mask.of(np.ones((192, 576), bool))])) == 1
    exemplars = Exemplars(described_in(session, Plane(wide), [small]))
    steps = candidates_in(session, Plane(wide), exemplars, [small], known)
    masks = best(exemplars, known, drive(steps).candidates, 12)
    copies = np.tile(truth, (1, 3))
    copies[:, :192] = 0
    copies[:, 384:][copies[:, 384:] > 0] += 10
    right = {*range(1, 7), *range(11, 17)}
    found = {label for mask in masks for label in right if iou(mask, copies == label) > 0.8}
    assert found == right
