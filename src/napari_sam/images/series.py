"""Neighbouring planes that are stored as single files, z000.tif, z001.tif and so on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .transforms import resize

FEWEST = 4
"""Files of a series at least."""
SIDE = 32
"""Pixels of the sides of the pictures that are compared."""
NEAR = 0.5
CLOSER = 0.7
"""Neighbours differ by less than the first, and by this part of what distant planes differ by."""


@dataclass(frozen=True, eq=False)
class SmallPlane:
    """What is compared of a plane.

    Attributes
    ----------
    size : (H, W) int
        Of the plane.
    picture : (N,) float64
        Its brightness, made small.
    """

    size: tuple[int, int]
    picture: NDArray[np.float64]

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> SmallPlane:
        """Make one of a plane (H, W) or (H, W, 3) uint8."""
        colours = image if image.ndim == 3 else np.stack([image] * 3, axis=-1)
        small: Any = resize(colours, (SIDE, SIDE)).mean(-1).ravel()
        return cls((image.shape[0], image.shape[1]), np.asarray(small, np.float64))


def numbered_series(planes: Mapping[str, SmallPlane]) -> dict[str, tuple[str, int]]:
    """Return the series and the number in it of each file that is a plane of one.

    The names of the files of a series differ in one number only, their planes are of one size, and
    those whose numbers follow each other resemble each other clearly more than distant ones do. So
    independent images that are merely numbered are no series.

    Parameters
    ----------
    planes : mapping of str to SmallPlane
        By the path of the file.

    Returns
    -------
    dict of str to (str, int)
        By path; others are left out.
    """
    patterns: dict[str, list[tuple[int, str]]] = {}
    for path, one in planes.items():
        for pattern, number in _patterns(Path(path)):
            patterns.setdefault(f"{pattern} {one.size}", []).append((number, path))
    found: dict[str, tuple[str, int]] = {}
    for pattern in sorted(patterns, key=lambda pattern: -len(patterns[pattern])):
        files = sorted(one for one in patterns[pattern] if one[1] not in found)
        if len(files) >= FEWEST and _continuous([planes[path].picture for _, path in files]):
            found.update({path: (pattern, number) for number, path in files})
    return found


def _patterns(path: Path) -> list[tuple[str, int]]:
    """Return the path without each of the numbers in the name of the file, and that number."""
    return [
        (str(path.with_name(f"{path.name[: one.start()]}#{path.name[one.end() :]}")), int(one[0]))
        for one in re.finditer(r"[0-9]{1,18}", path.name)
    ]


def _continuous(planes: Sequence[NDArray[np.float64]]) -> bool:
    """Return whether planes in order differ clearly less from the next than from distant ones.

    They differ by 1 - r, of Pearson's correlation r of their small pictures.
    """
    pictures = np.stack(planes)
    pictures -= pictures.mean(1, keepdims=True)
    lengths = np.linalg.norm(pictures, axis=1, keepdims=True)
    pictures /= np.maximum(lengths, 1e-9)
    near, far = (
        1 - (pictures[:-step] * pictures[step:]).sum(1).mean() for step in (1, len(planes) // 2)
    )
    return bool(near < min(NEAR, CLOSER * far))
