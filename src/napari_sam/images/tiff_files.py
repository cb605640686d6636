"""TIFF files: one of their images, whole or plane by plane; what tifffile only logs is an error."""

from __future__ import annotations

import logging
import math
import re
import weakref
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from .blocks import Blocks, paged
from .decoding import UnreadableImageError, decoding
from .pillow_files import lzw_page
from .pixel_sizes import pixel_sizes
from .plane_stack import LIMIT_BYTES, SameFile, check_size, raw_blocks
from .scan import Scan
from .tiff_colours import check_colour_space, palette_of
from .tiff_series import choose_series

HARMLESS = (
    "subfiletype", "GDAL_NODATA", "Datetime", "file name is invalid", "ignoring predictor",
)  # fmt: skip
"""What tifffile logs without any loss of pixels; any other warning of its is raised."""
COLOURS = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
LZW = tifffile.COMPRESSION.LZW

Page = tifffile.TiffPage | tifffile.TiffFrame


class TiffImage(NamedTuple):
    """The content of a TIFF file.

    Attributes
    ----------
    data : array or Blocks
        Blocks where it is too large for memory.
    axes : str
        One letter per axis as tifffile names them; S is red, green, blue (and alpha), C any other
        channels.
    sizes : dict of letter to float
        Size of a pixel in micrometres, of T in seconds, along the axes where it is known.
    notice : str
        What was left out; empty if nothing.
    origin : mapping of letter to float
        Where the centre of the first pixel lies, in the units of the sizes; 0 where it is missing.
    scan : Scan or None
        What a medical image says besides.
    """

    data: NDArray[Any] | Blocks
    axes: str
    sizes: dict[str, float]
    notice: str
    origin: Mapping[str, float] = MappingProxyType({})
    scan: Scan | None = None


def read_tiff(path: Path, number: int | None) -> TiffImage:
    """Read one of the images of a TIFF file.

    Parameters
    ----------
    path : Path
    number : int or None
        Which image, as tifffile counts series.

    Raises
    ------
    ValueError
        If the file is torn, a part of it lies in a file that is missing, or there are several
        images and none is named.
    """
    with warnings_raised():
        file = tifffile.TiffFile(path)
        try:
            check_planes(file)
            _check_parts(path, file)
            if not file.series:
                return TiffImage(np.zeros((0, 0)), "YX", {}, "")
            len(file.pages)  # walks along all of them, so that a missing one is noticed
            chosen, notice = choose_series(path, file.series, number)
            series = file.series[chosen]
            axes = _axes(series)
            sizes = pixel_sizes(file, chosen)
            if series.keyframe.dtype is None:
                bits = series.keyframe.bitspersample
                raise UnreadableImageError(
                    f"{path} holds numbers of {bits} bits, which are not read"
                )
            check_colour_space(path, series.keyframe)
            data = _read(path, file, series, chosen)
            palette = palette_of(file, series.keyframe)
            if palette is not None:
                data, axes = _coloured(data, palette), f"{axes}S"
        finally:
            file.close()
    return TiffImage(data, axes, sizes, notice)


@contextmanager
def warnings_raised() -> Iterator[None]:
    """Raise ValueError where tifffile only logs that pixels or axes are lost."""
    listener = _Listener(logging.WARNING)
    logger = logging.getLogger("tifffile")
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
    for message in listener.messages:
        if not any(sign in message for sign in HARMLESS):
            raise ValueError(re.sub(r"<[\w.]+( [^>]*)?> ?", "", message))


