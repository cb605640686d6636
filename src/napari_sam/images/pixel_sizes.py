"""Sizes of pixels as ImageJ and OME state them, in micrometres."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from contextlib import suppress
from typing import Any

import tifffile

MICROMETRES = {
    "nm": 1e-3, "um": 1.0, "\u00b5m": 1.0, "\u03bcm": 1.0, "\\u00b5m": 1.0, "micron": 1.0,
    "microns": 1.0, "micrometer": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6,
}  # fmt: skip


def pixel_sizes(file: tifffile.TiffFile, image: int) -> dict[str, float]:
    """Return the sizes of pixels that a TIFF file states.

    Parameters
    ----------
    file : TiffFile
    image : int
        Which of its images, where there are several.

    Returns
    -------
    dict of "Z", "Y" or "X" to float, in micrometres
        Empty if a size is zero, negative, infinite or no number: then none can be trusted.
    """
    sizes = _of_ome(file, image) if file.is_ome else _of_imagej(file)
    sound = all(math.isfinite(size) and size > 0 for size in sizes.values())
    return sizes if sound else {}


def _of_imagej(file: tifffile.TiffFile) -> dict[str, float]:
    metadata = file.imagej_metadata or {}
    unit = MICROMETRES.get(str(metadata.get("unit", "")).lower())
    if unit is None:
        return {}
    sizes = {"Z": _number(metadata["spacing"]) * unit} if "spacing" in metadata else {}
    for axis, name in (("Y", "YResolution"), ("X", "XResolution")):
        tag = file.pages.first.tags.get(name)
        if tag is not None:
            pixels, length = tag.value[:2]
            sizes[axis] = length / pixels * unit if pixels else math.inf
    return sizes


def _of_ome(file: tifffile.TiffFile, image: int) -> dict[str, float]:
    found = ET.fromstring(file.ome_metadata or "<OME/>").findall(".//{*}Pixels")
    sizes: dict[str, float] = {}
    if not found:
        return sizes
    pixels = found[image] if image < len(found) else found[0]
    for axis in "ZYX":
        value = pixels.get(f"PhysicalSize{axis}")
        unit = MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "um").lower())
        if value is not None and unit is not None:
            sizes[axis] = _number(value) * unit
    return sizes


def _number(value: Any) -> float:
    """Return a number that a file states; NaN if it is none."""
    with suppress(TypeError, ValueError):
        return float(value)
    return math.nan
