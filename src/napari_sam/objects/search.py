"""Outlines of labels that have no object yet: painted, or made by everything mode."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from ..types import Mask, Progress, SliceKey
from .segmented import Origin, Outline

Found = dict[int, dict[SliceKey, Outline]]


def outlines_in(
    labels: Any, key: SliceKey, wanted: Collection[int], origin: Origin = "painted"
) -> dict[int, Outline]:
    """Return the outlines of some labels in one plane; those that are not there are left out.

    Parameters
    ----------
    labels : (...) int array
    key : SliceKey
    wanted : collection of int
    origin : {"prompted", "propagated", "everything", "painted", "imported"}
        Where they come from.
    """
    plane = key.read_labels(labels)
    there = np.isin(plane, np.array(sorted(wanted), plane.dtype))
    if not there.any():
        return {}
    values = np.unique(plane[there])
    places = np.where(there, np.searchsorted(values, plane) + 1, 0)
    found = {}
    for place, part in enumerate(ndimage.find_objects(places), 1):
        rows, columns = part
        mask = Mask.of(places[part] == place, (columns.start, rows.start), plane.shape)
        found[int(values[place - 1])] = Outline(mask, origin=origin)
    return found


def search(
    labels: Any, keys: Sequence[SliceKey], wanted: Collection[int], origin: Origin = "painted"
) -> Generator[Progress, None, Found]:
    """Find the outlines of some labels in many planes.

    Parameters
    ----------
    labels : (...) int array
    keys : sequence of SliceKey
    wanted : collection of int
    origin : {"prompted", "propagated", "everything", "painted", "imported"}

    Yields
    ------
    Progress
        After each plane.

    Returns
    -------
    dict of int to dict of SliceKey to Outline
    """
    found: Found = {label: {} for label in wanted}
    for done, key in enumerate(keys, 1):
        for label, outline in outlines_in(labels, key, wanted, origin).items():
            found[label][key] = outline
        yield Progress(done, len(keys), "looking for the planes of objects")
    return found
