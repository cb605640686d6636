"""Classes proposed from a few named objects: drawn discs and bars."""

import numpy as np
import pytest

from napari_sam.everything.descriptors import Look, described
from napari_sam.everything.naming import UNNAMED, comparable, propose_classes
from napari_sam.types import Mask

SIDE = 128


def drawn(count=12, seed=0):
    """Return masks of discs and bars in turn, their kinds, and a plane with both."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    masks, plane = [], np.full((SIDE, SIDE), 0.1, np.float32)
    for k in range(count):
        row, column = 16 + 32 * (k // 4), 16 + 32 * (k % 4)
        if k % 2:
            half = rng.integers(9, 12), rng.integers(2, 4)
            pixels = (abs(rows - row) <= half[1]) & (abs(columns - column) <= half[0])
        else:
            pixels = np.hypot(rows - row, columns - column) < rng.uniform(5, 8)
        masks.append(Mask.of(pixels))
        plane[pixels] = 0.8
    return masks, np.arange(count) % 2, plane


@pytest.fixture
def features():
    """What discs and bars look like to an encoder of edges and noise, and their kinds."""
    masks, kinds, plane = drawn()
    cells = 32, 4, 32, 4
    edges = [abs(one).reshape(cells).mean(axis=(1, 3)) for one in np.gradient(plane)]
    noise = np.random.default_rng(1).standard_normal((1, 32, 32))
    level = np.concatenate([edges, noise]).astype(np.float32)
    look = Look((level,), (float(SIDE), float(SIDE)), plane)
    return comparable(described(look, masks)), kinds


def named(kinds, per_class=2):
    known = np.full(len(kinds), UNNAMED)
    for kind in set(kinds.tolist()):
        known[np.flatnonzero(kinds == kind)[:per_class]] = kind
    return known


def test_discs_and_bars_are_told_apart_from_two_of_each(features):
    rows, kinds = features
    found = propose_classes(rows, named(kinds))
    assert found.classes.tolist() == kinds.tolist()
    assert (found.confidence > 0.5).all()
    assert (found.confidence <= 1).all()


def test_more_named_objects_make_it_surer(features):
    rows, kinds = features
    few, more = (propose_classes(rows, named(kinds, n)).confidence for n in (1, 4))
    assert more[8:].mean() > few[8:].mean()


def test_a_class_is_not_likelier_because_more_objects_of_it_are_named(features):
    rows, kinds = features
    known = named(kinds, 1)
    known[kinds == 1] = np.where(np.flatnonzero(kinds == 1) < 10, 1, UNNAMED)
    assert propose_classes(rows, known).classes.tolist() == kinds.tolist()


def test_many_named_objects_give_what_the_same_equations_give(features):
    """With more objects than features the other form of the equations is solved."""
    rows, kinds = features
    many = np.repeat(rows[:, -6:], 3, axis=0)
    known = np.repeat(kinds, 3)
    found = propose_classes(many, known)
    assert found.classes.tolist() == known.tolist()
    few = np.concatenate([many, np.zeros((len(many), 64), np.float32)], axis=1)
    same = propose_classes(few, known)
    assert same.confidence == pytest.approx(found.confidence, abs=1e-4)


def test_three_classes_have_names_of_their_own(features):
    rows, kinds = features
    known = named(kinds) * 5  # 0 and 5; UNNAMED becomes -5
    known[known < 0] = UNNAMED
    known[10] = 9
    found = propose_classes(rows, known)
    assert set(found.classes.tolist()) <= {0, 5, 9}
    assert found.classes[10] == 9


def test_of_one_class_the_confidence_is_the_likeness(features):
    rows, kinds = features
    found = propose_classes(rows, np.where(np.arange(len(kinds)) == 0, 3, UNNAMED))
    assert set(found.classes.tolist()) == {3}
    assert found.confidence[0] == pytest.approx(1)
    assert found.confidence[kinds == 0].mean() > found.confidence[kinds == 1].mean() + 0.2


def test_without_a_class_it_says_what_to_do(features):
    rows, kinds = features
    with pytest.raises(ValueError, match="give a few objects a class first"):
        propose_classes(rows, np.full(len(kinds), UNNAMED))


def test_what_is_the_same_for_all_objects_says_nothing():
    rows = np.random.default_rng(0).standard_normal((6, 20)).astype(np.float32)
    rows[:, 3] = 7
    assert (comparable(rows)[:, 3] == 0).all()
    assert np.linalg.norm(comparable(rows), axis=1) == pytest.approx(1)
    assert comparable(rows[:0]).shape == (0, 20)
