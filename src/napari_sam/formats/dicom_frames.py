"""Frames of a binary DICOM segmentation, encoded one after another: one of each object and plane.

A data set of pydicom takes a millisecond a frame; thousands are made of bytes here.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from ..types import Mask

if TYPE_CHECKING:
    from pydicom import Dataset

PER_FRAME = b"\x00\x52\x30\x92SQ\x00\x00"
"""PerFrameFunctionalGroupsSequence, before its length; little endian as all here."""
PIXEL_DATA = b"\xe0\x7f\x10\x00OB\x00\x00"
ITEM = b"\xfe\xff\x00\xe0"
LARGEST = 2**32 - 2
"""Most bytes of an element."""
TOGETHER = 8
"""Frames of one bit a pixel follow each other without a gap; so many end at a whole byte."""


class SegmentFrame(NamedTuple):
    """An object in a plane.

    Attributes
    ----------
    number : int
        Of its segment.
    plane : int
    mask : Mask
    """

    number: int
    plane: int
    mask: Mask


def write_frames(
    path: Path, made: Dataset, groups: Mapping[int, Dataset], frames: Sequence[SegmentFrame]
) -> None:
    """Write a segmentation.

    Parameters
    ----------
    path : Path
    made : Dataset
        All but the frames; its functional groups of frames and its pixels are replaced.
    groups : mapping of int to Dataset
        The functional groups of a frame of each plane.
    frames : sequence of SegmentFrame
        They are written in the order of their dimension indices: of segments, then of planes.

    Raises
    ------
    ValueError
        If they have more bytes than a DICOM file holds.
    """
    items = {plane: _Item(group) for plane, group in groups.items()}
    frames = sorted(frames, key=lambda one: (one.number, items[one.plane].place))
    rows, columns = int(made.Rows), int(made.Columns)
    length = sum(len(items[one.plane].content) + len(ITEM) + 4 for one in frames)
    nbytes = -(-len(frames) * rows * columns // 16) * 2
    if max(length, nbytes) > LARGEST:
        raise ValueError(
            f"a DICOM segmentation of {len(frames)} frames is larger than a DICOM file may be; "
            "write .labelmap.dcm or .nii.gz"
        )
    del made.PerFrameFunctionalGroupsSequence, made.PixelData
    made.NumberOfFrames = len(frames)
    made.save_as(path, enforce_file_format=True)
    with path.open("ab") as file:  # these two are the last elements of a segmentation
        file.write(PER_FRAME + struct.pack("<I", length))
        for one in frames:
            file.write(items[one.plane].of_segment(one.number))
        file.write(PIXEL_DATA + struct.pack("<I", nbytes))
        start = file.tell()
        _write_bits(file, [one.mask for one in frames])
        file.write(bytes(nbytes - (file.tell() - start)))


def _write_bits(file: BinaryIO, masks: Sequence[Mask]) -> None:
    height, width = masks[0].size
    whole = np.zeros((TOGETHER, height, width), bool)
    for start in range(0, len(masks), TOGETHER):
        some = masks[start : start + TOGETHER]
        for plane, mask in zip(whole, some, strict=False):
            plane[mask.part] = mask.bits
        file.write(np.packbits(whole[: len(some)], axis=None, bitorder="little").tobytes())
        for plane, mask in zip(whole, some, strict=False):
            plane[mask.part] = False


class _Item:
    """The encoded functional groups of a frame, in which the number of the segment is replaced."""

    def __init__(self, group: Dataset) -> None:
        contents = [_encoded(group, number) for number in (1, 2)]
        one, other = (np.frombuffer(content, np.uint8) for content in contents)
        # first the dimension index, then the referenced number, both with the lowest byte first
        self._index, self._number = (int(at) for at in np.flatnonzero(one != other))
        self.content = bytearray(contents[0])
        self.place = tuple(_index_values(group)[1:])

    def of_segment(self, number: int) -> bytes:
        """Return the item of a segment."""
        struct.pack_into("<I", self.content, self._index, number)
        struct.pack_into("<H", self.content, self._number, number)
        return ITEM + struct.pack("<I", len(self.content)) + bytes(self.content)


def _index_values(group: Dataset) -> list[int]:
    """Return the number of the segment and, where planes have a place, that of the place."""
    values = group.FrameContentSequence[0].DimensionIndexValues
    return [values] if isinstance(values, int) else list(values)


def _encoded(group: Dataset, number: int) -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = number
    group.FrameContentSequence[0].DimensionIndexValues = [number, *_index_values(group)[1:]]
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, group)
    return bytes(buffer.getvalue())
