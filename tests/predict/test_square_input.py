"""A model that sees every plane as a square: coordinates, windows and corrections fit together."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import SceneModel

from napari_sam import Prompts, SamPredictor
from napari_sam.predict.kept_masks import logits_of
from napari_sam.predict.session import Session
from napari_sam.predict.windows import input_size_of, window_about
from napari_sam.types import Plane, PredictRequest


class SquareModel(SceneModel):
    """`SceneModel` on planes that were resized to 256 x 256 pixels."""

    square_input = True
    largest_scale = float("inf")

    def __init__(self):
        super().__init__(image_size=256)

    def padded_size(self, input_size):
        return input_size


def scene(high, wide, box):
    """Return a dark plane with a bright box (x0, y0, x1, y1), both corners included."""
    plane = np.zeros((high, wide), np.uint8)
    x0, y0, x1, y1 = box
    plane[y0 : y1 + 1, x0 : x1 + 1] = 255
    return plane


def overlap(mask, plane):
    found, wanted = np.asarray(mask, bool), plane > 127
    return (found & wanted).sum() / (found | wanted).sum()


def test_the_input_is_the_square_whatever_the_pixels_are_like():
    model = SquareModel()
    assert input_size_of((100, 400), model, (3.0, 1.0)) == (256, 256)
    assert input_size_of((100, 400), SceneModel(), (3.0, 1.0)) == (300, 400)


@pytest.mark.parametrize("size", [(120, 480), (480, 120), (256, 256)])
def test_a_click_finds_its_object_on_a_plane_of_any_proportions(size):
    high, wide = size
    plane = scene(high, wide, (wide // 4, high // 4, wide // 2, high // 2))
    predictor = SamPredictor(SquareModel())
    embedding = predictor.encode(plane, contrast_limits=(0, 255))
    found = predictor.predict(embedding, Prompts([(wide // 3, high // 3)], [1]))
    assert overlap(found.masks[found.best], plane) > 0.9
    assert predictor.logits_frame(embedding) == (-0.5, -0.5, wide - 0.5, high - 0.5)


def test_the_longer_side_tells_whether_an_object_is_small():
    """Of 400 x 1600 pixels, 1600 become 256: 100 pixels are 16 of the input, along the other 64."""
    model, size = SquareModel(), (400, 1600)
    box = np.array([500.0, 200.0, 520.0, 299.0])
    window = window_about(box, np.zeros((0, 2)), size, (256, 256), model)
    assert window is not None
    x0, y0, x1, y1 = window
    assert (x0, x1) == (260, 761)  # five times 100 about the middle, as far as the plane goes
    assert (y0, y1) == (0, 400)
    turned = window_about(box[[1, 0, 3, 2]], np.zeros((0, 2)), size[::-1], (256, 256), model)
    assert turned == (y0, x0, y1, x1)
    assert window_about(box, np.zeros((0, 2)), (256, 256), (256, 256), model) is None


def test_a_session_looks_closer_and_a_correction_goes_on_there():
    plane = scene(300, 1500, (700, 100, 729, 139))
    session = Session(SamPredictor(SquareModel()))
    given = Plane(plane, contrast=(0, 255))
    prompts = Prompts([(715, 120)], [1])
    found = session.predict(PredictRequest(given, prompts))
    assert found.window is not None
    assert overlap(found.masks[found.best], plane) > 0.85
    mask = found.masks[found.best]
    kept = logits_of(mask, session.predictor.model, prompts)
    assert kept.window is not None
    x0, y0, x1, y1 = kept.window
    assert kept.frame == pytest.approx((x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5))
    again = session.predict(PredictRequest(given, prompts.with_mask(kept)))
    assert again.window == kept.window
