from __future__ import annotations

import numpy as np
import pytest
from tiny import DiscModel

from napari_sam.everything.amg import AutomaticMaskGenerator
from napari_sam.everything.amg_params import AmgParams
from napari_sam.predict.predictor import SamPredictor

CHEQUERS = np.indices((16, 20)).sum(0) % 2


@pytest.mark.parametrize(
    ("plane", "limits"),
    [
        (np.zeros((16, 20), np.uint8), None),
        (np.full((16, 20), 1000, np.uint16), None),
        (np.full((16, 20), 0.1, np.float32), None),
        (np.full((16, 20), np.nan), None),
        (np.where(CHEQUERS, np.nan, 7.0), None),
        (np.ones((16, 20), bool), None),
        (np.full((16, 20, 3), (200, 100, 50), np.uint8), None),
        (np.full((16, 20, 3), (200, 100, 50), np.uint16), None),
        (np.full((16, 20, 3), 100, np.uint8) + CHEQUERS[..., None].astype(np.uint8), None),
        (1000 + 10 * CHEQUERS, (0, 4095)),
        (1000 * CHEQUERS, (5000, 6000)),
    ],
)
def test_planes_of_one_value_are_blank(plane, limits):
    generator = AutomaticMaskGenerator(SamPredictor(DiscModel()), AmgParams(points_per_side=2))
    assert generator.predictor.encode(plane, limits).blank
    assert generator.generate(plane, limits) == []
    assert generator.predictor.model.decoded == 0


@pytest.mark.parametrize(
    ("plane", "limits"),
    [
        (CHEQUERS, None),
        (CHEQUERS.astype(bool), None),
        (1000 + 10 * CHEQUERS, None),  # stretched
        (1000 + 100 * CHEQUERS, (0, 4095)),
        (np.full((16, 20, 3), 100, np.uint8) + 3 * CHEQUERS[..., None].astype(np.uint8), None),
        (np.where(CHEQUERS, np.inf, np.arange(20.0)), None),
    ],
)
def test_planes_that_show_something_are_not_blank(plane, limits):
    assert not SamPredictor(DiscModel()).encode(plane, limits).blank


def test_one_bright_pixel_is_not_nothing():
    plane = np.zeros((60, 60), np.uint16)
    plane[3, 4] = 9
    assert not SamPredictor(DiscModel()).encode(plane).blank
