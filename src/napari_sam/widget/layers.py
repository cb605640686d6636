"""napari layers and the core's values: the one place where (row, column) becomes (x, y)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.utils import CyclicLabelColormap
from napari.viewer import Viewer
from numpy.typing import NDArray

from ..formats.medical_layers import image_options
from ..images.readers import StackImage
from ..images.scan import METADATA as SCAN
from ..masks import edge_of
from ..objects.drawn import NOBODY
from ..predict.prompt_kinds import (
    PROMPT_KINDS,
    LayerType,
    PlacedPrompt,
    kind_in,
    read_prompt,
    shape_mark,
)
from ..types import Mask, SliceKey
from .frame import Frame
from .placement import check_thin, displayed_axes, hidden_position, inner_transform, pixel_area

POINT_KINDS = {kind.marks[0]: kind for kind in PROMPT_KINDS.values() if kind.layer == "points"}
"""The kinds of point, by the value of the feature "label"."""
OBJECT, BACKGROUND = POINT_KINDS
KIND = "label"
"""The feature with the kind of a point; of shapes it says whether a path lies on the object."""
STROKE_MODES = ("add_path", "add_polyline", "add_line")
"""The modes of the layer of boxes in which scribbles are drawn."""
REGION_MODES = {
    "lasso": "add_polygon_lasso",
    "polygon": "add_polygon",
    "ellipse": "add_ellipse",
}
"""Those in which regions are drawn, by the shape of the region."""
OWNER = "object"
"""The feature with the number of a prompt's object, and its value if it has none."""
_YELLOWS = [[0.94, 0.89, 0.26, 1], [1, 0.97, 0.66, 1], [0.8, 0.74, 0.1, 1]]
CANDIDATE_COLOURS = ((0.34, 0.71, 0.91), (0.84, 0.37, 0.0), (0.8, 0.47, 0.65))
"""Of the outlines of candidates, from small to large: blue, vermilion and purple of Okabe and Ito,
which colour-blind people tell apart."""
PREVIEW_COLOURS = np.array(
    [
        [0, 0, 0, 0],
        *_YELLOWS * 83,
        [0.1, 0.1, 0.1, 1],
        *((*colour, 1) for colour in CANDIDATE_COLOURS),
    ],
    np.float32,
)
"""Of objects that are not kept yet, in turn: yellows, so that none is taken for a kept object. Then
dark grey, that of pixels that an object would lose, and the outlines of candidates."""
GONE = len(PREVIEW_COLOURS) - len(CANDIDATE_COLOURS) - 1
"""The value of these pixels in the preview."""
CONTOUR_COLOURS = np.array([[0, 0, 0, 0], [1, 1, 1, 1]], np.float32)
"""Of the object of a review: white, which no kept object is."""
MARKER_SIZE = (9, 14)
"""Least and largest diameter of a point's marker on the screen, pixels.

A click on a large plane stays visible. Where a plane has no point, napari draws one of this least
size at the first pixel.
"""
EDGE_WIDTH = 2.0
"""Width of a box's edge on the screen, pixels."""
EDGE_TOLERANCE = 0.2
"""By how much that may be off: napari builds the shapes anew for another width."""


def current_key(viewer: Viewer, frame: Frame) -> SliceKey:
    """Return the plane of a frame that a viewer shows.

    Raises
    ------
    ValueError
        If it shows three dimensions, thick slices, or no plane of the image.
    """
    ndim, dims = len(frame.shape), viewer.dims
    displayed = displayed_axes(dims, ndim)
    check_thin(dims, ndim, str(frame.layer.projection_mode))
    fixed = []
    for axis, position in hidden_position(frame.transform, dims, ndim).items():
        index = round(position)  # to even halves, as napari does
        if not 0 <= index < frame.shape[axis]:
            raise ValueError("this plane lies outside the image; move the slider")
        fixed.append((axis, index))
    return SliceKey(displayed, tuple(fixed), None, frame.level)


