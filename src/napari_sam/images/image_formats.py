"""What the formats of images say: pixels, names of axes, sizes of pixels."""

from __future__ import annotations

import logging
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageSequence

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk")
MICROMETRES = {
    "nm": 1e-3, "um": 1.0, "\u00b5m": 1.0, "\u03bcm": 1.0, "\\u00b5m": 1.0, "micron": 1.0,
    "microns": 1.0, "micrometer": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6,
}  # fmt: skip
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    IndexError,
    KeyError,
    struct.error,
    zlib.error,
)
"""What decoders raise at a damaged file."""
TORN = ("invalid page offset", "invalid value offset", "corrupted tag list")
"""What tifffile logs where a file ends too early."""


def read_tiff(path: Path) -> tuple[NDArray[Any], str, dict[str, float]]:
    """Return what a TIFF file holds, mapped from the file where that is possible.

    Parameters
    ----------
    path : Path

    Returns
    -------
    data : array
    axes : str
        One letter per axis, as tifffile names them.
    sizes : dict of letter to float
        Size of a pixel in micrometres, along the axes where it is known.

    Raises
    ------
    ValueError
        If the file is torn, among others.
    """
    with _torn_refused(), tifffile.TiffFile(path) as file:
        if not file.series:
            return np.zeros((0, 0)), "YX", {}
        len(file.pages)  # walks along all of them, so that a missing one is noticed
        series = file.series[0]
        axes = str(series.axes)
        sizes = _ome_sizes(file) if file.is_ome else _imagej_sizes(file)
        if series.dataoffset is not None and series.size:  # uncompressed and in one piece
            return tifffile.memmap(path, mode="r", series=0), axes, sizes
        try:
            return series.asarray(), axes, sizes
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
    return read_with_pillow(path).reshape(series.shape), axes, sizes


class _Listener(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message of a record."""
        self.messages.append(record.getMessage())


@contextmanager
def _torn_refused() -> Iterator[None]:
    """Raise where tifffile only logs: it reads the pages of a torn file that are left."""
    listener = _Listener()
    logger = logging.getLogger("tifffile")
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
    if any(sign in message for message in listener.messages for sign in TORN):
        raise ValueError("pages are missing, the file is torn")


def _imagej_sizes(file: tifffile.TiffFile) -> dict[str, float]:
    metadata = file.imagej_metadata or {}
    unit = MICROMETRES.get(str(metadata.get("unit", "")).lower())
    if unit is None:
        return {}
    sizes = {"Z": float(metadata["spacing"]) * unit} if "spacing" in metadata else {}
    for axis, name in (("Y", "YResolution"), ("X", "XResolution")):
        tag = file.pages.first.tags.get(name)
        if tag is not None and tag.value[0] and tag.value[1]:
            sizes[axis] = tag.value[1] / tag.value[0] * unit
    return sizes


def _ome_sizes(file: tifffile.TiffFile) -> dict[str, float]:
    root = ET.fromstring(file.ome_metadata or "<OME/>")
    pixels = root.find(".//{*}Pixels")
    sizes: dict[str, float] = {}
    if pixels is None:
        return sizes
    for axis in "ZYX":
        value = pixels.get(f"PhysicalSize{axis}")
        unit = MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "um").lower())
        if value is not None and unit is not None:
            sizes[axis] = float(value) * unit
    return sizes


def read_with_pillow(path: Path) -> NDArray[Any]:
    """Return the page of an image file, or all its pages as a stack.

    Raises
    ------
    ValueError
        If the pages are of different sizes.
    """
    with Image.open(path) as image:
        frames = [np.asarray(_plain(frame)) for frame in ImageSequence.Iterator(image)]
    if len({frame.shape for frame in frames}) > 1:
        raise ValueError(f"its {len(frames)} pages are of different sizes")
    return frames[0] if len(frames) == 1 else np.stack(frames)


def _plain(image: Image.Image) -> Image.Image:
    """Return an image without palette or other colour spaces."""
    if image.mode in ("LA", "La"):
        return image.convert("L")
    if image.mode in ("1", "L", "RGB", "RGBA", "F") or image.mode.startswith("I"):
        return image.copy()
    return image.convert("RGB")
