"""What a model is asked for a region or a scribble: points, a box and logits, which models take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..types import Mask, MaskLogits, Prompts, Stroke
from .kept_masks import logits_of
from .paths import pieces_inside

if TYPE_CHECKING:
    from ..models.contract import PromptableModel

BLUR = 0.15
"""Of the logits of a region; see `blurred`."""
STROKE_POINTS = 3
"""Points that stand for a scribble, at most."""
STROKE_STEP = 4.0
"""Least distance of two of them along the scribble, in pixels of the plane."""


def lowered(
    prompts: Prompts,
    size: tuple[int, int],
    model: PromptableModel,
    spacing: tuple[float, float] = (1.0, 1.0),
    closer_look: bool = True,
) -> Prompts:
    """Return prompts with points, a box and logits in the place of a region and scribbles.

    A region becomes the box around it and, unless there are logits already, logits of its inside.
    They are blurred, because it is drawn roughly: so the model follows the image near the edge. A
    scribble becomes a few points along it. `benchmarks/prompt_forms.py` compares other forms.

    Parameters
    ----------
    prompts : Prompts
    size : (H, W) int
        Of the plane.
    model : PromptableModel
        That will be asked.
    spacing : (float, float)
        See `Plane.spacing`.
    closer_look : bool
        See `kept_masks.logits_of`.

    Returns
    -------
    Prompts
        The same ones if there is nothing to do.

    Raises
    ------
    ValueError
        If a scribble lies outside the plane and nothing else is said.
    """
    if prompts.region is None and not prompts.strokes:
        return prompts
    groups = [(prompts.point_coords, prompts.point_labels)]
    for stroke in prompts.strokes:
        points = stroke_points(stroke, size)
        groups.append((points, np.full(len(points), stroke.label)))
    plain = Prompts(
        np.concatenate([coords for coords, _ in groups]),
        np.concatenate([labels for _, labels in groups]),
        prompts.extent,
        prompts.mask_input,
        prompts.guide,
    )
    if prompts.region is None or plain.mask_input is not None:
        return plain
    inside = region_mask(prompts.region, size)
    if not inside:
        return plain
    return plain.with_mask(blurred(logits_of(inside, model, plain, spacing, closer_look)))


def blurred(logits: MaskLogits, blur: float = BLUR) -> MaskLogits:
    """Return logits that change slowly from the inside to the outside.

    Parameters
    ----------
    logits : MaskLogits
    blur : float
        Standard deviation of the Gaussian, in square roots of the area inside.
    """
    sigma = blur * np.sqrt(np.count_nonzero(logits.values > 0))
    values = ndimage.gaussian_filter(logits.values, sigma, mode="nearest")
    return MaskLogits(values, logits.frame, logits.window)


def stroke_points(
    stroke: Stroke, size: tuple[int, int], most: int = STROKE_POINTS
) -> NDArray[np.float64]:
    """Return points, evenly spaced, along what lies of a scribble in the plane.

    Parameters
    ----------
    stroke : Stroke
    size : (H, W) int
    most : int

    Returns
    -------
    (N, 2) float, (x, y)
        None if all of it lies outside.
    """
    starts, ends = pieces_inside(stroke.path, size)
    if not len(starts):
        return np.zeros((0, 2))
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*(ends - starts).T))])
    count = int(np.clip(way[-1] / STROKE_STEP + 1, 1, most))
    places = (np.arange(count) + 0.5) / count * way[-1]
    vertices = np.stack([starts, ends], axis=1).reshape(-1, 2)
    ways = np.stack([way[:-1], way[1:]], axis=1).ravel()
    points = [np.interp(places, ways, vertices[:, axis]) for axis in (0, 1)]
    return np.stack(points, axis=1)


def region_mask(region: NDArray[np.float64], size: tuple[int, int]) -> Mask:
    """Return the pixels whose centres lie in a polygon; where it crosses itself it has no holes.

    Parameters
    ----------
    region : (N, 2) float, (x, y)
    size : (H, W) int
        Of the plane; what lies beyond is left out.
    """
    last = np.array([size[1], size[0]]) - 1
    x0, y0 = np.clip(np.ceil(region.min(axis=0)), 0, last + 1).astype(int)
    x1, y1 = np.clip(np.floor(region.max(axis=0)), -1, last).astype(int)
    if x1 < x0 or y1 < y0:
        return Mask.of(np.zeros((1, 1), bool), size=size)
    rows = np.arange(y0, y1 + 1)[:, None]
    (ax, ay), (bx, by) = region.T, np.roll(region, -1, axis=0).T
    row, edge = np.nonzero((ay <= rows) != (by <= rows))
    slope = (bx - ax)[edge] / (by - ay)[edge]
    column = np.ceil(ax[edge] + (rows[row, 0] - ay[edge]) * slope) - x0
    turns = np.zeros((len(rows), x1 - x0 + 2), np.int64)  # of the outline about what follows
    np.add.at(
        turns,
        (row, np.clip(column, 0, turns.shape[1] - 1).astype(int)),
        np.where(by[edge] > ay[edge], 1, -1),
    )
    return Mask.of(np.cumsum(turns, axis=1)[:, :-1] != 0, (int(x0), int(y0)), size)
