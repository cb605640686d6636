"""What formats of other programs cannot hold, in words."""

from __future__ import annotations

import numpy as np

from ..types import Mask, SliceKey
from .annotation import Annotation


def lost(annotation: Annotation, *, classes: bool, objects: bool, scale: bool) -> list[str]:
    """Return what is lost of an annotation, a clause each.

    Parameters
    ----------
    annotation : Annotation
    classes, objects, scale : bool
        Whether the format holds classes, which outlines are one object, and sizes of pixels.
    """
    known = annotation.objects.values()
    clauses = []
    if annotation.prompts or any(one.keyframes for one in known):
        clauses.append("the prompts")
    named = any(one.category for one in known)
    if not classes and (named or annotation.properties.get("classes")):
        clauses.append("the classes")
    if any(one.status for one in known):
        clauses.append("which objects are finished or to be checked")
    if any(one.annotator or one.attributes for one in known):
        clauses.append("who made the objects, and their attributes")
    if annotation.properties.get("complete"):
        clauses.append("the complete regions")
    if not objects and any(len(one.outlines) > 1 for one in known):
        clauses.append("which outlines of several planes are one object")
    if not scale and any(unit != "pixel" for unit in annotation.geometry.units):
        clauses.append("the size of the pixels")
    shared = overlapping(annotation)
    if shared:
        clauses.append(f"which pixels {shared} objects share: each is of one")
    return clauses


def overlapping(annotation: Annotation) -> int:
    """Return how many objects have an outline that shares pixels with one of another object."""
    planes: dict[SliceKey, list[tuple[int, Mask]]] = {}
    for label, one in annotation.objects.items():
        for key, outline in one.outlines.items():
            if outline.mask:
                planes.setdefault(key, []).append((label, outline.mask))
    found: set[int] = set()
    for masks in planes.values():
        masks.sort(key=lambda one: one[1].box[1])
        tops = np.array([mask.box[1] for _, mask in masks])
        for k, (label, mask) in enumerate(masks):
            below = masks[k + 1 : int(np.searchsorted(tops, mask.box[3], "right"))]
            for other, lower in below:
                if not (label in found and other in found) and _share(mask, lower):
                    found |= {label, other}
    return len(found)


def _share(a: Mask, b: Mask) -> bool:
    x0, y0 = max(a.box[0], b.box[0]), max(a.box[1], b.box[1])
    x1, y1 = min(a.box[2], b.box[2]) + 1, min(a.box[3], b.box[3]) + 1
    if x0 >= x1 or y0 >= y1:
        return False
    parts = [
        one.bits[y0 - one.box[1] : y1 - one.box[1], x0 - one.box[0] : x1 - one.box[0]]
        for one in (a, b)
    ]
    return bool((parts[0] & parts[1]).any())


def lost_by_labels(annotation: Annotation, *, properties: bool) -> list[str]:
    """Return what a label image of ours loses, which keeps class, status and so on of each object.

    Parameters
    ----------
    annotation : Annotation
    properties : bool
        Whether it holds the list of classes and the complete regions.
    """
    known = annotation.objects.values()
    clauses = []
    if annotation.prompts or any(one.keyframes for one in known):
        clauses.append("the prompts")
    if any(one.outlines for one in known):
        clauses.append("how each outline was made, with its score and other candidates")
    if shared := overlapping(annotation):
        clauses.append(f"which pixels {shared} objects share: each is of one")
    if not properties and annotation.properties.get("classes"):
        clauses.append("the list of classes with its keys")
    if not properties and annotation.properties.get("complete"):
        clauses.append("the complete regions")
    if annotation.image is not None:
        clauses.append("which image was annotated")
    return clauses
