"""A small picture of unsaved work: the plane that was changed last, with its labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.utils.colormaps import label_colormap
from numpy.typing import NDArray

from ....images.transforms import to_rgb8
from ....objects.boxes import Box, common, overlap, shape_of, slices_of
from ....objects.edit import Edit
from ....objects.journal_reader import KeptTarget
from ....types import SliceKey
from ...frame import Frame, chosen_contrast

SIDE = 96
"""Pixels of the longer side, at least, if the plane has them."""
COLOURS = 49
OPACITY = 0.6


def thumbnail(
    targets: Mapping[str, KeptTarget],
    steps: tuple[tuple[tuple[str, Edit], ...], ...],
    frame: Frame,
) -> NDArray[np.uint8]:
    """Draw the plane that was changed last.

    Parameters
    ----------
    targets : mapping of str to KeptTarget
    steps : tuple of tuple of (str, Edit)
    frame : Frame
        The image.

    Returns
    -------
    (h, w, 3) uint8
    """
    axes = len(frame.shape)
    position = _last_position(steps, axes)
    key = SliceKey((axes - 2, axes - 1), tuple(enumerate(position)))
    step = max(1, max(frame.shape[-2:]) // SIDE)
    plane = key.read(frame.pixels)[::step, ::step]
    picture = to_rgb8(plane, chosen_contrast(frame))
    for name, target in targets.items():
        if target.info.kind != "prompts":
            edits = [edit for parts in steps for one, edit in parts if one == name]
            labels = _labels(target, edits, position)[::step, ::step]
            colours = label_colormap(COLOURS, seed=0.5).map(labels)[..., :3] * 255
            mixed = (1 - OPACITY) * picture + OPACITY * colours
            picture = np.where(labels[..., None] != 0, mixed, picture).astype(np.uint8)
    return np.ascontiguousarray(picture)


def _last_position(steps: Any, axes: int) -> tuple[int, ...]:
    """Return the place on the leading axes where something was changed last."""
    boxes = [box for parts in steps for _, edit in parts for box in edit.boxes]
    fitting = [box for box in boxes if len(box) == axes]
    return tuple(max(start, 0) for start, _ in fitting[-1][:-2]) if fitting else (0,) * (axes - 2)


def _labels(
    target: KeptTarget, edits: list[Edit], position: tuple[int, ...]
) -> NDArray[np.integer[Any]]:
    """Return the labels of one plane as some edits left them."""
    size = target.info.shape[-2:]
    labels = np.zeros(size, target.info.labels_dtype)
    for place, pixels in target.base:
        if place == position:
            labels = pixels.array()
    plane: Box = (*((at, at + 1) for at in position), *((0, n) for n in size))
    for edit in edits:
        for patch in edit.patches:
            if overlap(patch.box, plane):
                shared = common(patch.box, plane)
                inside, whole = slices_of(shared, patch.box), shape_of(patch.box)
                old, new = (
                    side.reshape(whole)[inside].reshape(shape_of(shared)[-2:])
                    for side in (patch.old(), patch.new())
                )
                np.copyto(labels[slices_of(shared)[-2:]], new, where=old != new)
    return labels
