"""Planes of a DICOM series in the order of their positions, on a regular grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .decoding import UnreadableImageError
from .dicom_headers import Frame
from .world import WorldAffine, from_planes

UNEVEN = 0.02
"""Largest distance of a plane from its place on the grid, as a share of the planes' distance."""
ROUNDING = 0.01
"""The same in millimetres; positions are written with few digits."""
MOST_STRETCH = 4
"""A grid has at most so many times the planes that are there."""
SQUARE = 1e-3
"""Largest cosine of the angle between rows and columns."""


class Grid(NamedTuple):
    """Planes in order.

    Attributes
    ----------
    frames : tuple of Frame or None
        None for a plane that is missing.
    world : WorldAffine or None
        None if the files do not say where the planes lie.
    notice : str
        What is missing between them, a sentence; empty if nothing is.
    """

    frames: tuple[Frame | None, ...]
    world: WorldAffine | None
    notice: str = ""


def grid_of(
    frames: Sequence[Frame],
    name: str,
    like: WorldAffine | None = None,
    stated: bool = False,
    most: int | None = None,
) -> Grid:
    """Return the planes of a volume ordered by their positions along the normal.

    Parameters
    ----------
    frames : sequence of Frame
        One point in time of a `Volume`.
    name : str
        Of the file or folder, for messages.
    like : WorldAffine, optional
        Of an image whose distance of planes they have; by default that of the nearest planes.
    stated : bool
        Whether it is the one that they state, if they do: of labels any plane may be left out.
    most : int, optional
        Planes of a grid; more are refused.

    Raises
    ------
    UnreadableImageError
        If they lie on no regular grid, or two at one position.
    """
    ordered = sorted(frames, key=lambda one: one.instance)
    first = ordered[0]
    if first.position is None or first.orientation is None or first.spacing is None:
        return Grid(tuple(ordered), None)
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(row, column)
    if abs(np.linalg.norm(row) - 1) > SQUARE or abs(np.linalg.norm(normal) - 1) > SQUARE:
        raise UnreadableImageError(f"{name} states directions of rows and columns that are none")
    places = np.array([one.position for one in ordered]) @ normal
    ordered = [ordered[k] for k in np.argsort(places, kind="stable")]
    positions = np.array([one.position for one in ordered])
    distance = _stated(first, np.sort(places)) if stated else None
    if like is not None:
        distance = float(np.abs(like.lps[:3, :3].T @ normal).max())
    numbers = _numbers(np.sort(places), name, distance)
    if len(ordered) == 1:
        step = normal * (distance or first.apart or first.thickness or 1.0)
        origin = positions[0]
    else:
        step, origin = np.polyfit(numbers, positions, 1)
    _check_row(positions, numbers, step, origin, name)
    if most is not None and not 0 <= numbers[-1] < most:
        raise UnreadableImageError(
            f"{name} would have {numbers[-1] + 1} planes, far more than it holds"
        )
    whole: list[Frame | None] = [None] * (int(numbers[-1]) + 1)
    for number, one in zip(numbers, ordered, strict=True):
        whole[number] = one
    world = from_planes(origin.tolist(), first.orientation, step, first.spacing, first.reference)
    notices = _missing_text(whole), _gap_text(first, float(step @ normal), len(ordered))
    return Grid(tuple(whole), world, "; ".join(one for one in notices if one))


def _stated(first: Frame, places: NDArray[Any]) -> float | None:
    """Return the distance of planes that a file states; places ascend.

    None where it is smaller than that of all planes, which is their thickness: some programs state
    the gap between planes in its place.
    """
    least = float(np.diff(places).min(initial=np.inf))
    if first.apart is None or first.thickness is None or least <= first.apart * (1 + UNEVEN):
        return first.apart
    thick = abs(least - first.thickness) <= max(UNEVEN * least, ROUNDING)
    return None if thick else first.apart


def _numbers(places: NDArray[Any], name: str, distance: float | None) -> NDArray[Any]:
    """Return which plane of a regular grid lies at each place, from 0; places ascend."""
    if len(places) == 1:
        return np.zeros(1, np.int64)
    apart = np.diff(places)
    step = distance or float(apart.min())
    if apart.min() < ROUNDING / 10:
        raise UnreadableImageError(
            f"{name} holds several images at {places[int(apart.argmin())]:.2f} mm along the "
            "normal, and nothing tells them apart; keep one image of each position in the folder"
        )
    for most in (1, 8, 64) if distance is None else ():  # the smallest distance is a rough one
        counts = np.rint(apart / step)
        near = counts <= most
        step = float(apart[near].sum() / counts[near].sum())
    numbers = np.append(0, np.cumsum(np.rint(apart / step).astype(np.int64)))
    if numbers[-1]:
        step, origin = (float(one) for one in np.polyfit(numbers, places, 1))
    else:
        origin = float(places[0])
    off = np.abs(places - origin - numbers * step)
    sparse = distance is None and numbers[-1] + 1 > MOST_STRETCH * len(places)
    if off.max() > max(UNEVEN * step, ROUNDING) or sparse:
        wide = int(np.abs(apart - np.median(apart)).argmax())
        raise UnreadableImageError(
            f"the planes of {name} are not evenly spaced: they are {np.median(apart):.2f} mm "
            f"apart, but {apart[wide]:.2f} mm from {places[wide]:.2f} to {places[wide + 1]:.2f} mm "
            "along the normal; resample the series, or leave only an even part in the folder"
        )
    return np.asarray(numbers)


def _check_row(
    positions: NDArray[Any],
    numbers: NDArray[Any],
    step: NDArray[Any],
    origin: NDArray[Any],
    name: str,
) -> None:
    """Refuse planes that do not lie one after another on a straight line."""
    off = np.linalg.norm(positions - origin - numbers[:, None] * step, axis=1)
    if off.max() > max(UNEVEN * np.linalg.norm(step), ROUNDING):
        raise UnreadableImageError(
            f"the planes of {name} are shifted against one another by up to {off.max():.2f} mm; "
            "resample the series"
        )


def _missing_text(whole: Sequence[Frame | None]) -> str:
    missing = [k for k, one in enumerate(whole) if one is None]
    if not missing:
        return ""
    shown = ", ".join(map(str, missing[:10])) + (" ..." if len(missing) > 10 else "")
    planes = "plane" if len(missing) == 1 else "planes"
    return f"{len(missing)} of {len(whole)} planes are missing and are left blank: {planes} {shown}"


def _gap_text(first: Frame, step: float, count: int) -> str:
    gap = step - (first.thickness or step)
    if count == 1 or gap <= max(UNEVEN * step, ROUNDING):
        return ""
    return (
        f"the planes are {step:.2f} mm apart, but {first.thickness:.2f} mm thick, so that "
        f"{gap:.2f} mm between them were not imaged"
    )
