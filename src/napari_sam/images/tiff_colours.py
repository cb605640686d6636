"""Colours of TIFF files: spaces that are refused, and palettes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import COMPRESSION, PHOTOMETRIC

from .decoding import UnreadableImageError

SPACES = {
    PHOTOMETRIC.SEPARATED: "CMYK", PHOTOMETRIC.CIELAB: "CIELAB", PHOTOMETRIC.ICCLAB: "ICCLAB",
    PHOTOMETRIC.ITULAB: "ITULAB", PHOTOMETRIC.LOGLUV: "LogLuv",
}  # fmt: skip
"""Colour spaces other than RGB, in which a difference of values means something else."""
PLAIN = (
    COMPRESSION.NONE, COMPRESSION.LZW, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE,
    COMPRESSION.PACKBITS, COMPRESSION.LZMA, COMPRESSION.ZSTD,
)  # fmt: skip
"""Codecs that do not turn YCbCr into RGB, as that of JPEG does."""


def check_colour_space(path: Path, page: tifffile.TiffPage) -> None:
    """Refuse colours that are not stored as red, green and blue.

    Raises
    ------
    UnreadableImageError
        Naming the colour space.
    """
    space = SPACES.get(page.photometric)  # type: ignore[call-overload]  # it may be a bare number
    if page.photometric == PHOTOMETRIC.YCBCR and page.compression in PLAIN:
        space = "YCbCr"
    if space is not None and page.samplesperpixel > 1:
        raise UnreadableImageError(
            f"{path} holds {space} colours, which are not read; save it as RGB"
        )


def palette_of(file: tifffile.TiffFile, page: tifffile.TiffPage) -> NDArray[np.uint8] | None:
    """Return the colours that the values of a page stand for.

    Where brightness rises with the value, the palette only tints an intensity image: then the
    values themselves are read, as they are from all files of ImageJ.

    Returns
    -------
    (N, 3) uint8, or None if the values are intensities
    """
    colours = page.colormap
    if page.photometric != PHOTOMETRIC.PALETTE or colours is None or file.is_imagej:
        return None
    palette = np.asarray(colours).T
    used = np.flatnonzero(palette.any(axis=1)).max(initial=0) + 1  # unused entries are black
    if (np.diff(palette[:used].sum(axis=1, dtype=np.int64)) >= 0).all():
        return None
    return (palette >> 8 if palette.max() > 255 else palette).astype(np.uint8)
