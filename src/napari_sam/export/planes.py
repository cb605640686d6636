"""The planes that an export is compared on; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage import data

from ..images.labelled import MARK
from ..images.readers import StackImage, read_image
from ..images.samples import cells_stack

SAMPLES = ("immunohistochemistry", "cell", "coins")
MOST = 8
"""Planes of folders that are used."""


class NamedPlane(NamedTuple):
    """One plane.

    Attributes
    ----------
    name : str
    image : (H, W) or (H, W, C) real
    """

    name: str
    image: NDArray[Any]


def read_planes(paths: Sequence[Path]) -> list[NamedPlane]:
    """Return the planes of files, the middle one of a stack; samples where no file is given.

    Parameters
    ----------
    paths : sequence of Path
        Of a folder, the first `MOST` images are taken.

    Raises
    ------
    ValueError
        If a file is no image, or a folder holds none.
    """
    if not paths:
        stack = cells_stack()
        drawn = NamedPlane("cells_stack", stack[len(stack) // 2])
        return [*(NamedPlane(name, np.asarray(getattr(data, name)())) for name in SAMPLES), drawn]
    planes: list[NamedPlane] = []
    for path in paths:
        found = list(_of_folder(path)) if path.is_dir() else [_plane(path, read_image(path))]
        if not found:
            raise ValueError(f"{path} holds no image to compare on; give others with --images")
        planes += found
    return planes


def _of_folder(folder: Path) -> Iterator[NamedPlane]:
    count = 0
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.stem.endswith(MARK):
            continue
        try:
            plane = _plane(path, read_image(path))
        except ValueError:  # other files may lie there, too
            continue
        yield plane
        count += 1
        if count == MOST:
            return


def _plane(path: Path, image: StackImage) -> NamedPlane:
    pixels, axes = image.data, image.axes
    while axes[0] not in "YX":
        pixels, axes = pixels[pixels.shape[0] // 2], axes[1:]
    return NamedPlane(path.name, np.asarray(pixels[...]))
