"""The values that pass between the rooms of the house: frozen, plain, numpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class SliceKey:
    """Which part of which 2-D plane of an n-d array.

    Attributes
    ----------
    displayed : (int, int)
        The axes shown as rows and columns.
    fixed : tuple of (axis, index)
        The position on every other axis (a colour axis excepted).
    window : (x0, y0, x1, y1) int or None
        Part of the plane, end exclusive; None is all of it.
    level : int or None
        Level of a multiscale pyramid; None if there is none.
    """

    displayed: tuple[int, int]
    fixed: tuple[tuple[int, int], ...] = ()
    window: Window | None = None
    level: int | None = None

    @property
    def index(self) -> tuple[int | slice, ...]:
        """The numpy index of the plane in the array; colours stay behind it."""
        entries: list[int | slice] = [slice(None)] * (2 + len(self.fixed))
        for axis, position in self.fixed:
            entries[axis] = position
        if self.window is not None:
            x0, y0, x1, y1 = self.window
            entries[self.displayed[0]] = slice(y0, y1)
            entries[self.displayed[1]] = slice(x0, x1)
        return tuple(entries)

    def read(self, image: Any) -> NDArray[Any]:
        """Read the plane from an array, a lazy array or a list of pyramid levels.

        Returns
        -------
        (H, W) or (H, W, C)
        """
        array = image if self.level is None else image[self.level]
        plane = np.asarray(array[self.index])
        if self.displayed[0] > self.displayed[1]:
            plane = plane.swapaxes(0, 1)
        return plane


@dataclass(frozen=True, eq=False)
class Prompts:
    """What a person said of one object.

    Attributes
    ----------
    point_coords : (N, 2) float64, (x, y) in plane pixels
        (0, 0) is the centre of the first pixel.
    point_labels : (N,) int64
        1 object, 0 background.
    box : (4,) float64 or None
        (x0, y0, x1, y1), inclusive pixel centres.
    mask_input : (h, w) float32 or None
        Low-resolution logits of an earlier prediction.
    guide : PlaneGuide or None
        The object in an earlier plane, for models that take one (`PromptableModel.takes_guide`).
    """

    point_coords: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    point_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    box: NDArray[np.float64] | None = None
    mask_input: NDArray[np.float32] | None = None
    guide: PlaneGuide | None = None

    def __init__(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        guide: PlaneGuide | None = None,
    ) -> None:
        coords = np.zeros((0, 2)) if point_coords is None else np.array(point_coords, np.float64)
        if coords.size == 0:
            coords = coords.reshape(0, 2)
        if coords.ndim != 2 or coords.shape[1] != 2:
            raise ValueError(f"point_coords must be (N, 2), but is {coords.shape}")
        if point_labels is None:
            labels = np.ones(len(coords), np.int64)
        else:
            labels = np.atleast_1d(np.array(point_labels, np.int64))
        if labels.shape != (len(coords),):
            raise ValueError(
                f"{len(coords)} points need {len(coords)} labels, but there are {labels.size}"
            )
        if not np.isin(labels, (0, 1)).all():
            wrong = labels[~np.isin(labels, (0, 1))]
            raise ValueError(f"point_labels are 1 or 0, but one is {wrong[0]}")
        if not np.isfinite(coords).all():
            raise ValueError("point_coords must be finite")
        object.__setattr__(self, "point_coords", coords)
        object.__setattr__(self, "point_labels", labels)
        object.__setattr__(self, "box", None if box is None else _checked_box(box))
        mask = None if mask_input is None else np.array(mask_input, np.float32)
        if mask is not None and mask.ndim != 2:
            raise ValueError(f"mask_input must be (h, w), but is {mask.shape}")
        object.__setattr__(self, "mask_input", mask)
        object.__setattr__(self, "guide", guide)

    @property
    def empty(self) -> bool:
        """Whether nothing at all was said."""
        return not len(self.point_coords) and self._points_only

    @property
    def ambiguous(self) -> bool:
        """Whether several answers make sense: nothing but one point was given."""
        return len(self.point_coords) == 1 and self._points_only

    @property
    def _points_only(self) -> bool:
        return self.box is None and self.mask_input is None and self.guide is None

    def moved(self, dx: float, dy: float) -> Prompts:
        """Return the same prompts in a frame whose origin lies at (-dx, -dy), without the guide."""
        shift = np.array([dx, dy])
        box = None if self.box is None else self.box + np.tile(shift, 2)
        return Prompts(self.point_coords + shift, self.point_labels, box, self.mask_input)


def _checked_box(box: ArrayLike) -> NDArray[np.float64]:
    array = np.array(box, np.float64)
    if array.shape != (4,):
        raise ValueError(f"a box has 4 numbers x0, y0, x1, y1, but this one has {array.size}")
    if not np.isfinite(array).all() or array[0] > array[2] or array[1] > array[3]:
        raise ValueError(f"a box needs x0 <= x1 and y0 <= y1, but is {array.tolist()}")
    return array


@dataclass(frozen=True, eq=False)
class PreparedPlane:
    """One plane as a model gets it.

    Attributes
    ----------
    rgb : (h, w, 3) uint8
        Resized, without padding.
    original_size : (H, W) int
        Of the plane.
    """

    rgb: NDArray[np.uint8]
    original_size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """The encoder's answer for one plane.

    Attributes
    ----------
    features : object
        Opaque outside the model's family.
    original_size : (H, W) int
        Of the plane.
    input_size : (h, w) int
        Of the plane as the model saw it, without padding.
    model : str
        Name of the model.
    """

    features: Any
    original_size: tuple[int, int]
    input_size: tuple[int, int]
    model: str


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
class PredictRequest:
    """One question, captured at once and answered later.

    Attributes
    ----------
    key : SliceKey
    image : array-like
        The whole array, not yet read.
    contrast_limits : (low, high) float or None
    prompts : Prompts, in pixels of the plane (its window left aside)
    multimask_output : bool or None
        See `SamPredictor.predict`.
    """

    key: SliceKey
    image: Any
    contrast_limits: tuple[float, float] | None
    prompts: Prompts
    multimask_output: bool | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one prompt.

    Attributes
    ----------
    masks : (C, H, W) bool
    iou_predictions : (C,) float32
    low_res_logits : (C, h, w) float32
        Goes back in as `Prompts.mask_input`.
    request : PredictRequest or None
    presence : float
        Probability that there is an object at all where the prompts ask for one; 1 where the model
        does not tell.
    """

    masks: NDArray[np.bool_]
    iou_predictions: NDArray[np.float32]
    low_res_logits: NDArray[np.float32]
    request: PredictRequest | None = None
    presence: float = 1.0

    @property
    def best(self) -> int:
        """Index of the mask with the highest predicted IoU."""
        return int(np.argmax(self.iou_predictions))

    @property
    def present(self) -> bool:
        """Whether the model sees an object where the prompts ask for one."""
        return self.presence >= 0.5


@dataclass(frozen=True, eq=False)
class MaskRecord:
    """One mask that everything mode accepted; the fields have SAM's names.

    Attributes
    ----------
    segmentation : (H, W) bool
    area : int
        Pixels.
    bbox : (x, y, width, height) int
    predicted_iou, stability_score : float
    point_coords : (x, y) float
        The point that led to it.
    crop_box : (x, y, width, height) int
        The crop that it was found in.
    """

    segmentation: NDArray[np.bool_]
    area: int
    bbox: tuple[int, int, int, int]
    predicted_iou: float
    stability_score: float
    point_coords: tuple[float, float]
    crop_box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Progress:
    """What a generator yields when it has nothing else to show.

    Attributes
    ----------
    done, total : int
    text : str
    """

    done: int
    total: int
    text: str = ""
