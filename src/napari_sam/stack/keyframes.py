"""What the keyframes of an object teach: how it looks, and how large it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .. import stopping
from ..predict.kept_masks import logits_of
from ..predict.session import Session
from ..types import Mask, Plane
from .appearance import Appearance, pixel_features
from .cell_appearance import CellAppearance, cells_of, enough

REACH = 0.5
"""How far beyond the box of the last outline an object is looked for, in its longer side."""
LEAST_REACH = 4
"""The same, in pixels, at least."""
BEYOND = 17
"""Pixels beside a part that its features depend on: four times the widest of `SMOOTHED`, and 1."""
CERTAIN = 8.0
"""Bound of the model's logits."""
MOST_LEARNT = 8
"""Keyframes that the look is learnt from at most: the largest ones."""


class Keyframes:
    """The planes in which an object is known; each of its sweeps shares them.

    Parameters
    ----------
    masks : mapping of int to Mask
        The outlines by place, none of them empty.

    Attributes
    ----------
    area : int
        Pixels of the largest outline.
    appearance : Appearance or None
        How the object looks; None before `learn`.
    cells : CellAppearance or None
        How it looks to the encoder; None also where the model has no features as fine.
    """

    def __init__(self, masks: Mapping[int, Mask]) -> None:
        largest = sorted(masks.items(), key=lambda item: -item[1].area)
        self._masks = dict(largest[:MOST_LEARNT])
        self.area = largest[0][1].area
        self.appearance: Appearance | None = None
        self.cells: CellAppearance | None = None

    def learn(self, session: Session, planes: Sequence[Plane]) -> None:
        """Learn how the object looks, the first time this is asked for."""
        if self.appearance is None:
            self.cells = self._learnt_cells(session, planes)
            self.appearance = self._learnt_pixels(session, planes)

    def _learnt_pixels(self, session: Session, planes: Sequence[Plane]) -> Appearance:
        samples, inside = [], []
        for place, mask in self._masks.items():
            stopping.check()
            part = around_mask(mask)
            features = features_of(session, planes[place], [part])[part]
            samples.append(features.reshape(-1, features.shape[-1]))
            inside.append(np.asarray(mask)[part].ravel())
        return Appearance(np.concatenate(samples), np.concatenate(inside))

    def _learnt_cells(self, session: Session, planes: Sequence[Plane]) -> CellAppearance | None:
        model, samples, inside = session.predictor.model, [], []
        if not model.fine_features:
            return None
        for place, mask in self._masks.items():
            stopping.check()
            levels = model.feature_maps(session.embedding(planes[place]).features)
            outline = logits_of(mask, model, None, planes[place].spacing, False).values
            shares = np.asarray((outline / CERTAIN + 1) / 2, np.float32)
            features, own = cells_of(levels, shares)
            samples.append(features)
            inside.append(own)
        own = np.concatenate(inside)
        return CellAppearance(np.concatenate(samples), own) if enough(own) else None


def features_of(
    session: Session, plane: Plane, parts: Sequence[tuple[slice, slice]]
) -> NDArray[np.float32]:
    """Return what `Appearance` sees of parts of a plane; the rest does not count."""
    pixels, contrast = session.read(plane)
    wide = tuple(
        slice(
            max(0, min(part[axis].start for part in parts) - BEYOND),
            max(part[axis].stop for part in parts) + BEYOND,
        )
        for axis in (0, 1)
    )
    seen = pixel_features(pixels[wide], contrast, plane.channels)
    features = np.zeros((*plane.size, seen.shape[-1]), np.float32)
    features[wide] = seen
    return features


def around_mask(mask: Mask) -> tuple[slice, slice]:
    """Return rows and columns of the part of a plane in which an object is looked for."""
    x0, y0, x1, y1 = mask.box
    reach = int(max(LEAST_REACH, REACH * max(x1 - x0 + 1, y1 - y0 + 1)))
    rows, columns = mask.size
    return (
        slice(max(0, y0 - reach), min(rows, y1 + reach + 1)),
        slice(max(0, x0 - reach), min(columns, x1 + reach + 1)),
    )
