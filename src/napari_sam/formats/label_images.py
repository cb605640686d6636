"""Label images with their axes, scale and provenance: TIFF, PNG and numpy's own format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from ..files import check_target, replacing

LABEL_SUFFIXES = (".tif", ".tiff", ".npy", ".png")


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
    note = json.dumps(dict(provenance or {}), sort_keys=True)
    suffix = Path(path).suffix.lower()
    with replacing(path) as partial:
        if suffix == ".npy":
            np.save(partial, compact)
        elif suffix == ".png":
            compact = _write_png(partial, compact, note)
        else:
            _write_tiff(partial, compact, axes, scale, note)
    return compact


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
