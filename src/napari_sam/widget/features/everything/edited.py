"""What the user changed in labels that everything mode made, so that a new selection keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....objects.boxes import overlap, shape_of, slices_of
from ....objects.edit import Edit
from ....objects.patch import Patch
from ....stack.join import StoredPlanes, turned
from ....types import SliceKey


@dataclass(frozen=True, eq=False)
class UserEdits:
    """What is the user's own in one array of labels.

    Attributes
    ----------
    edits : tuple of Edit
        In their order; those that were taken back are not among them.
    objects : frozenset of int
        Labels of the objects that the user has given a class or a status, or has worked on.
    """

    edits: tuple[Edit, ...] = ()
    objects: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        """Tell whether anything is the user's own."""
        return bool(self.edits or self.objects)

    @cached_property
    def largest(self) -> int:
        """The largest label that is the user's, or that an edit took away; 0 if there is none.

        New labels begin after it: the user's objects keep theirs, and one that was deleted can
        come back.
        """
        bounds = (
            side.bounds[1]
            for edit in self.edits
            for patch in edit.patches
            for side in (patch.before, patch.after)
        )
        return max((*bounds, *self.objects, 0))

    def kept(self, key: SliceKey, labels: NDArray[np.int32]) -> NDArray[np.bool_] | None:
        """Return which pixels of a plane stay as they are.

        Parameters
        ----------
        key : SliceKey
        labels : (H, W) int32, as displayed
            As they are now.

        Returns
        -------
        (H, W) bool, as displayed, or None if nothing of the plane is the user's
            Pixels that the user changed, and all of the objects that were changed.
        """
        changed: NDArray[np.bool_] | None = None
        touched = set(self.objects)
        for patch in self._patches(key, labels.shape):
            place, old, new = _in_plane(patch, key)
            if changed is None:
                changed = np.zeros(turned(labels, key).shape, np.bool_)
            differs = old != new
            changed[place] |= differs
            touched.update(np.unique(old[differs]).tolist(), np.unique(new[differs]).tolist())
        kept: NDArray[np.bool_] = np.isin(labels, list(touched - {0}))
        if changed is not None:
            kept |= changed.T if key.displayed[0] > key.displayed[1] else changed
        return kept if kept.any() else None

    def merged(
        self,
        key: SliceKey,
        labels: NDArray[np.int32],
        selected: NDArray[np.int32],
        least_area: int = 0,
    ) -> NDArray[np.int32]:
        """Return a selection in which what the user changed stays.

        Parameters
        ----------
        key : SliceKey
        labels : (H, W) int32, as displayed
            As they are now.
        selected : (H, W) int32, as displayed
            Objects of which half lies on pixels that stay are left out.
        least_area : int
            Objects of which fewer pixels remain are left out.

        Returns
        -------
        (H, W) int32, as displayed
        """
        kept = self.kept(key, labels)
        if kept is None:
            return selected
        sizes = np.bincount(selected.ravel())
        hidden = np.bincount(selected[kept], minlength=len(sizes))
        gone = (2 * hidden >= sizes) | ((hidden > 0) & (sizes - hidden < least_area))
        gone[0] = False
        rest = np.where(gone[selected], np.int32(0), selected)
        return np.where(kept, labels, rest).astype(np.int32)

    def _patches(self, key: SliceKey, size: tuple[int, ...]) -> Iterator[Patch]:
        """Yield the patches that reach into a plane of a size (H, W), as displayed."""
        plane = {axis: (0, n) for axis, n in zip(key.displayed, size, strict=True)}
        plane |= {axis: (place, place + 1) for axis, place in key.fixed}
        box = tuple(plane[axis] for axis in sorted(plane))
        for edit in self.edits:
            for patch in edit.patches:
                if overlap(patch.box, box):
                    yield patch


class UneditedPlanes(Mapping[int, NDArray[np.int32]]):
    """Planes of labels without what the user changed; see `StoredPlanes`.

    Parameters
    ----------
    stored : StoredPlanes
    edits : UserEdits
    """

    def __init__(self, stored: StoredPlanes, edits: UserEdits) -> None:
        self.stored, self.edits = stored, edits

    def __getitem__(self, place: int) -> NDArray[np.int32]:
        labels = self.stored[place].astype(np.int32, copy=False)
        kept = self.edits.kept(self.stored.keys_by_place[place], labels)
        return labels if kept is None else np.where(kept, np.int32(0), labels)

    def __iter__(self) -> Iterator[int]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


def painted_by(edit: Edit) -> frozenset[int]:
    """Return the labels that an edit gave to pixels which had others."""
    found: set[int] = set()
    for patch in edit.patches:
        new = patch.new()
        found.update(np.unique(new[new != patch.old()]).tolist())
    return frozenset(found)


def _in_plane(patch: Patch, key: SliceKey) -> tuple[tuple[slice, ...], NDArray[Any], NDArray[Any]]:
    """Return where a patch lies in a plane, in the order of the array's axes, and its pixels."""
    box = list(patch.box)
    for axis, place in key.fixed:
        box[axis] = place, place + 1
    shared = tuple(box)
    inside = slices_of(shared, patch.box)
    axes = sorted(key.displayed)
    shape = [shape_of(shared)[axis] for axis in axes]
    whole = shape_of(patch.box)
    old, new = (side.reshape(whole)[inside].reshape(shape) for side in (patch.old(), patch.new()))
    return tuple(slice(*box[axis]) for axis in axes), old, new
