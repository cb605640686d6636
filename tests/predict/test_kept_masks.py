from __future__ import annotations

import numpy as np
import pytest
from tiny import SceneModel, tiny_sam

from napari_sam.predict.kept_masks import CERTAIN, logits_of
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.predict.upsampling import moved_logits
from napari_sam.types import Mask, Plane, Prompts


def square(size, x, y, side, height=None):
    pixels = np.zeros(size, bool)
    pixels[y : y + (height or side), x : x + side] = True
    return Mask.of(pixels)


def holds(window, box):
    """Tell whether a window, end exclusive, holds a box of pixel centres."""
    return (np.less_equal(window[:2], box[:2]) & np.greater(window[2:], box[2:])).all()


def asked(model):
    """Return a list of what a model is given as mask input from now on."""
    given, decode = [], model.decode

    def noted(features, coords, labels, boxes, mask_input, several, guide=None):
        given.append(mask_input)
        return decode(features, coords, labels, boxes, mask_input, several, guide)

    model.decode = noted
    return given


def test_a_large_object_is_seen_in_the_whole_plane_with_its_padding():
    mask = square((203, 300), 40, 60, 80)
    found = logits_of(mask, SceneModel())
    assert found.window is None
    assert found.frame == (-0.5, -0.5, 299.5, 203.5)  # 203 rows are padded to 204
    assert found.values.shape == (51, 75)
    assert found.values.dtype == np.float32
    expected = np.full((51, 75), -CERTAIN)
    expected[15:35, 10:30] = CERTAIN
    np.testing.assert_array_equal(found.values, expected)


def test_a_cell_covered_in_part_lies_between():
    mask = square((200, 300), 41, 60, 80)  # three quarters of a column of cells, and one quarter
    values = logits_of(mask, SceneModel()).values
    np.testing.assert_allclose(values[20, 9:12], [-CERTAIN, CERTAIN / 2, CERTAIN], atol=1e-5)
    np.testing.assert_allclose(values[20, 29:32], [CERTAIN, -CERTAIN / 2, -CERTAIN], atol=1e-5)


def test_a_small_object_of_a_reduced_plane_is_seen_in_a_window_of_five_times_its_size():
    mask = square((2000, 2000), 1000, 600, 40)
    found = logits_of(mask, SceneModel())
    assert found.window == (919, 519, 1120, 720)
    assert found.frame == (918.5, 518.5, 1122.5, 722.5)
    assert found.values.shape == (51, 51)
    place = np.argwhere(found.values > 0)
    inside = found.frame[:2] + (place[:, ::-1] + 0.5) * 4  # centres of cells, (x, y)
    assert inside.min(0).tolist() == pytest.approx([1000.5, 600.5], abs=2)
    assert inside.max(0).tolist() == pytest.approx([1038.5, 638.5], abs=2)
    assert logits_of(mask, SceneModel(), closer_look=False).window is None


def test_the_window_is_that_of_the_session():
    image = np.zeros((1200, 1600), np.uint8)
    image[300:320, 700:730] = 200
    session = Session(SamPredictor(SceneModel()))
    answer = session.predict_many(Plane(image), [Prompts(box=(700, 300, 729, 319))])[0]
    kept = answer.masks[answer.best]
    assert answer.window is not None
    found = logits_of(kept, session.predictor.model, Prompts(box=(700, 300, 729, 319)))
    assert (found.window, found.frame) == (answer.window, answer.frame)
    assert found.values.shape == answer.low_res_logits.shape[1:]
    own = answer.low_res_logits[answer.best]
    sure = np.abs(own) > 4
    assert ((found.values > 0) == (own > 0))[sure].all()


def test_a_session_goes_on_in_the_window_with_the_logits_as_they_are():
    image = np.zeros((1200, 1600), np.uint8)
    image[300:320, 700:730] = 200
    session = Session(SamPredictor(SceneModel()))
    model = session.predictor.model
    kept = Mask.of(image > 0)
    prompts = Prompts([(710, 310), (727, 317)])
    found = logits_of(kept, model, prompts)
    given = asked(model)
    answer = session.predict_many(Plane(image), [prompts.with_mask(found)])[0]
    assert answer.window == found.window
    assert model.encoded == 1  # the window alone, not the whole plane
    (mask_input,) = given
    np.testing.assert_array_equal(mask_input[0], found.values)
    assert answer.masks[answer.best].size == (1200, 1600)


