"""Which objects are shown in 3-D: those in work, those selected in the list, or all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from ....objects.segmented import SegmentedObject
from ....objects.surfaces import (
    Outlines,
    Surfaces,
    Volume,
    surfaces_of_labels,
    surfaces_of_outlines,
)
from ....types import Progress, SliceKey
from ... import layers
from ...context import Context
from ...labels_view import LabelsView
from ...work.reopening import as_painted

Steps = Generator[Progress, None, Surfaces]
Colours = Callable[[NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is shown.

    Attributes
    ----------
    text : str
        For the status line; `{}` stands for the number of objects.
    steps : callable
        Makes the surfaces.
    colours : callable
        From labels (n,) to colours (n, 4).
    """

    text: str
    steps: Callable[[], Steps]
    colours: Colours


@dataclass(frozen=True, eq=False)
class InWork:
    """An object in work.

    Attributes
    ----------
    masks : mapping of SliceKey to Mask
    as_kept : sequence of SliceKey
        Where it is still as it was kept: somebody may have painted there.
    labels : int array or None
        That it is kept in.
    label : int
        Its label there.
    """

    masks: Outlines
    as_kept: Sequence[SliceKey]
    labels: Any
    label: int


def choose(context: Context, volume: Volume) -> Chosen | None:
    """Return what to show of a volume; None if there is no object."""
    work = _in_work(context)
    if work:
        colours = np.array([_colour(context, number) for number in work], np.float32)
        steps = partial(_steps_of_work, list(work.values()), volume)
        return Chosen("{} in work", steps, lambda labels: colours[labels - 1])
    view = _view(context)
    if view is None:
        return None
    labels, objects = view.layer.data, dict(view.store.objects)
    wanted = set(context.selected()) & objects.keys()
    colours_of = partial(_colours, view.layer)
    steps = partial(_steps, labels, volume, objects, wanted)
    name = view.layer.name
    return Chosen("{} selected" if wanted else f"{{}} of {name}", steps, colours_of)


def _in_work(context: Context) -> dict[int, InWork]:
    """Return the objects in work on several planes, by number."""
    work = context.work
    found: dict[int, InWork] = {}
    for number in work.numbers():
        view = work.reopened.view(-number) if number < 0 else None
        kept = {} if view is None else work.reopened.outlines(-number)
        outlines = {**kept, **work.outlines(number)}
        known = {key: one.mask for key, one in outlines.items()}
        known |= work.keyframes(number)
        masks = {key: mask for key, mask in known.items() if mask}
        if len(masks) > 1:
            as_kept = [key for key in masks if key in kept and masks[key] is kept[key].mask]
            labels = None if view is None else view.layer.data
            found[number] = InWork(masks, as_kept, labels, -number)
    return found


def _colour(context: Context, number: int) -> tuple[float, ...]:
    """Return the colour of an object in work: that of the preview, or of its layer."""
    work = context.work
    view = work.reopened.view(-number) if number < 0 else None
    label = work.label(number)
    rgb = layers.preview_colour(label) if view is None else layers.colour_of(view.layer, label)
    return (*rgb, 1.0)


def _view(context: Context) -> LabelsView | None:
    """Return the view of the active labels, of the kept ones, or of everything mode."""
    active = context.viewer.layers.selection.active
    chosen = next((one for one in context.bench.views if one.layer is active), None)
    if chosen is not None:
        return chosen
    results, everything = context.bench.results, context.bench.everything
    if results is None or (everything is not None and results.store.next_label == 1):
        return everything
    return results


def _steps_of_work(work: Sequence[InWork], volume: Volume) -> Steps:
    """Make the surfaces of objects in work; the first one gets label 1."""
    outlines = {label: dict(one.masks) for label, one in enumerate(work, 1)}
    for label, one in enumerate(work, 1):
        for done, key in enumerate(one.as_kept, 1):
            outlines[label][key] = as_painted(one.labels, one.label, key, one.masks[key])
            text = f"reading plane {done} of {len(one.as_kept)}"
            yield Progress(done, len(one.as_kept), text)
    return (yield from surfaces_of_outlines(outlines, volume))


def _steps(
    labels: Any, volume: Volume, objects: dict[int, SegmentedObject], wanted: set[int]
) -> Steps:
    """Make the surfaces of labels; an array that is not in memory is not searched for objects."""
    outlines = None
    if objects and not isinstance(labels, np.ndarray):
        outlines = {
            label: {key: outline.mask for key, outline in one.outlines.items()}
            for label, one in objects.items()
            if not wanted or label in wanted
        }
    return (yield from surfaces_of_labels(labels, volume, wanted or None, outlines))


def _colours(layer: Labels, labels: Sequence[int]) -> NDArray[np.float32]:
    """Return the colours of labels in their layer, (n, 4)."""
    values = np.asarray(labels).astype(layer.data.dtype)
    return np.asarray(layer.colormap.map(values), np.float32)
