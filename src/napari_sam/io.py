"""Read images and stacks; write labels with their axes, scale and provenance."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from .decoders import TIFF_SUFFIXES, UNREADABLE, read_tiff, read_with_pillow

LABEL_SUFFIXES = (".tif", ".tiff", ".npy", ".png")
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


def check_target(path: str | Path, source: str | Path | None, overwrite: bool) -> None:
    """Refuse a place where a result cannot go; call it before the long work.

    Parameters
    ----------
    path : str or Path
        The result.
    source : str or Path or None
        The input, which is never written to.
    overwrite : bool

    Raises
    ------
    ValueError
        If there is no such folder or no right to write in it, the path is the input's, or a file
        is there and may not be overwritten.
    """
    path = Path(path)
    folder = path.resolve().parent
    if not folder.is_dir():
        raise ValueError(f"no place for the result: there is no folder {folder}")
    if path.is_dir():
        raise ValueError(f"no place for the result: {path} is a folder")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"no place for the result: the folder {folder} is write-protected")
    if source is not None and _same_file(path, Path(source)):
        raise ValueError(f"the result {path} would replace the input; choose another name")
    if (path.exists() or path.is_symlink()) and not overwrite:
        raise ValueError(f"{path} exists; choose another name or give --overwrite")


def check_label_target(
    path: str | Path, source: str | Path | None, overwrite: bool, dimensions: int
) -> None:
    """Do as `check_target`, and refuse a format that labels of so many axes cannot go to."""
    suffix = Path(path).suffix.lower()
    if suffix not in LABEL_SUFFIXES:
        known = ", ".join(LABEL_SUFFIXES)
        raise ValueError(f"labels are written as {known}, but the result is called {path}")
    if suffix == ".png" and dimensions != 2:
        raise ValueError("a .png holds one plane; write the labels of a stack as .tif or .npy")
    check_target(path, source, overwrite)


def write_labels(
    path: str | Path,
    labels: NDArray[np.integer],
    axes: str,
    scale: tuple[float, ...] | None = None,
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
    source: str | Path | None = None,
) -> NDArray[np.unsignedinteger]:
    """Write labels as the smallest unsigned integers that hold them.

    They go to a temporary file beside the target, which takes its place when it is complete.

    Parameters
    ----------
    path : str or Path
        `.tif` (OME-TIFF, compressed; axes, scale and provenance in the description), `.npy` (the
        numbers alone), or `.png` (one plane of 16 bit; provenance as a text).
    labels : (H, W) or (Z, H, W) int
    axes : str
        One letter per axis.
    scale : tuple of float, optional
        Micrometres, one per axis.
    overwrite : bool
    provenance : mapping, optional
        Written as JSON: program, version, model, parameters.
    source : str or Path, optional
        The input, which is never written to.

    Returns
    -------
    The labels as they were written.

    Raises
    ------
    ValueError
        If the place or the labels will not do.
    """
    check_label_target(path, source, overwrite, labels.ndim)
    if len(axes) != labels.ndim:
        raise ValueError(f"{labels.ndim} axes need as many letters, but there are {axes!r}")
    compact = smallest(labels)
    target = Path(path).resolve()
    note = json.dumps(dict(provenance or {}), sort_keys=True)
    partial = beside(target)
    try:
        if target.suffix.lower() == ".npy":
            np.save(partial, compact)
        elif target.suffix.lower() == ".png":
            compact = _write_png(partial, compact, note)
        else:
            _write_tiff(partial, compact, axes, scale, note)
        partial.replace(target)
    except OSError as error:
        raise ValueError(f"no place for the result {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return compact


def write_text(path: str | Path, text: str, source: str | Path | None, overwrite: bool) -> None:
    """Write a text beside its target and rename it; raises as `check_target` does."""
    check_target(path, source, overwrite)
    target = Path(path).resolve()
    partial = beside(target)
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise ValueError(f"no place for the result {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def beside(target: Path) -> Path:
    """Return the name of a temporary file in the folder of `target`, with its suffix."""
    return target.with_name(f".{target.stem}.{os.getpid()}.partial{target.suffix}")


def smallest(labels: NDArray[np.integer]) -> NDArray[np.unsignedinteger]:
    """Return labels as the smallest unsigned integers that hold them.

    Raises
    ------
    ValueError
        If one is negative, or they are not integers.
    """
    if labels.dtype.kind not in "bui":
        raise ValueError(f"labels are integers, but these are {labels.dtype}")
    if labels.size and labels.min() < 0:
        raise ValueError(f"labels are not negative, but one is {labels.min()}")
    largest = int(labels.max()) if labels.size else 0
    return labels.astype(np.min_scalar_type(largest))


def _same_file(a: Path, b: Path) -> bool:
    if a.resolve() == b.resolve():
        return True
    return a.exists() and b.exists() and a.samefile(b)


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


def _write_tiff(
    path: Path,
    labels: NDArray[np.unsignedinteger],
    axes: str,
    scale: tuple[float, ...] | None,
    note: str,
) -> None:
    metadata: dict[str, Any] = {"axes": axes, "Description": note}
    for axis, size in zip(axes, scale or (), strict=False):
        if axis in "ZYX":
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "\u00b5m"}
    tifffile.imwrite(
        path, labels, ome=True, compression="zlib", photometric="minisblack", metadata=metadata
    )


def _write_png(
    path: Path, labels: NDArray[np.unsignedinteger], note: str
) -> NDArray[np.unsignedinteger]:
    if labels.dtype.itemsize > 2:
        raise ValueError(f"a .png holds 65535 labels, but there are {labels.max()}; write a .tif")
    wide = labels.astype(np.uint16)
    information = PngImagePlugin.PngInfo()
    information.add_text("Description", note)
    Image.fromarray(wide).save(path, pnginfo=information)
    return wide
