"""Planes of a DICOM series in the order of their positions, on a regular grid."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .decoding import UnreadableImageError
from .dicom_headers import MARKS, Frame
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


def volumes(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Return the images of each volume: of one series, size and orientation, one at a position.

    They are in the order of their series' numbers.
    """
    kinds: dict[Hashable, list[Frame]] = defaultdict(list)
    for one in frames:
        kinds[one.kind].append(one)
    found = [part for some in kinds.values() for same in _aligned(some) for part in _parted(same)]
    return sorted(found, key=lambda some: (some[0].number, some[0].series, some[0].instance))


def grid_of(frames: Sequence[Frame], name: str, like: WorldAffine | None = None) -> Grid:
    """Return the planes of a volume ordered by their positions along the normal.

    Parameters
    ----------
    frames : sequence of Frame
        One of `volumes`.
    name : str
        Of the file or folder, for messages.
    like : WorldAffine, optional
        Of an image whose distance of planes they have; by default that of the nearest planes.

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
    distance = None if like is None else float(np.abs(like.lps[:3, :3].T @ normal).max())
    numbers = _numbers(np.sort(places), name, distance)
    if len(ordered) == 1:
        step, origin = normal * (distance or first.step or 1.0), positions[0]
    else:
        step, origin = np.polyfit(numbers, positions, 1)
    _check_row(positions, numbers, step, origin, name)
    whole: list[Frame | None] = [None] * (int(numbers[-1]) + 1)
    for number, one in zip(numbers, ordered, strict=True):
        whole[number] = one
    world = from_planes(origin.tolist(), first.orientation, step, first.spacing)
    notices = _missing_text(whole), _gap_text(first, float(step @ normal), len(ordered))
    return Grid(tuple(whole), world, "; ".join(one for one in notices if one))


def _aligned(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Return images by their directions and spacing, which files round in different ways."""
    groups: list[list[Frame]] = []
    for one in frames:
        group = next((some for some in groups if some[0].is_aligned(one)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return groups


def _parted(frames: list[Frame]) -> list[list[Frame]]:
    """Return the images of one kind by what tells those at one position apart, if anything does."""
    if not _several(frames):
        return [frames]
    for k in range(len(MARKS)):
        parts: dict[str, list[Frame]] = defaultdict(list)
        for one in frames:
            parts[one.marks[k]].append(one)
        if len(parts) > 1 and not any(_several(some) for some in parts.values()):
            return list(parts.values())
    for k in range(len(MARKS)):  # two marks together, such as echo and part of the number
        parts = defaultdict(list)
        for one in frames:
            parts[one.marks[k]].append(one)
        if len(parts) > 1:
            return [part for some in parts.values() for part in _parted(some)]
    return [frames]


def _several(frames: Sequence[Frame]) -> bool:
    """Tell whether several images lie at one position."""
    places = Counter(tuple(np.round(one.position, 3)) for one in frames if one.position is not None)
    return any(count > 1 for count in places.values())


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
