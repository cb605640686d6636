"""Labels as a NIfTI volume with the affine of the image that they were made for."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from ..images.nifti_files import GZIP_SUFFIX, LABEL_INTENT, Header, header_of
from ..images.scan import Scan, check_packages
from ..images.world import WorldAffine, from_scale

MILLIMETRE = 1e-3
"""Of a micrometre."""
SECOND = "second"
COMMENT = 6
"""Code of a header extension that is a text."""
ALIGNED, SCANNER = 2, 1
"""Codes of what an affine leads to: to other images, or to the coordinates of the scanner."""


def check_nifti(scan: Scan | None) -> None:
    """Raise a ValueError if nibabel is missing."""
    check_packages("writing NIfTI", "nibabel")


def write_nifti(
    path: Path,
    labels: NDArray[np.unsignedinteger],
    axes: str,
    scale: Sequence[float] | None,
    note: str,
    scan: Scan | None,
    units: Sequence[str] = (),
) -> NDArray[np.unsignedinteger]:
    """Write labels; the codes of qform and sform and the units are those of the image's file.

    Parameters
    ----------
    path : Path
        Compressed where it ends in .gz.
    labels : (Y, X), (Z, Y, X), (T, Y, X) or (T, Z, Y, X) unsigned int
    axes : str
    scale : sequence of float or None
        Seconds along T; micrometres along the other axes, for an image that is no medical one.
    note : str
        Put into the header as a comment.
    scan : Scan or None
    units : sequence of str
        Of the scale; the step of time is unknown unless that of T is "second".

    Returns
    -------
    The labels as they were written.

    Raises
    ------
    ValueError
        If they do not fit into the grid of the image's file.
    """
    import nibabel

    header, shape = _header(labels, axes, scale, scan)
    kind: Any = nibabel.Nifti2Image if header.sizeof_hdr == 540 else nibabel.Nifti1Image
    image = kind(labels.T.reshape(shape), header.get_best_affine(), header)
    image.set_data_dtype(labels.dtype)
    if axes.startswith("T") and not (scan is not None and scan.header):
        step = scale[0] if scale is not None and tuple(units[:1]) == (SECOND,) else 0.0
        image.header["pixdim"][4] = step  # 0 is unknown: readers take 1 for a second
        image.header.set_xyzt_units("mm", "sec" if step else "unknown")
    image.header["cal_min"] = image.header["cal_max"] = 0
    image.header["intent_code"] = LABEL_INTENT
    image.header["descrip"] = f"napari-sam-stack {__version__}".encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(COMMENT, note.encode()))
    with path.open("wb") as file:
        if path.name.lower().endswith(GZIP_SUFFIX):
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                image.to_stream(packed)
        else:
            image.to_stream(file)
    return labels


def _header(
    labels: NDArray[Any], axes: str, scale: Sequence[float] | None, scan: Scan | None
) -> tuple[Header, tuple[int, ...]]:
    """Return a header that places labels, and their shape in the file."""
    if scan is not None and scan.header:
        header = header_of(scan.header)
        shape = tuple(int(n) for n in header.get_data_shape())
        if [n for n in shape if n > 1] != [n for n in labels.shape[::-1] if n > 1]:
            raise ValueError(
                f"labels of {labels.shape} do not fit the grid {shape} of the NIfTI image"
            )
        return header, shape
    if scan is not None and scan.world is not None:
        return _placed_header(scan.world, SCANNER), _spatial_shape(labels, axes)
    known = dict(zip(axes, scale or (), strict=False))
    sizes = [known.get(axis, 1 / MILLIMETRE) * MILLIMETRE for axis in "ZYX"]
    return _placed_header(from_scale(sizes, (0, 0, 0)), ALIGNED), _spatial_shape(labels, axes)


def _spatial_shape(labels: NDArray[Any], axes: str) -> tuple[int, ...]:
    """Return the shape (x, y, z, t), with one plane where there is none."""
    sides = dict(zip(axes, labels.shape, strict=True))
    return tuple(sides.get(axis, 1) for axis in ("XYZT" if "T" in axes else "XYZ"))


def _placed_header(world: WorldAffine, code: int) -> Header:
    """Return a header with an affine; no qform where the axes are not at right angles."""
    import nibabel

    kind: Any = nibabel.Nifti1Header
    header = kind()
    header.set_xyzt_units("mm", "sec")
    header.set_data_shape((1, 1, 1))
    header.set_sform(world.ras, code)
    header.set_qform(world.ras, 0 if world.sheared else code, strip_shears=True)
    return header
