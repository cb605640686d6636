"""Where an image lies in the world of a viewer, and which of its planes napari shows there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pint
from napari.components import Dims
from napari.utils.transforms import Affine
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

MIXED = 1e-8
"""A smaller share of a hidden axis in a displayed one is rounding."""
SQUARE = 0.05
"""Pixels whose sides differ by a smaller share count as square."""
MOST_STRETCHED = 10.0
"""Pixels are stretched by no more than this to become square: of a plane a few pixels high, the
model would see stripes, in which it finds nothing."""
TURNED = (
    "the image is turned so far that the slider does not move through its planes; "
    "reset the rotation, shear and affine of its layer"
)
THICK = (
    "the viewer shows thick slices, a projection of several planes, and the model sees one plane; "
    "set the thickness of the slice to 0"
)


def world_transform(transform: Mapping[str, Any], dims: Dims) -> Affine:
    """Return the transform from pixels to the world of a viewer, in the viewer's units.

    Parameters
    ----------
    transform : mapping
        Of a layer: `scale`, `translate`, `rotate`, `shear`, `affine` and `units`.
    dims : napari.components.Dims
        Of the viewer.

    Returns
    -------
    napari.utils.transforms.Affine
    """
    matrix = np.asarray(transform["affine"], np.float64)
    placed = Affine(affine_matrix=matrix).compose(inner_transform(transform))
    factors = np.array(_unit_factors(transform["units"], dims.units))
    return Affine(
        linear_matrix=factors[:, None] * placed.linear_matrix,
        translate=factors * placed.translate,
    )


def inner_transform(transform: Mapping[str, Any]) -> Affine:
    """Return the transform of a layer without its affine matrix."""
    return Affine(**{name: transform[name] for name in ("scale", "translate", "rotate", "shear")})


def displayed_axes(dims: Dims, ndim: int) -> tuple[int, int]:
    """Return the axes of an image that a viewer shows as rows and columns.

    Raises
    ------
    ValueError
        If it shows three dimensions, or other axes than those of the image.
    """
    if dims.ndisplay != 2:
        raise ValueError("switch to the 2-D view to prompt")
    rows, columns = (axis - (dims.ndim - ndim) for axis in dims.displayed)
    if min(rows, columns) < 0:
        raise ValueError("the displayed axes are not those of the image; roll them back")
    return rows, columns


def hidden_position(transform: Mapping[str, Any], dims: Dims, ndim: int) -> dict[int, float]:
    """Return where the sliders of a viewer stand in an image, by hidden axis, in pixels.

    The rule is napari's own (`Affine.set_slice`): only the hidden axes take part, so a plane
    stays a plane where rotation or shear mix them with the displayed ones.

    Raises
    ------
    ValueError
        If the sliders do not move through the planes of the image.
    """
    displayed = displayed_axes(dims, ndim)
    hidden = [axis for axis in range(ndim) if axis not in displayed]
    if not hidden:
        return {}
    to_pixels = _inverse(world_transform(transform, dims))
    if _turned(to_pixels.linear_matrix, hidden):
        raise ValueError(TURNED)
    to_pixels = to_pixels.set_slice(hidden)
    point = np.asarray(dims.point)[dims.ndim - ndim :][hidden]
    position = np.atleast_1d(to_pixels(point))
    return dict(zip(hidden, (float(one) for one in position), strict=True))


def check_thin(dims: Dims, ndim: int, projection: str) -> None:
    """Refuse thick slices.

    Parameters
    ----------
    dims : napari.components.Dims
    ndim : int
        Of the image.
    projection : str
        How the image layer projects the planes of a thick slice; "none" shows one of them.

    Raises
    ------
    ValueError
        If more than one plane is shown.
    """
    if projection == "none":
        return
    margins = np.array([dims.margin_left, dims.margin_right])[:, dims.ndim - ndim :]
    hidden = [axis for axis in range(ndim) if axis not in displayed_axes(dims, ndim)]
    if (margins[:, hidden] > 0).any():
        raise ValueError(THICK)


def drawing_transform(transform: Mapping[str, Any], dims: Dims) -> dict[str, Any]:
    """Return the transform for layers that are drawn on exactly the shown plane of an image.

    It is that of the image, unless that mixes hidden and displayed axes or has other units than
    the viewer. There napari would place a click on another plane, so the result then has the
    viewer's units and no mixed terms, and agrees with the image in each plane on its own.

    Parameters
    ----------
    transform : mapping
        Of the image.
    dims : napari.components.Dims

    Returns
    -------
    dict with the same names
    """
    ndim = len(transform["scale"])
    try:
        displayed = list(displayed_axes(dims, ndim))
    except ValueError:
        return dict(transform)  # no plane is shown
    hidden = [axis for axis in range(ndim) if axis not in displayed]
    world = world_transform(transform, dims)
    same_units = np.allclose(_unit_factors(transform["units"], dims.units), 1)
    if same_units and not _mixes(world.linear_matrix, displayed, hidden):
        return dict(transform)
    to_pixels = _inverse(world)
    if _turned(to_pixels.linear_matrix, hidden):
        return dict(transform)  # no plane can be worked on
    linear, offset = np.zeros((ndim, ndim)), np.array(world.translate)
    linear[np.ix_(displayed, displayed)] = world.linear_matrix[np.ix_(displayed, displayed)]
    if hidden:
        sliced = to_pixels.set_slice(hidden)
        back = np.linalg.inv(sliced.linear_matrix)
        linear[np.ix_(hidden, hidden)] = back
        offset[hidden] = -back @ sliced.translate
    matrix = np.eye(ndim + 1)
    matrix[:ndim, :ndim], matrix[:ndim, ndim] = linear, offset
    units = transform["units"] if dims.units is None else tuple(dims.units)[-ndim:]
    return {
        "scale": np.ones(ndim),
        "translate": np.zeros(ndim),
        "rotate": np.eye(ndim),
        "shear": np.zeros(ndim * (ndim - 1) // 2),
        "affine": matrix,
        "units": units,
    }


def pixel_spacing(
    transform: Mapping[str, Any], dims: Dims, displayed: Sequence[int]
) -> tuple[float, float]:
    """Return how large a pixel is shown along rows' and columns' axis: their ratio, and 1.

    Both are 1 where they differ by less than `SQUARE`; the ratio is `MOST_STRETCHED` at most.
    """
    linear = world_transform(transform, dims).linear_matrix[np.ix_(displayed, displayed)]
    rows, columns = np.linalg.norm(linear, axis=0)
    ratio = float(np.clip(rows / columns, 1 / MOST_STRETCHED, MOST_STRETCHED))
    return (1.0, 1.0) if abs(np.log(ratio)) < SQUARE else (float(f"{ratio:.3g}"), 1.0)


def pixel_area(transform: Mapping[str, Any], displayed: Sequence[int]) -> float:
    """Return the area of a pixel as it is shown, in squares of the layer's own unit."""
    matrix = np.asarray(transform["affine"], np.float64)
    placed = Affine(affine_matrix=matrix).compose(inner_transform(transform))
    return abs(float(np.linalg.det(placed.linear_matrix[np.ix_(displayed, displayed)])))


