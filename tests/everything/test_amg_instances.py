from __future__ import annotations

import numpy as np
import pytest
from tiny import SceneModel, true_fields

from napari_sam import masks
from napari_sam.everything.amg_instances import (
    COARSE,
    InstanceProposer,
    covered,
    iou_of,
    linked,
    objects_of,
    one_of_each,
    resolved,
)
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.upsampling import Upsampler

Y, X = np.mgrid[:512, :512]


def disc(x, y, radius):
    return np.hypot(X - x, Y - y) <= radius


def labelled(*parts):
    labels = np.zeros((512, 512), np.int32)
    for label, mask in enumerate(parts, start=1):
        labels[mask & (labels == 0)] = label
    return labels


def fine_and_coarse(labels):
    return true_fields(labels), true_fields(labels[::2, ::2], 8)


def test_objects_know_their_place_in_the_input():
    (found,) = objects_of(true_fields(labelled(disc(200, 100, 30))))
    assert found.area == pytest.approx(np.pi * 30**2, rel=0.03)
    assert found.side == pytest.approx(60, abs=2)
    np.testing.assert_allclose(found.middle, (200, 100), atol=3)
    assert found.fit > 0.9
    assert covered(found.fields) == (512, 512)


def test_outlines_of_neighbours_meet():
    labels = labelled(disc(150, 200, 51), disc(250, 200, 51))
    first, second = objects_of(true_fields(labels))
    upsampler = Upsampler.between((256, 256), (512, 512), (512, 512), (1024, 1024))
    drawn = [upsampler(found.logits()) > 0 for found in (first, second)]
    assert not (drawn[0] & drawn[1]).any()
    truth = (labels > 0).repeat(2, 0).repeat(2, 1)
    assert masks.iou(drawn[0] | drawn[1], truth) > 0.97
    gap = drawn[0][400, :512].sum() + drawn[1][400].sum() - truth[400].sum()
    assert abs(int(gap)) <= 4  # the row through both centres is covered


def test_objects_of_both_scales_are_the_same():
    fields = fine_and_coarse(labelled(disc(100, 100, 30), disc(300, 300, 150)))
    fine, coarse = objects_of(fields[0]), objects_of(fields[1])
    links = linked(fine, coarse).toarray()
    assert links.shape == (4, 4)
    assert links.sum() == 2
    for a, b in zip(*np.nonzero(links), strict=True):
        both = [*fine, *coarse]
        np.testing.assert_allclose(both[a].middle, both[b].middle, atol=9)


def test_the_larger_an_object_the_more_the_coarser_scale_counts():
    fields = fine_and_coarse(labelled(disc(60, 60, 30), disc(330, 300, 160)))
    found = sorted(one_of_each([objects_of(one) for one in fields]), key=lambda one: one.side)
    assert [one.fields.stride for one in found] == [2, 4]


@pytest.mark.parametrize(("side", "count"), [(512, 9), (128, 10)])
def test_where_objects_are_small_the_coarser_scale_does_not_count(side, count):
    """Unless the plane is magnified four times."""
    small = [disc(x, y, 6) for y in (30, 60, 90) for x in (30, 60, 90)]
    large = labelled(disc(330, 330, 60))
    scales = true_fields(labelled(*small)), fine_and_coarse(large)[1]
    model = SceneModel()
    model.largest_scale = 4.0
    predictor = SamPredictor(model)
    proposer = InstanceProposer(predictor, predictor.encode(np.eye(side)), scales)
    assert len(proposer.doubtful) + len([*proposer.certain()]) == count


def test_an_object_that_falls_apart_comes_from_the_other_scale():
    whole = disc(330, 330, 160)
    pieces = labelled(whole & (X < 330), whole & (X >= 330), disc(60, 60, 30))
    fine, coarse = fine_and_coarse(pieces)[0], fine_and_coarse(labelled(whole))[1]
    found = resolved(objects_of(fine), objects_of(coarse))
    assert sorted(one.fields.stride for one in found) == [2, 4]
    blurred = fine_and_coarse(labelled(whole, disc(60, 60, 30)))[1]
    small = resolved(objects_of(true_fields(pieces)), objects_of(blurred))
    assert len(small) == 2


def test_small_objects_of_the_coarser_scale_alone_are_none():
    small, large = int(COARSE * 0.4), int(COARSE * 0.7)
    coarse = objects_of(fine_and_coarse(labelled(disc(100, 100, small), disc(300, 300, large)))[1])
    (found,) = resolved([], coarse)
    np.testing.assert_allclose(found.middle, (300, 300), atol=8)
    fine = objects_of(true_fields(labelled(disc(420, 80, 20))))
    assert len(resolved(fine, coarse)) == 2
    assert resolved(fine, []) == fine


def test_expected_iou_rises_with_the_fit():
    values = [iou_of(fit) for fit in np.linspace(0, 1, 21)]
    assert values == sorted(values)
    assert values[0] == 0
    assert 0.8 < iou_of(0.92) < 0.9


def test_points_lie_in_the_plane():
    """The last cells of the fields reach beyond it."""
    model = SceneModel()
    plane = np.zeros((30, 41), np.uint8)
    plane[:, 31:] = 200
    predictor = SamPredictor(model)
    embedding = predictor.encode(plane)
    proposer = InstanceProposer(predictor, embedding, predictor.instance_fields(embedding))
    answers = [*proposer.certain(), *proposer.decoded(proposer.doubtful)]
    assert answers
    for answer in answers:
        x, y = answer.point
        assert 0 <= x <= 40
        assert 0 <= y <= 29
