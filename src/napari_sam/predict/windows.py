"""Fields of view: where to look closer, and where a correction goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..images.transforms import scaled_size
from ..types import ImageEmbedding, MaskLogits, Prediction, Prompts, Window
from .paths import pieces_inside

if TYPE_CHECKING:
    from ..models.contract import PromptableModel

SMALL_OBJECT = 40.0
"""An object whose longer side is shorter than this in the model's input is looked at closer."""
TINY_OBJECT = 30.0
"""The same where the plane is not reduced for the model: what is seen well enough stays."""
CONTEXT = 5.0
"""Side of the closer look, in sides of the object."""
LEAST_WINDOW = 48
"""Least side of the closer look, in pixels of the plane."""
LEAST_GAIN = 1.3
"""A closer look must magnify at least this much more."""
VERY_LARGE = 4.0
"""Of a plane that the model would see reduced by more, it looks at the part that is on screen."""
CARRIED = 4
"""Least number of points of an answer whose logits are used when a further point leaves its window:
what fewer of them made of a large object misleads more than it helps."""


def input_size_of(
    size: tuple[int, int], model: PromptableModel, spacing: tuple[float, float] = (1.0, 1.0)
) -> tuple[int, int]:
    """Return the size (h, w) that a plane of `size` is resized to for a model.

    See `transforms.scaled_size` and `Plane.spacing`.
    """
    if model.square_input:
        return model.image_size, model.image_size
    return scaled_size(size, model.image_size, model.largest_scale, spacing)


