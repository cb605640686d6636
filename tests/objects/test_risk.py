"""What is measured of objects, and what is said to be wrong with them, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.objects import Outline, SegmentedObject
from napari_sam.objects.measured import measure_all, measured, shares_apart, shares_changed
from napari_sam.objects.risk import CRITERIA, FLAGGED, assessed, size_scores
from napari_sam.steps import drive
from napari_sam.types import Mask, SliceKey

KEYS = [SliceKey((1, 2), ((0, z),)) for z in range(9)]
BLOCK = np.ones((10, 10), bool)


def outline(x=20, y=20, bits=BLOCK, **more):
    return Outline(Mask.of(bits, (x, y), (64, 64)), **{"model": "tiny", "score": 0.99, **more})


def assess(outlines, labels=None, **more):
    (one,) = assessed([measured(SegmentedObject(3, outlines, **more), labels)], (2.0, 0.5, 0.5))
    return one


def names(one):
    return [flag.name for flag in one.flags]


def test_a_sound_object_has_no_flag_and_no_risk():
    one = assess({KEYS[0]: outline()})
    assert (one.flags, one.risk) == ((), 0.0)
    assert (one.size, one.sides) == (25.0, 2)
    assert one.key == KEYS[0]
    assert one.measured.stability is None
    assert one.measured.agreement is None


def test_sizes_are_volumes_over_several_planes():
    one = assess({KEYS[2]: outline(), KEYS[3]: outline(), KEYS[4]: outline()})
    assert (one.size, one.sides) == (150.0, 3)
    assert (one.measured.planes, one.measured.axis) == (3, 0)
    assert one.measured.box == ((2, 5), (20, 30), (20, 30))
    assert one.measured.agreement == 1.0


def test_a_jump_names_its_planes_and_its_iou():
    # 5 of 10 columns in common: 50 of 150 pixels
    one = assess({KEYS[6]: outline(), KEYS[7]: outline(x=25), KEYS[8]: outline(x=26)})
    (flag,) = one.flags
    assert flag.text == "jump between planes 6 and 7 (IoU 0.33)"
    assert one.key == KEYS[7]
    assert one.measured.agreement == pytest.approx(1 / 3)
    assert one.risk == pytest.approx(0.8 * (0.8 - 1 / 3) / 0.6)


def test_an_object_may_shrink_at_its_ends_but_not_in_between():
    sizes = (4, 9, 10, 10, 4, 10, 10, 3)
    planes = {key: outline(bits=np.ones((n, n), bool)) for key, n in zip(KEYS, sizes, strict=False)}
    one = assess(planes)
    assert one.measured.agreement == pytest.approx(16 / 100)
    assert one.flags[0].text == "jump between planes 3 and 4 (IoU 0.16)"
    ends = {key: planes[key] for key in KEYS[:4]}
    assert assess(ends).measured.agreement == pytest.approx(81 / 100)


def test_a_gap_is_between_two_planes():
    one = assess({KEYS[1]: outline(), KEYS[4]: outline()})
    (flag,) = one.flags
    assert flag.text == "gap between planes 1 and 4"
    assert one.key == KEYS[4]
    assert one.measured.agreement is None


def test_the_least_score_of_all_planes_counts_if_a_model_gave_it():
    one = assess({KEYS[0]: outline(score=0.9), KEYS[1]: outline(score=0.6)})
    assert one.measured.score == 0.6
    (flag,) = one.flags
    assert flag.text == "low score (predicted IoU 0.60)"
    assert one.key == KEYS[1]
    painted = assess({KEYS[0]: Outline(outline().mask, origin="painted")})
    assert painted.measured.score is None


def test_stability_comes_from_the_attributes():
    one = assess({KEYS[0]: outline()}, attributes={"stability": 0.65})
    assert one.measured.stability == 0.65
    assert names(one) == ["unstable"]
    assert assess({KEYS[0]: outline()}, attributes={"stability": "?"}).measured.stability is None


def test_pieces_holes_and_the_border():
    two = np.zeros((10, 20), bool)
    two[:, :10] = two[:5, 15:] = True
    assert shares_apart(two) == (0.2, 0.0)
    ring = BLOCK.copy()
    ring[3:6, 3:6] = False
    assert shares_apart(ring) == (0.0, pytest.approx(9 / 91))
    corner = np.zeros((4, 4), bool)
    corner[:2, :2] = corner[2:, 2:] = True
    assert shares_apart(corner) == (0.0, 0.0)
    assert names(assess({KEYS[0]: outline(bits=two)})) == ["pieces"]
    assert names(assess({KEYS[0]: outline(bits=ring)})) == ["holes"]
    edge = assess({KEYS[0]: outline(x=54)})
    assert names(edge) == ["border"]
    assert edge.risk == pytest.approx(0.1)


def test_pixels_of_others_and_painted_ones_are_told_apart():
    labels = np.zeros((9, 64, 64), int)
    labels[0, 20:30, 20:30] = 3
    labels[0, 20:30, 20:24] = 8  # 40 of 100 pixels are hidden
    labels[0, 20:22, 24:30] = 0  # 12 were erased
    labels[0, 30:32, 24:30] = 3  # and 12 painted beside
    labels[0, 50:, 50:] = 3  # too far away to be counted
    mask = outline().mask
    assert shares_changed(mask, KEYS[0], labels, 3) == (0.4, 0.24)
    one = assess({KEYS[0]: outline()}, labels)
    assert names(one) == ["hidden", "painted"]
    assert one.flags[0].text == "40 % of it belongs to others"


def test_risks_of_several_criteria_add_up_as_of_independent_warnings():
    one = assess({KEYS[0]: outline(x=54, score=0.45)}, status="to check")
    assert names(one) == ["to check", "low score", "border"]
    assert one.risk == pytest.approx(1 - (1 - 0.9) * (1 - 0.7) * (1 - 0.1))
    assert one.key == KEYS[0]


def test_sizes_are_compared_in_a_class():
    sizes = [100.0, 101, 99, 102, 98, 100, 101, 99, 400]
    scores = size_scores(sizes, ["a"] * 9)
    # the median of |log(x / 100)| is below the least spread
    assert scores[-1] == pytest.approx(0.6745 * np.log(4) / 0.05)
    assert max(map(abs, scores[:-1])) < 0.5
    assert size_scores(sizes, ["a"] * 4 + ["b"] * 5) == [0.0] * 9  # too few to compare
    wide = size_scores(list(np.exp(np.arange(9.0))), ["a"] * 9)
    assert wide[-1] == pytest.approx(0.6745 * 4 / 2)
    big = np.ones((30, 30), bool)
    found = [
        measured(SegmentedObject(k, {KEYS[0]: outline(bits=big if k == 9 else BLOCK)}))
        for k in range(1, 10)
    ]
    last = assessed(found, (1.0, 1.0, 1.0))[-1]
    assert last.flags[0].text.startswith("very large for its class")


def test_what_did_not_change_is_not_measured_again():
    labels = np.zeros((9, 64, 64), int)
    a = SegmentedObject(1, {KEYS[0]: outline()})
    b = SegmentedObject(2, {KEYS[0]: outline(x=40)})
    first = drive(measure_all({1: a, 2: b}, {}, labels))
    other = SegmentedObject(2, {KEYS[0]: outline(x=41)})
    second = drive(measure_all({1: a, 2: other}, first, labels))
    assert second[1] is first[1]
    assert second[2].one is other
    touched = [((0, 1), (25, 26), (0, 64))]
    third = drive(measure_all({1: a}, second, labels, touched))
    assert third[1] is not first[1]
    elsewhere = drive(measure_all({1: a}, third, labels, [((1, 2), (0, 64), (0, 64))]))
    assert elsewhere[1] is third[1]


def test_an_object_without_pixels_has_no_place():
    one = assess({})
    assert (one.size, one.key, one.risk) == (0.0, None, 0.0)


def test_severities_go_from_good_to_bad():
    for criterion in CRITERIA.values():
        assert criterion.severity(criterion.good) == 0
        assert criterion.severity(criterion.bad) == 1
        assert criterion.severity((criterion.good + criterion.bad) / 2) == pytest.approx(FLAGGED)
        assert 0 < criterion.weight < 1
