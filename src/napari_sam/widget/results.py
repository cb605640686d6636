"""The Labels layer that objects are committed to: next label, overlap rule, undo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from ..masks import box_of
from ..types import SliceKey


@dataclass(frozen=True, eq=False)
class Commit:
    """One object as it was written.

    Attributes
    ----------
    index : tuple
        Numpy index of the object's box in the layer's data.
    before : (h, w) int
        The box's labels before.
    label : int
    """

    index: tuple[int | slice, ...]
    before: NDArray[np.integer[Any]]
    label: int


PAINT = "paint"
"""Marks a stroke of the user's in the history, which napari itself can undo."""


class Results:
    """Commits objects to one Labels layer and takes them back.

    Parameters
    ----------
    layer : napari.layers.Labels
    largest : int
        The largest label in it.
    """

    def __init__(self, layer: Labels, largest: int = 0) -> None:
        self.layer = layer
        self.next_label = largest + 1
        self._history: list[list[Commit] | str] = []
        layer.events.paint.connect(self._on_layer_paint)

    def close(self) -> None:
        """Stop listening to the layer."""
        self.layer.events.paint.disconnect(self._on_layer_paint)

    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        return bool(self._history)

    def commit(self, key: SliceKey, masks: Sequence[NDArray[np.bool_]]) -> list[int]:
        """Write masks (H, W) as the next labels; pixels of other objects stay theirs.

        Parameters
        ----------
        key : SliceKey
        masks : sequence of (H, W) bool, in the plane's displayed orientation

        Returns
        -------
        list of int, the labels written

        Raises
        ------
        ValueError
            If nothing would be written, or the layer's type cannot hold the labels.
        """
        dtype = np.dtype(self.layer.data.dtype)
        most = np.iinfo(dtype).max
        if self.next_label + len(masks) - 1 > most:
            raise ValueError(
                f"{self.layer.name} holds {dtype} and so at most {most} labels; convert it to a "
                "larger type or choose another layer"
            )
        commits = []
        for mask in masks:
            done = self._write(key, mask, self.next_label)
            if done is not None:
                commits.append(done)
                self.next_label += 1
        if not commits:
            raise ValueError("nothing to commit here: other objects cover all of it")
        self._history.append(commits)
        self.layer.refresh()
        return [done.label for done in commits]

    def undo(self) -> str:
        """Take back what came last, a commit or a stroke; returns what it was, in words.

        Raises
        ------
        ValueError
            If there is nothing to take back.
        """
        if not self._history:
            raise ValueError("there is nothing to undo")
        last = self._history.pop()
        if isinstance(last, str):
            self.layer.undo()
            return "the last stroke"
        for done in reversed(last):
            region = np.array(self.layer.data[done.index])
            mine = region == done.label  # what was painted over since stays
            self.layer.data[done.index] = np.where(mine, done.before, region)
        if self.next_label == last[-1].label + 1:
            self.next_label = last[0].label
        self.layer.refresh()
        names = ", ".join(str(done.label) for done in last)
        return f"object {names}" if len(last) == 1 else f"objects {names}"

    def _write(self, key: SliceKey, mask: NDArray[np.bool_], label: int) -> Commit | None:
        if not mask.any():
            return None
        x0, y0, x1, y1 = (int(v) for v in box_of(mask))
        index = SliceKey(key.displayed, key.fixed, (x0, y0, x1 + 1, y1 + 1)).index
        part = mask[y0 : y1 + 1, x0 : x1 + 1]
        if key.displayed[0] > key.displayed[1]:
            part = part.T
        before = np.array(self.layer.data[index])
        free = part & (before == 0)
        if not free.any():
            return None
        self.layer.data[index] = np.where(free, label, before).astype(before.dtype)
        return Commit(index, before, label)

    def _on_layer_paint(self, event: Any) -> None:
        self._history.append(PAINT)
        painted = [int(np.max(_new_value(atom))) for atom in event.value]
        self.next_label = max([self.next_label, *(label + 1 for label in painted)])


def _new_value(atom: Any) -> Any:
    """Return what a stroke wrote; napari keeps it in a named field or, of old, as the third."""
    return atom.new_value if hasattr(atom, "new_value") else atom[2]


def largest_label(data: Any) -> Iterator[int]:
    """Yield the largest label so far, plane by plane, of an array of any kind."""
    largest = 0
    for index in np.ndindex(*data.shape[:-2]):
        plane = np.asarray(data[index])
        largest = max(largest, int(plane.max(initial=0)))
        yield largest
