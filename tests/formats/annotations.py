"""An annotation to write: objects in planes of a stack, with prompts, classes and an image."""

import numpy as np

from napari_sam.formats.annotation import Annotation, Geometry
from napari_sam.formats.image_reference import reference_to
from napari_sam.objects.drawn import DrawnRow
from napari_sam.objects.segmented import Outline, SegmentedObject
from napari_sam.types import Mask, Prompts, SliceKey

AXES = {2: "yx", 3: "zyx", 4: "tzyx"}
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}


def plane_key(place):
    """Return the key of the plane at a place of the leading axes."""
    return SliceKey((len(place), len(place) + 1), tuple(enumerate(place)))


def annotation(shape=(3, 20, 30), dtype=np.int32):
    """Return an annotation of one object in each plane."""
    labels, objects = np.zeros(shape, dtype), {}
    for label, place in enumerate(np.ndindex(*shape[:-2]), 1):
        bits = np.zeros(shape[-2:], bool)
        bits[2:8, 1 + label : 6 + label] = True
        labels[place][bits] = label
        prompts = Prompts([[3.5 + label, 4.25]], [1], box=[1 + label, 2, 5 + label, 7])
        outline = Outline(Mask.of(bits), prompts, 1, 0.9, "prompted", "tiny", "abc")
        objects[label] = SegmentedObject(
            label, {plane_key(place): outline}, "cell", "finished", "Ada", 12.5, {"note": "é"}
        )
    axes = tuple(AXES[len(shape)])
    vertices = (tuple(float(n) for n in range(len(shape))),)
    box = {"displayed": [0, 1], "fixed": [], "window": None, "level": None}
    return Annotation(
        labels,
        objects,
        Geometry(
            axes,
            (3.0, 2.0, 0.5, 0.25)[-len(shape) :],
            tuple(UNITS[name] for name in axes),
            (1.0, 4.0, 5.0, 6.0)[-len(shape) :],
        ),
        {
            "classes": [{"name": "cell", "colour": "#ff0000", "key": "Control-1"}],
            "complete": [{"plane": box, "box": None}] if len(shape) == 2 else [],
        },
        "cells",
        (DrawnRow("points", "object", vertices, 7),),
        reference_to(labels, shape),
    )
