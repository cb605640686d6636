"""DICOM series and multi-frame files, with their rescaled values, window and geometry."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .blocks import Blocks, paged
from .decoding import UnreadableImageError
from .dicom_grid import Grid, grid_of, volumes
from .dicom_headers import TAGS, Frame, frames_of, is_segmentation
from .dicom_opening import is_dicom, opened, read_dataset, reading
from .plane_stack import LIMIT_BYTES, check_size
from .scan import Scan, check_packages
from .tiff_files import TiffImage

if TYPE_CHECKING:
    from pydicom import Dataset

MICROMETRES = 1000.0
"""In a millimetre."""
FIRST_FILES = 50
"""So many are looked at in a folder that may hold thousands of other images."""
WHOLE = (np.uint8, np.uint16, np.int16, np.int32)
"""Types that values are held in, the first that holds all."""
PIXELS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *(f"{name}PaletteColorLookupTableDescriptor" for name in ("Red", "Green", "Blue")),
    *(f"{name}PaletteColorLookupTableData" for name in ("Red", "Green", "Blue")),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData"),
)
"""All that is read of a file for its pixels."""
DECODERS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"


def holds_dicom(folder: Path) -> bool:
    """Tell whether one of the first files of a folder is a DICOM file; none below it counts."""
    files = (one for one in folder.iterdir() if one.is_file())
    return any(map(is_dicom, islice(files, FIRST_FILES)))


def read_dicom(path: Path, series: int | None) -> TiffImage:
    """Read the series in a folder, or that of one of its files.

    Parameters
    ----------
    path : Path
        Of a folder, its largest series is read where none is named.
    series : int, optional
        Which series of a folder, counted from 0 as the notice lists them.

    Raises
    ------
    UnreadableImageError
        If pydicom is missing, there is no such series, its planes lie on no regular grid, or they
        cannot be decoded.
    """
    check_packages(
        f"{path}, a DICOM file," if path.is_file() else f"{path}, a DICOM series,", "pydicom"
    )
    folder = path.parent if path.is_file() else path
    own = _header(path) if path.is_file() else None
    headers = [(one, _header(one)) for one in sorted(folder.iterdir()) if _is_file(one)]
    if own is not None:
        wanted = str(own.get("SeriesInstanceUID") or "")
        headers = [one for one in headers if str(one[1].get("SeriesInstanceUID") or "") == wanted]
    images = [(one, header) for one, header in headers if not is_segmentation(header)]
    found = volumes(frame for one, header in images for frame in frames_of(one, header))
    if own is not None and any(frame.plane.path == path for some in found for frame in some):
        same = [some for some in found if any(one.plane.path == path for one in some)]
        found = same if series is None else found
    if own is not None and is_segmentation(own):
        raise UnreadableImageError(f"{path} holds labels, no image; open it as labels")
    if not found:
        raise UnreadableImageError(f"{path} holds no DICOM image with pixels")
    number = _chosen(found, series, path)
    grid = grid_of(found[number], str(path))
    others = _others_text(found, number)
    notice = "; ".join(one for one in (others, grid.notice) if one)
    return _image(path, grid, notice)


def _is_file(path: Path) -> bool:
    return path.is_file() and is_dicom(path)


def _header(path: Path) -> Dataset:
    return read_dataset(path, TAGS)


def _chosen(found: Sequence[Sequence[Frame]], series: int | None, path: Path) -> int:
    if series is None:
        return max(range(len(found)), key=lambda k: len(found[k]))
    if series not in range(len(found)):
        raise UnreadableImageError(f"{path} holds {_listed(found)}, so there is no series {series}")
    return series


def _others_text(found: Sequence[Sequence[Frame]], number: int) -> str:
    if len(found) == 1:
        return ""
    return (
        f"there are {len(found)} series: {_listed(found)}; series {number} is read, choose another "
        "with --series N or by opening one of its files"
    )


def _listed(found: Sequence[Sequence[Frame]]) -> str:
    """Return what the series are, without any text of theirs: that may name the patient."""
    texts = []
    for number, some in enumerate(found):
        rows, columns = some[0].shape[:2]
        images = "image" if len(some) == 1 else "images"
        kind = some[0].modality or "unknown kind"
        texts.append(f"{number} ({kind}, {len(some)} {images} of {columns} x {rows})")
    return ", ".join(texts)


def _image(path: Path, grid: Grid, notice: str) -> TiffImage:
    """Return the pixels of a grid, as blocks if they are too large for memory."""
    known = [one for one in grid.frames if one is not None]
    first = known[0]
    dtype, top = _values(known)
    shape = (len(grid.frames), *first.shape)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    plane_bytes = nbytes // shape[0]
    check_size(path, nbytes, plane_bytes if nbytes > LIMIT_BYTES else nbytes)
    read = _reader(grid, dtype, top, nbytes > LIMIT_BYTES)
    data: NDArray[Any] | Blocks
    if nbytes > LIMIT_BYTES:
        data = paged(shape, first.shape, dtype, read)
    else:
        data = np.stack([read(number) for number in range(shape[0])])
    axes = ("T" if grid.world is None and first.frame_time else "Z") + "YX"
    sizes = {}
    if grid.world is not None:
        sizes = dict(zip("ZYX", (n * MICROMETRES for n in grid.world.spacing), strict=True))
    elif first.spacing is not None:
        sizes = dict(zip("YX", (n * MICROMETRES for n in first.spacing), strict=True))
    if axes[0] == "T" and first.frame_time:
        sizes["T"] = first.frame_time
    scan = Scan(
        grid.world,
        _window(known, top) if len(first.shape) == 2 else None,
        all(one.hounsfield for one in known) and len(first.shape) == 2,
        tuple(None if one is None else one.plane for one in grid.frames),
        name=f"{first.modality or 'DICOM'} series {first.number}",
    )
    return TiffImage(data, axes + "S" * (len(first.shape) - 2), sizes, notice, scan=scan)


def _values(frames: Sequence[Frame]) -> tuple[np.dtype[Any], float | None]:
    """Return the type that holds all values, and what inverted ones are taken from."""
    if len(frames[0].shape) > 2:
        return np.dtype(np.uint8), None
    ends = [end for one in frames for end in _ends(one)]
    low, high = min(ends), max(ends)
    top = low + high if frames[0].inverted else None
    whole = all(one.slope.is_integer() and one.intercept.is_integer() for one in frames)
    for kind in WHOLE if whole else ():
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind), top
    return np.dtype(np.float32), top


def _window(frames: Sequence[Frame], top: float | None) -> tuple[float, float] | None:
    """Return the window of the middle plane."""
    window = frames[len(frames) // 2].window
    if window is None or top is None:
        return window
    return top - window[1], top - window[0]


def _reader(
    grid: Grid, dtype: np.dtype[Any], top: float | None, lazily: bool
) -> Callable[[int], NDArray[Any]]:
    """Return what reads a plane: of its file no more than that if lazily, or all frames at once."""
    held: dict[Path, Dataset] = {}
    some = next(one for one in grid.frames if one is not None)
    blank = _blank(some)

    def read(number: int) -> NDArray[Any]:
        frame = grid.frames[number]
        if frame is None:
            return np.full(some.shape, blank, dtype)
        path = frame.plane.path
        if lazily or frame.plane.frame is None:
            with opened(path) as file:
                pixels = _decoded(path, file, frame)
        else:
            if path not in held:
                held.clear()
                held[path] = read_dataset(path, PIXELS, pixels=True)
            pixels = _decoded(path, held[path], frame)
        if len(frame.shape) > 2:
            return pixels
        values = pixels * frame.slope + frame.intercept
        if top is not None:
            values = top - values
        return np.asarray(values).astype(dtype)

    return read


def _blank(frame: Frame) -> float:
    """Return the value of a plane that is missing: the stored 0, or what is shown black."""
    if len(frame.shape) > 2:
        return 0.0
    return min(_ends(frame)) if frame.inverted else frame.intercept


def _ends(frame: Frame) -> tuple[float, float]:
    low, high = (v * frame.slope + frame.intercept for v in frame.stored)
    return low, high


def _decoded(path: Path, source: Dataset | io.BufferedReader, frame: Frame) -> NDArray[Any]:
    """Return the stored values of an image, or its colours as (rows, columns, 3) uint8.

    Raises
    ------
    UnreadableImageError
        If it is damaged, or compressed in a way that no installed package decodes.
    """
    from pydicom import Dataset
    from pydicom.filereader import read_file_meta_info
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    with reading(path):
        syntax = read_file_meta_info(path).TransferSyntaxUID
        if syntax.is_compressed and not get_decoder(syntax).is_available:
            raise UnreadableImageError(
                f"{path} is compressed as {syntax.name}, which no installed package decodes; "
                f"install some: {DECODERS}"
            )
        about = Dataset()  # what says how pixels are stored
        pixels = pixel_array(source, index=frame.plane.frame or 0, ds_out=about)
        dataset = source if isinstance(source, Dataset) else about
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, dataset)
        if len(frame.shape) > 2 and pixels.dtype != np.uint8:
            wide = pixels.dtype.itemsize * 8
            pixels = (pixels >> (max(wide, 8) - 8)).astype(np.uint8)
        if pixels.shape[: len(frame.shape)] != frame.shape:
            raise UnreadableImageError(f"{path} holds an image of another size than it states")
    return np.asarray(pixels)
