"""Prompts of GeoJSON as QuPath exports it: annotations and detections with their classification.

Coordinates are pixels of the full image; (0, 0) is the corner of the first one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import shown
from ...types import Mask, Prompts, Stroke
from ..found import read_json, reals, whole
from ..polygons import filled
from .contract import FilePrompt, PromptChoice, PromptFile, of_mask, points_of, several
from .plane_axes import plane_axes

SCORES = ("score", "probability", "confidence", "detection probability")
"""Names of the measurement that says how sure a detector was."""


def is_geojson(data: Any) -> bool:
    """Tell whether what a JSON file holds is GeoJSON."""
    first = data[0] if isinstance(data, list) and data else data
    return isinstance(first, dict) and first.get("type") in ("FeatureCollection", "Feature")


def read_geojson(path: Path, shape: tuple[int, ...], choice: PromptChoice) -> PromptFile:
    """Return the prompts of a GeoJSON file.

    Polygons are outlines or boxes, points clicks, lines scribbles. Several points of one feature
    are one object.

    Raises
    ------
    ValueError
        That names the file and the feature that is wrong.
    """
    data = read_json(path)
    if not is_geojson(data):
        raise ValueError(f"{path.name} is no GeoJSON: it holds {shown(data)}")
    features = data if isinstance(data, list) else data.get("features", [data])
    if not isinstance(features, list):
        raise ValueError(f"{path.name}: the features are a list, but are {shown(features)}")
    found: list[FilePrompt] = []
    empty = 0
    named = [_named(one) for one in features]
    try:
        axes = plane_axes(shape, {k: [one[k] for one in named] for k in ("z", "t")})
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None
    for number, feature in enumerate(features, 1):
        where = f"feature {number}"
        try:
            read = _read(feature, shape, axes)
        except ValueError as error:
            raise ValueError(f"{path.name}: {where}: {error}") from None
        if read is None:
            empty += 1
            continue
        category, score = _facts(feature.get("properties"))
        place, prompts, outline = read
        count = len(found) + 1
        found.append(FilePrompt(count, place, prompts, outline, category, score, where))
    return PromptFile(
        tuple(found), f"{several(empty, 'feature')} without a pixel of the image" if empty else ""
    )


def _read(
    feature: Any, shape: tuple[int, ...], axes: Sequence[str]
) -> tuple[tuple[int, ...], Prompts, Mask | None] | None:
    """Return the plane, the prompts and the outline of a feature; None if it has no pixel."""
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(geometry, dict):
        raise ValueError(f"it has a geometry, but is {shown(feature)}")
    kind, given = geometry.get("type"), geometry.get("coordinates")
    numbers, sides = _named(feature), zip(axes, shape[:-2], strict=True)
    place = tuple(whole(numbers[one], "a plane", 0, side - 1) for one, side in sides)
    size = shape[-2], shape[-1]
    if kind in ("Point", "MultiPoint"):
        points = _corners([given] if kind == "Point" else given)
        return place, points_of(points - 0.5), None
    if kind == "LineString":
        return place, Prompts(strokes=[Stroke(_corners(given) - 0.5)]), None
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"its geometry is points, a line or polygons, but is {shown(kind)}")
    parts = [given] if kind == "Polygon" else given
    if not isinstance(parts, list) or not all(isinstance(one, list) for one in parts):
        raise ValueError(f"its coordinates are lists, but are {shown(parts)}")
    mask = filled([_corners(ring) for part in parts for ring in part], size)
    return (place, *of_mask(mask)) if mask else None


def _corners(values: Any) -> NDArray[np.float64]:
    """Return coordinates, (N, 2)."""
    if not isinstance(values, list) or not values:
        raise ValueError(f"its coordinates are a list of places, but are {shown(values)}")
    places = [reals(one, "a place")[:2] for one in values]
    if any(len(one) < 2 for one in places):
        raise ValueError(f"a place is x and y, but one of {shown(values)} is not")
    return np.stack(places)


def _named(feature: Any) -> dict[str, Any]:
    """Return the plane that QuPath names, which is the first one where it names none."""
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    plane = geometry.get("plane") if isinstance(geometry, dict) else None
    named: Mapping[str, Any] = plane if isinstance(plane, dict) else {}
    return {letter: named.get(letter, 0) for letter in ("z", "t")}


def _facts(properties: Any) -> tuple[str, float | None]:
    """Return the class and the score of a feature."""
    if not isinstance(properties, dict):
        return "", None
    given = properties.get("classification")
    name = given.get("name") if isinstance(given, dict) else None
    if isinstance(given, dict) and isinstance(given.get("names"), list):
        name = ": ".join(str(one) for one in given["names"])
    measured = properties.get("measurements")
    if isinstance(measured, list):  # of older versions
        measured = {one.get("name"): one.get("value") for one in measured if isinstance(one, dict)}
    values = {str(k).lower(): v for k, v in measured.items()} if isinstance(measured, dict) else {}
    score = next((values[one] for one in SCORES if isinstance(values.get(one), int | float)), None)
    return str(name or "").strip(), None if score is None else float(score)
