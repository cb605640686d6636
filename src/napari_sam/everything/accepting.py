"""Proposed objects in a label image: which are new, their outlines and scores, taken out again."""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..images.blocks import chunked
from ..images.plane_stack import PlaneStack
from ..masks import iou, labels_in
from ..objects.boxes import Index
from ..objects.canvas import Canvas
from ..objects.edit import Change, Edit
from ..objects.patch import TILE, Patch, patches_between
from ..objects.segmented import Outline
from ..objects.store import ObjectStore
from ..predict.image_cache import chunks_of
from ..types import Mask, Progress, SliceKey
from .amg_select import Candidate, Candidates

FEW = 16
"""So many patches of a plane are written as they are."""
COVERED = 0.5
"""An object of which more than this lies on kept ones is none that they lack."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """One proposed object.

    Attributes
    ----------
    outlines : mapping of SliceKey to Outline
        In upright planes; the score of each is its predicted IoU.
    stability : float or None
        The lowest of its outlines; None if it is known of none.
    everywhere : mapping of SliceKey to Outline
        The same, and those that kept objects cover.
    """

    outlines: Mapping[SliceKey, Outline]
    stability: float | None
    everywhere: Mapping[SliceKey, Outline]


def masks_in(labels: NDArray[Any], wanted: set[int] | None = None) -> dict[int, Mask]:
    """Return the mask of each label of a plane.

    Parameters
    ----------
    labels : (H, W) int
    wanted : set of int, optional
        By default all.

    Returns
    -------
    dict of int to Mask
    """
    size = int(labels.shape[0]), int(labels.shape[1])
    found = {}
    occurring = labels_in(labels)
    places = np.zeros(int(occurring.max(initial=0)) + 1, np.int32)
    places[occurring] = np.arange(1, len(occurring) + 1)  # numbers without gaps are found fast
    for label, part in zip(occurring.tolist(), ndimage.find_objects(places[labels]), strict=True):
        if wanted is None or label in wanted:
            rows, columns = part
            found[label] = Mask.of(labels[part] == label, (columns.start, rows.start), size)
    return found


def not_covered(labels: NDArray[np.int32], kept: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Return labels without the objects of which more than `COVERED` lies on kept objects.

    Parameters
    ----------
    labels : (H, W) int32
    kept : (H, W) int
        0 where no object is kept.
    """
    taken = kept != 0
    if not taken.any():
        return labels
    sizes = np.bincount(labels.ravel())
    covered = np.bincount(labels[taken], minlength=len(sizes)) > COVERED * sizes
    covered[0] = False
    return np.where(covered[labels], np.int32(0), labels)


def source_of(mask: Mask, candidates: Candidates) -> Candidate | None:
    """Return the candidate that a mask was painted from: the one of the highest IoU.

    Parameters
    ----------
    mask : Mask
        Others may lie on top of it, or it may be joined of several.
    candidates : Candidates
        Of its plane.

    Returns
    -------
    Candidate or None
        None if none shares half of it.
    """
    x0, y0, x1, y1 = mask.box
    left, top, right, bottom = candidates.boxes.T
    near = (left <= x1) & (right >= x0) & (top <= y1) & (bottom >= y0)
    best, best_iou = None, 0.5
    for place in np.flatnonzero(near).tolist():
        one = candidates.items[place]
        # the IoU is at most the ratio of the areas
        ratio = min(one.mask.area, mask.area) / max(one.mask.area, mask.area)
        if ratio > best_iou and (shared := iou(one.mask, mask)) > best_iou:
            best, best_iou = one, shared
    return best


def read_in_chunks(store: ObjectStore) -> ObjectStore:
    """Return a store to plan with: of labels that are not in memory, it keeps some chunks.

    Many objects lie in one chunk, which would else be read again for each of them. What it has read
    stays as it was then.
    """
    data = store.canvas.data
    chunks = None if isinstance(data, np.ndarray) else chunks_of(data)
    if chunks is None:
        return store
    planned = copy.copy(store)
    planned.canvas = Canvas(PlaneStack(chunked(data, chunks)), store.canvas.name)
    return planned


def taken_out(
    store: ObjectStore, found: Mapping[int, Mapping[SliceKey, Outline]], text: str
) -> Generator[Progress, None, Edit]:
    """Take objects out of labels, a plane at a time; nothing is written.

    Parameters
    ----------
    store : ObjectStore
        What it knows of the objects goes, too.
    found : mapping of int to mapping of SliceKey to Outline
        By label; in each of its planes the pixels of a label go.
    text : str

    Returns
    -------
    Edit
    """
    planes: dict[SliceKey, dict[int, tuple[int, int, int, int]]] = {}
    for label, outlines in found.items():
        for key, outline in outlines.items():
            planes.setdefault(key, {})[label] = outline.mask.box
    patches: list[Patch] = []
    for done, (key, boxes) in enumerate(planes.items()):
        yield Progress(done, len(planes), text)
        index = _around(key, list(boxes.values()))
        before = store.canvas.read(index)
        after = np.where(np.isin(before, list(boxes)), 0, before).astype(before.dtype)
        patches += patches_between(index, before, after)
    known = {label: store.objects.get(label) for label in found}
    objects: dict[int, Change] = {k: (one, None) for k, one in known.items() if one is not None}
    return Edit(text, tuple(patches), objects)


def in_tiles(
    canvas: Canvas, patches: Sequence[Patch], text: str
) -> Generator[Progress, None, tuple[Patch, ...]]:
    """Return patches that do the same, one for each tile of a plane: many small ones take long.

    Parameters
    ----------
    canvas : Canvas
    patches : sequence of Patch
        Of planes; where they overlap, later ones count.
    text : str

    Returns
    -------
    tuple of Patch
        The same ones for planes with a few, and where planes cross each other.
    """
    planes: dict[tuple[tuple[int, int], ...], list[Patch]] = {}
    for patch in patches:
        planes.setdefault(patch.fixed, []).append(patch)
    if len({tuple(axis for axis, _ in fixed) for fixed in planes}) > 1:
        return tuple(patches)
    merged: list[Patch] = []
    for done, (fixed, own) in enumerate(planes.items()):
        yield Progress(done, len(planes), text)
        if len(own) <= FEW:
            merged += own
            continue
        place = dict(fixed)
        index = tuple(place.get(axis, slice(0, n)) for axis, n in enumerate(canvas.shape))
        before = canvas.read(index)
        after = before.copy()
        for patch in own:
            after[tuple(one for one in patch.index if isinstance(one, slice))] = patch.new()
        merged += patches_between(index, before, after)
    return tuple(merged)


def _around(key: SliceKey, boxes: Sequence[tuple[int, int, int, int]]) -> Index:
    """Return the index of what holds some boxes (x0, y0, x1, y1), or of the plane if it is large.

    Tiles of a plane are the same for all that is written in it.
    """
    corners = np.array(boxes)
    (x0, y0), (x1, y1) = corners[:, :2].min(0).tolist(), corners[:, 2:].max(0).tolist()
    if (x1 + 1 - x0) * (y1 + 1 - y0) > TILE * TILE:
        return key.index
    return replace(key, window=(x0, y0, x1 + 1, y1 + 1)).index
