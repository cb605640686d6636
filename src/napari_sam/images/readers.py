"""Read images and stacks with the meaning of their axes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .image_formats import TIFF_SUFFIXES, UNREADABLE, read_tiff, read_with_pillow

COLOURS = (3, 4)
"""Length of a last axis that is taken for colours where the file does not name its axes."""


@dataclass(frozen=True, eq=False)
class StackImage:
    """An image with the meaning of its axes.

    Attributes
    ----------
    data : (H, W), (H, W, C), (Z, H, W) or (Z, H, W, C)
        In memory, or mapped from the file.
    axes : str
        One letter per axis: "YX", "YXS", "ZYX", "TYX", "ZYXS"; S is colour.
    scale : tuple of float or None
        Size of a pixel in micrometres along each axis but colour, None if unknown; 1 along the
        planes if only their distance is unknown.
    """

    data: NDArray[Any]
    axes: str
    scale: tuple[float, ...] | None = None

    @property
    def label_axes(self) -> str:
        """The axes without colour."""
        return self.axes.replace("S", "")

    @property
    def label_shape(self) -> tuple[int, ...]:
        """The shape of a label image that fits: that of the image without colour."""
        return tuple(self.data.shape[: len(self.label_axes)])


def read_image(path: str | Path) -> StackImage:
    """Read a TIFF, a `.npy` array, or whatever Pillow reads.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    StackImage

    Raises
    ------
    ValueError
        If the file is missing, is no image, is empty, does not hold real numbers, or has more
        than three axes besides colour.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not an image")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        if path.suffix.lower() in TIFF_SUFFIXES:
            data, axes, sizes = read_tiff(path)
        elif path.suffix.lower() == ".npy":
            data, axes, sizes = np.load(path, mmap_mode="r"), "", {}
        else:
            data, axes, sizes = read_with_pillow(path), "", {}
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path} is too large for this format; save it as TIFF") from error
    except (UnidentifiedImageError, *UNREADABLE) as error:
        raise ValueError(f"{path} is not an image that can be read: {error}") from error
    return _normalised(path, data, axes, sizes)


def _normalised(path: Path, data: NDArray[Any], axes: str, sizes: dict[str, float]) -> StackImage:
    """Bring the axes into the order planes, rows, columns, colour, and name them."""
    if data.size == 0:
        raise ValueError(f"{path} is empty: its shape is {data.shape}")
    if data.dtype.kind not in "buif":
        raise ValueError(f"{path} holds {data.dtype}, but an image holds real numbers")
    if not axes or ("S" not in axes and set(axes) & set("QI")):
        axes = _guessed(data.shape)
    keep = [i for i, letter in enumerate(axes) if letter in "YX" or data.shape[i] > 1]
    data = data.reshape([data.shape[i] for i in keep])
    axes = "".join(axes[i] for i in keep)
    colour = [i for i, letter in enumerate(axes) if letter in "SC"]
    if len(colour) == 1:
        data = np.moveaxis(data, colour[0], -1)
        axes = axes.replace(axes[colour[0]], "") + "S"
    planes = axes.replace("S", "")
    if len(colour) > 1 or len(planes) not in (2, 3) or not planes.endswith("YX"):
        raise ValueError(
            f"{path} has the axes {axes} and the shape {data.shape}, but an image has two axes "
            "or three, and colour; write out the part that matters"
        )
    if len(planes) == 3 and planes[0] not in "ZT":
        axes = "Z" + axes[1:]
        planes = axes.replace("S", "")
    known = {"Y", "X"} <= sizes.keys()
    scale = tuple(sizes.get(letter, 1.0) for letter in planes) if known else None
    return StackImage(data, axes, scale)


def _guessed(shape: tuple[int, ...]) -> str:
    """Return the axes of an array that nobody described."""
    if len(shape) < 2:
        return "X"[: len(shape)]
    coloured = len(shape) > 2 and shape[-1] in COLOURS
    spatial = len(shape) - coloured
    return "QQQQQQQQ"[: spatial - 2].replace("Q", "Z", 1) + "YX" + "S" * coloured