def test_the_window_holds_every_prompt():
    mask = square((2000, 2000), 1000, 600, 40)
    far = Prompts([(1020, 620), (1150, 620)], [1, 0])
    assert holds(logits_of(mask, SceneModel(), far).window, (1000, 600, 1150, 639))
    box = Prompts(box=(990, 590, 1130, 650))
    assert holds(logits_of(mask, SceneModel(), box).window, (990, 590, 1130, 650))
    across = Prompts([(5, 5), (1990, 1990)], [1, 0])
    assert logits_of(mask, SceneModel(), across).window is None  # no closer than the whole plane


def test_a_box_beyond_the_plane_ends_at_its_edges():
    mask = square((2000, 2000), 0, 600, 40)
    beyond = Prompts(box=(-500, 600, 60, 640))
    x0, _, x1, _ = logits_of(mask, SceneModel(), beyond).window
    assert x0 == 0
    assert x1 < 300


@pytest.mark.parametrize(("x", "y"), [(0, 0), (1980, 0), (0, 1480), (1980, 1480)])
def test_an_object_at_the_edge_keeps_its_place(x, y):
    mask = square((1500, 2000), x, y, 20)
    found = logits_of(mask, SceneModel())
    assert holds((0, 0, 2000, 1500), np.subtract(found.window, (0, 0, 1, 1)))
    middle = np.argwhere(found.values > 0).mean(0)[::-1] + 0.5
    cell = (found.frame[2] - found.frame[0]) / found.values.shape[1]
    place = middle * cell + found.frame[:2]
    np.testing.assert_allclose(place, (x + 9.5, y + 9.5), atol=cell)


def test_three_pixels_leave_a_trace_in_any_field_of_view():
    pixels = np.zeros((2000, 2000), bool)
    pixels[700, 801:804] = True
    mask = Mask.of(pixels)
    near = logits_of(mask, SceneModel())
    assert near.window == (778, 676, 827, 725)
    for found in (near, logits_of(mask, SceneModel(), closer_look=False)):
        assert (found.values > 0).any()
        assert np.unravel_index(found.values.argmax(), found.values.shape) == tuple(
            int((place - start) / ((end - start) / count))
            for place, start, end, count in (
                (700, found.frame[1], found.frame[3], found.values.shape[0]),
                (802, found.frame[0], found.frame[2], found.values.shape[1]),
            )
        )


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="empty mask has no logits"):
        logits_of(Mask.of(np.zeros((50, 60), bool)), SceneModel())


def test_pixels_that_are_not_square_are_seen_square():
    mask = square((200, 400), 100, 50, 100, height=50)
    found = logits_of(mask, SceneModel(image_size=400), spacing=(2.0, 1.0))
    assert found.frame == (-0.5, -0.5, 399.5, 199.5)
    assert found.values.shape == (100, 100)
    assert np.argwhere(found.values > 0).min(0).tolist() == [25, 25]
    assert np.argwhere(found.values > 0).max(0).tolist() == [49, 49]


def test_the_mask_comes_back_from_its_logits():
    y, x = np.mgrid[:300, :400]
    pixels = np.hypot(x - 180, (y - 140) * 1.5) < 90
    model = SceneModel()
    predictor = SamPredictor(model)
    found = logits_of(Mask.of(pixels), model)
    embedding = predictor.encode(np.zeros((300, 400), np.uint8))
    moved = moved_logits(found, predictor.logits_frame(embedding), found.values.shape)
    fine = predictor.upsampler(embedding, moved.shape)(moved) > 0
    assert (fine & pixels).sum() / (fine | pixels).sum() > 0.98


def test_a_threshold_of_the_model_separates_inside_from_outside():
    model = SceneModel()
    model.mask_threshold = 0.3
    values = logits_of(square((200, 300), 40, 60, 80), model).values
    assert values.max() - 0.3 == pytest.approx(0.3 - values.min()) == pytest.approx(CERTAIN)


def test_the_published_sam_takes_them():
    model = tiny_sam()
    session = Session(SamPredictor(model))
    image = np.random.default_rng(0).integers(0, 255, (90, 120), np.uint8)
    mask = square((90, 120), 20, 10, 70)
    prompts = Prompts([(50, 40), (80, 70)], [1, 0])
    found = logits_of(mask, model, prompts)
    assert found.frame == (-0.5, -0.5, 119.5, 119.5)  # the square that SAM pads to
    assert found.values.shape == (16, 16)
    assert (found.values[12:] == -CERTAIN).all()  # padding is no object
    given = asked(model)
    without = session.predict_many(Plane(image), [prompts])[0]
    answer = session.predict_many(Plane(image), [prompts.with_mask(found)])[0]
    assert given[0] is None
    np.testing.assert_array_equal(given[1][0], found.values)
    assert not np.array_equal(answer.low_res_logits, without.low_res_logits)
