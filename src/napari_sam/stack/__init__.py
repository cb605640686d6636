"""Stacks: everything mode plane by plane, objects joined across planes."""

from .join import StoredPlanes, linked, turned
from .planes import (
    PlaneResult,
    StackFrame,
    everything,
    everything_in,
    plane_text,
    run,
)

__all__ = [
    "PlaneResult",
    "StackFrame",
    "StoredPlanes",
    "everything",
    "everything_in",
    "linked",
    "plane_text",
    "run",
    "turned",
]
