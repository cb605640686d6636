"""Kept objects that are worked on again: which they are, and what they begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....objects.segmented import Outline, SegmentedObject
from ....types import Mask, Prediction, Prompts, SliceKey
from ...labels_view import LabelsView
from ...workbench import Workbench
from .work import ObjectInWork


@dataclass(frozen=True, eq=False)
class _Opened:
    """An object as it was opened.

    Attributes
    ----------
    view : LabelsView
        Of the layer that it is in.
    found : SegmentedObject or None
        What the labels hold of an object that the store does not know.
    has_prompts : bool
        Whether prompts were drawn when it was opened; it is closed when they are gone.
    """

    view: LabelsView
    found: SegmentedObject | None
    has_prompts: bool


class Reopened:
    """The kept objects that are in work again, by label.

    Their prompts have the negative label as their owner. So they are in work wherever such prompts
    are drawn: undo, redo and a restored journal need not say so.

    Parameters
    ----------
    bench : Workbench
    """

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self._opened: dict[int, _Opened] = {}
        self._painted: dict[tuple[int, SliceKey], Mask] = {}

    def open(
        self, label: int, view: LabelsView, found: SegmentedObject | None, has_prompts: bool
    ) -> None:
        """Note that an object is in work again."""
        self._opened[label] = _Opened(view, found, has_prompts)

    def clear(self) -> None:
        """Close all."""
        self._opened.clear()
        self._painted.clear()

    def labels(self, owners: Iterable[int]) -> list[int]:
        """Return the labels of the objects in work, ascending.

        Parameters
        ----------
        owners : iterable of int
            Of all prompts that are drawn.
        """
        drawn = {-owner for owner in owners if owner < 0}
        bare = {label for label, one in self._opened.items() if not one.has_prompts}
        return sorted(label for label in drawn | bare if self.object(label) is not None)

    def view(self, label: int) -> LabelsView | None:
        """Return the view of the layer that an object is in; None if it is gone."""
        views = [view for view in (self.bench.results, self.bench.everything) if view is not None]
        opened = self._opened.get(label)
        if opened is not None and opened.view in views:
            return opened.view
        return next((view for view in views if label in view.store.objects), None)

    def object(self, label: int) -> SegmentedObject | None:
        """Return an object as it is worked on; None if it is gone.

        It is the kept one, with what was painted in the planes looked at, or what the labels hold
        of an object that the store does not know.
        """
        view, opened = self.view(label), self._opened.get(label)
        if view is None:
            return None
        known = view.store.objects.get(label) or (None if opened is None else opened.found)
        painted = {key: mask for (other, key), mask in self._painted.items() if other == label}
        if known is None or not painted:
            return known
        outlines = dict(known.outlines)
        for key, mask in painted.items():
            if key in outlines and mask is not outlines[key].mask:
                outlines[key] = replace(outlines[key], mask=mask, origin="painted")
        return replace(known, outlines=outlines)

    def outlines(self, label: int) -> Mapping[SliceKey, Outline]:
        """Return the outlines of an object, by plane."""
        known = self.object(label)
        return {} if known is None else known.outlines

    def start(self, label: int, key: SliceKey) -> ObjectInWork | None:
        """Return an object on a plane as it is kept; None if it has no outline there."""
        outline, view = self.outlines(label).get(key), self.view(label)
        if outline is None or view is None:
            return None
        if (label, key) not in self._painted:
            mask = _as_painted(view.layer.data, label, key, outline.mask)
            self._painted[label, key] = mask
            outline = self.outlines(label)[key]
        prompts = Prompts() if outline.prompts is None else outline.prompts
        height, width = outline.mask.size
        answer = Prediction(
            (outline.mask,),
            np.array([outline.score], np.float32),
            np.zeros((1, 0, 0), np.float32),  # made of the mask where they are needed
            (0.0, 0.0, float(width), float(height)),
        )
        return ObjectInWork(prompts, prompts, answer, kept=True)


def _as_painted(labels: Any, label: int, key: SliceKey, mask: Mask) -> Mask:
    """Return the pixels that an object has in a plane, or its outline if nobody painted there.

    Pixels of the outline that other objects have are no sign of painting.
    """
    plane = key.read(labels)
    own = plane == label
    beyond = own.copy()
    beyond[mask.part] &= ~mask.bits
    erased = mask.bits & (plane[mask.part] == 0)
    return Mask.of(own) if beyond.any() or erased.any() else mask