def closer_window(
    prompts: Prompts,
    answer: Prediction,
    embedding: ImageEmbedding,
    model: PromptableModel,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> Window | None:
    """Return where to look closer, or None if the object is large enough as it is.

    Lengths are compared in sides of the finest pixel; see `Plane.spacing`.
    """
    best = answer.masks[answer.best]
    if prompts.box is None and not best:
        return None
    box = np.array(best.box, np.float64) if prompts.box is None else prompts.box
    sizes = embedding.original_size, embedding.input_size
    return window_about(box, prompts.point_coords, *sizes, model, spacing, answer.present)


def window_about(
    box: NDArray[np.float64],
    points: NDArray[np.float64],
    size: tuple[int, int],
    input_size: tuple[int, int],
    model: PromptableModel,
    spacing: tuple[float, float] = (1.0, 1.0),
    present: bool = True,
) -> Window | None:
    """Return where to look closer at an object in a box, or None if it is large enough as it is.

    Parameters
    ----------
    box : (4,) float, (x0, y0, x1, y1)
        Inclusive pixel centres.
    points : (N, 2) float, (x, y)
        What else the window holds.
    size, input_size : (H, W) int
        Of the plane, and of the plane as the model gets it.
    model : PromptableModel
    spacing : (float, float)
        See `Plane.spacing`.
    present : bool
        Whether the model sees the object.
    """
    h, w = size
    aspect = np.array([spacing[1], spacing[0]]) / min(spacing)
    side = float(((box[2:] - box[:2] + 1) * aspect).max())
    scale = _scale(size, input_size, aspect)
    least = SMALL_OBJECT if scale < 1 else TINY_OBJECT
    if side * scale >= least or (scale >= 1 and not present):
        return None
    reach = max(side * CONTEXT, LEAST_WINDOW) / 2
    low = np.minimum(box[:2], points.min(0)) if len(points) else box[:2]
    high = np.maximum(box[2:], points.max(0)) if len(points) else box[2:]
    middle = (low + high) / 2
    reach = max(reach, float(((high - low) * aspect).max()))
    x0, y0 = (max(0, int(v)) for v in middle - reach / aspect)
    right, bottom = middle + reach / aspect
    x1, y1 = min(w, int(right) + 1), min(h, int(bottom) + 1)
    seen = y1 - y0, x1 - x0
    gain = _scale(seen, input_size_of(seen, model, spacing), aspect) / scale
    return (x0, y0, x1, y1) if gain >= LEAST_GAIN else None


def follows_view(
    size: tuple[int, int], image_size: int, spacing: tuple[float, float] = (1.0, 1.0)
) -> bool:
    """Tell whether a plane of `size` (H, W) is so large that prompts are answered where one looks.

    The model would see all of it reduced by more than `VERY_LARGE`. See `Plane.spacing`.
    """
    lengths = [side * step / min(spacing) for side, step in zip(size, spacing, strict=True)]
    return max(lengths) > VERY_LARGE * image_size


def window_in_view(
    prompts: Prompts,
    view: Window,
    size: tuple[int, int],
    image_size: int,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> Window | None:
    """Return which part of a very large plane is looked at to answer prompts.

    It is about as large as the view, and larger than what is prompted. Its side doubles and its
    place moves by quarters of it, so that prompts near each other share it.

    Parameters
    ----------
    prompts : Prompts
        With a point or a box.
    view : (x0, y0, x1, y1) int, end exclusive
        The part of the plane that is on screen.
    size : (H, W) int
    image_size : int
        Longer side of the model's input.
    spacing : (float, float)
        See `Plane.spacing`.

    Returns
    -------
    (x0, y0, x1, y1) int, end exclusive, or None if that is the whole plane
    """
    aspect = np.array([spacing[1], spacing[0]]) / min(spacing)
    points = prompts.point_coords
    if prompts.box is not None:
        points = np.concatenate([points, prompts.box.reshape(2, 2)])
    low, high = points.min(0), points.max(0)
    seen = float(((np.array(view[2:]) - view[:2]) * aspect).max())
    least = 2 * float(((high - low) * aspect).max())
    doublings = max(
        round(np.log2(max(seen, 1.0) / image_size)),
        int(np.ceil(np.log2(max(least, 1) / image_size))),
    )
    sides = image_size * 2 ** max(doublings, 0) / aspect
    quarters = np.maximum(sides / 4, 1)
    start = np.round(((low + high) / 2 - sides / 2) / quarters) * quarters
    limits = np.array([size[1], size[0]])
    start = np.clip(start, 0, np.maximum(limits - sides, 0))
    (x0, y0), (x1, y1) = start.astype(int), np.minimum(start + sides, limits).astype(int)
    whole = (x0, y0, x1, y1) == (0, 0, size[1], size[0])
    return None if whole else (int(x0), int(y0), int(x1), int(y1))


def earlier_window(prompts: Prompts) -> Window | None:
    """Return the window that a correction goes on in; None if its prompts left it."""
    mask = prompts.mask_input
    if not isinstance(mask, MaskLogits) or mask.window is None:
        return None
    return mask.window if _inside(mask.window, prompts).all() else None


def worth_telling(prompts: Prompts) -> Prompts:
    """Return prompts without the logits of a window that they left after fewer than `CARRIED`."""
    mask = prompts.mask_input
    if not isinstance(mask, MaskLogits) or mask.window is None:
        return prompts
    inside = _inside(mask.window, prompts)
    return prompts if inside.all() or inside.sum() >= CARRIED else prompts.with_mask(None)


def check_inside(prompts: Prompts, size: tuple[int, int], margin: float = 0.0) -> None:
    """Refuse prompts beyond a plane of `size` (H, W).

    Parameters
    ----------
    prompts : Prompts
    size : (H, W) int
    margin : float
        How far a point may lie beyond the outer edge of the first or last pixel.

    Raises
    ------
    ValueError
        Naming the point that lies outside, or the box, the region or the scribble that lies wholly
        outside.
    """
    h, w = size
    low, x_high, y_high = -0.5 - margin, w - 0.5 + margin, h - 0.5 + margin
    for x, y in prompts.point_coords:
        if not (low <= x <= x_high and low <= y <= y_high):
            raise ValueError(
                f"the point ({x:g}, {y:g}) lies outside the image; x goes from 0 to {w - 1} and "
                f"y from 0 to {h - 1}"
            )
    outside = [
        ("scribble", _extent(one.path))
        for one in prompts.strokes
        if not len(pieces_inside(one.path, size)[0])
    ]
    if prompts.extent is not None:
        x0, y0, x1, y1 = prompts.extent
        if x1 < 0 or y1 < 0 or x0 > w - 1 or y0 > h - 1:
            outside.append(("box" if prompts.region is None else "region", prompts.extent))
    for name, (x0, y0, x1, y1) in outside:
        raise ValueError(
            f"the {name} {x0:g},{y0:g},{x1:g},{y1:g} lies outside the image; x goes from 0 to "
            f"{w - 1} and y from 0 to {h - 1}"
        )


def cut_to_plane(prompts: Prompts, size: tuple[int, int]) -> Prompts:
    """Return prompts whose box ends at the edges of a plane of `size` (H, W)."""
    if prompts.box is None:
        return prompts
    h, w = size
    box = np.clip(prompts.box, 0, (w - 1, h - 1, w - 1, h - 1))
    return prompts if np.array_equal(box, prompts.box) else replace(prompts, box=box)


def _scale(
    size: tuple[int, int], input_size: tuple[int, int], aspect: NDArray[np.float64]
) -> float:
    """Return how much a plane is magnified along its longer side, which is magnified least.

    Parameters
    ----------
    size, input_size : (H, W) int
    aspect : (2,) float, (x, y)
        Sides of a pixel, in those of the finest.
    """
    lengths = np.array(size[::-1]) * aspect
    longer = int(np.argmax(lengths))
    return float(input_size[1 - longer] / lengths[longer])


def _extent(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the box (x0, y0, x1, y1) around a path (N, 2)."""
    return np.concatenate([path.min(axis=0), path.max(axis=0)])


def _inside(window: Window, prompts: Prompts) -> NDArray[np.bool_]:
    """Tell which points of prompts, and which corners of their box, lie in a window."""
    x0, y0, x1, y1 = window
    points = prompts.point_coords
    if prompts.box is not None:
        points = np.concatenate([points, prompts.box.reshape(2, 2)])
    inside = (points >= (x0 - 0.5, y0 - 0.5)) & (points <= (x1 - 0.5, y1 - 0.5))
    return np.asarray(inside.all(axis=1))
