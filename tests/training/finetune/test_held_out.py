"""The IoU on the held-out part is that of one click in the middle of each object."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import NotingModel, SceneModel

from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.held_out import held_out_iou, in_colour, spread


def test_items_are_evenly_spaced():
    assert spread(range(9), 3) == [0, 4, 8]
    assert spread((5, 7), 3) == [5, 7]


def test_grey_becomes_colour_and_colour_stays():
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(in_colour(grey), np.stack([grey] * 3, axis=-1))
    colour = in_colour(grey)
    assert in_colour(colour) is colour


def squares(size=96):
    """Return a scene of four bright squares, the third of which is labelled half."""
    labels = np.zeros((size, size), np.int32)
    image = np.full((size, size), 40, np.uint8)
    for k, (y, x) in enumerate([(8, 8), (8, 56), (56, 8), (56, 56)]):
        image[y : y + 24, x : x + 24] = 200
        labels[y : y + 24, x : x + (12 if k == 2 else 24)] = k + 1
    return Example("scene", image, labels)


def test_the_mean_is_over_objects_of_all_examples():
    empty = Example("empty", np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.int32))
    found = held_out_iou(SceneModel(), [squares(), empty, squares()])
    assert found == pytest.approx((1 + 1 + 0.5 + 1) / 4, abs=0.03)
    assert held_out_iou(SceneModel(), [empty]) == 0


def test_the_contrast_of_an_example_is_not_stretched_again():
    model = NotingModel()
    held_out_iou(model, [squares()])
    assert np.unique(model.seen[0]).tolist() == [40, 200]


def test_specks_do_not_count():
    example = squares()
    example.labels[0, :3] = 9
    assert held_out_iou(SceneModel(), [example]) == held_out_iou(SceneModel(), [squares()])
