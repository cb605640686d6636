"""Two formats of the tests: one holds labels and objects, one can only be written."""

from __future__ import annotations

import json

import numpy as np

from napari_sam.formats import exchange
from napari_sam.formats.annotation import Annotation, AnnotationFormat, Geometry, ImageReference
from napari_sam.objects.documents import (
    key_from_json,
    key_to_json,
    object_from_json,
    object_to_json,
)
from napari_sam.widget import saves
from napari_sam.widget.features.saving import logic as saving
from napari_sam.widget.features.series import logic as series


def write_plain(annotation, path):
    """Write labels and objects in the plainest way there is."""
    image = annotation.image
    hashes = [] if image is None else [[key_to_json(key), one] for key, one in image.hashes]
    text = json.dumps(
        {
            "objects": [object_to_json(one) for one in annotation.objects.values()],
            "image": None if image is None else [image.path, image.shape, image.dtype, hashes],
        }
    )
    partial = path.with_suffix(".part.npz")
    np.savez(partial, labels=np.asarray(annotation.labels), text=text)
    partial.replace(path)


def read_plain(path, shape):
    with np.load(path) as file:
        labels, data = file["labels"], json.loads(str(file["text"]))
    if shape is not None and labels.shape != shape:
        raise ValueError(f"{path.name} has the shape {labels.shape}, but the image has {shape}")
    objects = {one["label"]: object_from_json(one) for one in data["objects"]}
    reference = None
    if data["image"] is not None:
        place, size, dtype, hashes = data["image"]
        found = tuple((key_from_json(key), one) for key, one in hashes)
        reference = ImageReference(place, tuple(size), dtype, found)
    ones = (1.0,) * labels.ndim
    geometry = Geometry(("y", "x"), ones, ("pixel",) * labels.ndim, (0.0,) * labels.ndim)
    return Annotation(labels, objects, geometry, image=reference)


PLAIN = AnnotationFormat("Plain", (".plain.npz",), write_plain, read_plain, lambda one: ())
TABLE = AnnotationFormat(
    "Table", (".table.npz",), write_plain, None, lambda one: ("the prompts", "classes")
)


def use_plain(monkeypatch):
    """Let the dock know these formats only."""
    for module in (exchange, saves, saving, series):
        monkeypatch.setattr(module, "FORMATS", (PLAIN, TABLE))
