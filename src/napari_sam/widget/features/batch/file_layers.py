"""The prompts of a file as layers: points in one, boxes, areas and lines in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Layer, Points, Shapes
from numpy.typing import NDArray

from ....formats.polygons import rings_of
from ....formats.prompt_files.contract import FilePrompt
from ....predict.prompt_kinds import PROMPT_KINDS
from ...frame import Frame

COLOUR = PROMPT_KINDS["box"].colour
POINT_SHARE, EDGE_SHARE = 0.012, 0.003
"""Size of a point, and width of an edge, in sides of the plane."""
MARKS = [PROMPT_KINDS[name].marks[0] for name in ("background", "point")]
Row = dict[str, Any]


def layers_of(prompts: Sequence[FilePrompt], name: str, frame: Frame) -> list[Layer]:
    """Return the layers that show prompts on an image, with their classes and scores.

    Parameters
    ----------
    prompts : sequence of FilePrompt
    name : str
        Of the layers.
    frame : Frame
        Of the image.

    Returns
    -------
    list of napari.layers.Layer
        A Points layer, a Shapes layer, or both; features are the object's number, its class and
        its score. An outline is drawn around its largest piece.
    """
    points: list[tuple[float, ...]] = []
    shapes: list[tuple[NDArray[np.float64], str]] = []
    of_points: list[Row] = []
    of_shapes: list[Row] = []
    for one in prompts:
        row = {"object": one.number, "class": one.category, "score": one.score, "in": one.where}
        drawn = _shape(one)
        if drawn is not None:
            xy, kind = drawn
            shapes.append((_placed(one, xy), kind))
            of_shapes.append(row)
            continue
        said = one.prompts
        for spot, label in zip(_placed(one, said.point_coords), said.point_labels, strict=True):
            points.append(tuple(spot))
            of_points.append({**row, "label": MARKS[label]})
    side = min(frame.shape[-2:])
    found: list[Layer] = []
    if points:
        size = max(1.0, POINT_SHARE * side)
        table = pd.DataFrame(of_points)
        look = {"size": size, "face_color": COLOUR, "features": table, "name": name}
        found.append(Points(np.array(points), **look, **frame.transform))
    if shapes:
        data, kinds = zip(*shapes, strict=True)
        look = {"face_color": "transparent", "edge_color": COLOUR}
        look |= {"edge_width": max(0.5, EDGE_SHARE * side), "name": name}
        table = pd.DataFrame(of_shapes)
        shown = Shapes(
            list(data), shape_type=list(kinds), features=table, **look, **frame.transform
        )
        found.append(shown)
    return found


def _shape(one: FilePrompt) -> tuple[NDArray[np.float64], str] | None:
    """Return the vertices (N, 2) and the type of what is drawn as a shape; None of points."""
    if one.outline is not None:
        largest = max(rings_of(one.outline), key=lambda ring: float(np.prod(np.ptp(ring, axis=0))))
        return largest - 0.5, "polygon"  # corners of pixels, from their centres
    if one.prompts.box is not None:
        x0, y0, x1, y1 = one.prompts.box
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), "rectangle"
    if one.prompts.strokes:
        return one.prompts.strokes[0].path, "path"
    return None


def _placed(one: FilePrompt, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places (x, y) in a plane as those of the image's array."""
    lead = np.tile(np.array(one.place, np.float64), (len(xy), 1))
    return np.concatenate([lead, xy[:, ::-1]], axis=1)