class _Listener(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message of a record."""
        self.messages.append(record.getMessage())


def check_planes(file: tifffile.TiffFile) -> None:
    """Refuse an OME-TIFF that names more planes than its bytes can hold; tifffile lists them all.

    Raises
    ------
    ValueError
    """
    if not file.is_ome:
        return
    size = int(file.filehandle.size)
    for pixels in ET.fromstring(file.ome_metadata or "<OME/>").findall(".//{*}Pixels"):
        planes = math.prod(int(pixels.get(f"Size{axis}") or 1) for axis in "CZT")
        if planes > size:
            raise ValueError(f"it names {planes} planes, but has {size} bytes")


def _check_parts(path: Path, file: tifffile.TiffFile) -> None:
    """Refuse an OME-TIFF of several files of which one is missing."""
    if not file.is_ome:
        return
    root = ET.fromstring(file.ome_metadata or "<OME/>")
    own = root.get("UUID")
    parts = [(part.get("FileName"), part.text) for part in root.findall(".//{*}TiffData/{*}UUID")]
    binary = root.find("{*}BinaryOnly")
    if binary is not None:
        parts.append((binary.get("MetadataFile"), binary.get("UUID")))
    names = {name for name, text in parts if name and (text or "").strip() != own}
    missing = sorted(name for name in names if not (path.parent / name).is_file())
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UnreadableImageError(
            f"{path} is one file of several, and {missing[0]}{more} is missing beside it; put all "
            "files of the set into one folder"
        )
    if binary is not None:
        described = str(binary.get("MetadataFile"))
        if Path(described).suffix.lower() not in (".tif", ".tiff"):
            raise UnreadableImageError(
                f"{path} is one file of several; they are described in {described}, which is not "
                "read: save them as a single OME-TIFF"
            )
        raise UnreadableImageError(
            f"{path} is one file of several; open {described}, which describes all"
        )


def _axes(series: tifffile.TiffPageSeries) -> str:
    """Return the axes of a series, with S for colours and C for other samples."""
    axes = str(series.axes)
    place = axes.find("S")
    page = series.keyframe
    if place < 0 or "C" in axes:
        return axes
    coloured = page.photometric in COLOURS and series.shape[place] in (3, 4)
    return axes if coloured else axes.replace("S", "C")


def _read(
    path: Path, file: tifffile.TiffFile, series: tifffile.TiffPageSeries, number: int
) -> NDArray[Any] | Blocks:
    """Return the pixels of a series, as blocks if they are too large for memory."""
    shape = tuple(int(length) for length in series.shape)
    page = tuple(int(length) for length in series.keyframe.shape)
    lead = len(shape) - len(page)
    many = lead > 0 and shape[lead:] == page and series.transform is None
    nbytes = math.prod(shape) * series.dtype.itemsize
    check_size(path, nbytes, math.prod(page) * series.dtype.itemsize if many else nbytes)
    offset = series.dataoffset
    if offset is None:
        parts = [checked_page(part) for part in series]
    elif offset + nbytes <= file.filehandle.size:
        parts = []
    else:
        raise ValueError("it ends too early, the file is torn")
    if not many or nbytes <= LIMIT_BYTES:
        return _in_memory(path, series, parts).reshape(shape)
    if offset is not None:
        dtype = series.dtype.newbyteorder(file.byteorder)
        return paged(shape, page, dtype, raw_blocks(path, offset, page, dtype))
    return paged(shape, page, series.dtype, _Pages(path, number))


def checked_page(page: Page | None) -> Page:
    """Return a page; refuse one that is missing, or whose pixels lie beyond the end of its file."""
    if page is None:
        raise ValueError("pages are missing, the file is torn")
    end = page.parent.filehandle.size
    parts = zip(page.dataoffsets, page.databytecounts, strict=False)
    if any(offset + count > end for offset, count in parts):
        raise ValueError("it ends too early, the file is torn")
    return page


def _in_memory(path: Path, series: tifffile.TiffPageSeries, parts: Sequence[Page]) -> NDArray[Any]:
    try:
        return np.asarray(series.asarray())
    except (ValueError, ImportError) as error:
        if isinstance(error, ValueError) and "imagecodecs" not in str(error):
            raise
        sentence = f"{path} needs the package imagecodecs; install it: pip install imagecodecs"
        pages = [(page.index, page.keyframe) for page in parts]
        arrays = [
            lzw_page(path, index, keyframe)
            for index, keyframe in pages
            if keyframe is not None and keyframe.compression == LZW
        ]
        known = [array for array in arrays if array is not None]
        if len(known) < len(parts) or not parts:
            raise UnreadableImageError(f"{sentence} ({error})") from error
    return np.stack(known)


def _coloured(data: NDArray[Any] | Blocks, palette: NDArray[np.uint8]) -> NDArray[Any] | Blocks:
    """Return the colours (..., 3) that values stand for."""
    if not isinstance(data, Blocks):
        return np.asarray(palette[data])
    read = data.read
    return Blocks(
        (*data.shape, 3),
        (*data.chunks, 3),
        palette.dtype,
        lambda box: palette[read(box[:-1])][..., box[-1]],
    )


class _Pages:
    """Reads pages of a series; the file stays open as long as this is used."""

    def __init__(self, path: Path, number: int) -> None:
        self._path = path
        self._same = SameFile(path)
        file = tifffile.TiffFile(path)
        weakref.finalize(self, file.close)
        self._series = file.series[number]

    def __call__(self, number: int) -> NDArray[Any]:
        """Return a page."""
        page = checked_page(self._series[number])
        handle = page.parent.filehandle
        closed = handle.closed  # one of the other files of a set
        try:
            with decoding(self._path), warnings_raised():
                if closed:
                    handle.open()
                return np.asarray(page.asarray())
        finally:
            if closed:
                handle.close()
            self._same.check()
