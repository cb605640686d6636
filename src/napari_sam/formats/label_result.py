"""Labels of a run, written as they come: an array to fill that becomes a file or a folder.

An OME-Zarr is written plane by plane, so that a stack of any size needs the memory of a plane.
Other formats are written at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..files import folder_written_beside, write_text
from ..images.readers import StackImage
from ..objects import SegmentedObject
from ..objects.classes import COLOURS
from .annotation import Annotation
from .label_images import LABEL_FORMATS, geometry_from, label_suffix, write_labels
from .label_tiff import note_of
from .labels_group import LabelsGroup
from .labels_store import written_parts


class LabelResult:
    """Labels that are being made; what is set here is written when the context ends.

    Attributes
    ----------
    labels : (...) int32 array, numpy or zarr
        To be filled. After the end they are the labels as they were written.
    provenance : dict
        Program, version, model, parameters.
    companions : mapping of Path to str
        Files of text that belong to the labels.
    objects : mapping of int to SegmentedObject
        What is known of labels: class and attributes. Formats that cannot hold it leave it out.
    """

    def __init__(self, labels: Any) -> None:
        self.labels = labels
        self.provenance: dict[str, Any] = {}
        self.companions: Mapping[Path, str] = {}
        self.objects: Mapping[int, SegmentedObject] = {}

    def count(self) -> int:
        """Return how many labels have a pixel; planes that have any are read one by one."""
        found: set[int] = set()
        for part in written_parts(self.labels):
            found.update(np.unique(self.labels[part]).tolist())
        return len(found - {0})


@contextmanager
def label_result(
    path: Path, image: StackImage, source: Path | None, overwrite: bool
) -> Iterator[LabelResult]:
    """Write labels to a place; nothing is left there where the context ends in an error.

    Parameters
    ----------
    path : Path
        It has been checked by `check_label_target`.
    image : StackImage
        What was segmented: the labels have its shape, scale and place.
    source : Path or None
        Its file, which is never written to.
    overwrite : bool

    Raises
    ------
    ValueError
        At the end, if the labels cannot be written.
    """
    axes = image.label_axes
    if not LABEL_FORMATS[label_suffix(path)].folder:
        result = LabelResult(np.zeros(image.label_shape, np.int32))
        yield result
        if result.objects:
            result.provenance |= note_of(_annotation(result, image))
        result.labels = write_labels(
            path,
            result.labels,
            axes,
            image.scale,
            overwrite,
            result.provenance,
            source,
            result.companions,
            image.scan,
            units=image.units,
        )
        return
    import zarr

    geometry = geometry_from(axes, image.scale, image.units, image.translate)
    with folder_written_beside(path) as partial:
        group = LabelsGroup(partial, image.label_shape, np.int32, geometry)
        result = LabelResult(group.whole)
        yield result
        group.write_smaller()
        name = "" if source is None else source.name.removesuffix(".ome.zarr")
        name = image.scan.name if image.scan is not None and image.scan.name else name
        described = replace(_annotation(result, image), labels=group.whole, name=name)
        group.describe(described, result.provenance)
    for other, text in result.companions.items():
        write_text(other, text, source, overwrite)
    result.labels = zarr.open_array(path / "0", mode="r")


def _annotation(result: LabelResult, image: StackImage) -> Annotation:
    """Return the labels with what is known of them."""
    geometry = geometry_from(image.label_axes, image.scale, image.units, image.translate)
    names = sorted({one.category for one in result.objects.values() if one.category})
    classes = [
        {"name": name, "colour": COLOURS[k % len(COLOURS)], "key": ""}
        for k, name in enumerate(names)
    ]
    properties = {"classes": classes} if classes else {}
    return Annotation(result.labels, result.objects, geometry, properties)
