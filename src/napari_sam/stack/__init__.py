"""Stacks: everything mode plane by plane, objects joined across planes."""

from .join import StoredPlanes, linked, turned
from .planes import PlaneResult, all_planes, everything_in, linking_axis, plane_text, stacks_along
from .tracks import Track, tracked, write_tracks
from .volumes import StackFrame, everything, run

__all__ = [
    "PlaneResult",
    "StackFrame",
    "StoredPlanes",
    "Track",
    "all_planes",
    "everything",
    "everything_in",
    "linked",
    "linking_axis",
    "plane_text",
    "run",
    "stacks_along",
    "tracked",
    "turned",
    "write_tracks",
]
