"""Objects and edits: segmented objects, how they change, and the one writer of labels."""

from .canvas import Canvas
from .edit import Edit
from .overlap import OverlapRule, free_pixels
from .packed import PackedPixels
from .patch import Patch
from .segmented import Origin, Outline, SegmentedObject
from .store import ObjectStore

__all__ = [
    "Canvas",
    "Edit",
    "ObjectStore",
    "Origin",
    "Outline",
    "OverlapRule",
    "PackedPixels",
    "Patch",
    "SegmentedObject",
    "free_pixels",
]
