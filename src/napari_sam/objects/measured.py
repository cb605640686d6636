"""One object measured: size, scores, and where its outlines look wrong, for a review."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..masks import iou, shared_pixels
from ..types import Mask, Progress, SliceKey
from .boxes import Box, box_around, enclosing, overlap
from .segmented import Outline, SegmentedObject

AROUND = 8
"""So many pixels around an outline are searched for pixels that were painted beside it."""
INSIDE = 0.8
"""Share of an outline at an end of an object that lies in the next one, at least."""
AT_ONCE = 32
"""Outlines that are measured between two pauses, about."""
CORNERS = np.ones((3, 3), bool)
"""Pixels that touch at a corner are one piece; holes are joined by sides alone."""


class Worst(NamedTuple):
    """The most suspicious value of an object, and the plane that it is found in.

    Attributes
    ----------
    value : float
    key : SliceKey
    before : SliceKey or None
        The other plane of two that are compared.
    """

    value: float
    key: SliceKey
    before: SliceKey | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What is measured of one object.

    Attributes
    ----------
    one : SegmentedObject
    pixels, planes : int
        Planes with a pixel of it.
    axis : int or None
        The axis that its planes follow one another along; None if there is one plane.
    box : Box or None
        Around all of its outlines, in the array; None if it has no pixel.
    largest : SliceKey or None
        The plane with most of its pixels.
    score, stability, agreement : float or None
        Least predicted IoU of its outlines; stability; least agreement of outlines in neighbouring
        planes, see `agreement_of`. None where it is unknown.
    worst : mapping of str to Worst
        By the names of `risk.CRITERIA`; what is unknown is left out.
    """

    one: SegmentedObject
    pixels: int
    planes: int
    axis: int | None
    box: Box | None
    largest: SliceKey | None
    score: float | None
    stability: float | None
    agreement: float | None
    worst: Mapping[str, Worst]

    def size(self, spacing: tuple[float, ...]) -> tuple[float, int]:
        """Return its physical size, and whether that is an area (2) or a volume (3).

        Parameters
        ----------
        spacing : tuple of float
            Size of a pixel along each axis of the array.
        """
        if self.largest is None:
            return 0.0, 2
        axes = (*self.largest.displayed, *(() if self.axis is None else (self.axis,)))
        return self.pixels * prod(spacing[axis] for axis in axes), len(axes)


def measured(one: SegmentedObject, labels: Any = None) -> Measured:
    """Measure an object.

    Parameters
    ----------
    one : SegmentedObject
    labels : (...) int array, optional
        The labels that it is part of; without them it is unknown which of its pixels others have.

    Returns
    -------
    Measured
    """
    planes = {key: outline for key, outline in one.outlines.items() if outline.mask}
    worst: dict[str, Worst] = {}

    def note(name: str, value: float, key: SliceKey, sign: int = 1) -> None:
        known = worst.get(name)
        if known is None or sign * value > sign * known.value:
            worst[name] = Worst(value, key)

    for key, outline in planes.items():
        if outline.model or outline.score < 1:
            note("score", float(outline.score), key, -1)
        pieces, holes = shares_apart(outline.mask.bits)
        note("pieces", pieces, key)
        note("holes", holes, key)
        note("border", float(_at_border(outline.mask)), key)
        if labels is not None:
            hidden, painted = shares_changed(outline.mask, key, labels, one.label)
            note("hidden", hidden, key)
            note("painted", painted, key)
    largest = max(planes, key=lambda key: planes[key].mask.area, default=None)
    stability = one.attributes.get("stability")
    if isinstance(stability, int | float) and largest is not None:
        worst["stability"] = Worst(float(stability), largest)
    axis = _stack_axis(list(planes))
    for name, found in _across(planes, axis):
        known = worst.get(name)
        sign = -1 if name == "agreement" else 1
        if known is None or sign * found.value > sign * known.value:
            worst[name] = found
    values = {name: found.value for name, found in worst.items()}
    return Measured(
        one,
        sum(outline.mask.area for outline in planes.values()),
        len(planes),
        axis,
        enclosing([box_around(key, outline.mask) for key, outline in planes.items()])
        if planes
        else None,
        largest,
        values.get("score"),
        values.get("stability"),
        values.get("agreement"),
        worst,
    )


def measure_all(
    objects: Mapping[int, SegmentedObject],
    known: Mapping[int, Measured],
    labels: Any = None,
    touched: Sequence[Box] = (),
) -> Generator[Progress, None, dict[int, Measured]]:
    """Measure objects; those that are known and did not change are not measured again.

    Parameters
    ----------
    objects : mapping of int to SegmentedObject
    known : mapping of int to Measured
        Of an earlier time.
    labels : (...) int array, optional
        See `measured`.
    touched : sequence of Box
        Where pixels of the labels have changed since.

    Yields
    ------
    Progress

    Returns
    -------
    dict of int to Measured
    """
    found: dict[int, Measured] = {}
    fresh = 0
    for label, one in objects.items():
        before = known.get(label)
        if before is not None and before.one is one and not _touched(before, touched):
            found[label] = before
            continue
        found[label] = measured(one, labels)
        fresh += len(one.outlines)
        if fresh >= AT_ONCE:
            fresh = 0
            yield Progress(len(found), len(objects), "measuring objects")
    return found


