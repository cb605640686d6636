"""The prompts of one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import real_numbers, shown
from .masks import MaskLogits
from .planes import ImageEmbedding


@dataclass(frozen=True, eq=False)
class PlaneGuide:
    """An object in another plane of the same size, to be found again.

    Attributes
    ----------
    embedding : ImageEmbedding
        Of that plane.
    logits : (h, w) float32
        Low-resolution logits of the object there.
    """

    embedding: ImageEmbedding
    logits: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stroke:
    """A scribble: a path along an object, or beside it.

    Attributes
    ----------
    path : (N, 2) float64, (x, y) in plane pixels
    label : int
        1 object, 0 background.
    """

    path: NDArray[np.float64]
    label: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", _path("a scribble", self.path, 1))
        if self.label not in (0, 1):
            raise ValueError(f"the label of a scribble is 1 or 0, but is {shown(self.label)}")


@dataclass(frozen=True, eq=False)
class Prompts:
    """The prompts of one object.

    Attributes
    ----------
    point_coords : (N, 2) float64, (x, y) in plane pixels
        (0, 0) is the centre of the first pixel.
    point_labels : (N,) int64
        1 object, 0 background.
    box : (4,) float64 or None
        (x0, y0, x1, y1), inclusive pixel centres.
    mask_input : MaskLogits, (h, w) float32 or None
        Low-resolution logits of an earlier prediction (`Prediction.logits`). A bare array is
        taken to cover what the prompts are asked of.
    guide : PlaneGuide or None
        The object in an earlier plane, for models that take one (`PromptableModel.takes_guide`).
    region : (N, 2) float64, (x, y) in plane pixels, or None
        Vertices of a polygon drawn roughly about the object, in the place of a box.
    strokes : tuple of Stroke
        Models take neither regions nor strokes: `predict.lowering` says what is asked for them.
    """

    point_coords: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    point_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    box: NDArray[np.float64] | None = None
    mask_input: MaskLogits | NDArray[np.float32] | None = None
    guide: PlaneGuide | None = None
    region: NDArray[np.float64] | None = None
    strokes: tuple[Stroke, ...] = ()

    def __init__(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: MaskLogits | ArrayLike | None = None,
        guide: PlaneGuide | None = None,
        region: ArrayLike | None = None,
        strokes: Sequence[Stroke] = (),
    ) -> None:
        coords = np.zeros((0, 2)) if point_coords is None else _reals("point_coords", point_coords)
        if coords.size == 0:
            coords = coords.reshape(0, 2)
        if coords.ndim != 2 or coords.shape[1] != 2:
            raise ValueError(f"point_coords must be (N, 2), but is {coords.shape}")
        if point_labels is None:
            labels = np.ones(len(coords), np.int64)
        else:
            labels = np.atleast_1d(_reals("point_labels", point_labels))
        if labels.shape != (len(coords),):
            raise ValueError(
                f"{len(coords)} points need {len(coords)} labels, but there are {labels.size}"
            )
        if not np.isin(labels, (0, 1)).all():
            wrong = labels[~np.isin(labels, (0, 1))]
            raise ValueError(f"point_labels are 1 or 0, but one is {wrong[0]:g}")
        if not np.isfinite(coords).all():
            raise ValueError("point_coords must be finite")
        object.__setattr__(self, "point_coords", coords)
        object.__setattr__(self, "point_labels", labels.astype(np.int64))
        object.__setattr__(self, "box", None if box is None else _checked_box(box))
        if mask_input is not None and not isinstance(mask_input, MaskLogits):
            mask_input = _reals("mask_input", mask_input).astype(np.float32)
            if mask_input.ndim != 2:
                raise ValueError(f"mask_input must be (h, w), but is {mask_input.shape}")
        values = mask_input.values if isinstance(mask_input, MaskLogits) else mask_input
        if values is not None and not (values.size and np.isfinite(values).all()):
            raise ValueError("mask_input must hold finite numbers")
        object.__setattr__(self, "mask_input", mask_input)
        object.__setattr__(self, "guide", guide)
        if region is not None:
            region = _path("a region", region, 3)
            if box is not None:
                raise ValueError("an object takes a box or a region, but here are both")
        object.__setattr__(self, "region", region)
        object.__setattr__(self, "strokes", tuple(strokes))

    @property
    def extent(self) -> NDArray[np.float64] | None:
        """The box, or that around the region; None if there is neither."""
        if self.region is None:
            return self.box
        return np.concatenate([self.region.min(axis=0), self.region.max(axis=0)])

    @property
    def empty(self) -> bool:
        """Whether there is no prompt at all."""
        return not len(self.point_coords) and self._points_only

    @property
    def ambiguous(self) -> bool:
        """Whether several answers make sense: nothing but one point was given."""
        return len(self.point_coords) == 1 and self._points_only

    @property
    def _points_only(self) -> bool:
        others = (self.box, self.mask_input, self.guide, self.region)
        return not self.strokes and all(one is None for one in others)

    def moved(self, dx: float, dy: float) -> Prompts:
        """Return the same prompts in a frame whose origin lies at (-dx, -dy), without the guide."""
        shift = np.array(real_numbers("a shift", (dx, dy), 2))
        box = None if self.box is None else self.box + np.tile(shift, 2)
        mask = self.mask_input
        if isinstance(mask, MaskLogits):
            mask = mask.moved(dx, dy)
        region = None if self.region is None else self.region + shift
        strokes = [Stroke(one.path + shift, one.label) for one in self.strokes]
        points = self.point_coords + shift
        return Prompts(points, self.point_labels, box, mask, None, region, strokes)

    def turned(self) -> Prompts:
        """Return what was said with x and y swapped, without mask input and guide."""
        box = None if self.box is None else self.box[[1, 0, 3, 2]]
        region = None if self.region is None else self.region[:, ::-1]
        strokes = [Stroke(one.path[:, ::-1], one.label) for one in self.strokes]
        points = self.point_coords[:, ::-1]
        return Prompts(points, self.point_labels, box, None, None, region, strokes)

    def with_mask(self, mask_input: MaskLogits | NDArray[np.float32] | None) -> Prompts:
        """Return the same prompts with another mask input."""
        return replace(self, mask_input=mask_input)


def _reals(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return a copy of values as real numbers, or refuse them."""
    try:
        array = np.array(values)
        if array.dtype.kind == "O" or not array.size:  # whole numbers too large for numpy's
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must hold numbers, but is {shown(values)}") from None
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name} must hold real numbers, but holds {array.dtype}")
    return array.astype(np.float64)


def _path(name: str, values: ArrayLike, least: int) -> NDArray[np.float64]:
    """Return the vertices of a path or a polygon, checked."""
    array = _reals(name, values)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) < least:
        raise ValueError(f"{name} needs {least} vertices (x, y) or more, but is {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"the vertices of {name} must be finite")
    return array


def _checked_box(box: ArrayLike) -> NDArray[np.float64]:
    array = _reals("a box", box)
    if array.shape != (4,):
        raise ValueError(f"a box has 4 numbers x0, y0, x1, y1, but this one has {array.size}")
    if not np.isfinite(array).all() or array[0] > array[2] or array[1] > array[3]:
        raise ValueError(f"a box needs x0 <= x1 and y0 <= y1, but is {array.tolist()}")
    return array
