"""An object that is followed through a line of planes: its keyframes, and what is left to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ....objects.segmented import Outline
from ....stack.propagate import stale_places
from ....types import Mask, Plane, SliceKey

BOTH, FORWARD, BACKWARD = "both ways", "forward", "backward"
DIRECTIONS = (BOTH, FORWARD, BACKWARD)


@dataclass(frozen=True, eq=False)
class Line:
    """All planes along one axis of an image.

    Attributes
    ----------
    plane : Plane
        Any of them; the others are displayed like it.
    axis : int
    """

    plane: Plane
    axis: int

    @property
    def count(self) -> int:
        """How many planes there are."""
        return int(self.plane.key.array_of(self.plane.image).shape[self.axis])

    @property
    def planes(self) -> list[Plane]:
        """The planes, in their order."""
        return [replace(self.plane, key=self.key(place)) for place in range(self.count)]

    def key(self, place: int) -> SliceKey:
        """Return the key of a plane by its number."""
        key = self.plane.key
        fixed = tuple((axis, place if axis == self.axis else at) for axis, at in key.fixed)
        return replace(key, fixed=fixed)

    def place(self, key: SliceKey) -> int | None:
        """Return the number of a plane; None if it is not one of the line."""
        place = dict(key.fixed).get(self.axis)
        mine = self.plane.key
        if place is None or sorted(mine.displayed) != sorted(key.displayed):
            return None
        return place if _beside(mine, self.axis) == _beside(key, self.axis) else None

    def same_as(self, other: Line) -> bool:
        """Tell whether another line has the same planes, displayed alike."""
        mine, theirs = self.plane.key, other.plane.key
        alike = self.axis == other.axis and mine.displayed == theirs.displayed
        return alike and self.place(theirs) is not None

    def looks_as(self, shown: Plane) -> bool:
        """Tell whether its planes are of the pixels that are shown, seen in the same way."""
        return self.plane.same_as(_seen_as(self.plane, shown))

    def seen_as(self, shown: Plane) -> Line:
        """Return the same planes of the pixels that are shown, seen in the same way."""
        return replace(self, plane=_seen_as(self.plane, shown))

    def oriented(self, outline: Outline) -> Outline:
        """Turn an outline from an upright plane to the display, or the other way round."""
        rows, columns = self.plane.key.displayed
        return outline if rows < columns else outline.turned()

    def masks(self, masks: Mapping[SliceKey, Mask]) -> dict[int, Mask]:
        """Return the masks of upright planes that are of the line, as displayed, by number."""
        places = {self.place(key): mask for key, mask in masks.items()}
        return {
            place: self.oriented(Outline(mask)).mask
            for place, mask in sorted(places.items(), key=lambda pair: pair[0] or 0)
            if place is not None
        }


@dataclass(frozen=True, eq=False)
class Followed:
    """An object in work that is followed.

    Attributes
    ----------
    line : Line
    direction : {"both ways", "forward", "backward"}
        From the first or the last keyframe outward; between keyframes it does not count.
    keyframes : mapping of int to Mask
        By number of the plane, as they were when they were looked at last.
    todo : frozenset of int
        Planes to work on.
    live : bool
        Whether it is followed into planes that are encoded, not into all of them.
    stopped : bool
        Whether planes were left out because work was stopped, or failed.
    """

    line: Line
    direction: str
    keyframes: Mapping[int, Mask]
    todo: frozenset[int] = frozenset()
    live: bool = False
    stopped: bool = False

    def begun(self) -> Followed:
        """Return the object with all its planes to be worked on."""
        return replace(self, todo=self._within(range(self.line.count)))

    def with_keyframes(self, keyframes: Mapping[int, Mask]) -> Followed:
        """Return the object with other keyframes: planes up to their neighbours are to be redone.

        Returns
        -------
        Followed
            This one itself if they are the same.
        """
        places = {*keyframes, *self.keyframes}
        changed = [p for p in places if not _alike(keyframes.get(p), self.keyframes.get(p))]
        if not changed:
            return self
        after = replace(self, keyframes=keyframes)
        stale = {p for one in changed for p in stale_places(keyframes, one, self.line.count)}
        return replace(after, todo=after._within(self.todo | stale))

    def changed(self, keyframes: Mapping[int, Mask]) -> bool:
        """Tell whether other keyframes differ from those it has."""
        places = {*keyframes, *self.keyframes}
        return any(not _alike(keyframes.get(p), self.keyframes.get(p)) for p in places)

    def goes_with(self, other: Followed) -> bool:
        """Tell whether both can be followed in one go: their planes are the same.

        The keyframes of one may be planes to work on of the other.
        """
        mine, theirs = (one.todo | set(one.keyframes) for one in (self, other))
        return self.line.same_as(other.line) and mine == theirs

    def halted(self, shown: Plane) -> Followed:
        """Return the object with nothing left to do, in the pixels that are shown from now on."""
        return replace(self, line=self.line.seen_as(shown), todo=frozenset(), stopped=True)

    def without(self, places: Collection[int]) -> Followed:
        """Return the object with some planes done."""
        return replace(self, todo=self.todo.difference(places))

    def _within(self, places: Collection[int]) -> frozenset[int]:
        """Return the places that lie in the direction and are no keyframes."""
        known = [place for place, mask in self.keyframes.items() if mask]
        if not known:
            return frozenset()
        first = min(known) if self.direction == FORWARD else 0
        last = max(known) if self.direction == BACKWARD else self.line.count - 1
        return frozenset(p for p in places if first <= p <= last and p not in self.keyframes)


def places_beside(
    known: Mapping[int, bool], count: int, ready: Callable[[int], bool]
) -> frozenset[int]:
    """Return the planes that an object can be followed into without a gap.

    Parameters
    ----------
    known : mapping of int to bool
        Planes that are done, and whether the object is there.
    count : int
        Planes in all.
    ready : callable of int
        Tells whether a plane is encoded.
    """
    places: set[int] = set()
    for place in (place for place, is_there in known.items() if is_there):
        for step in (-1, 1):
            at = place + step
            while 0 <= at < count and at not in known and ready(at):
                places.add(at)
                at += step
    return frozenset(places)


def direction_of(found: Collection[int], keyframes: Collection[int]) -> str:
    """Return the direction in which an object was followed into some planes."""
    if keyframes and not any(place < min(keyframes) for place in found):
        return FORWARD
    if keyframes and not any(place > max(keyframes) for place in found):
        return BACKWARD
    return BOTH


def _beside(key: SliceKey, axis: int) -> object:
    """Return what all planes along an axis have in common, however they are displayed."""
    return {one: at for one, at in key.fixed if one != axis}, key.window, key.level


def _seen_as(plane: Plane, shown: Plane) -> Plane:
    """Return a plane of the pixels that are shown, seen in the same way; its place stays."""
    spacing = shown.spacing if shown.key.displayed == plane.key.displayed else plane.spacing
    return replace(shown, key=plane.key, spacing=spacing)


def _alike(one: Mask | None, other: Mask | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.box == other.box and np.array_equal(one.packed, other.packed)