def make_points(frame: Frame) -> Points:
    """Return an empty layer for object and background points."""
    side = max(frame.shape[-2:])
    return Points(
        np.zeros((0, len(frame.shape))),
        ndim=len(frame.shape),
        name="SAM points",
        features={
            "label": pd.Categorical([], categories=list(POINT_KINDS)),
            OWNER: np.zeros(0, int),
        },
        feature_defaults={"label": OBJECT, OWNER: NOBODY},
        face_color="label",
        face_color_cycle=[kind.colour for kind in POINT_KINDS.values()],
        border_color="white",
        size=max(2.0, side / 60),
        canvas_size_limits=MARKER_SIZE,
        **frame.drawing,
    )


def make_boxes(frame: Frame) -> Shapes:
    """Return an empty layer for boxes, regions and scribbles."""
    return Shapes(
        ndim=len(frame.shape),
        name="SAM boxes",
        features={KIND: pd.Categorical([], categories=list(POINT_KINDS)), OWNER: np.zeros(0, int)},
        feature_defaults={KIND: OBJECT, OWNER: NOBODY},
        edge_color=PROMPT_KINDS["box"].colour,
        face_color="transparent",
        **frame.drawing,
    )


def set_transform(layer: Layer, transform: Mapping[str, Any]) -> None:
    """Give a layer another place in the world; what is the same stays untouched."""
    for name, value in transform.items():
        now = layer.affine.affine_matrix if name == "affine" else getattr(layer, name)
        same = now == value if name == "units" else np.array_equal(now, value)
        if not same:
            setattr(layer, name, value)


def set_edge_width(boxes: Shapes, zoom: float) -> None:
    """Give the edges of all boxes their width on the screen.

    Parameters
    ----------
    boxes : napari.layers.Shapes
    zoom : float
        Screen pixels for one unit of the world.
    """
    axes = list(range(boxes.ndim))[-2:]
    matrix = np.abs(boxes.affine.linear_matrix[np.ix_(axes, axes)]).max()
    width = EDGE_WIDTH / (zoom * matrix * float(np.max(boxes.scale[axes])))
    if abs(width / boxes.current_edge_width - 1) > EDGE_TOLERANCE:
        boxes.edge_width = width  # of all that are there
        boxes.current_edge_width = width


def make_labels(frame: Frame, name: str, data: Any = None, visible: bool = True) -> Labels:
    """Return a Labels layer with the pixels of a frame: empty, or with labels of its shape."""
    if data is None:
        data = np.zeros(frame.shape, np.int32)
    scan = frame.layer.metadata.get(SCAN)
    metadata = {} if scan is None else {SCAN: scan}  # for napari's own Save
    return Labels(data, name=name, visible=visible, metadata=metadata, **frame.transform)


def add_image(viewer: Viewer, image: StackImage, name: str) -> Image:
    """Add an image that was read from a file to the viewer; of its channels, the first is returned.

    Channels that are no colours become a layer each.
    """
    options: dict[str, Any] = {"name": name}
    if image.scan is not None:
        options |= image_options(image, image.scan, name)
    elif image.scale is not None:
        options["scale"] = image.scale
        options["units"] = ("um",) * len(image.scale)
    if image.axes.endswith("C"):
        added = viewer.add_image(image.data, channel_axis=len(image.axes) - 1, **options)
        return added[0] if isinstance(added, list) else added
    added = viewer.add_image(image.data, rgb=image.axes.endswith("S"), **options)
    return added[0] if isinstance(added, list) else added


def make_preview(frame: Frame) -> Labels:
    """Return the layer that shows the answer; it holds one plane."""
    shape = (1,) * (len(frame.shape) - 2) + frame.shape[-2:]
    colours = CyclicLabelColormap(colors=PREVIEW_COLOURS, background_value=0)
    return Labels(
        np.zeros(shape, np.uint8),  # napari draws these in a tenth of the time of int32
        name="SAM preview",
        opacity=0.6,
        colormap=colours,
        **frame.drawing,
    )


