"""A click on any plane of a stack, wherever the stack lies, gives the object that is under it."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import SceneModel

from napari_sam.images.transforms import resize, to_rgb8
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.types import Plane, PredictRequest, Prompts
from napari_sam.widget.placement import world_transform


def rotation(degrees, first, second):
    """The matrix (4, 4) that turns two axes."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


PLACES = {
    "plain": {},
    "spacing": {"scale": (5, 0.1, 0.1)},
    "moved": {"scale": (2, 0.5, 0.5), "translate": (40, -30, 7)},
    "turned in the plane": {"affine": rotation(30, 1, 2)},
    "tilted": {"affine": rotation(4, 0, 1), "scale": (1.5, 1, 1)},
}
ORDERS = [(0, 1, 2), (1, 0, 2), (2, 1, 0)]
CENTRES = ((12, 20, 24), (26, 50, 66), (13, 54, 30))
RADII = ((9, 13, 15), (11, 15, 20), (8, 11, 9))


@pytest.fixture(scope="module")
def volume():
    """Three bright ellipsoids, (40, 72, 96) uint8, and their labels."""
    grid = np.indices((40, 72, 96)).astype(float)
    truth = np.zeros(grid.shape[1:], np.int32)
    for label, (centre, radius) in enumerate(zip(CENTRES, RADII, strict=True), 1):
        parts = [((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radius, strict=True)]
        truth[sum(parts) <= 1] = label
    return np.where(truth > 0, 200, 20).astype(np.uint8), truth


def show_object(hands, label, displayed):
    """Move the slider through the centre of an object; return the world point of the centre.

    napari's rule for both is `Affine.set_slice`: a plane stays a plane where the transform mixes
    its axes with the hidden one.
    """
    dims = hands.viewer.dims
    world = world_transform(hands.bench.frame.transform, dims)
    centre, shown = np.array(CENTRES[label - 1]), list(displayed)
    (hidden,) = {0, 1, 2} - set(displayed)
    to_pixels = np.linalg.inv(world.affine_matrix)
    dims.set_point(hidden, (centre[hidden] - to_pixels[hidden, 3]) / to_pixels[hidden, hidden])
    hands.settled()
    matrix = world.affine_matrix
    return matrix[np.ix_(shown, shown)] @ centre[shown] + matrix[shown, 3]


def by_hand(model, pixels, spacing, row, column):
    """The answer (H, W) to a click in a plane that was resampled to square pixels by hand."""
    size = np.array(pixels.shape)
    square = tuple(int(n) for n in np.rint(size * spacing / min(spacing)))
    factor = square / size
    y, x = (np.array([row, column]) + 0.5) * factor - 0.5
    plane = Plane(resize(to_rgb8(pixels), square))
    prompts = Prompts(np.array([[x, y]]), np.array([1]))
    answer = Session(SamPredictor(model)).predict(PredictRequest(plane, prompts))
    rows, columns = (
        (np.arange(n) * f + f / 2).astype(int) for n, f in zip(size, factor, strict=True)
    )
    mask = np.asarray(answer.masks[answer.best])
    return mask[np.ix_(rows, columns)]


def overlap(one, other):
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("place", PLACES)
def test_a_click_gives_the_object_under_it(open_dock, volume, place, order):
    image, truth = volume
    hands = open_dock(("add_image", image, {"name": "a", **PLACES[place]}))
    hands.viewer.dims.order = order
    hands.viewer.reset_view()
    hands.rest()
    displayed = order[1:]
    for label in (1, 2):
        row, column = show_object(hands, label, displayed)
        plane = hands.bench.plane()
        assert plane.key.displayed == displayed
        hands.click_and_wait(row, column)
        placed = hands.bench.prompts.points.data[-1]
        # a pixel of the screen is up to 2.5 pixels of the image
        assert np.allclose(placed, CENTRES[label - 1], atol=3)
        hands.prompting.commit()
        found = plane.key.read(hands.labels) == label
        if max(plane.spacing) / min(plane.spacing) < 10:
            expected = plane.key.read(truth) == label
        else:  # coarse on one axis: as coarse as the same resampling done by hand
            at = placed[list(displayed)]
            expected = by_hand(SceneModel(), plane.read(), plane.spacing, *at)
        assert overlap(found, expected) > 0.9, (overlap(found, expected), plane.spacing)
        assert np.count_nonzero(hands.labels == label) == np.count_nonzero(found)
