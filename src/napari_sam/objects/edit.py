"""Edits: changes of pixels, objects and prompts, before and after, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .boxes import Box
from .drawn import Drawing, without
from .patch import Patch
from .placed import PlacedPatches
from .segmented import SegmentedObject

Change = tuple[SegmentedObject | None, SegmentedObject | None]
"""An object before and after; None where there is none."""


@dataclass(frozen=True, eq=False)
class Edit:
    """One step of work, which can be undone.

    Attributes
    ----------
    text : str
        What it was, in words for the status line: "object 3", "the last stroke".
    patches : tuple of Patch
        Written in this order.
    objects : mapping of int to (SegmentedObject or None, SegmentedObject or None)
        By label, before and after.
    properties : mapping of str to (value or None, value or None)
        What holds for the whole annotation, before and after, as JSON can hold it: "classes",
        "complete".
    removed, added : tuple of DrawnRow
        Prompts that go and come.
    """

    text: str
    patches: tuple[Patch, ...] = ()
    objects: Mapping[int, Change] = field(default_factory=dict)
    properties: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    removed: Drawing = ()
    added: Drawing = ()

    def inverse(self) -> Edit:
        """Return the edit that undoes this one."""
        patches = tuple(patch.inverse() for patch in reversed(self.patches))
        objects = {label: (after, before) for label, (before, after) in self.objects.items()}
        properties = {name: (after, before) for name, (before, after) in self.properties.items()}
        return Edit(self.text, patches, objects, properties, self.added, self.removed)

    def then(self, later: Edit) -> Edit:
        """Return one edit that does what both do, one after the other.

        It has the text of the later one. Patches of the same box become one.
        """
        placed = PlacedPatches(self.patches)
        merged = set()
        for patch in later.patches:
            over = placed.overlapping(patch.box)
            # a patch may be written before those that it does not overlap, and before no other
            if over and placed.patches[over[-1]].index == patch.index:
                placed.patches[over[-1]] = placed.patches[over[-1]].then(patch)
                merged.add(over[-1])
            else:
                placed.add(patch)
        gone = {place for place in merged if not placed.patches[place].changes}
        patches = [patch for place, patch in enumerate(placed.patches) if place not in gone]
        objects = dict(self.objects)
        for label, (before, after) in later.objects.items():
            objects[label] = (objects[label][0] if label in objects else before, after)
        properties = dict(self.properties)
        for name, (old, new) in later.properties.items():
            properties[name] = (properties[name][0] if name in properties else old, new)
        return Edit(
            later.text or self.text,
            tuple(patches),
            {label: change for label, change in objects.items() if change[0] is not change[1]},
            {name: change for name, change in properties.items() if change[0] != change[1]},
            (*self.removed, *without(later.removed, self.added)),
            (*without(self.added, later.removed), *later.added),
        )

    @property
    def changes(self) -> bool:
        """Whether anything differs."""
        others = self.objects or self.properties or self.removed or self.added
        return bool(others) or any(patch.changes for patch in self.patches)

    @property
    def largest(self) -> int:
        """The largest label that there may be afterwards where something changed; 0 if none."""
        painted = [patch.after.bounds[1] for patch in self.patches]
        kept = [label for label, (_, after) in self.objects.items() if after is not None]
        return max([0, *painted, *kept])

    @property
    def nbytes(self) -> int:
        """Bytes that the pixels take."""
        return sum(patch.nbytes for patch in self.patches)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Where its pixels and prompts lie."""
        drawn = (*self.removed, *self.added)
        return (*(patch.box for patch in self.patches), *(row.box for row in drawn))