def set_label_kind(points: Points, kind: str) -> None:
    """Make the next points object or background points."""
    points.selected_data = set()  # or the selected points would change with the default
    points.current_symbol = POINT_KINDS[kind].symbol
    if points.feature_defaults["label"].iloc[0] == kind:
        return
    points.feature_defaults["label"] = kind
    points.events.feature_defaults()
    points.refresh_colors()


def set_shape_kind(boxes: Shapes, kind: str) -> None:
    """Let the next path lie on the object or the background; shapes have the colour of their kind.

    Parameters
    ----------
    boxes : napari.layers.Shapes
    kind : str
        One of `POINT_KINDS`.
    """
    boxes.selected_data = set()  # or the selected shapes would change with the default
    drawn = shape_mark("path", kind) if str(boxes.mode) in STROKE_MODES else "rectangle"
    shown = kind_in("shapes", drawn)
    if shown is not None:
        boxes.current_edge_color = shown.colour
    boxes.feature_defaults[KIND] = kind
    boxes.events.feature_defaults()


def mend_features(layer: Points | Shapes) -> None:
    """Make the table of features readable again where the user replaced or edited it.

    The user's own columns stay. A prompt of an unknown kind lies on the object. napari may leave
    the row of a shape that was given up while it was drawn; that row goes.
    """
    count = len(layer.data)
    table = layer.features.iloc[:count].copy()
    owners = table.get(OWNER, pd.Series(NOBODY, table.index))
    table[OWNER] = pd.to_numeric(owners, errors="coerce").fillna(NOBODY).astype(int)
    kinds = table.get(KIND, pd.Series(OBJECT, table.index)).astype(object)
    known = kinds.where(kinds.isin(list(POINT_KINDS)), OBJECT)
    table[KIND] = pd.Categorical(known, categories=list(POINT_KINDS))
    if table.equals(layer.features):
        return
    layer.features = table
    if isinstance(layer, Points):
        layer.face_color = "label"
        layer.face_color_cycle = [kind.colour for kind in POINT_KINDS.values()]


def has_stray_colours(boxes: Shapes) -> bool:
    """Tell whether a shape was given up while it was drawn: napari leaves its colours then."""
    return len(boxes.edge_color) > len(boxes.data)


def mend_colours(boxes: Shapes) -> None:
    """Draw all shapes again if there are more colours than shapes: napari fails in 3-D then."""
    if not has_stray_colours(boxes):
        return
    count, colours = boxes.nshapes, np.array(boxes.edge_color)
    data, types, table = boxes.data, list(boxes.shape_type), boxes.features.iloc[:count].copy()
    with boxes.events.data.blocker():
        boxes.data = []
        if count:
            boxes.add(data, shape_type=types, edge_color=colours[:count])
            boxes.features = table


@dataclass(frozen=True, eq=False)
class DrawnPrompt:
    """A prompt as it lies in a layer.

    Attributes
    ----------
    layer : Points or Shapes
    row : int
        Its place in the layer's features.
    placed : PlacedPrompt
    """

    layer: Points | Shapes
    row: int
    placed: PlacedPrompt

    def given_to(self, owner: int | None) -> DrawnPrompt:
        """Return the prompt as one of an object, and note that in the layer."""
        self.layer.features.loc[self.row, OWNER] = NOBODY if owner is None else owner
        return replace(self, placed=replace(self.placed, owner=owner))


def disown(layer: Points | Shapes, rows: Sequence[int]) -> None:
    """Let added prompts belong to no object: napari gives them the features of selected ones."""
    layer.features.loc[layer.features.index[list(rows)], OWNER] = NOBODY


