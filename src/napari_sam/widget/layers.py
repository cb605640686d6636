"""napari layers and the core's values: the one place where (row, column) becomes (x, y)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.utils.transforms import Affine
from napari.viewer import Viewer
from numpy.typing import NDArray

from ..formats.labels_store import needs_folder
from ..predict.grouping import group_prompts
from ..types import Prompts, SliceKey

OBJECT, BACKGROUND = "object", "background"
COLOURS = {OBJECT: "#56b4e9", BACKGROUND: "#e69f00"}  # Okabe and Ito: told apart by everybody
SYMBOLS = {OBJECT: "disc", BACKGROUND: "cross"}
BOX_COLOUR = "#56b4e9"
LARGEST_LEVEL = 4096
"""Of a pyramid, the finest level whose plane is at most this long is worked on."""
LEAST_BOX = 2.0
"""A box with a shorter side, in pixels, is taken for one that is only begun."""


@dataclass(frozen=True, eq=False)
class Frame:
    """An image layer at one level: its pixels and where they lie in the world.

    Attributes
    ----------
    layer : napari.layers.Image
    level : int or None
        Level of a multiscale layer.
    shape : tuple of int
        Without the colour axis.
    transform : dict
        `scale`, `translate`, `rotate`, `shear`, `affine` and `units` for another layer with the
        same pixels.
    """

    layer: Image
    level: int | None
    shape: tuple[int, ...]
    transform: dict[str, Any]

    @property
    def data(self) -> Any:
        """The array, or the list of levels; not read."""
        return self.layer.data

    @property
    def needs_folder(self) -> bool:
        """Whether labels of this shape go to a folder, being too large for memory."""
        return needs_folder(self.shape)


def frame_of(layer: Image) -> Frame:
    """Return the frame to work in on an image layer."""
    transform: dict[str, Any] = {
        "scale": np.array(layer.scale),
        "translate": np.array(layer.translate),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": layer.units,
    }
    if not layer.multiscale:
        return Frame(layer, None, tuple(layer.data.shape[: layer.ndim]), transform)
    shapes = [tuple(int(n) for n in level.shape[: layer.ndim]) for level in layer.data]
    fitting = [k for k, shape in enumerate(shapes) if max(shape[-2:]) <= LARGEST_LEVEL]
    level = fitting[0] if fitting else len(shapes) - 1
    factor = np.array(shapes[0]) / np.array(shapes[level])
    transform["scale"] = transform["scale"] * factor
    # pixel k of a coarse level covers `factor` fine ones: their centres do not coincide
    origin = layer.data_to_world((factor - 1) / 2)
    affine = layer.affine
    transform["translate"] = np.asarray(affine.inverse(np.asarray(origin)))
    return Frame(layer, level, shapes[level], transform)


def current_key(viewer: Viewer, frame: Frame) -> SliceKey:
    """Return the plane of a frame that a viewer shows.

    Raises
    ------
    ValueError
        If it shows three dimensions, or no plane of the image.
    """
    if viewer.dims.ndisplay != 2:
        raise ValueError("switch to the 2-D view to prompt")
    ndim = len(frame.shape)
    hidden = viewer.dims.ndim - ndim
    displayed = tuple(axis - hidden for axis in viewer.dims.displayed)
    if min(displayed) < 0 or len(displayed) != 2:
        raise ValueError("the displayed axes are not those of the image; roll them back")
    point = np.asarray(viewer.dims.point)[hidden:]
    position = np.asarray(frame.layer.world_to_data(point))
    if frame.level is not None:
        fine = np.array(frame.layer.data[0].shape[:ndim])
        position = (position + 0.5) * np.array(frame.shape) / fine - 0.5
    fixed = []
    for axis in range(ndim):
        if axis in displayed:
            continue
        index = int(np.round(position[axis]))
        if not 0 <= index < frame.shape[axis]:
            raise ValueError("this plane lies outside the image; move the slider")
        fixed.append((axis, index))
    return SliceKey((displayed[0], displayed[1]), tuple(fixed), None, frame.level)


def plane_text(key: SliceKey, frame: Frame) -> str:
    """Return which plane a key names, as people count: from 1."""
    if not key.fixed:
        return "the image"
    places = [f"{index + 1} of {frame.shape[axis]}" for axis, index in key.fixed]
    return "plane " + ", ".join(places)


def make_points(frame: Frame) -> Points:
    """Return an empty layer for object and background points."""
    side = max(frame.shape[-2:])
    return Points(
        np.zeros((0, len(frame.shape))),
        ndim=len(frame.shape),
        name="SAM points",
        features={"label": np.array([], dtype=object)},
        feature_defaults={"label": OBJECT},
        property_choices={"label": [OBJECT, BACKGROUND]},
        face_color="label",
        face_color_cycle=[COLOURS[OBJECT], COLOURS[BACKGROUND]],
        border_color="white",
        size=max(2.0, side / 60),
        **frame.transform,
    )


def make_boxes(frame: Frame) -> Shapes:
    """Return an empty layer for boxes."""
    return Shapes(
        ndim=len(frame.shape),
        name="SAM boxes",
        edge_color=BOX_COLOUR,
        face_color="transparent",
        edge_width=max(1.0, max(frame.shape[-2:]) / 250),
        **frame.transform,
    )


def make_labels(frame: Frame, name: str, data: Any = None) -> Labels:
    """Return a Labels layer with the pixels of a frame: empty, or with labels of its shape."""
    if data is None:
        data = np.zeros(frame.shape, np.int32)
    return Labels(data, name=name, **frame.transform)


def make_preview(frame: Frame) -> Labels:
    """Return the layer that shows the answer; it holds one plane."""
    shape = (1,) * (len(frame.shape) - 2) + frame.shape[-2:]
    layer = Labels(np.zeros(shape, np.int32), name="SAM preview", opacity=0.6, **frame.transform)
    layer.editable = False
    return layer


def set_label_kind(points: Points, kind: str) -> None:
    """Make the next points object or background points."""
    points.selected_data = set()  # or the selected points would change with the default
    points.feature_defaults["label"] = kind
    points.current_symbol = SYMBOLS[kind]
    points.events.feature_defaults()
    points.refresh_colors()


def read_prompts(points: Points, boxes: Shapes, key: SliceKey) -> list[Prompts]:
    """Read the prompts of one plane, one value per object; see `grouping.group_prompts`.

    Parameters
    ----------
    points : napari.layers.Points
    boxes : napari.layers.Shapes
    key : SliceKey

    Returns
    -------
    list of Prompts, (x, y) in pixels of the plane

    Raises
    ------
    ValueError
        If there are background points alone.
    """
    coords = np.asarray(points.data, np.float64).reshape(-1, points.ndim)
    here = _in_plane(coords, key)
    labels = np.asarray(points.features["label"]) == OBJECT if len(coords) else np.zeros(0, bool)
    xy = coords[:, [key.displayed[1], key.displayed[0]]]
    rectangles = [box for box in (_box(corners, key) for corners in boxes.data) if box is not None]
    return group_prompts(
        [tuple(point) for point in xy[here & labels]],
        [tuple(point) for point in xy[here & ~labels]],
        [tuple(box) for box in rectangles],
    )


def place_in_plane(points: Points, position: Sequence[float], key: SliceKey) -> tuple[float, float]:
    """Return (x, y), in pixels of the plane, of a place in the world."""
    place = points.world_to_data(position)
    return float(place[key.displayed[1]]), float(place[key.displayed[0]])


def show_preview(
    preview: Labels, frame: Frame, key: SliceKey, masks: Sequence[NDArray[np.bool_]], first: int
) -> None:
    """Write masks (H, W) into the preview, labelled from `first` on, and move it to its plane."""
    plane = np.zeros(_plane_shape(frame, key), np.int32)
    for offset, mask in enumerate(masks):
        plane[mask & (plane == 0)] = first + offset
    if key.displayed[0] > key.displayed[1]:
        plane = plane.T
    data = plane.reshape([n if a in key.displayed else 1 for a, n in enumerate(frame.shape)])
    corner = np.zeros(len(frame.shape))
    for axis, index in key.fixed:
        corner[axis] = index
    _write(preview, data)
    place = _moved(frame, corner)
    if not np.array_equal(place, preview.translate):
        preview.translate = place


def clear_preview(preview: Labels) -> None:
    """Empty the preview."""
    if preview.data.any():
        _write(preview, np.zeros_like(preview.data))


def _write(preview: Labels, data: NDArray[np.int32]) -> None:
    """Give the preview other pixels: in place, for another array makes napari start afresh."""
    if preview.data.shape != data.shape:
        preview.data = data
        return
    preview.data[...] = data
    preview.refresh(thumbnail=False, highlight=False, extent=False)


def remove_prompts(points: Points, boxes: Shapes, key: SliceKey) -> None:
    """Remove the prompts of one plane."""
    if len(points.data):
        kept = ~_in_plane(np.asarray(points.data), key)
        if not kept.all():
            points.selected_data = set(np.flatnonzero(~kept).tolist())
            points.remove_selected()
    doomed = {k for k, corners in enumerate(boxes.data) if _in_plane(corners, key).all()}
    if doomed:
        boxes.selected_data = doomed
        boxes.remove_selected()


def is_alive(layer: Layer | None, viewer: Viewer) -> bool:
    """Tell whether a layer is still in the viewer."""
    return layer is not None and layer in viewer.layers


def _in_plane(coords: NDArray[np.floating[Any]], key: SliceKey) -> NDArray[np.bool_]:
    here = np.ones(len(coords), bool)
    for axis, index in key.fixed:
        here &= np.round(coords[:, axis]).astype(int) == index
    return here


def _box(corners: NDArray[np.floating[Any]], key: SliceKey) -> NDArray[np.float64] | None:
    """Return the box (x0, y0, x1, y1) around the corners of a shape in this plane."""
    corners = np.asarray(corners, np.float64)
    if not _in_plane(corners, key).all():
        return None
    xy = corners[:, [key.displayed[1], key.displayed[0]]]
    box = np.concatenate([xy.min(axis=0), xy.max(axis=0)])
    return box if (box[2:] - box[:2] >= LEAST_BOX).all() else None


def _plane_shape(frame: Frame, key: SliceKey) -> tuple[int, int]:
    return frame.shape[key.displayed[0]], frame.shape[key.displayed[1]]


def _moved(frame: Frame, corner: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the translation that puts pixel 0 of a layer on pixel `corner` of a frame."""
    linear = {name: frame.transform[name] for name in ("scale", "translate", "rotate", "shear")}
    return np.asarray(Affine(**linear)(corner))
