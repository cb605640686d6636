"""Kept objects that are worked on again: which they are, and what they begin with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...objects.edit import Edit
from ...objects.segmented import Outline, SegmentedObject, upright
from ...types import Mask, SliceKey
from ..labels_view import LabelsView
from ..workbench import Workbench
from .question import ObjectInWork, as_kept


@dataclass(frozen=True, eq=False)
class _Opened:
    """An object as it was opened; known also after it was closed, for undo opens it again.

    Attributes
    ----------
    view : LabelsView
        Of the layer that it is in.
    found : SegmentedObject or None
        What the labels hold of an object that the store does not know.
    needs_prompts : bool
        Whether it is in work only where prompts of it are drawn.
    """

    view: LabelsView
    found: SegmentedObject | None
    needs_prompts: bool


@dataclass(frozen=True, eq=False)
class _Painted:
    """What an object has in a plane, as long as it is kept so and nothing else was done.

    Attributes
    ----------
    kept : Mask
        Its outline.
    newest : Edit or None
        The newest one of its layer.
    mask : Mask
        Its pixels.
    """

    kept: Mask
    newest: Edit | None
    mask: Mask


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
        self._opened: dict[tuple[str, int], _Opened] = {}  # by image and label
        self._painted: dict[tuple[int, SliceKey], _Painted] = {}

    def open(
        self, label: int, view: LabelsView, found: SegmentedObject | None, has_prompts: bool
    ) -> None:
        """Note that an object is in work again."""
        self._opened[self._image, label] = _Opened(view, found, has_prompts)

    def clear(self, label: int | None = None) -> None:
        """Close one object, or all."""
        views = list(self.bench.views)
        self._opened = {
            key: replace(one, needs_prompts=True) if label in (None, key[1]) else one
            for key, one in self._opened.items()
            if one.view in views
        }
        self._painted.clear()

    def labels(self, owners: Iterable[int]) -> list[int]:
        """Return the labels of the objects in work, ascending.

        Parameters
        ----------
        owners : iterable of int
            Of all prompts that are drawn.
        """
        drawn = {-owner for owner in owners if owner < 0}
        opened = self._opened.items()
        here = {label: one for (image, label), one in opened if image == self._image}
        bare = {label for label, one in here.items() if not one.needs_prompts}
        return sorted(label for label in drawn | bare if self.object(label) is not None)

    @property
    def _image(self) -> str:
        prompts = self.bench.image_prompts
        return "" if prompts is None else prompts.id

    def view(self, label: int) -> LabelsView | None:
        """Return the view of the layer that an object is in; None if it is gone."""
        views = [view for view in (self.bench.results, self.bench.everything) if view is not None]
        opened = self._opened.get((self._image, label))
        if opened is not None and opened.view in list(self.bench.views):
            return opened.view if opened.view in views else None  # not that of another layer
        return next((view for view in views if label in view.store.objects), None)

    def object(self, label: int) -> SegmentedObject | None:
        """Return an object as it is worked on; None if it is gone.

        It is the kept one, with what was painted in the planes looked at, or what the labels hold
        of an object that the store does not know.
        """
        view, opened = self.view(label), self._opened.get((self._image, label))
        if view is None:
            return None
        known = view.store.objects.get(label) or (None if opened is None else opened.found)
        painted = {key: one for (other, key), one in self._painted.items() if other == label}
        if known is None or not painted:
            return known
        outlines, newest = dict(known.outlines), view.newest
        for key, one in painted.items():
            before = outlines.get(key)
            if before is None or one.kept is not before.mask or one.newest is not newest:
                continue
            if one.mask is not one.kept:
                outlines[key] = replace(before, mask=one.mask, origin="painted")
        return replace(known, outlines=outlines)

    def outlines(self, label: int) -> Mapping[SliceKey, Outline]:
        """Return the outlines of an object, by plane."""
        known = self.object(label)
        return {} if known is None else known.outlines

    def start(self, label: int, key: SliceKey) -> ObjectInWork | None:
        """Return an object on a plane as it is kept; None if it has no outline there."""
        shown, key = key, upright(key)
        outline, view = self.outlines(label).get(key), self.view(label)
        if outline is None or view is None:
            return None
        newest, known = view.newest, self._painted.get((label, key))
        masks = () if known is None or known.newest is not newest else (known.kept, known.mask)
        if outline.mask not in masks:
            mask = as_painted(view.layer.data, label, key, outline.mask)
            self._painted[label, key] = _Painted(outline.mask, newest, mask)
            outline = self.outlines(label)[key]
        if shown != key:
            outline = outline.turned()
        return as_kept(outline)


def as_painted(labels: Any, label: int, key: SliceKey, mask: Mask) -> Mask:
    """Return the pixels that an object has in a plane, or its outline if nobody painted there.

    Pixels of the outline that other objects have are no sign of painting.
    """
    plane = key.read_labels(labels)
    own = plane == label
    beyond = own.copy()
    beyond[mask.part] &= ~mask.bits
    erased = mask.bits & (plane[mask.part] == 0)
    return Mask.of(own) if beyond.any() or erased.any() else mask
