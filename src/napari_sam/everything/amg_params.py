"""Parameters of everything mode, and the points and crops that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, dataclass, field
from itertools import product
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import shown
from ..types import Window

SELECT_FIELDS = (
    "pred_iou_thresh",
    "stability_score_thresh",
    "box_nms_thresh",
    "crop_nms_thresh",
    "min_mask_region_area",
    "min_area",
    "max_area",
)
"""Parameters that `select` reads; the others need a new run of `propose`."""


def _option(default: Any, low: float, high: float, step: float, text: str) -> Any:
    return field(default=default, metadata={"min": low, "max": high, "step": step, "help": text})


@dataclass(frozen=True)
class AmgParams:
    """Parameters of everything mode, under SAM's names; see each field's `help`."""

    points_per_side: int = _option(32, 1, 128, 1, "points along each side of the grid")
    points_per_batch: int = _option(64, 1, 1024, 1, "points decoded together")
    pred_iou_thresh: float = _option(0.88, 0.0, 1.0, 0.01, "keep masks of at least this score")
    stability_score_thresh: float = _option(
        0.95, 0.0, 1.0, 0.01, "keep masks that hardly change when the mask threshold is moved"
    )
    stability_score_offset: float = _option(1.0, 0.0, 10.0, 0.1, "how far that threshold is moved")
    box_nms_thresh: float = _option(0.7, 0.0, 1.0, 0.01, "overlap of boxes that are duplicates")
    crop_n_layers: int = _option(0, 0, 4, 1, "layers of ever smaller crops to run on as well")
    crop_nms_thresh: float = _option(0.7, 0.0, 1.0, 0.01, "the same overlap, between crops")
    crop_overlap_ratio: float = _option(512 / 1500, 0.0, 0.9, 0.01, "how far crops overlap")
    crop_n_points_downscale_factor: int = _option(
        1, 1, 8, 1, "how much sparser the grid gets with each layer of crops"
    )
    min_mask_region_area: int = _option(
        0, 0, 100_000, 10, "fill holes and drop islands of fewer pixels"
    )
    min_area: int = _option(0, 0, 1_000_000_000, 1, "keep masks of at least so many pixels")
    max_area: int = _option(
        0, 0, 1_000_000_000, 1, "keep masks of at most so many pixels; 0: of any number"
    )
    seeds: str = field(
        default="grid",
        metadata={"choices": ("grid", "auto"), "help": "a grid of points, or where objects are"},
    )
    skip_points: str = field(
        default="nothing",
        metadata={
            "choices": ("nothing", "found"),
            "help": "do not ask at points inside masks that were found and pass both thresholds",
        },
    )
    look_closer: str = field(
        default="auto",
        metadata={
            "choices": ("auto", "never"),
            "help": "look again in magnified tiles if seeds is auto and most objects are small; "
            "what they show counts if its scores are no lower",
        },
    )
    point_grids: tuple[NDArray[np.float64], ...] | None = None
    """Own grids (N, 2), (x, y) in 0..1, one for each layer, in place of `points_per_side`."""

    def __post_init__(self) -> None:
        for name, option in type(self).__dataclass_fields__.items():
            value, limits = getattr(self, name), option.metadata
            if "choices" in limits:
                if not isinstance(value, str) or value not in limits["choices"]:
                    raise ValueError(f"{name} is one of {limits['choices']}, but is {shown(value)}")
            elif limits:
                object.__setattr__(self, name, _checked_number(name, value, option))
        if self.point_grids is not None:
            grids = _checked_grids(self.point_grids, self.crop_n_layers + 1)
            object.__setattr__(self, "point_grids", grids)

    def grids(self) -> list[NDArray[np.float64]]:
        """Return the points of each layer, (N, 2), (x, y) in 0..1."""
        if self.point_grids is not None:
            return list(self.point_grids)
        factor = self.crop_n_points_downscale_factor
        return [
            point_grid(max(1, int(self.points_per_side / factor**layer)))
            for layer in range(self.crop_n_layers + 1)
        ]


def point_grid(side: int) -> NDArray[np.float64]:
    """Return the centres of `side` x `side` cells, (side * side, 2), (x, y) in 0..1."""
    centres = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(centres, centres)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def crop_boxes(
    size: tuple[int, int], layers: int, overlap_ratio: float
) -> tuple[list[Window], list[int]]:
    """Return the crops of every layer: 1, 4, 16, ... overlapping tiles of the plane.

    Parameters
    ----------
    size : (H, W) int
    layers : int
        Layers beyond the whole plane.
    overlap_ratio : float
        Overlap of the first layer's crops, of the shorter side.

    Returns
    -------
    boxes : list of (x0, y0, x1, y1) int, end exclusive
    layers : list of int
    """
    height, width = size
    boxes: list[Window] = [(0, 0, width, height)]
    index = [0]
    for layer in range(1, layers + 1):
        tiles = 2**layer
        overlap = int(overlap_ratio * min(size) * (2 / tiles))
        w, h = (int(np.ceil((overlap * (tiles - 1) + side) / tiles)) for side in (width, height))
        starts = [[int((length - overlap) * i) for i in range(tiles)] for length in (w, h)]
        for x0, y0 in product(*starts):
            if x0 >= width or y0 >= height:
                continue  # a plane of a few pixels has no room for so many tiles
            boxes.append((x0, y0, min(x0 + w, width), min(y0 + h, height)))
            index.append(layer)
    return boxes, index


def _checked_number(name: str, value: Any, option: Field[Any]) -> int | float:
    """Return the value of a parameter as a number of its kind, or refuse it."""
    low, high = option.metadata["min"], option.metadata["max"]
    whole = isinstance(option.default, int)
    try:
        number: int | float = index(value) if whole else float(value)
    except (TypeError, ValueError, OverflowError):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} is {kind} from {low} to {high}, but is {shown(value)}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} lies between {low} and {high}, but is {value}")
    return number


def _checked_grids(grids: Any, layers: int) -> tuple[NDArray[np.float64], ...]:
    """Return grids of points (N, 2) in 0..1, one for each layer, or refuse them."""
    count = len(grids) if isinstance(grids, Sequence | np.ndarray) and np.ndim(grids[:0]) else 0
    if count != layers:
        raise ValueError(f"{layers} layers need {layers} point_grids, but there are {count}")
    found = []
    for grid in grids:
        try:
            points = np.asarray(grid, np.float64)
        except (TypeError, ValueError):
            raise ValueError("point_grids hold numbers, (x, y) in 0..1") from None
        points = points.reshape(-1, 2) if points.size == 0 else points
        if points.ndim != 2 or points.shape[1] != 2 or not ((points >= 0) & (points <= 1)).all():
            raise ValueError(
                f"each of point_grids is (N, 2), (x, y) in 0..1, but one is {points.shape}"
            )
        found.append(points)
    return tuple(found)
