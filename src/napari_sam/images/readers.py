"""Read images and stacks with the meaning of their axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import whole_number
from .blocks import Blocks, paged
from .decoding import UnreadableImageError, decoding
from .dicom_files import holds_dicom, read_dicom
from .dicom_opening import is_dicom
from .nifti_files import is_nifti, read_nifti
from .pillow_files import read_with_pillow
from .plane_stack import (
    LIMIT_BYTES,
    PlaneStack,
    SameFile,
    check_size,
    raw_blocks,
)
from .scan import Scan
from .tiff_files import TiffImage, read_tiff
from .zarr_files import is_zarr, read_zarr

COLOURS = (3, 4)
"""Length of a last axis that is taken for colours where the file does not name its axes."""
TIFF_SIGNS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NPY_SIGN = b"\x93NUMPY"


@dataclass(frozen=True, eq=False)
class StackImage:
    """An image with the meaning of its axes.

    Attributes
    ----------
    data : (H, W), (Z, H, W), (T, Z, H, W), or these with channels (..., C)
        In memory, or a `PlaneStack`, which reads parts of the file when it is indexed.
    axes : str
        One letter per axis: "YX", "ZYX", "TYX", "TZYX", and last S for colours (red, green, blue
        and maybe alpha) or C for any other channels: "YXS", "ZYXC".
    scale : tuple of float or None
        Size of a pixel in micrometres (of T in seconds) along each axis but colours and channels,
        None if unknown; 1 along the planes if only their distance is unknown.
    notice : str
        What of the file was left out, in a sentence; empty if nothing was.
    units : tuple of str
        Of the scale: "micrometer", "second", or "pixel" where it is unknown; empty if all are.
    translate : tuple of float
        Where the centre of the first pixel lies, in these units; empty if it is the origin.
    scan : Scan or None
        What a medical image says besides: where it lies in the patient, and its window.
    """

    data: NDArray[Any] | PlaneStack
    axes: str
    scale: tuple[float, ...] | None = None
    notice: str = ""
    units: tuple[str, ...] = ()
    translate: tuple[float, ...] = ()
    scan: Scan | None = None

    @property
    def label_axes(self) -> str:
        """The axes without colours and channels."""
        return self.axes.rstrip("SC")

    @property
    def label_shape(self) -> tuple[int, ...]:
        """The shape of a label image that fits: that of the image without colours or channels."""
        return tuple(self.data.shape[: len(self.label_axes)])


def read_image(path: str | Path, series: int | None = None) -> StackImage:
    """Read a TIFF, an OME-Zarr, NIfTI, DICOM, a `.npy` array, a PNG, a JPEG or another picture.

    The content tells the format, not the name. Files are read, not mapped; of stacks beyond
    1 GB, and of all in zarr, parts are read when they are indexed. Of a pyramid that is the
    largest level.

    Parameters
    ----------
    path : str or Path
        Of a DICOM series, its folder or any of its files.
    series : int, optional
        Which image of a file that holds several, as tifffile counts its series; of a group of
        zarr, as bioformats2raw numbers them; of a folder of DICOM files, by default the largest.

    Returns
    -------
    StackImage

    Raises
    ------
    ValueError
        If the file is missing, is no image, is empty, holds several images and none is named,
        does not hold real numbers, or has more than four axes besides colours or channels.
    """
    path = Path(path)
    number = None if series is None else whole_number("series", series)
    with decoding(path):  # a name may be too long for the disk
        if path.is_dir():
            if is_zarr(path):
                return _normalised(path, read_zarr(path, number))
            if holds_dicom(path):
                return _normalised(path, read_dicom(path, number))
            raise UnreadableImageError(f"{path} is a folder, not an image")
        if not path.exists():
            raise UnreadableImageError(f"there is no file {path}")
        if not path.is_file():
            raise UnreadableImageError(f"{path} is a device or a pipe, not an image")
        same = SameFile(path)
        image = _read(path, number)
    same.check()
    return _normalised(path, image)


def _read(path: Path, series: int | None) -> TiffImage:
    with path.open("rb") as file:
        sign = file.read(len(NPY_SIGN))
    if sign[:4] in TIFF_SIGNS:
        return read_tiff(path, series)
    if is_dicom(path):
        return read_dicom(path, series)
    if series:
        raise UnreadableImageError(f"{path} holds one image, so there is no series {series}")
    if sign == NPY_SIGN:
        return TiffImage(_read_npy(path), "", {}, "")
    if is_nifti(path):
        return read_nifti(path)
    if sign.startswith((b"<?xml", b"<OME")):
        raise UnreadableImageError(
            f"{path} is a text that may describe images of other files; open an image, or save "
            "them as a single OME-TIFF"
        )
    data, notice = read_with_pillow(path)
    return TiffImage(data, "", {}, notice)


def _read_npy(path: Path) -> NDArray[Any] | Blocks:
    """Return an array, as blocks if it is too large for memory."""
    mapped = np.load(path, mmap_mode="r")  # reads the header and checks the length, no pixels
    shape, dtype, offset, nbytes = mapped.shape, mapped.dtype, mapped.offset, mapped.nbytes
    lead = len(shape) - len(_guessed(shape).lstrip("Z"))
    several = lead > 0 and mapped.flags.c_contiguous
    del mapped
    block = shape[lead:]
    check_size(path, nbytes, math.prod(block) * dtype.itemsize if several else nbytes)
    if nbytes <= LIMIT_BYTES or not several:
        return np.asarray(np.load(path))
    return paged(shape, block, dtype, raw_blocks(path, offset, block, dtype))


def _normalised(path: Path, image: TiffImage) -> StackImage:
    """Bring the axes into the order planes, rows, columns, channels, and name them."""
    shape, dtype = image.data.shape, image.data.dtype
    if 0 in shape:
        raise UnreadableImageError(f"{path} is empty: its shape is {shape}")
    if dtype.kind not in "buif":
        raise UnreadableImageError(f"{path} holds {dtype}, but an image holds real numbers")
    if len(shape) < 2:
        raise UnreadableImageError(
            f"{path} has the shape {shape}, but an image has two axes to four, and colours or "
            "channels"
        )
    axes = image.axes
    if not axes or (not set(axes) & set("SC") and set(axes) & set("QI")):
        axes = _guessed(shape)
    kept = [i for i, letter in enumerate(axes) if letter in "YX" or shape[i] > 1]
    order = [i for i in kept if axes[i] not in "SC"] + [i for i in kept if axes[i] in "SC"]
    if [axes[i] for i in order[:2]] == ["Z", "T"]:
        order[:2] = order[1::-1]
    axes = "".join(axes[i] for i in order)
    planes = axes.rstrip("SC")
    channels = axes[len(planes) :]
    if len(channels) > 1 or len(planes) not in (2, 3, 4) or not planes.endswith("YX"):
        raise UnreadableImageError(
            f"{path} has the axes {axes} and the shape {tuple(shape[i] for i in order)}, but an "
            "image has two axes to four, and colours or channels; write out the part that matters"
        )
    if len(planes) == 4:
        planes = "TZYX"
    elif len(planes) == 3 and planes[0] not in "ZT":
        planes = "ZYX"
    data = image.data
    if isinstance(data, Blocks):
        if len(planes) > 2:
            return _described(PlaneStack(data, order), planes, channels, image)
        nbytes = math.prod(shape) * dtype.itemsize
        check_size(path, nbytes, nbytes)
        data = data.read(tuple(slice(0, side) for side in shape))
    dropped = [i for i in range(len(shape)) if i not in order]
    data = data.transpose(order + dropped).reshape([shape[i] for i in order])
    return _described(data, planes, channels, image)


def _described(
    data: NDArray[Any] | PlaneStack, planes: str, channels: str, image: TiffImage
) -> StackImage:
    """Return an image with its scale and place, where they are known."""
    sizes, origin = image.sizes, image.origin
    if not {"Y", "X"} <= sizes.keys():
        return StackImage(data, planes + channels, None, image.notice, scan=image.scan)
    scale = tuple(sizes.get(letter, 1.0) for letter in planes)
    units = tuple(
        ("second" if letter == "T" else "micrometer") if letter in sizes else "pixel"
        for letter in planes
    )
    translate = tuple(origin.get(letter, 0.0) for letter in planes)
    if not any(translate):
        translate = ()
    return StackImage(data, planes + channels, scale, image.notice, units, translate, image.scan)


def _guessed(shape: tuple[int, ...]) -> str:
    """Return the axes of an array that nobody described."""
    last = shape[-1] if len(shape) > 2 else 0
    channels = "S" if last in COLOURS else "C" if last in (1, 2) else ""
    spatial = len(shape) - len(channels)
    return "Z" * (spatial - 2) + "YX" + channels
