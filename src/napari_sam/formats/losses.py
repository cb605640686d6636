"""What formats of other programs cannot hold, in words."""

from __future__ import annotations

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
    return clauses
