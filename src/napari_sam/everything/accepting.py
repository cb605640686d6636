"""Proposed objects in a label image: which are new, their outlines and scores, taken out again."""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..images.blocks import chunked
from ..images.plane_stack import PlaneStack
from ..masks import iou
from ..objects.canvas import Canvas
from ..objects.draft import Draft
from ..objects.edit import Change, Edit
from ..objects.segmented import Outline
from ..objects.store import ObjectStore
from ..predict.image_cache import chunks_of
from ..types import Mask, Progress, SliceKey
from .amg_select import Candidate, Candidates

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
    """

    outlines: Mapping[SliceKey, Outline]
    stability: float | None = None


def masks_in(labels: NDArray[np.integer[Any]], wanted: set[int] | None = None) -> dict[int, Mask]:
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
    for label, part in enumerate(ndimage.find_objects(labels), 1):
        if part is not None and (wanted is None or label in wanted):
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
    """Take objects out of labels, a plane of an object at a time; nothing is written.

    Parameters
    ----------
    store : ObjectStore
        What it knows of the objects goes, too.
    found : mapping of int to mapping of SliceKey to Outline
        By label; pixels of a label in the boxes of its outlines go.
    text : str

    Returns
    -------
    Edit
    """
    draft = Draft(store.canvas)
    objects: dict[int, Change] = {}
    for done, (label, outlines) in enumerate(found.items()):
        for key, outline in outlines.items():
            yield Progress(done, len(found), text)
            x0, y0, x1, y1 = outline.mask.box
            index = replace(key, window=(x0, y0, x1 + 1, y1 + 1)).index
            before = draft.read(index)
            draft.set(index, before, np.where(before == label, 0, before).astype(before.dtype))
        known = store.objects.get(label)
        if known is not None:
            objects[label] = known, None
    return Edit(text, draft.patches, objects)
