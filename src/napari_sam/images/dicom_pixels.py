"""Pixels of the images of a DICOM file, whose header is read once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .decoding import UnreadableImageError
from .dicom_opening import opened, read_dataset, reading

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

DESCRIPTION = (
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *(f"{name}PaletteColorLookupTableDescriptor" for name in ("Red", "Green", "Blue")),
    *(f"{name}PaletteColorLookupTableData" for name in ("Red", "Green", "Blue")),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
"""All that is read of a header to know how pixels are stored."""
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
DECODERS = {
    "JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG": "pylibjpeg pylibjpeg-libjpeg",
    "RLE": "pylibjpeg pylibjpeg-rle",
}
"""Packages that decode transfer syntaxes with these words in their names; the first one counts."""


class StoredPixels:
    """The pixels of a file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    UnreadableImageError
        If it is damaged, or compressed in a way that no installed package decodes.
    """

    def __init__(self, path: Path) -> None:
        from pydicom import dcmread
        from pydicom.pixels.utils import as_pixel_options

        self._path = path
        self._source: Dataset | None = None
        with reading(path), opened(path) as file:
            self._about = dcmread(file, stop_before_pixels=True, specific_tags=list(DESCRIPTION))
            syntax = self._about.file_meta.TransferSyntaxUID
            self._decoder = _decoder(path, syntax)
            self._options = as_pixel_options(self._about)
            if syntax.is_deflated:  # there is no place of pixels in the file
                self._source = read_dataset(path, (*DESCRIPTION, *PIXELS), pixels=True)
            else:
                self._start = _pixel_start(file, syntax, self._options)
                _add_offsets(file, self._start, syntax, self._options)

    def frame(self, number: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the stored values of an image, or its colours as (rows, columns, 3) uint8.

        Parameters
        ----------
        number : int
            From 0.
        shape : tuple of int
            As its header states it.

        Raises
        ------
        UnreadableImageError
            If it is damaged.
        """
        from pydicom.pixels.processing import apply_color_lut

        with reading(self._path), opened(self._path) as file:
            if self._source is None:
                file.seek(self._start)
            try:
                pixels, about = self._decoder.as_array(
                    file if self._source is None else self._source, index=number, **self._options
                )
            except RuntimeError:  # of a package that decodes only part of what its syntax allows
                raise UnreadableImageError(_undecoded(self._path, self._decoder)) from None
            if about["photometric_interpretation"] == "PALETTE COLOR":
                pixels = apply_color_lut(pixels, self._about)
            if len(shape) > 2 and pixels.dtype != np.uint8:
                wide = pixels.dtype.itemsize * 8
                pixels = (pixels >> (max(wide, 8) - 8)).astype(np.uint8)
            if pixels.shape[: len(shape)] != shape:
                raise UnreadableImageError(
                    f"{self._path} holds an image of another size than it states"
                )
        return np.asarray(pixels)


def _decoder(path: Path, syntax: UID) -> Any:
    """Return pydicom's decoder; an UnreadableImageError names what is missing."""
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnreadableImageError(
            f"{path} is compressed as {syntax.name}, which is not read; save the images "
            "uncompressed with the program they come from"
        ) from None
    if not decoder.is_available:
        raise UnreadableImageError(
            f"{path} is compressed as {syntax.name}, which no installed package decodes; "
            f"install what does: {_installing(syntax)}"
        )
    return decoder


def _undecoded(path: Path, decoder: Any) -> str:
    """Return what to say of an image that the installed packages do not decode."""
    said = f"{path}, compressed as {decoder.UID.name}, cannot be decoded; it may be damaged"
    return f"{said}, or needs: {_installing(decoder.UID)}" if decoder.missing_dependencies else said


def _installing(syntax: UID) -> str:
    packages = next((names for word, names in DECODERS.items() if word in syntax.name), "")
    return f"pip install {packages}"


def _pixel_start(file: Any, syntax: UID, options: dict[str, Any]) -> int:
    """Return where the value of the pixels begins, from a file at their element.

    What the element says of them is added to the options.
    """
    order: Literal["little", "big"] = "little" if syntax.is_little_endian else "big"
    place = file.tell()
    head = file.read(8)
    group, element = (int.from_bytes(head[k : k + 2], order) for k in (0, 2))
    keywords = {0x7FE00010: "PixelData", 0x7FE00008: "FloatPixelData"}
    keywords[0x7FE00009] = "DoubleFloatPixelData"
    options["pixel_keyword"] = keywords[group << 16 | element]
    options["transfer_syntax_uid"] = syntax
    if syntax.is_implicit_VR:
        return int(place) + 8
    options["pixel_vr"] = head[4:6].decode("ascii")
    return int(place) + 12


def _add_offsets(file: Any, start: int, syntax: UID, options: dict[str, Any]) -> None:
    """Add where compressed frames lie, where the file does not say so and each is one fragment.

    Otherwise they would be looked for from the first one on for each frame.
    """
    from pydicom.encaps import parse_basic_offsets, parse_fragments

    count = int(options["number_of_frames"])
    if not syntax.is_compressed or count == 1 or options.get("extended_offsets"):
        return
    file.seek(start)
    if parse_basic_offsets(file):
        return
    first = file.tell()
    fragments, places = parse_fragments(file)
    if fragments != count:
        return
    lengths = []
    for place in places:
        file.seek(place + 4)
        lengths.append(int.from_bytes(file.read(4), "little"))
    options["extended_offsets"] = ([place - first for place in places], lengths)
