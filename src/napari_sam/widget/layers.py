"""napari layers and the core's values: the one place where (row, column) becomes (x, y)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Labels, Points, Shapes
from napari.utils.transforms import Affine
from napari.viewer import Viewer
from numpy.typing import NDArray

from ..predict.prompt_kinds import PROMPT_KINDS, LayerType, PlacedPrompt, read_prompt
from ..types import Mask, SliceKey
from .frame import Frame

POINT_KINDS = {kind.marks[0]: kind for kind in PROMPT_KINDS.values() if kind.layer == "points"}
"""The kinds of point, by the value of the feature "label" that tells them apart."""
OBJECT, BACKGROUND = POINT_KINDS
OWNER, NOBODY = "object", 0
"""The feature that tells to which object a prompt belongs, and its value as long as none does."""


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
        **frame.transform,
    )


def make_boxes(frame: Frame) -> Shapes:
    """Return an empty layer for boxes."""
    return Shapes(
        ndim=len(frame.shape),
        name="SAM boxes",
        features={OWNER: np.zeros(0, int)},
        feature_defaults={OWNER: NOBODY},
        edge_color=PROMPT_KINDS["box"].colour,
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
    points.current_symbol = POINT_KINDS[kind].symbol
    points.events.feature_defaults()
    points.refresh_colors()


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
        (boxes, "shapes", boxes.data, boxes.shape_type),
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


def label_at(labels: Labels, viewer: Viewer) -> int:
    """Return the label under the pointer; 0 if there is none."""
    value = labels.get_value(viewer.cursor.position, world=True)
    return int(value or 0)


def area_text(pixels: int, frame: Frame, key: SliceKey) -> str:
    """Return an area with its unit."""
    units = [frame.transform["units"][axis] for axis in key.displayed]
    if str(units[0]) == "pixel" or units[0] != units[1]:
        return f"{pixels} px"
    area = pixels * math.prod(float(frame.transform["scale"][axis]) for axis in key.displayed)
    return f"{area:.4g} {units[0]:~}²"


def place_in_plane(points: Points, position: Sequence[float], key: SliceKey) -> tuple[float, float]:
    """Return (x, y), in pixels of the plane, of a place in the world."""
    place = points.world_to_data(position)
    return float(place[key.displayed[1]]), float(place[key.displayed[0]])


def show_preview(preview: Labels, frame: Frame, key: SliceKey, masks: Mapping[int, Mask]) -> None:
    """Paint masks into the preview, by label, and move it to its plane; the first ones lie on top.

    The array is written in place, for another one makes napari start afresh.
    """
    shape = tuple(n if axis in key.displayed else 1 for axis, n in enumerate(frame.shape))
    if preview.data.shape == shape:
        preview.data[...] = 0
    else:
        preview.data = np.zeros(shape, np.int32)
    flat = preview.data.reshape([n for axis, n in enumerate(shape) if axis in key.displayed])
    plane = flat.T if key.displayed[0] > key.displayed[1] else flat
    for label, mask in masks.items():
        part = plane[mask.part]
        part[mask.bits & (part == 0)] = label
    corner = np.zeros(len(frame.shape))
    for axis, index in key.fixed:
        corner[axis] = index
    preview.refresh(thumbnail=False, highlight=False, extent=False)
    place = _moved(frame, corner)
    if not np.array_equal(place, preview.translate):
        preview.translate = place


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
            points.selected_data = set(np.flatnonzero(~kept).tolist())
            points.remove_selected()
    doomed = {k for k, corners in enumerate(boxes.data) if _in_plane(corners, key).all()}
    if doomed:
        boxes.selected_data = doomed
        boxes.remove_selected()


def _in_plane(coords: NDArray[np.floating[Any]], key: SliceKey) -> NDArray[np.bool_]:
    here = np.ones(len(coords), bool)
    for axis, index in key.fixed:
        here &= np.round(coords[:, axis]).astype(int) == index
    return here


def _moved(frame: Frame, corner: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the translation that puts pixel 0 of a layer on pixel `corner` of a frame."""
    linear = {name: frame.transform[name] for name in ("scale", "translate", "rotate", "shear")}
    return np.asarray(Affine(**linear)(corner))
