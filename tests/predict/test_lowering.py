"""Regions and scribbles become points, boxes and logits that models take."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import SceneModel, tiny_sam

from napari_sam.predict.kept_masks import CERTAIN, logits_of
from napari_sam.predict.lowering import (
    STROKE_POINTS,
    blurred,
    lowered,
    region_mask,
    stroke_points,
)
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.predict.windows import check_inside
from napari_sam.types import Mask, Plane, Prompts, Stroke

SIZE = 60, 80
SQUARE = np.array([[10.0, 20], [50, 20], [50, 40], [10, 40]])


def shape(xy, size=SIZE):
    return np.asarray(region_mask(np.array(xy, np.float64), size))


def test_a_polygon_holds_the_pixels_whose_centres_lie_inside():
    expected = np.zeros(SIZE, bool)
    expected[20:40, 10:50] = True  # of edges, those at the top and the left belong to it
    np.testing.assert_array_equal(shape(SQUARE), expected)
    np.testing.assert_array_equal(shape(SQUARE[::-1]), expected)
    np.testing.assert_array_equal(shape(SQUARE + 0.4)[21:41, 11:51], expected[20:40, 10:50])


def test_a_triangle_has_its_area():
    assert shape([[5, 5], [65, 5], [5, 45]]).sum() == pytest.approx(60 * 40 / 2, rel=0.04)


def test_a_loop_that_crosses_itself_has_no_hole():
    twice = np.concatenate([SQUARE, SQUARE + np.array([5, 3])])
    assert shape(twice)[25:38, 18:48].all()


def test_what_lies_beyond_the_plane_is_left_out():
    inside = shape([[-20, -20], [30, -20], [30, 200], [-20, 200]])
    assert inside[:, :30].all()
    assert not inside[:, 31:].any()
    assert not shape([[-20, -20], [-5, -20], [-5, 200], [-20, 200]]).any()
    assert not shape([[3.2, 4], [3.4, 4], [3.4, 30]]).any()  # between two columns


def test_points_of_a_scribble_are_evenly_spaced_along_it():
    stroke = Stroke(np.array([[10.0, 20], [30, 20], [30, 30]]))
    assert stroke_points(stroke, SIZE, 3).tolist() == [[15, 20], [25, 20], [30, 25]]
    assert len(stroke_points(stroke, SIZE)) == STROKE_POINTS
    short = Stroke(np.array([[10.0, 20], [13, 20]]))
    assert stroke_points(short, SIZE).tolist() == [[11.5, 20]]
    assert stroke_points(Stroke(np.array([[3.0, 4]])), SIZE).tolist() == [[3, 4]]


def test_points_of_a_scribble_beyond_the_plane_do_not_count():
    stroke = Stroke(np.array([[-40.0, 20], [79.5, 20]]))
    found = stroke_points(stroke, SIZE, 4)
    np.testing.assert_allclose(found, [[9.5, 20], [29.5, 20], [49.5, 20], [69.5, 20]])
    there_and_back = Stroke(np.array([[70.0, 20], [90, 20], [90, 40], [60.5, 40]]))
    found = stroke_points(there_and_back, SIZE, 3)
    np.testing.assert_allclose(found, [[74.75, 20], [74.75, 40], [65.25, 40]])
    around = Stroke(np.array([[-5.0, 10], [-5, -5], [10, -5]]))
    assert stroke_points(around, SIZE).shape == (0, 2)


def test_a_scribble_that_leaves_no_point_is_refused():
    short = Prompts(strokes=[Stroke(np.array([[-90.0, 20], [3, 20]]))])
    check_inside(short, SIZE)
    assert len(lowered(short, SIZE, SceneModel()).point_coords) == 1
    around = Prompts([(3, 4)], strokes=[Stroke(np.array([[-5.0, 10], [-5, -5], [10, -5]]))])
    with pytest.raises(ValueError, match="the scribble -5,-5,10,10 lies outside the image"):
        check_inside(around, SIZE)


def test_points_and_scribbles_come_together_with_their_labels():
    strokes = Stroke(np.array([[10.0, 5], [20, 5]])), Stroke(np.array([[40.0, 5], [41, 5]]), 0)
    found = lowered(Prompts([(3, 4)], [0], strokes=strokes), SIZE, SceneModel())
    assert found.point_coords.tolist()[0] == [3, 4]
    assert found.point_labels.tolist() == [0, 1, 1, 1, 0]
    assert found.strokes == ()
    assert found.box is None
    assert found.mask_input is None


def test_what_models_take_stays_as_it_is():
    prompts = Prompts([(3, 4)], box=(1, 2, 30, 40))
    assert lowered(prompts, SIZE, SceneModel()) is prompts


def test_a_region_is_its_box_and_blurred_logits_of_its_inside():
    model = SceneModel()
    found = lowered(Prompts(region=SQUARE), SIZE, model, closer_look=False)
    assert found.region is None
    assert found.box.tolist() == [10, 20, 50, 40]
    sharp = logits_of(region_mask(SQUARE, SIZE), model, closer_look=False)
    logits = found.mask_input
    assert logits.frame == sharp.frame
    assert ((logits.values > 0) == (sharp.values > 0)).mean() > 0.95
    assert logits.values.max() > CERTAIN / 2 > np.abs(logits.values[5, 3:5]).max()  # at the edge


def test_blurred_logits_keep_their_place():
    inside = region_mask(SQUARE, SIZE)
    sharp = logits_of(inside, SceneModel())
    found = blurred(sharp)
    assert (found.frame, found.window, found.values.shape) == (
        sharp.frame, sharp.window, sharp.values.shape,
    )  # fmt: skip
    np.testing.assert_array_equal(blurred(sharp, 0).values, sharp.values)


def test_earlier_logits_count_more_than_those_of_the_region():
    given = np.ones((15, 20), np.float32)
    found = lowered(Prompts(region=SQUARE, mask_input=given), SIZE, SceneModel())
    np.testing.assert_array_equal(found.mask_input, given)
    assert found.box.tolist() == [10, 20, 50, 40]


def test_a_region_without_a_pixel_is_its_box():
    found = lowered(Prompts(region=[(3.2, 4), (3.4, 4), (3.4, 30)]), SIZE, SceneModel())
    assert found.mask_input is None
    assert found.box.tolist() == [3.2, 4, 3.4, 30]


@pytest.mark.parametrize("prompts", [
    Prompts(region=[(20, 20), (70, 18), (72, 52), (18, 50)]),
    Prompts(strokes=[Stroke(np.array([[30.0, 30], [60, 40]]))]),
])  # fmt: skip
def test_session_and_predictor_answer_them(prompts):
    image = np.zeros((90, 120), np.uint8)
    image[22:50, 22:70] = 200
    session = Session(SamPredictor(SceneModel()))
    answer = session.predict_many(Plane(image), [prompts])[0]
    assert (np.asarray(answer.masks[answer.best]) == (image > 0)).mean() > 0.99
    predictor = SamPredictor(SceneModel())
    answer = predictor.predict(predictor.encode(image), prompts)
    assert (np.asarray(answer.masks[answer.best]) == (image > 0)).mean() > 0.99


def test_a_region_of_a_small_object_is_asked_in_a_window():
    image = np.zeros((1200, 1600), np.uint8)
    image[300:320, 700:730] = 200
    session = Session(SamPredictor(SceneModel()))
    region = [(698, 297), (732, 299), (731, 322), (699, 321)]
    answer = session.predict_many(Plane(image), [Prompts(region=region)])[0]
    assert answer.window is not None
    assert session.predictor.model.encoded == 1  # the window alone
    assert Mask.of(image > 0).box == answer.masks[answer.best].box


def test_the_published_sam_takes_them():
    session = Session(SamPredictor(tiny_sam()))
    image = np.random.default_rng(0).integers(0, 255, (90, 120), np.uint8)
    given = [
        Prompts(region=[(20, 20), (100, 18), (92, 72), (18, 70)]),
        Prompts(strokes=[Stroke(np.array([[30.0, 30], [60, 40]]))]),
    ]
    for answer in session.predict_many(Plane(image), given):
        assert np.isfinite(answer.low_res_logits).all()
        assert len(answer.masks) == 1


def test_a_region_or_scribble_outside_of_the_plane_is_refused():
    session = Session(SamPredictor(SceneModel()))
    for name, prompts in {
        "region": Prompts(region=[(200, 20), (210, 18), (205, 70)]),
        "scribble": Prompts(strokes=[Stroke(np.array([[200.0, 30], [260, 40]]))]),
    }.items():
        with pytest.raises(ValueError, match=f"the {name} 200,.* lies outside the image"):
            session.predict_many(Plane(np.zeros(SIZE, np.uint8)), [prompts])
