"""Measures of objects as a table: one row for each object, and one for each of its planes."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import replacing
from .annotation import Annotation, AnnotationFormat, Geometry
from .found import masks_of, planes_of

UNITS = {"micrometer": "um", "nanometer": "nm", "millimeter": "mm", "pixel": "pixel"}
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a formula begins with; classes may come from a stranger's file."""
Row = dict[str, Any]


@dataclass
class _Sums:
    """What is known of some pixels; that of two planes is added."""

    count: int
    places: NDArray[np.float64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    planes: int = 1
    intensity: tuple[float, float, float] | None = None

    def add(self, other: _Sums) -> None:
        self.count += other.count
        self.places = self.places + other.places
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        self.planes += other.planes
        if self.intensity is not None and other.intensity is not None:
            (a, b, c), (d, e, f) = self.intensity, other.intensity
            self.intensity = a + d, min(b, e), max(c, f)


def measures_losses(annotation: Annotation) -> list[str]:
    """Return what a table cannot hold of an annotation."""
    return ["the pixels of the objects", *(["the prompts"] if annotation.prompts else [])]


def write_measures(annotation: Annotation, path: Path, image: Any = None) -> None:
    """Write measures as a CSV table; see `measures`.

    Raises
    ------
    ValueError
        If the image does not fit the labels, or the disk refuses it.
    """
    rows = measures(annotation, image)
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["label"]
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_cell(name) for name in names)
        writer.writerows([_cell(row.get(name, "")) for name in names] for row in rows)


def _cell(value: Any) -> Any:
    """Return what stands in a cell; a text that a spreadsheet would run as a formula gets a "'"."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def measures(annotation: Annotation, image: Any = None) -> list[Row]:
    """Return the measures of all objects, read a plane at a time.

    Rows of a plane have the positions on the other axes, from 0. The row of a whole object has an
    empty "z"; there is one for each object of a volume and each position on further axes. Lengths
    are in the unit that the column names; places are (y, x) of the centre of the first pixel on.

    Parameters
    ----------
    annotation : Annotation
    image : array-like, optional
        Of the shape of the labels; without it there are no intensities.

    Returns
    -------
    list of dict

    Raises
    ------
    ValueError
        If the image has another shape than the labels.
    """
    shape = tuple(int(n) for n in annotation.labels.shape)
    if image is not None and tuple(image.shape) != shape:
        raise ValueError(f"the image has the shape {image.shape}, but the labels {shape}")
    geometry = annotation.geometry
    volume = len(shape) > 2 and geometry.axes[-3] == "z"
    flat: list[Row] = []
    wholes: dict[tuple[Any, ...], _Sums] = {}
    for place, _, plane in planes_of(annotation.labels):
        values = None if image is None else np.asarray(image[place])
        for label, mask in masks_of(plane):
            one = _sums(mask.bits, mask.box, None if values is None else values[mask.part])
            flat.append(_row(annotation, label, place, one, geometry, 2))
            if volume:
                deep = np.r_[place[-1], one.low], np.r_[place[-1], one.high]
                places = np.r_[place[-1] * one.count, one.places]
                solid = _Sums(one.count, places, *deep, 1, one.intensity)
                known = wholes.setdefault((label, *place[:-1]), solid)
                if known is not solid:
                    known.add(solid)
    whole = [
        _row(annotation, label, (*place, ""), one, geometry, 3)
        for (label, *place), one in wholes.items()
    ]
    return [*whole, *flat]


def _sums(
    bits: NDArray[np.bool_], box: tuple[int, int, int, int], values: NDArray[Any] | None
) -> _Sums:
    y, x = np.nonzero(bits)
    places = np.array([y.sum() + box[1] * len(y), x.sum() + box[0] * len(x)], np.float64)
    intensity = None
    if values is not None:
        inside = values[bits].astype(np.float64)
        intensity = float(inside.sum()), float(inside.min()), float(inside.max())
    low, high = np.array([box[1], box[0]]), np.array([box[3], box[2]])
    return _Sums(len(y), places, low, high, 1, intensity)


def _row(
    annotation: Annotation,
    label: int,
    place: Sequence[Any],
    one: _Sums,
    geometry: Geometry,
    sides: int,
) -> Row:
    axes = geometry.axes[-sides:]
    unit = _unit(geometry.units[-sides:])
    scale = np.array(geometry.scale[-sides:])
    known = annotation.objects.get(label)
    row: Row = {
        "label": label,
        "class": "" if known is None else known.category,
        "status": "" if known is None else known.status,
        **dict(zip(geometry.axes[:-2], place, strict=True)),
        "planes": one.planes,
    }
    size = one.count * abs(float(np.prod(scale)))  # an axis that is shown reversed is below 0
    if sides == 2:
        row |= {"area_pixels": one.count, f"area_{unit}^2": size}
        diameter = 2 * math.sqrt(size / math.pi)
    else:
        row |= {"volume_voxels": one.count, f"volume_{unit}^3": size}
        diameter = (6 * size / math.pi) ** (1 / 3)
    row[f"equivalent_diameter_{unit}"] = diameter
    centre = one.places / one.count
    real = centre * scale + np.array(geometry.translate[-sides:])
    for k, axis in enumerate(axes):
        row[f"centroid_{axis}_pixels"] = float(centre[k])
        row[f"centroid_{axis}_{unit}"] = float(real[k])
        row[f"box_{axis}_first"], row[f"box_{axis}_last"] = int(one.low[k]), int(one.high[k])
    if one.intensity is not None:
        total, low, high = one.intensity
        row |= {"mean_intensity": total / one.count, "min_intensity": low, "max_intensity": high}
    return row


def _unit(units: Sequence[str]) -> str:
    """Return the short name of a unit; "unit" where the axes have several."""
    return UNITS.get(units[0], units[0]) if len(set(units)) == 1 else "unit"


MEASURES = AnnotationFormat("Measures (CSV)", (".csv",), write_measures, None, measures_losses)
