"""Neighbouring planes that are stored as single files, z000.tif, z001.tif and so on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...images.transforms import resize
from .examples import Example

FEWEST = 4
"""Files of a series at least."""
SIDE = 32
"""Pixels of the sides of the pictures that are compared."""
NEAR = 0.5
CLOSER = 0.7
"""Neighbours differ by less than the first, and by this part of what distant planes differ by."""


def series_of(examples: Sequence[Example]) -> dict[str, tuple[str, int]]:
    """Return the series and the number in it of each group that is a plane of one.

    The names of the files of a series differ in one number only, their planes are of one size, and
    those whose numbers follow each other resemble each other clearly more than distant ones do. So
    independent images that are merely numbered are no series.

    Parameters
    ----------
    examples : sequence of Example
        Those whose group is a file of a single plane count.

    Returns
    -------
    dict of str to (str, int)
        By group; others are left out.
    """
    planes: dict[str, Example] = {}
    several = set()
    for one in examples:
        first = planes.setdefault(one.group, one)
        if not one.group or one.stack or one.digest != first.digest:
            several.add(one.group)
    patterns: dict[str, list[tuple[int, str]]] = {}
    for group, one in planes.items():
        if group not in several:
            for pattern, number in _patterns(Path(group)):
                patterns.setdefault(f"{pattern} {one.labels.shape}", []).append((number, group))
    found: dict[str, tuple[str, int]] = {}
    for pattern in sorted(patterns, key=lambda pattern: -len(patterns[pattern])):
        files = sorted(one for one in patterns[pattern] if one[1] not in found)
        if len(files) >= FEWEST and _continuous([planes[group] for _, group in files]):
            found.update({group: (pattern, number) for number, group in files})
    return found


def _patterns(path: Path) -> list[tuple[str, int]]:
    """Return the path without each of the numbers in the name of the file, and that number."""
    return [
        (str(path.with_name(f"{path.name[: one.start()]}#{path.name[one.end() :]}")), int(one[0]))
        for one in re.finditer(r"[0-9]{1,18}", path.name)
    ]


def _continuous(planes: Sequence[Example]) -> bool:
    """Return whether planes in order differ clearly less from the next than from distant ones.

    They differ by 1 - r, of Pearson's correlation r of their small pictures.
    """
    pictures = np.stack([_small(one) for one in planes])
    pictures -= pictures.mean(1, keepdims=True)
    lengths = np.linalg.norm(pictures, axis=1, keepdims=True)
    pictures /= np.maximum(lengths, 1e-9)
    near, far = (
        1 - (pictures[:-step] * pictures[step:]).sum(1).mean() for step in (1, len(planes) // 2)
    )
    return bool(near < min(NEAR, CLOSER * far))


def _small(one: Example) -> NDArray[np.float64]:
    colours = one.image if one.image.ndim == 3 else np.stack([one.image] * 3, axis=-1)
    return np.asarray(resize(colours, (SIDE, SIDE)).mean(-1).ravel(), np.float64)
