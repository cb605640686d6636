"""Planes of everything mode joined along an axis, as a volume or as a time series; for workers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ....stack.join import PlaneLabels, StoredPlanes, linked
from ....stack.planes import PlaneResult, stacks_along
from ....stack.tracks import Track, tracked, tracks_in, write_tracks
from ....steps import mapped
from ....types import Plane, Progress, SliceKey
from ...results_folder import EVERYTHING
from .edited import UneditedPlanes
from .filled_layer import Filled, FilledLayer, Lineage


@dataclass(frozen=True)
class Joining:
    """How planes are joined.

    Attributes
    ----------
    axis : int
    time_series : bool
        Objects are followed from frame to frame and may divide.
    least_volume : float
        In voxels; objects of a volume with less are left out.
    """

    axis: int
    time_series: bool = False
    least_volume: float = 0.0


def joined(
    filled: FilledLayer, keys: Sequence[SliceKey], joining: Joining
) -> Generator[Progress | Filled, None, Lineage | None]:
    """Give the outlines of an object one label in all planes.

    Parameters
    ----------
    filled : FilledLayer
        Labels of the user's keep theirs.
    keys : sequence of SliceKey
        All planes.
    joining : Joining

    Yields
    ------
    Progress
    Filled
        Of each plane that changes.

    Returns
    -------
    Lineage or None
        None if it is no time series.
    """
    largest = filled.largest(beside=keys)
    tracks: list[Track] = []
    for stack in stacks_along(keys, joining.axis):
        stored = StoredPlanes(filled.view.layer.data, stack, joining.axis)
        planes = UneditedPlanes(stored, filled.edits)
        made = partial(_filled, filled, planes)
        if joining.time_series:
            found = yield from mapped(tracked(planes, largest=largest), made)
            largest = max((largest, *(track.label for track in found)))
            tracks += found
        else:
            steps = linked(planes, largest=largest, least_volume=joining.least_volume)
            largest = yield from mapped(steps, made)
    if not joining.time_series:
        return None
    return Lineage(joining.axis, {one.label: one.parent for one in tracks if one.parent})


def save_table(
    filled: FilledLayer, keys: Sequence[SliceKey], lineage: Lineage, path: Path
) -> Generator[Progress, None, list[Track]]:
    """Write the tracks of a time series as they are now, after all edits; see `write_tracks`.

    Parameters
    ----------
    filled : FilledLayer
    keys : sequence of SliceKey
        All planes.
    lineage : Lineage
    path : Path

    Returns
    -------
    list of Track
    """
    tracks: list[Track] = []
    for stack in stacks_along(keys, lineage.axis):
        stored = StoredPlanes(filled.view.layer.data, stack, lineage.axis)
        tracks += yield from tracks_in(stored, lineage.parents)
    tracks.sort()
    write_tracks(path, tracks)
    return tracks


def _filled(
    filled: FilledLayer, planes: UneditedPlanes, step: Progress | PlaneLabels
) -> Progress | Filled:
    """Return a step with the edit that writes it."""
    if isinstance(step, Progress):
        return step
    place, labels = step
    plane = Plane(filled.frame.data, planes.stored.keys_by_place[place])
    return filled.filled(PlaneResult.of(plane, labels), EVERYTHING)
