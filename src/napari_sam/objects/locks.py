"""Strokes of a brush on finished objects: the pixels that stay, and what is left of the stroke."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from .edit import Edit
from .patch import Patch


@dataclass(frozen=True, eq=False)
class Spared:
    """A stroke divided at finished objects.

    Attributes
    ----------
    edit : Edit
        The stroke without the pixels of finished objects.
    restored : tuple of Patch
        Give the finished objects the pixels back that the stroke takes from them, and take those
        that it gives them.
    labels : tuple of int
        Of the finished objects that the stroke touches, ascending.
    """

    edit: Edit
    restored: tuple[Patch, ...]
    labels: tuple[int, ...]


def spare(edit: Edit, locked: Collection[int]) -> Spared:
    """Divide a stroke at finished objects.

    Parameters
    ----------
    edit : Edit
        Only its patches count.
    locked : collection of int
        Labels of finished objects.
    """
    patches, restored = [], []
    labels: set[int] = set()
    values = np.array(sorted(locked), np.int64)
    for patch in edit.patches if len(values) else ():
        old, new = patch.old(), patch.new()
        differs = old != new
        taken, given = differs & np.isin(old, values), differs & np.isin(new, values)
        stays = taken | given
        labels.update(np.unique(old[taken]).tolist(), np.unique(new[given]).tolist())
        if not stays.any():
            patches.append(patch)
            continue
        restored.append(Patch.of(patch.index, np.where(stays, new, old), old))
        if not np.array_equal(stays, differs):
            patches.append(Patch.of(patch.index, old, np.where(stays, old, new)))
    if not restored:
        return Spared(edit, (), ())
    return Spared(replace(edit, patches=tuple(patches)), tuple(restored), tuple(sorted(labels)))


def sentence(labels: Collection[int]) -> str:
    """Say that finished objects stay as they are, for the status line."""
    names = ", ".join(str(label) for label in labels)
    if len(labels) == 1:
        return f"object {names} is finished: its pixels stay; K unlocks it"
    return f"objects {names} are finished: their pixels stay; K unlocks them"