def own(layer: Points | Shapes, owners: Sequence[int]) -> None:
    """Give the prompts that were added last to objects."""
    layer.features.loc[layer.features.index[-len(owners) :], OWNER] = owners


def shape_marks(boxes: Shapes) -> list[str]:
    """Return the marks of all shapes; see `prompt_kinds.shape_mark`."""
    kinds = boxes.features[KIND]
    return [shape_mark(str(one), str(k)) for one, k in zip(boxes.shape_type, kinds, strict=True)]


def drawn_prompts(points: Points, boxes: Shapes, key: SliceKey) -> list[DrawnPrompt]:
    """Read the prompts of one plane; see `prompt_kinds`.

    Parameters
    ----------
    points : napari.layers.Points
    boxes : napari.layers.Shapes
    key : SliceKey

    Returns
    -------
    list of DrawnPrompt, (x, y) in pixels of the plane; those without an owner are new
    """
    marked: list[tuple[Points | Shapes, LayerType, Iterable[Any], Iterable[str]]] = [
        (points, "points", np.asarray(points.data)[:, None], list(points.features["label"])),
        (boxes, "shapes", boxes.data, shape_marks(boxes)),
    ]
    found = []
    for layer, kind, vertices, marks in marked:
        for row, (shape, mark) in enumerate(zip(vertices, marks, strict=True)):
            corners = np.asarray(shape, np.float64)
            if not _in_plane(corners, key).all():
                continue
            owner = int(layer.features[OWNER].iloc[row])
            xy = corners[:, [key.displayed[1], key.displayed[0]]]
            placed = read_prompt(kind, mark, xy, None if owner == NOBODY else owner)
            if placed is not None:
                found.append(DrawnPrompt(layer, row, placed))
    return found


def label_at(labels: Labels, points: Points, position: Any) -> int:
    """Return the label at a place of the world; 0 if there is none.

    Parameters
    ----------
    labels : napari.layers.Labels
    points : napari.layers.Points
        Of the same shape; its place in the world is that of the plane shown.
    position : sequence of float
        Such as that of the pointer, `viewer.cursor.position`.
    """
    value = labels.get_value(points.world_to_data(position), world=False)
    return int(value or 0)


def area_text(pixels: int, frame: Frame, key: SliceKey) -> str:
    """Return an area with its unit."""
    units = [frame.transform["units"][axis] for axis in key.displayed]
    if str(units[0]) == "pixel" or units[0] != units[1]:
        return f"{pixels} px"
    area = pixels * pixel_area(frame.transform, key.displayed)
    return f"{area:.4g} {units[0]:~}²"


def place_in_plane(points: Points, position: Sequence[float], key: SliceKey) -> tuple[float, float]:
    """Return (x, y), in pixels of the plane, of a place in the world."""
    place = points.world_to_data(position)
    return float(place[key.displayed[1]]), float(place[key.displayed[0]])


def show_preview(
    preview: Labels,
    frame: Frame,
    key: SliceKey,
    masks: Mapping[int, Mask],
    before: Sequence[Mask] = (),
    others: Mapping[int, Mask] | None = None,
    width: int = 1,
) -> None:
    """Paint masks into the preview, by label, and move it to its plane; the first ones lie on top.

    The array is written in place, for another one makes napari start afresh.

    Parameters
    ----------
    preview : napari.layers.Labels
    frame : Frame
    key : SliceKey
    masks : mapping of int to Mask
    before : sequence of Mask
        Of kept objects that are changed: what they would lose is painted as `GONE`.
    others : mapping of int to Mask, optional
        Candidates that are not chosen, by their colour: their outlines lie on top of all.
    width : int
        Of these outlines, pixels of the plane.
    """
    shape = tuple(n if axis in key.displayed else 1 for axis, n in enumerate(frame.shape))
    if preview.data.shape == shape:
        preview.data[...] = 0
    else:
        preview.data = np.zeros(shape, np.uint8)
    flat = preview.data.reshape([n for axis, n in enumerate(shape) if axis in key.displayed])
    plane = flat.T if key.displayed[0] > key.displayed[1] else flat
    for label, mask in masks.items():
        part = plane[mask.part]
        part[mask.bits & (part == 0)] = (label - 1) % (GONE - 1) + 1
    for mask in before:
        part = plane[mask.part]
        part[mask.bits & (part == 0)] = GONE
    for colour, mask in (others or {}).items():
        plane[mask.part][edge_of(mask, width)] = GONE + 1 + colour
    corner = np.zeros(len(frame.shape))
    for axis, index in key.fixed:
        corner[axis] = index
    preview.refresh(thumbnail=False, highlight=False, extent=False)
    place = np.asarray(inner_transform(frame.drawing)(corner))
    if not np.array_equal(place, preview.translate):
        preview.translate = place


