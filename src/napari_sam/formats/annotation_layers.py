"""Annotations as napari's layers: its reader and its writer for them, which need no napari."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..images.scan import METADATA as SCAN
from ..images.scan import Scan
from .annotation import Annotation, AnnotationFormat, Geometry
from .carried import METADATA, Carried, carried_by
from .exchange import FORMATS, format_of
from .label_layers import LayerData, Reader, reader_of
from .medical_layers import layer_place
from .ome_axes import PIXEL, standard_names
from .ome_zarr import OME_ZARR, holds_labels
from .project import INDEX, PROJECT


def annotation_reader(path: str | Sequence[str]) -> Reader | None:
    """Return what reads projects and OME-Zarr labels, or None for anything else.

    Parameters
    ----------
    path : str or sequence of str
    """
    return reader_of(path, _is_ours, _layer)


def write_labels_layer(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer in the format that the path ends like.

    Parameters
    ----------
    path : str
    data : (...) int array
    meta : mapping
        Of the layer, as napari gives it: name, scale, units, metadata.

    Returns
    -------
    list of str, the path that was written

    Raises
    ------
    ValueError
        If there is no such format, or the labels do not fit.
    """
    kind = format_of(path)
    if kind is None or kind.write is None:
        endings = ", ".join(one.suffixes[0] for one in FORMATS if one.write is not None)
        raise ValueError(f"labels are written as {endings}, but the file is called {path}")
    carried = carried_by(meta.get("metadata", {}))
    labels = data[0] if isinstance(data, list | tuple) else data  # of a pyramid, the whole
    annotation = Annotation(
        labels,
        dict(carried.objects),
        _geometry(meta, labels.ndim),
        dict(carried.properties),
        str(meta.get("name", "")),
        carried.prompts,
        carried.image,
    )
    kind.write(annotation, Path(path))
    return [path]


def _is_ours(path: Path) -> bool:
    if path.name == INDEX or path.name.lower().endswith(PROJECT.suffixes):
        return (path if path.name == INDEX else path / INDEX).is_file()
    return path.name.lower().endswith(OME_ZARR.suffixes) and holds_labels(path)


def _layer(path: Path) -> LayerData:
    kind: AnnotationFormat | None = PROJECT if path.name == INDEX else format_of(path)
    read: Callable[[Path, None], Annotation] | None = kind.read if kind is not None else None
    if read is None:
        raise ValueError(f"{path} is no annotation")
    annotation = read(path, None)
    geometry = annotation.geometry
    place = path.parent if path.name == INDEX else path
    options: dict[str, Any] = {
        "name": annotation.name or place.name.partition(".")[0],
        "scale": geometry.scale,
        "translate": geometry.translate,
        "axis_labels": geometry.axes,
        "metadata": {
            METADATA: Carried(
                annotation.objects, annotation.properties, annotation.prompts, annotation.image
            )
        },
    }
    if any(unit != PIXEL for unit in geometry.units):
        options["units"] = geometry.units
    if geometry.scan is not None:
        axes = "".join(standard_names(geometry.axes)).upper()
        medical = layer_place(geometry.scan, axes, geometry.scale, geometry.units)
        options["metadata"] |= medical.pop("metadata")
        options |= medical
    labels = annotation.labels
    if isinstance(labels, np.ndarray) and labels.dtype.itemsize < 4:
        labels = labels.astype(np.int32)  # room for more objects
    return labels, options, "labels"


def _geometry(meta: Mapping[str, Any], dimensions: int) -> Geometry:
    names = tuple(str(name) for name in meta.get("axis_labels") or ())
    units = tuple(str(unit) for unit in meta.get("units") or ())
    scale = tuple(float(size) for size in meta.get("scale", ()))
    translate = tuple(float(place) for place in meta.get("translate", ()))
    scan = meta.get("metadata", {}).get(SCAN)
    return Geometry(
        names if len(names) == dimensions else tuple(f"axis {n}" for n in range(dimensions)),
        scale if len(scale) == dimensions else (1.0,) * dimensions,
        units if len(units) == dimensions else (PIXEL,) * dimensions,
        translate if len(translate) == dimensions else (0.0,) * dimensions,
        scan if isinstance(scan, Scan) else None,
    )