def pixel_sides(transform: Mapping[str, Any]) -> tuple[float, ...]:
    """Return how long a pixel is along each axis of a layer, in the layer's own unit."""
    matrix = np.asarray(transform["affine"], np.float64)
    placed = Affine(affine_matrix=matrix).compose(inner_transform(transform))
    return tuple(float(side) for side in np.linalg.norm(placed.linear_matrix, axis=0))


def _mixes(linear: Matrix, displayed: Sequence[int], hidden: Sequence[int]) -> bool:
    """Tell whether displayed axes depend on hidden ones, or the other way round."""
    mixed = [*linear[np.ix_(displayed, hidden)].flat, *linear[np.ix_(hidden, displayed)].flat]
    return bool(np.abs(mixed).max(initial=0) > MIXED * np.abs(linear).max())


def _turned(to_pixels: Matrix, hidden: Sequence[int]) -> bool:
    """Tell whether the sliders of the hidden axes do not reach all planes."""
    least = MIXED * float(np.abs(to_pixels).max())
    rank = np.linalg.matrix_rank(to_pixels[np.ix_(hidden, hidden)], tol=least)
    return bool(rank < len(hidden))


def _inverse(transform: Affine) -> Affine:
    try:
        return transform.inverse
    except np.linalg.LinAlgError:
        raise ValueError(TURNED) from None


def _unit_factors(
    units: Sequence[pint.Unit], world: Sequence[pint.Unit] | None
) -> tuple[float, ...]:
    """Return how many units of the world one unit of each axis of a layer is."""
    if world is None or len(world) < len(units):
        return (1.0,) * len(units)

    def base(unit: pint.Unit) -> float:
        return float((1 * unit).to_base_units().magnitude)

    pairs = zip(units, tuple(world)[-len(units) :], strict=True)
    return tuple(base(own) / base(other) for own, other in pairs)
