"""Overlap rules: which pixels of a mask an object gets where others are already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bools = NDArray[np.bool_]
Labels = NDArray[np.integer[Any]]
OverlapRule = Callable[[Bools, Labels], Bools]
"""From the pixels of a mask and the labels there to the pixels that it gets, all (h, w)."""


def free_pixels(mask: Bools, labels: Labels) -> Bools:
    """Return the pixels of a mask (h, w) that are background; those of other objects stay theirs.

    Parameters
    ----------
    mask : (h, w) bool
    labels : (h, w) int
    """
    free: Bools = labels == 0
    return mask & free


def all_pixels(mask: Bools, labels: Labels) -> Bools:
    """Return all pixels of a mask (h, w): it takes those of other objects.

    Parameters
    ----------
    mask : (h, w) bool
    labels : (h, w) int
    """
    return mask.copy()


def deeper_pixels(mask: Bools, labels: Labels) -> Bools:
    """Return the pixels of a mask that are background, or lie deeper in it than in another object.

    Depth is the distance to the nearest pixel outside. What lies as deep in both stays the other's.
    Other objects are known only in this box, so its border is not their end.

    Parameters
    ----------
    mask : (h, w) bool
        Nothing of it lies beyond the box.
    labels : (h, w) int
    """
    own = free_pixels(mask, labels)
    contested = mask & (labels != 0)
    if not contested.any():
        return own
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    values, places = np.unique(labels, return_inverse=True)
    places = places.reshape(labels.shape)
    parts = ndimage.find_objects(places + 1)
    for place in np.unique(places[contested]).tolist():
        rows, columns = parts[place]
        part = (
            slice(max(rows.start - 1, 0), rows.stop + 1),
            slice(max(columns.start - 1, 0), columns.stop + 1),
        )
        other = labels[part] == values[place]
        if not other.all():  # else it goes beyond the box on all sides, and is deeper everywhere
            deeper = depth[part] > ndimage.distance_transform_edt(other)
            own[part] |= contested[part] & other & deeper
    return own


def sparing(rule: OverlapRule, locked: Collection[int]) -> OverlapRule:
    """Return a rule like another one under which locked objects lose no pixel.

    Parameters
    ----------
    rule : OverlapRule
    locked : collection of int
        Their labels.
    """
    if not locked:
        return rule
    values = np.array(sorted(locked))

    def spared(mask: Bools, labels: Labels) -> Bools:
        return rule(mask, labels) & ~np.isin(labels, values)

    return spared


@dataclass(frozen=True)
class NamedRule:
    """An overlap rule as the user chooses it.

    Attributes
    ----------
    title : str
    tip : str
        What it does, in a sentence.
    rule : OverlapRule
    """

    title: str
    tip: str
    rule: OverlapRule


KEEP = "keep"
RULES: Mapping[str, NamedRule] = MappingProxyType(
    {
        KEEP: NamedRule(
            "keep the old", "A new object gets only pixels that are still free", free_pixels
        ),
        "overwrite": NamedRule(
            "overwrite", "A new object takes the pixels of others, finished ones apart", all_pixels
        ),
        "split": NamedRule(
            "split the difference",
            "A pixel that two objects want goes to the one in which it lies deeper",
            deeper_pixels,
        ),
    }
)
"""The rules that the user can choose from, by name; `KEEP` is the one to begin with."""
