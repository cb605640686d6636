"""Two annotators compared, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_sam.evaluate import average_precision
from napari_sam.evaluate.annotators import compare


@pytest.fixture
def pair():
    """Two annotators of a (20, 40) image.

    Object 1 of a is 7 of b, exactly; 2 of a and 8 of b share 60 pixels of 80 and 80, IoU 0.6; 3 of
    a covers 9 and 10 of b, 24 pixels each of 60; 4 of a is missed by b, 11 of b by a.
    """
    a, b = np.zeros((20, 40), np.int32), np.zeros((20, 40), np.uint8)
    a[0:5, 0:10] = b[0:5, 0:10] = 1
    b[b == 1] = 7
    a[6:14, 0:10], b[8:16, 0:10] = 2, 8
    a[0:6, 20:30] = 3
    b[0:6, 20:24], b[0:6, 26:30] = 9, 10
    a[10:12, 20:30] = 4
    b[15:20, 30:40] = 11
    return a, b


def test_partners_and_what_each_missed(pair):
    result = compare(*pair)
    one = result.overall
    assert (one.objects_a, one.objects_b) == (4, 5)
    assert one.partners.tolist() == [[1, 7], [2, 8]]
    assert np.allclose(one.ious, [1.0, 0.6])
    assert one.mean_iou == pytest.approx(0.8)
    assert one.missed_by_a.tolist() == [9, 10, 11]
    assert one.missed_by_b.tolist() == [3, 4]
    assert result.joined_by_a == {3: (9, 10)}
    assert result.joined_by_b == {}
    # 2 of 9 objects pair up at 0.5 and 0.55, one above: at 0.6 an IoU of 0.6 is not above it
    assert np.allclose(one.precision[:2], 2 / 7)
    assert np.allclose(one.precision[3:], 1 / 8)
    assert one.mean_precision == pytest.approx((2 * 2 / 7 + 8 / 8) / 10)
    # 50 + 80 + 60 + 20 pixels, 50 + 80 + 48 + 50 pixels, 50 + 60 + 48 of both
    assert result.dice == pytest.approx(2 * 158 / (210 + 228))
    assert math.isnan(result.same_class)
    assert result.classes == {}


def test_swapped_annotators_give_the_same(pair):
    there, back = compare(*pair), compare(*pair[::-1])
    assert np.array_equal(there.overall.precision, back.overall.precision)
    assert np.array_equal(there.overall.missed_by_a, back.overall.missed_by_b)
    assert there.joined_by_a == back.joined_by_b
    assert there.dice == back.dice


def test_the_precision_is_that_of_everything_mode(pair):
    assert np.array_equal(compare(*pair).overall.precision, average_precision(*pair))


def test_classes_are_compared_by_themselves(pair):
    result = compare(*pair, {1: "cell", 2: "cell", 4: "debris"}, {7: "cell", 8: "debris"})
    assert result.same_class == 0.5
    assert list(result.classes) == ["", "cell", "debris"]
    cell, debris = result.classes["cell"], result.classes["debris"]
    assert (cell.objects_a, cell.objects_b, len(cell.partners)) == (2, 1, 1)
    assert cell.precision[0] == pytest.approx(1 / 2)
    assert (debris.objects_a, debris.objects_b, len(debris.partners)) == (1, 1, 0)
    assert math.isnan(debris.mean_iou)
    assert debris.precision[0] == 0


def test_partners_without_a_class_do_not_count_as_of_the_same_class(pair):
    assert compare(*pair, {2: "cell"}, {8: "cell"}).same_class == 1.0
    assert compare(*pair, {2: "cell"}, {}).same_class == 0.0
    assert math.isnan(compare(*pair, {4: "debris"}, {}).same_class)  # it has no partner


def test_an_object_of_a_stack_is_one_object_over_its_planes():
    a, b = np.zeros((3, 8, 8), int), np.zeros((3, 8, 8), int)
    a[:, 2:6, 2:6] = 5
    b[1:, 2:6, 2:6] = 2
    one = compare(a, b).overall
    assert one.partners.tolist() == [[5, 2]]
    assert one.mean_iou == pytest.approx(2 / 3)


def test_one_side_may_be_empty(pair):
    result = compare(pair[0], np.zeros_like(pair[0]))
    assert result.overall.missed_by_b.tolist() == [1, 2, 3, 4]
    assert result.dice == 0
    assert result.overall.mean_precision == 0
    assert math.isnan(result.overall.mean_iou)


def test_what_cannot_be_compared_is_refused(pair):
    with pytest.raises(ValueError, match=r"not \(20, 40\) and \(20, 39\)"):
        compare(pair[0], pair[1][:, 1:])
    with pytest.raises(ValueError, match="neither of the two holds an object"):
        compare(np.zeros((4, 4), int), np.zeros((4, 4), int))
    with pytest.raises(ValueError, match="labels are integers"):
        compare(pair[0].astype(float), pair[1])
    with pytest.raises(ValueError, match="not negative"):
        compare(-pair[0], pair[1])
