"""What Pillow reads: PNG, JPEG and the like, wherever values and their type stay as they are."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError

from .decoding import UnreadableImageError
from .plane_stack import check_size

FORMATS = ("PNG", "JPEG", "JPEG2000", "GIF", "BMP", "WEBP", "PPM")
"""As Pillow calls them."""
READABLE = "TIFF, NIfTI, DICOM, .npy, PNG, JPEG, JPEG 2000, GIF, BMP, WebP and PPM"
"""All formats of `read_image`."""
EXACT = {"L": "u1", "RGB": "u1", "RGBA": "u1", "I;16": "u2", "I;16B": "u2"}
"""Pillow's modes with values as they lie in a TIFF file, and their types."""


def read_with_pillow(path: Path) -> tuple[NDArray[Any], str]:
    """Return the picture of an image file, or all its pages as a stack.

    Pillow reduces some formats to 8 bits. Those are decoded by imagecodecs.

    Returns
    -------
    data : (H, W), (H, W, C), (Z, H, W) or (Z, H, W, C)
    notice : str
        What was left out; empty if nothing.

    Raises
    ------
    UnreadableImageError
        If it is of another format, too large, its pages are of different sizes, or values would
        change.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # see check_size
        try:
            image = Image.open(path, formats=FORMATS)
        except UnidentifiedImageError as error:
            raise UnreadableImageError(
                f"{path} is not an image that can be read; {READABLE} are read"
            ) from error
        except Image.DecompressionBombError as error:
            raise UnreadableImageError(
                f"{path} is too large for this format; save it as TIFF"
            ) from error
    with image:
        count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        nbytes = image.width * image.height * len(image.getbands()) * count
        check_size(path, nbytes, nbytes)
        if not _keeps_values(image):
            return _decoded(path, image), ""
        if image.format == "MPO":
            return np.asarray(
                _plain(image)
            ), f"{path} also holds further pictures; read is the first"
        has_palette = image.mode == "P" or image.format == "GIF"
        frames = [_plain(frame) for frame in ImageSequence.Iterator(image)]
    if len({frame.size for frame in frames}) > 1:
        raise UnreadableImageError(
            f"{path} holds {len(frames)} pages of different sizes; save one of them"
        )
    if len({frame.mode for frame in frames}) > 1:
        frames = [frame.convert("RGB") for frame in frames]
    arrays = [np.asarray(frame) for frame in frames]
    data = arrays[0] if len(arrays) == 1 else np.stack(arrays)
    if has_palette and frames[0].mode == "RGB" and (data == data[..., :1]).all():
        data = data[..., 0]  # a palette of greys
    if data.dtype == np.int32:  # how Pillow holds 16 bits of some formats
        data = data.astype(np.uint16)
    return data, ""


def lzw_page(path: Path, number: int, page: tifffile.TiffPage) -> NDArray[Any] | None:
    """Return a page of a TIFF file of grey values or 8-bit colours.

    Parameters
    ----------
    path : Path
    number : int
        Of the page in the file.
    page : TiffPage
        What the file says of it.

    Returns
    -------
    array, or None if Pillow would change its values, type or shape
    """
    with Image.open(path, formats=("TIFF",)) as image:
        image.seek(number)
        dtype = EXACT.get(image.mode)
        if dtype is None or page.dtype != np.dtype(dtype) or page.photometric not in (1, 2):
            return None
        array = np.asarray(image).astype(dtype)
    return array if array.shape == page.shape else None


def _keeps_values(image: Image.Image) -> bool:
    """Tell whether Pillow decodes the values of a file as they are, not scaled to 8 bits."""
    if image.format == "JPEG2000":
        return False
    for tile in getattr(image, "tile", ()):
        arguments = tile[3]
        raw = arguments if isinstance(arguments, str) else str((arguments or ("",))[0])
        if tile[0].startswith("ppm") and arguments[-1:] != (255,):  # it scales to 255 or 65535
            return False
        if raw.endswith(";16B") and not image.mode.startswith("I"):
            return False
    return True


def _decoded(path: Path, image: Image.Image) -> NDArray[Any]:
    """Return a picture of more than 8 bits as imagecodecs decodes it."""
    if image.format == "PPM":
        raise UnreadableImageError(
            f"{path} holds values that would be scaled to another range; save it as TIFF or PNG"
        )
    try:
        import imagecodecs
    except ImportError as error:
        raise UnreadableImageError(
            f"{path} needs the package imagecodecs to keep its values; install it: "
            "pip install imagecodecs"
        ) from error
    content = path.read_bytes()
    if content[:4] == b"\x89PNG":
        data = np.asarray(imagecodecs.png_decode(content))
        return data[..., 0] if data.shape[2:] == (2,) else data  # grey without its opacity
    return np.asarray(imagecodecs.jpeg2k_decode(content))


def _plain(image: Image.Image) -> Image.Image:
    """Return an image without palette or other colour spaces."""
    if image.mode in ("LA", "La"):
        return image.convert("L")
    if image.mode in ("1", "L", "RGB", "RGBA", "F") or image.mode.startswith("I"):
        return image.copy()
    return image.convert("RGB")
