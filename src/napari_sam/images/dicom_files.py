"""DICOM series and multi-frame files, with their rescaled values, window and geometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .blocks import Blocks, paged
from .decoding import UnreadableImageError
from .dicom_grid import Grid, grid_of
from .dicom_headers import TAGS, Frame, frames_of
from .dicom_kinds import is_image, is_segmentation, kind_name, kinds_text
from .dicom_opening import is_dicom, read_dataset
from .dicom_pixels import StoredPixels
from .dicom_volumes import Volume, volumes
from .plane_stack import LIMIT_BYTES, check_size
from .scan import Scan, check_packages
from .tiff_files import TiffImage
from .world import WorldAffine

if TYPE_CHECKING:
    from pydicom import Dataset

MICROMETRES = 1000.0
"""In a millimetre."""
FIRST_FILES = 50
"""So many are looked at in a folder that may hold thousands of other images."""
WHOLE = (np.uint8, np.uint16, np.int16, np.int32)
"""Types that values are held in, the first that holds all."""


def holds_dicom(folder: Path) -> bool:
    """Tell whether one of the first files of a folder is a DICOM file; none below it counts."""
    files = (one for one in folder.iterdir() if one.is_file())
    return any(map(is_dicom, islice(files, FIRST_FILES)))


def is_dicom_image(path: Path) -> bool:
    """Tell whether a folder holds DICOM files, or a file is one that holds images."""
    if path.is_dir():
        return holds_dicom(path)
    if not is_dicom(path):
        return False
    try:
        check_packages(str(path), "pydicom")
        return is_image(_header(path))
    except UnreadableImageError:  # reading it says why
        return True


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
    if own is not None and is_segmentation(own):
        raise UnreadableImageError(f"{path} holds labels, no image; open it as labels")
    if own is not None and not is_image(own):
        raise UnreadableImageError(
            f"{path} is no image but a DICOM file of the kind {kind_name(own)}; open the images "
            "that it belongs to"
        )
    headers = [(one, _header(one)) for one in sorted(folder.iterdir()) if _is_file(one)]
    if own is not None:
        wanted = str(own.get("SeriesInstanceUID") or "")
        headers = [one for one in headers if str(one[1].get("SeriesInstanceUID") or "") == wanted]
    found = volumes(
        frame for one, header in headers if is_image(header) for frame in frames_of(one, header)
    )
    others = kinds_text(header for _, header in headers if not is_image(header))
    if own is not None:
        same = [some for some in found if any(one.plane.path == path for one in some.frames)]
        found = same if series is None else found
    if not found:
        raise UnreadableImageError(
            f"{path} holds no DICOM image with pixels, only {others}; open the images that they "
            "belong to"
        )
    number = _chosen(found, series, path)
    grid = _grid(found[number], str(path))
    left_out = f"files that hold no image are left out: {others}" if others and own is None else ""
    notices = _others_text(found, number), grid.notice, left_out
    return _image(path, found[number], grid, "; ".join(one for one in notices if one))


def _is_file(path: Path) -> bool:
    return path.is_file() and is_dicom(path)


def _header(path: Path) -> Dataset:
    return read_dataset(path, TAGS)


def _grid(volume: Volume, name: str) -> Grid:
    """Return the planes of all points in time, each time in the order of their positions."""
    volume.check(name)
    grids = [grid_of(some, name) for some in volume.times]
    return Grid(
        tuple(one for some in grids for one in some.frames), grids[0].world, grids[0].notice
    )


def _chosen(found: Sequence[Volume], series: int | None, path: Path) -> int:
    if series is None:
        return max(range(len(found)), key=lambda k: len(found[k].frames))
    if series not in range(len(found)):
        raise UnreadableImageError(f"{path} holds {_listed(found)}, so there is no series {series}")
    return series


def _others_text(found: Sequence[Volume], number: int) -> str:
    if len(found) == 1:
        return ""
    return (
        f"there are {len(found)} series: {_listed(found)}; series {number} is read, choose another "
        "with --series N or by opening one of its files"
    )


def _listed(found: Sequence[Volume]) -> str:
    """Return what the series are, without any text of theirs: that may name the patient."""
    texts = []
    for number, some in enumerate(found):
        first, count = some.frames[0], len(some.frames)
        rows, columns = first.shape[:2]
        images = "image" if count == 1 else "images"
        kind = first.modality or "unknown kind"
        times = f", {len(some.times)} points in time" if len(some.times) > 1 else ""
        texts.append(f"{number} ({kind}, {count} {images} of {columns} x {rows}{times})")
    return ", ".join(texts)


def _image(path: Path, volume: Volume, grid: Grid, notice: str) -> TiffImage:
    """Return the pixels of a grid, as blocks if they are too large for memory."""
    known = [one for one in grid.frames if one is not None]
    first = known[0]
    dtype, top = _values(known)
    times, count = len(volume.times), len(grid.frames)
    shape = (times, count // times, *first.shape)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    plane_bytes = nbytes // count
    check_size(path, nbytes, plane_bytes if nbytes > LIMIT_BYTES else nbytes)
    read = _reader(grid, dtype, top)
    data: NDArray[Any] | Blocks
    if nbytes > LIMIT_BYTES:
        data = paged(shape if times > 1 else shape[1:], first.shape, dtype, read)
    else:
        data = np.stack([read(number) for number in range(count)])
        data = data.reshape(shape if times > 1 else shape[1:])
    axes, sizes = _axes(volume, grid.world, first)
    scan = Scan(
        grid.world,
        _window(known, top) if len(first.shape) == 2 else None,
        all(one.hounsfield for one in known) and len(first.shape) == 2,
        tuple(None if one is None else one.plane for one in grid.frames),
        times=times,
        name=f"{first.modality or 'DICOM'} series {first.number}",
    )
    return TiffImage(data, axes + "S" * (len(first.shape) - 2), sizes, notice, scan=scan)


def _axes(volume: Volume, world: WorldAffine | None, first: Frame) -> tuple[str, dict[str, float]]:
    """Return a letter for each axis but colours, and sizes in micrometres and seconds."""
    if len(volume.times) > 1:
        axes, seconds = "TZYX", volume.seconds
    else:
        film = world is None and first.frame_time
        axes, seconds = "TYX" if film else "ZYX", first.frame_time
    sizes = {}
    if world is not None:
        sizes = dict(zip("ZYX", (n * MICROMETRES for n in world.spacing), strict=True))
    elif first.spacing is not None:
        sizes = dict(zip("YX", (n * MICROMETRES for n in first.spacing), strict=True))
    if axes[0] == "T" and seconds:
        sizes["T"] = seconds
    return axes, sizes


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


def _reader(grid: Grid, dtype: np.dtype[Any], top: float | None) -> Callable[[int], NDArray[Any]]:
    """Return what reads a plane; the header of a file of several is read once."""
    held: dict[Path, StoredPixels] = {}
    some = next(one for one in grid.frames if one is not None)
    blank = _blank(some)

    def read(number: int) -> NDArray[Any]:
        frame = grid.frames[number]
        if frame is None:
            return np.full(some.shape, blank, dtype)
        path = frame.plane.path
        stored = held.get(path) or StoredPixels(path)
        if frame.plane.frame is not None:
            held[path] = stored
        pixels = stored.frame(frame.plane.frame or 0, frame.shape)
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