def _touched(one: Measured, boxes: Sequence[Box]) -> bool:
    box = one.box
    return box is not None and any(len(b) == len(box) and overlap(b, box) for b in boxes)


def shares_apart(bits: NDArray[np.bool_]) -> tuple[float, float]:
    """Return which share of a mask lies outside its largest piece, and how large its holes are.

    Parameters
    ----------
    bits : (h, w) bool
        Not empty.

    Returns
    -------
    (float, float), as shares of the pixels of the mask
    """
    area = int(np.count_nonzero(bits))
    pieces, count = ndimage.label(bits, CORNERS)
    outside = 0
    if count > 1:
        outside = area - int(np.bincount(pieces.ravel())[1:].max())
    ground, count = ndimage.label(np.pad(~bits, 1, constant_values=True))
    inside = 0
    if count > 1:
        inside = int(np.count_nonzero(ground > 0) - np.count_nonzero(ground == ground[0, 0]))
    return outside / area, inside / area


def shares_changed(mask: Mask, key: SliceKey, labels: Any, label: int) -> tuple[float, float]:
    """Return which share of an answered mask others have, and how much was painted since.

    Parameters
    ----------
    mask : Mask
        As answered, not empty.
    key : SliceKey
        Its plane.
    labels : (...) int array
    label : int
        Of its object.

    Returns
    -------
    (float, float)
        Both as shares of the pixels of the mask. Painted are pixels of the mask that are of no
        object now, and pixels of the object outside the mask, up to `AROUND` pixels from its box.
    """
    (x0, y0, x1, y1), (height, width) = mask.box, mask.size
    left, top = max(x0 - AROUND, 0), max(y0 - AROUND, 0)
    window = (left, top, min(x1 + 1 + AROUND, width), min(y1 + 1 + AROUND, height))
    there = SliceKey(key.displayed, key.fixed, window).read(labels)
    asked = np.zeros(there.shape, bool)
    asked[y0 - top : y1 + 1 - top, x0 - left : x1 + 1 - left] = mask.bits
    own, free = there == label, there == 0
    hidden = np.count_nonzero(asked & ~own & ~free)
    painted = np.count_nonzero((asked & free) | (own & ~asked))
    return hidden / mask.area, painted / mask.area


def agreement_of(a: Mask, b: Mask, at_end: bool) -> float:
    """Return how well the outlines of an object in neighbouring planes agree.

    That is their IoU. A round object shrinks at its ends, however sound it is: there the share of
    the smaller outline that lies in the larger one counts, if it is at least `INSIDE`.

    Parameters
    ----------
    a, b : Mask
        Not empty.
    at_end : bool
        Whether one of them is the first or the last outline of the object.
    """
    if at_end:
        inside = shared_pixels(a, b) / min(a.area, b.area)
        if inside >= INSIDE:
            return inside
    return iou(a, b)


def _at_border(mask: Mask) -> bool:
    (x0, y0, x1, y1), (height, width) = mask.box, mask.size
    return x0 == 0 or y0 == 0 or x1 == width - 1 or y1 == height - 1


def _stack_axis(keys: list[SliceKey]) -> int | None:
    """Return the last axis on which planes differ; None if there is none."""
    places: dict[int, set[int]] = {}
    for key in keys:
        for axis, place in key.fixed:
            places.setdefault(axis, set()).add(place)
    return max((axis for axis, known in places.items() if len(known) > 1), default=None)


def _across(planes: Mapping[SliceKey, Outline], axis: int | None) -> Iterator[tuple[str, Worst]]:
    """Yield the agreement of neighbouring planes, and how many planes are missing in between."""
    if axis is None:
        return
    columns: dict[Any, list[tuple[int, SliceKey]]] = {}
    for key in planes:
        fixed = dict(key.fixed)
        if axis in fixed:
            rest = tuple(sorted((a, place) for a, place in fixed.items() if a != axis))
            columns.setdefault((key.displayed, rest), []).append((fixed[axis], key))
    for column in columns.values():
        column.sort(key=lambda pair: pair[0])
        for step, ((place, before), (following, key)) in enumerate(pairwise(column)):
            missing = following - place - 1
            yield "gap", Worst(float(missing), key, before)
            if not missing:
                at_end = step in (0, len(column) - 2)
                agreement = agreement_of(planes[before].mask, planes[key].mask, at_end)
                yield "agreement", Worst(agreement, key, before)
