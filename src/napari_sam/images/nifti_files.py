"""NIfTI files: voxels in napari's order of axes, and the affine that places them."""

from __future__ import annotations

import gzip
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .blocks import Blocks, Box
from .decoding import UNREADABLE, UnreadableImageError
from .plane_stack import LIMIT_BYTES, check_size
from .scan import Scan, check_packages
from .tiff_files import TiffImage
from .world import WorldAffine

Header = Any
"""A `Nifti1Header` or `Nifti2Header` of nibabel, which states no types."""

SIGNS = {344: (b"n+1\0", b"ni1\0"), 4: (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")}
"""What NIfTI-1 and NIfTI-2 files have at these bytes."""
HEADER = 540
GZIP_SUFFIX = ".gz"
GZIP = b"\x1f\x8b"
MOST_EXPANSION = 1100
"""gzip makes a file at most 1032 times smaller."""
LARGEST_EXTENSIONS = 2**24
"""Most bytes before the voxels."""
MILLIMETRES = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}
SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
TEXTS = ("descrip", "aux_file", "intent_name", "db_name", "data_type", "unused_str")
"""Fields of a header that may name the patient."""
AIR = (-4096.0, -900.0)
"""Smallest values of an image that is taken for one in Hounsfield units, which NIfTI cannot say."""
LABEL_INTENT = 1002
"""NIFTI_INTENT_LABEL: the values are numbers of objects."""
MICROMETRES = 1000.0


def is_nifti(path: Path) -> bool:
    """Tell whether a file begins as NIfTI files do, compressed by gzip or not."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER)
        if head.startswith(GZIP):
            with gzip.open(path) as file:
                head = file.read(HEADER)
    except (OSError, EOFError, *UNREADABLE):
        return False
    return any(head[at:].startswith(sign) for at, signs in SIGNS.items() for sign in signs)


def read_nifti(path: Path) -> TiffImage:
    """Read an image.

    Parameters
    ----------
    path : Path

    Raises
    ------
    UnreadableImageError
        If nibabel is missing, the file is damaged, or it has no two to four axes.
    """
    check_packages(f"{path}, a NIfTI file,", "nibabel")
    image = load_nifti(path)
    header = image.header
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (2, 3, 4):
        raise UnreadableImageError(
            f"{path} has the shape {shape}, but an image has two axes to four; write out a part"
        )
    colours = header.get_data_dtype().names is not None
    data = _data(path, image, shape, colours)
    axes = "TZYX"[-len(shape) :] + "S" * colours
    world = world_of(header)
    sizes = dict(zip("ZYX", (n * MICROMETRES for n in world.spacing), strict=True))
    if len(shape) == 4:
        time = float(header["pixdim"][4]) * SECONDS.get(_unit(header, 1), 0.0)
        sizes |= {"T": time} if time > 0 and math.isfinite(time) else {}
    window = float(header["cal_min"]), float(header["cal_max"])
    fits = -math.inf < window[0] < window[1] < math.inf
    shown = window if fits and not colours else None
    air = isinstance(data, np.ndarray) and not colours and AIR[0] <= float(data.min()) <= AIR[1]
    scan = Scan(world, shown, hounsfield=air, header=without_texts(header))
    return TiffImage(data, axes, sizes, "", scan=scan)


def load_nifti(path: Path) -> Any:
    """Return an image whose voxels are not read yet.

    Raises
    ------
    UnreadableImageError
        If the file is damaged.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    try:
        _check_extensions(path)
        image: Any = nibabel.load(path)
        header = image.header
        size = math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
        stored = path.stat().st_size
        if size > MOST_EXPANSION * stored or size <= 0:
            raise UnreadableImageError(f"{path} states {size} bytes of voxels, but has {stored}")
        world_of(header)
    except UnreadableImageError:
        raise
    except (ImageFileError, HeaderDataError, WrapStructError, *UNREADABLE) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImageError(
            f"{path} is no NIfTI image that can be read: {reason}"
        ) from error
    if not isinstance(image, nibabel.Nifti1Image):
        raise UnreadableImageError(f"{path} is no single NIfTI file; convert it to .nii")
    return image


def _check_extensions(path: Path) -> None:
    """Refuse a file whose header extensions state more bytes than there are before the voxels."""
    import nibabel

    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    with gzip.open(path) if packed else path.open("rb") as file:
        head = file.read(HEADER)
        first = head[: nibabel.Nifti1Header.sizeof_hdr]
        kind: Any = nibabel.Nifti1Header if head[344:345] == b"n" else nibabel.Nifti2Header
        header = kind(head if kind is nibabel.Nifti2Header else first, check=False)
        end, place = int(header["vox_offset"]), kind.sizeof_hdr + 4
        if end > LARGEST_EXTENSIONS:
            raise UnreadableImageError(f"{path} states that its voxels begin at byte {end}")
        file.seek(kind.sizeof_hdr)
        extended = file.read(4)[:1] > b"\0"
        while extended and place + 16 <= end:
            file.seek(place)
            size = int.from_bytes(file.read(4), "little" if header.endianness == "<" else "big")
            place += size
            if size < 16 or place > end:
                raise UnreadableImageError(f"{path} has a header extension of {size} bytes")


def world_of(header: Header) -> WorldAffine:
    """Return where the voxels lie: by the sform, or else the qform, or else their size alone."""
    matrix = np.array(header.get_best_affine(), np.float64)
    matrix[:3] *= MILLIMETRES.get(_unit(header, 0), 1.0)
    return WorldAffine.of(matrix, "RAS")


def without_texts(header: Header) -> bytes:
    """Return a header as bytes, its texts empty."""
    bare = header.copy()
    for name in TEXTS:
        if name in bare:
            bare[name] = b""
    stream = io.BytesIO()
    bare.extensions.clear()
    bare.write_to(stream)
    return stream.getvalue()


def header_of(content: bytes) -> Header:
    """Return the header that `without_texts` has made bytes of."""
    import nibabel

    kind: Any = nibabel.Nifti2Header if len(content) >= HEADER else nibabel.Nifti1Header
    return kind.from_fileobj(io.BytesIO(content), check=False)


def _unit(header: Header, number: int) -> str:
    """Return the unit of space (0) or time (1)."""
    try:
        return str(header.get_xyzt_units()[number])
    except KeyError:
        return "unknown"


def _data(path: Path, image: Any, shape: tuple[int, ...], colours: bool) -> NDArray[Any] | Blocks:
    """Return the voxels with their axes reversed, as blocks if they are too large for memory."""
    header, proxy = image.header, image.dataobj
    scaled = (proxy.slope, proxy.inter) != (1.0, 0.0)
    stored = header.get_data_dtype()
    dtype = np.dtype(np.uint8) if colours else np.dtype(np.float32) if scaled else stored
    dtype = dtype.newbyteorder("=")
    backwards = shape[::-1]
    nbytes = math.prod(backwards) * (stored.itemsize + dtype.itemsize * scaled)
    lazily = nbytes > LIMIT_BYTES and not path.name.lower().endswith(GZIP_SUFFIX)
    check_size(path, nbytes, nbytes // math.prod(shape[2:]) if lazily else nbytes)
    ones = (0,) * (len(header.get_data_shape()) - len(shape))

    def part(box: Box) -> NDArray[Any]:
        try:
            found = np.asarray(proxy[(*box[len(shape) - 1 :: -1], *ones)])
        except UNREADABLE as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UnreadableImageError(f"{path} cannot be read: {reason}") from error
        if colours:
            channels = [found[name].T for name in found.dtype.names or ()]
            return np.stack(channels, axis=-1)[
                ..., slice(None) if len(box) == len(shape) else box[-1]
            ]
        return np.asarray(found.T, dtype)

    if lazily:
        channel = (3,) * colours
        chunks = (*(1 for _ in shape[2:]), shape[1], shape[0], *channel)
        return Blocks((*backwards, *channel), chunks, dtype, part)
    if scaled and not colours:
        return _scaled(path, proxy, backwards)
    return np.ascontiguousarray(part(tuple(slice(0, n) for n in backwards)))


def _scaled(path: Path, proxy: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the voxels times the slope; one slab at a time is held in double precision."""
    try:
        raw = np.asarray(proxy.get_unscaled()).T.reshape(shape)
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImageError(f"{path} cannot be read: {reason}") from error
    values = np.empty(shape, np.float32)
    for slab, stored in zip(values, raw, strict=True):
        slab[...] = stored * float(proxy.slope) + float(proxy.inter)
    return values
