"""Objects that look wrong by their own shape: tiny, in several pieces, several in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .examples import Example
from .findings import Finding
from .seen import Sight

CELL = 4
"""Pixels of the model's input that are one pixel of its masks: less is not seen."""
PIECE = 0.1
"""A piece is one from this part of the area of the largest piece on."""
NECK = 0.8
"""Two lobes are two objects if their neck is narrower than this part of the thinner lobe."""
LOBE = 0.5
"""A lobe is one from this part of the depth of the deepest one on."""
LARGE = 1.5
"""An object that is several in one has this many times the area of the middle one at least."""
SEVERAL = 5
"""Objects from which on an image has a usual size of its own."""
COMMON = 0.02
"""Where a larger part of the objects of usual size have necks, this is their shape."""
SMOOTH = 0.5
"""Gaussian over the distance transform, pixels."""
DEEP = 2.5
"""Lobes shallower than this, in pixels, are not looked at: edges are ragged."""
EIGHT = np.ones((3, 3), bool)


def tiny(number: int, one: Example, sight: Sight) -> list[Finding]:
    """Find objects smaller than one cell of the model's masks."""
    scale = sight.scale(one.labels.shape)
    labels = [k for k in one.objects if one.mask(k).sum() * scale**2 < CELL**2]
    if not labels:
        return []
    hint = ", or cut the image into smaller ones" if scale < 1 else ""
    return [
        Finding(
            "tiny",
            f"{_objects(labels)} of {one.name} {_have(labels)} fewer than {CELL**2} pixels as the "
            f"model sees the image: leave {'it' if len(labels) == 1 else 'them'} out{hint}",
            number,
            tuple(labels),
            tuple(one.boxes[k] for k in labels),
        )
    ]


def pieces(number: int, one: Example) -> list[Finding]:
    """Find labels in separate pieces: far apart they are several objects, close by one cut."""
    apart: list[int] = []
    cut: list[int] = []
    for k in one.objects:
        mask = one.mask(k)
        parts, count = ndimage.label(mask, EIGHT)
        if count < 2:
            continue
        areas = np.bincount(parts.ravel())[1:]
        large = [n + 1 for n in np.flatnonzero(areas >= max(CELL**2, PIECE * areas.max()))]
        if len(large) < 2:
            continue
        away = ndimage.distance_transform_edt(parts != large[0])
        gap = min(float(away[parts == n].min()) for n in large[1:])
        (apart if gap > np.sqrt(areas.max()) else cut).append(k)
    found = []
    for labels, sentence in (
        (apart, "far apart: they look like several objects with one number; number them anew"),
        (cut, "close to each other: join them if each is one object, else number them anew"),
    ):
        if labels:
            boxes = tuple(one.boxes[k] for k in labels)
            text = f"{_objects(labels)} of {one.name} {_lie(labels)} in separate pieces, {sentence}"
            found.append(Finding("pieces", text, number, tuple(labels), boxes))
    return found


def necks(one: Example) -> list[int]:
    """Return the labels that are two thick parts joined by a thin one."""
    return [k for k in one.objects if has_neck(one.mask(k))]


def merged(examples: Sequence[Example], narrow: Sequence[Sequence[int]]) -> list[Finding]:
    """Find labels that look like several objects: with a neck, and larger than the others.

    Parameters
    ----------
    examples : sequence of Example
    narrow : sequence of sequence of int
        The `necks` of each.
    """
    necked = [(number, k) for number, labels in enumerate(narrow) for k in labels]
    areas = [{k: int(one.mask(k).sum()) for k in one.objects} for one in examples]
    every = [area for own in areas for area in own.values()]
    if len(every) < 3:
        return []
    large: set[tuple[int, int]] = set()
    for number, own in enumerate(areas):  # images may differ in magnification
        middle = float(np.median(list(own.values()) if len(own) >= SEVERAL else every))
        large |= {(number, k) for k, area in own.items() if area > LARGE * middle}
    usual = [place for place in necked if place not in large]
    if len(usual) > max(1, COMMON * (len(every) - len(large))):
        return []
    found = []
    for number, one in enumerate(examples):
        labels = [k for n, k in necked if n == number and (n, k) in large]
        if labels:
            found.append(
                Finding(
                    "merged",
                    f"{_objects(labels)} of {one.name} {_look(labels)} like several objects that "
                    "touch: a narrow neck lies between two parts; split them, or leave them out",
                    number,
                    tuple(labels),
                    tuple(one.boxes[k] for k in labels),
                )
            )
    return found


def has_neck(mask: NDArray[np.bool_]) -> bool:
    """Tell whether two thick parts of a mask (h, w) are joined by a much thinner one.

    The neck is found in the distance transform: two maxima, and a saddle between them that is much
    lower than both.
    """
    filled = ndimage.binary_fill_holes(np.pad(mask, 1))
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(filled), SMOOTH)
    deepest = float(depth.max())
    if deepest < DEEP:
        return False
    for level in np.linspace(0.25, 0.9, 8) * NECK * deepest:
        parts, count = ndimage.label(depth > level, EIGHT)
        if count < 2:
            continue
        tops = ndimage.maximum(depth, parts, np.arange(1, count + 1))
        if np.count_nonzero(tops >= max(LOBE * deepest, level / NECK)) > 1:
            return True
    return False


def _objects(labels: Sequence[int]) -> str:
    """Return the labels as the subject of a sentence; many are counted."""
    if len(labels) == 1:
        return f"label {labels[0]}"
    if len(labels) <= 5:
        return f"labels {', '.join(map(str, labels[:-1]))} and {labels[-1]}"
    return f"{len(labels)} labels ({', '.join(map(str, labels[:3]))} and others)"


def _have(labels: Sequence[int]) -> str:
    return "has" if len(labels) == 1 else "have"


def _lie(labels: Sequence[int]) -> str:
    return "lies" if len(labels) == 1 else "lie"


def _look(labels: Sequence[int]) -> str:
    return "looks" if len(labels) == 1 else "look"
