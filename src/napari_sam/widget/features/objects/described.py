"""What the kept objects of a layer look like to the model, a plane at a time."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ....everything.naming import comparable
from ....everything.similar import described_in
from ....objects.segmented import SegmentedObject, largest_outline
from ....predict.session import Session
from ....stack.planes import plane_text
from ....types import Mask, Plane, Progress, SliceKey

MOST_NAMED = 200
"""So many objects of a class, the newest, say what it looks like."""


@dataclass(frozen=True, eq=False)
class LooksOfObjects:
    """What objects look like.

    Attributes
    ----------
    objects : mapping of int to SegmentedObject
        By label, as they were.
    features : (N, F) float32
        In the order of the objects; see `naming.comparable`.
    """

    objects: Mapping[int, SegmentedObject]
    features: NDArray[np.float32]


def looks_of(
    session: Session, objects: Collection[SegmentedObject], plane: Plane
) -> Generator[Progress, None, LooksOfObjects]:
    """Describe objects, each in the plane in which it is largest; for workers.

    Parameters
    ----------
    session : Session
    objects : collection of SegmentedObject
    plane : Plane
        The one shown: objects that have no outline along its axes are left out.

    Yields
    ------
    Progress
        Before each plane.

    Returns
    -------
    LooksOfObjects
    """
    places: dict[SliceKey, list[tuple[SegmentedObject, Mask]]] = {}
    for one in _some(objects):
        found = largest_outline(one.outlines, plane.key)
        if found is not None:
            places.setdefault(found[0], []).append((one, found[1].mask))
    looked: dict[int, SegmentedObject] = {}
    rows = []
    for done, (key, here) in enumerate(places.items()):
        place = replace(plane.whole, key=key)
        yield Progress(done, len(places), plane_text(place))
        rows.append(described_in(session, place, [mask for _, mask in here]))
        looked.update((one.label, one) for one, _ in here)
    features = np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)
    return LooksOfObjects(looked, comparable(features))


def _some(objects: Collection[SegmentedObject]) -> list[SegmentedObject]:
    """Return all objects without a class, and the newest of each class."""
    counts: dict[str, int] = {}
    chosen = []
    for one in sorted(objects, key=lambda one: -one.label):
        counts[one.category] = counts.get(one.category, 0) + 1
        if not one.category or counts[one.category] <= MOST_NAMED:
            chosen.append(one)
    return chosen