def make_contour(frame: Frame) -> Labels:
    """Return an empty layer for the contour of one object."""
    layer = Labels(
        np.zeros([1] * len(frame.shape), np.uint8),
        name="SAM review",
        opacity=1,
        colormap=CyclicLabelColormap(colors=CONTOUR_COLOURS, background_value=0),
        **frame.drawing,
    )
    layer.contour = 1
    layer.editable = False
    return layer


def show_contour(layer: Labels, frame: Frame, key: SliceKey, mask: Mask) -> None:
    """Show the contour of a mask in its plane; the layer holds the box of the mask alone."""
    bits = mask.bits if key.displayed[0] < key.displayed[1] else mask.bits.T
    rows, columns = sorted(key.displayed)
    shape, corner = [1] * len(frame.shape), np.zeros(len(frame.shape))
    shape[rows], shape[columns] = (side + 2 for side in bits.shape)
    for axis, index in key.fixed:
        corner[axis] = index
    corner[key.displayed[0]], corner[key.displayed[1]] = mask.box[1] - 1, mask.box[0] - 1
    layer.data = np.pad(bits, 1).astype(np.uint8).reshape(shape)
    translate = inner_transform(frame.drawing)(corner)
    set_transform(layer, {**frame.drawing, "translate": np.asarray(translate)})
    layer.visible = True


def preview_colour(label: int) -> Sequence[float]:
    """Return red, green and blue of an object in the preview, from 0 to 1."""
    colour: list[float] = _YELLOWS[(label - 1) % len(_YELLOWS)]
    return colour[:3]


def colour_of(layer: Labels, label: int) -> Sequence[float]:
    """Return red, green and blue of an object in a layer, from 0 to 1."""
    colour = layer.get_color(label)
    return (0.5, 0.5, 0.5) if colour is None else [float(c) for c in colour[:3]]


def clear_preview(preview: Labels) -> None:
    """Empty the preview."""
    if preview.data.any():
        preview.data[...] = 0
        preview.refresh(thumbnail=False, highlight=False, extent=False)


@contextmanager
def quiet(points: Points, boxes: Shapes, callback: Callable[[Any], None]) -> Iterator[None]:
    """Keep changes of our prompt layers from reaching a callback of their `data` events."""
    with points.events.data.blocker(callback), boxes.events.data.blocker(callback):
        yield


def remove_prompts(points: Points, boxes: Shapes, key: SliceKey) -> None:
    """Remove the prompts of one plane."""
    if len(points.data):
        kept = ~_in_plane(np.asarray(points.data), key)
        if not kept.all():
            points.remove(np.flatnonzero(~kept).tolist())
    doomed = {k for k, corners in enumerate(boxes.data) if _in_plane(corners, key).all()}
    if doomed:
        boxes.remove(sorted(doomed))


def _in_plane(coords: NDArray[np.floating[Any]], key: SliceKey) -> NDArray[np.bool_]:
    here = np.ones(len(coords), bool)
    for axis, index in key.fixed:
        here &= np.round(coords[:, axis]).astype(int) == index
    return here
