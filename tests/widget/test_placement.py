"""Which plane napari shows, and where prompts are drawn on it; against napari's own slicing."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import Dims, ViewerModel
from napari.layers import Image, Points

from napari_sam.widget.frame import frame_of
from napari_sam.widget.layers import current_key, make_points
from napari_sam.widget.placement import pixel_area, pixel_spacing, world_transform


def rotation(degrees, first, second, ndim=3):
    angle = np.deg2rad(degrees)
    matrix = np.eye(ndim + 1)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


PLACES = {
    "plain": {},
    "spacing": {"scale": (2, 0.5, 0.5), "translate": (7, -3, 2)},
    "in the plane": {"rotate": rotation(30, 1, 2)[:3, :3], "scale": (2, 1, 1)},
    "tilted": {"affine": rotation(3, 0, 1)},
    "tilted with spacing": {
        "affine": rotation(10, 0, 2),
        "scale": (3, 1, 1),
        "translate": (4, 5, 6),
    },
    "sheared": {"shear": (0.2, 0.0, 0.1), "scale": (2, 1, 1)},
    "mirrored": {"scale": (-1, 1, -1)},
    "other units": {"scale": (2000, 1000, 1000), "units": ("nm",) * 3},
    "other units, tilted": {
        "affine": rotation(5, 0, 1),
        "scale": (1000, 1000, 1000),
        "units": ("nm",) * 3,
    },
}


def planes(ndim=3):
    """An image whose pixels tell where they are."""
    shape = (6, 9, 12) if ndim == 3 else (3, 6, 9, 12)
    return np.arange(np.prod(shape)).reshape(shape).astype(np.float32)


def shown_plane(layer, array):
    """The index, along each hidden axis, of the plane that napari has sliced."""
    pixels = np.asarray(layer._slice.image.raw)
    first = np.unravel_index(int(pixels.min()), array.shape)
    return [first[axis] for axis in layer._slice_input.not_displayed]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)])
@pytest.mark.parametrize("place", PLACES)
def test_the_plane_is_the_one_that_napari_shows(place, order):
    array, viewer = planes(), ViewerModel()
    layer = viewer.add_image(array, **PLACES[place])
    if "units" in PLACES[place]:
        viewer.add_image(array, units=("um",) * 3, name="another")
    viewer.dims.order = order
    axis, seen = order[0], 0
    low, high, _ = viewer.dims.range[axis]
    for point in np.linspace(low, high, 15):
        viewer.dims.set_point(axis, point)
        frame = frame_of(layer, viewer.dims)
        try:
            key = current_key(viewer, frame)
        except ValueError:
            assert layer._slice.empty
            continue
        if layer._slice.empty:
            continue  # on the very edge
        assert [index for _, index in key.fixed] == shown_plane(layer, array)
        assert key.displayed == order[1:]
        seen += 1
    assert seen >= 5


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
@pytest.mark.parametrize("place", PLACES)
def test_a_point_added_on_the_canvas_lies_on_the_shown_pixel(place, order):
    array, viewer = planes(), ViewerModel()
    layer = viewer.add_image(array, **PLACES[place])
    if "units" in PLACES[place]:
        viewer.add_image(array, units=("um",) * 3, name="another")
    viewer.dims.order = order
    low, high, _ = viewer.dims.range[order[0]]
    viewer.dims.set_point(order[0], low + 0.5 * (high - low))
    frame = frame_of(layer, viewer.dims)
    key = current_key(viewer, frame)
    points = make_points(frame)
    viewer.add_layer(points)
    displayed = list(order[1:])
    # where napari draws pixel (4, 5) of the plane: its rule is set_slice of the transform
    drawn = world_transform(frame.transform, viewer.dims).set_slice(displayed)((4, 5))
    position = np.array(viewer.dims.point)
    position[displayed] = drawn
    placed = np.asarray(points.world_to_data(position))
    assert np.allclose(placed[displayed], (4, 5), atol=1e-6)
    assert round(placed[order[0]]) == key.fixed[0][1]


def test_four_dimensions_with_a_tilt_between_two_hidden_axes():
    array, viewer = planes(4), ViewerModel()
    layer = viewer.add_image(array, affine=rotation(8, 0, 1, 4))
    viewer.dims.set_point((0, 1), (1.2, 3.4))
    key = current_key(viewer, frame_of(layer, viewer.dims))
    assert [index for _, index in key.fixed] == shown_plane(layer, array)


def test_an_image_turned_by_a_quarter_is_refused():
    viewer = ViewerModel()
    layer = viewer.add_image(planes(), affine=rotation(90, 0, 1))
    with pytest.raises(ValueError, match="turned so far"):
        current_key(viewer, frame_of(layer, viewer.dims))


def test_thick_slices_are_refused_unless_one_plane_is_shown():
    viewer = ViewerModel()
    layer = viewer.add_image(planes())
    layer.projection_mode = "max"
    viewer.dims.thickness = (3, 0, 0)
    with pytest.raises(ValueError, match="thick"):
        current_key(viewer, frame_of(layer, viewer.dims))
    layer.projection_mode = "none"
    assert current_key(viewer, frame_of(layer, viewer.dims)).fixed == ((0, 2),)
    layer.projection_mode = "mean"
    viewer.dims.thickness = (0, 0, 0)
    assert current_key(viewer, frame_of(layer, viewer.dims)).fixed == ((0, 2),)


def test_a_plain_image_keeps_its_own_scale_for_the_prompts():
    viewer = ViewerModel()
    layer = viewer.add_image(planes(), scale=(2, 0.5, 0.5))
    frame = frame_of(layer, viewer.dims)
    assert np.array_equal(frame.drawing["scale"], (2, 0.5, 0.5))


def test_the_area_of_a_pixel_counts_scale_and_affine():
    layer = Image(planes(), scale=(2, 0.5, 0.5), affine=np.diag([1, 3, 1, 1]))
    frame = frame_of(layer, Dims(ndim=3))
    assert pixel_area(frame.transform, (1, 2)) == pytest.approx(0.75)
    assert pixel_area(frame.transform, (0, 2)) == pytest.approx(1)


def test_markers_have_a_size_on_the_screen():
    layer = Image(np.zeros((2000, 2000), np.uint8))
    points = make_points(frame_of(layer, Dims(ndim=2)))
    assert isinstance(points, Points)
    assert points.canvas_size_limits == (9, 14)


def test_the_spacing_of_a_plane_is_the_one_on_screen():
    layer = Image(planes(), scale=(4, 1, 1.02), affine=rotation(30, 1, 2))
    transform = frame_of(layer, Dims(ndim=3)).transform
    assert pixel_spacing(transform, Dims(ndim=3), (1, 2)) == (1, 1)
    turned = Dims(ndim=3, order=(1, 0, 2))
    plain = frame_of(Image(planes(), scale=(4, 1, 1)), turned).transform
    assert pixel_spacing(plain, turned, (0, 2)) == (4, 1)
    assert pixel_spacing(plain, turned, (2, 0)) == (0.25, 1)
    flat = frame_of(Image(planes(), scale=(50, 1, 1)), turned).transform
    assert pixel_spacing(flat, turned, (0, 2)) == (10, 1)
    assert pixel_spacing(flat, turned, (2, 0)) == (0.1, 1)
