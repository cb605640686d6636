"""What the dock says about a run."""

from __future__ import annotations

import numpy as np

from .extent import Extent
from .filled_layer import FilledLayer


def found_text(filled: FilledLayer, linked_along: Extent | None = None) -> str:
    """Return how many objects were found, and where.

    Parameters
    ----------
    filled : FilledLayer
    linked_along : Extent, optional
        What planes were linked along.
    """
    planes = list(filled.values.values())
    objects = len(np.unique(np.concatenate(planes))) if planes else 0
    where = "1 plane" if len(planes) == 1 else f"{len(planes)} planes"
    if linked_along is not None and len(planes) > 1:
        where += f", linked along {linked_along.linking_name}"
    if filled.lineage is not None:
        where += f", {len(set(filled.lineage.parents.values()))} divided"
    kept = len(filled.candidates)
    which = "" if kept == len(planes) else f" in the last {kept}"
    found = "1 object" if objects == 1 else f"{objects} objects"
    keys = "Shift+A accepts all, A or X accepts or rejects the one under the pointer"
    return f"everything: {found} in {where}; thresholds change them{which}; {keys}"


def all_tip(extent: Extent | None) -> str:
    """Return what the button for all planes does."""
    if extent is None:
        return "Find every object of the plane shown; there is no other plane"
    return (
        f"Find every object of {extent.text}; those that go on from plane to plane along "
        f"{extent.linking_name} get one label"
    )
