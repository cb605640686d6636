"""Frames of DICOM files: what their headers say of place and values; no text of the patient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..types import Limits
from .ct_windows import window_limits
from .decoding import UnreadableImageError
from .dicom_opening import reading
from .scan import ScanPlane

if TYPE_CHECKING:
    from pydicom import Dataset

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""SOP classes of segmentations, and of label maps."""
TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    *("BitsStored", "PixelRepresentation", "InstanceNumber", "ImageType"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing"),
    *("SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "FrameTime"),
    *("AcquisitionNumber", "EchoNumbers", "EchoTime", "TemporalPositionIdentifier", "TriggerTime"),
    *("DiffusionBValue", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
"""All that is read of a header; the rest never enters memory."""
MARKS = (
    *("EchoNumbers", "EchoTime", "TemporalPositionIdentifier", "DiffusionBValue"),
    *("TriggerTime", "ImageType", "AcquisitionNumber"),
)
"""What tells images at one position apart, the likeliest first."""
ALIKE = 1e-3
"""Directions and millimetres of spacing that differ by less are those of one volume."""
GROUPS = (
    "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
    "PixelValueTransformationSequence", "FrameVOILUTSequence", "MREchoSequence",
    "MRDiffusionSequence", "FrameContentSequence",
)  # fmt: skip
"""Functional groups of an enhanced file that are looked at."""

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Frame:
    """One image of a DICOM file.

    Attributes
    ----------
    plane : ScanPlane
    series : str
        Series Instance UID.
    number, instance : int
        Of the series, and of the image in it.
    modality : str
        "CT", "MR" and so on.
    shape : tuple of int
        (rows, columns), or (rows, columns, 3) in colour.
    position : (x, y, z) float or None
        Of the centre of the first pixel, in millimetres (LPS).
    orientation : (6,) float or None
        Direction along a row, then down a column.
    spacing : (float, float) or None
        Distance of rows, and of columns, in millimetres.
    step : float or None
        Distance of planes as the file states it, or else their thickness.
    thickness : float or None
    slope, intercept : float
        From stored values to those of the modality.
    stored : (int, int)
        Smallest and largest value that can be stored.
    inverted : bool
        Whether small values are bright.
    hounsfield : bool
    window : (low, high) float or None
    marks : tuple of str
        Values of `MARKS`.
    frame_time : float or None
        Between two frames, in seconds.
    """

    plane: ScanPlane
    series: str
    number: int
    instance: int
    modality: str
    shape: tuple[int, ...]
    position: Numbers | None
    orientation: Numbers | None
    spacing: Numbers | None
    step: float | None
    thickness: float | None
    slope: float
    intercept: float
    stored: tuple[int, int]
    inverted: bool
    hounsfield: bool
    window: Limits | None
    marks: tuple[str, ...]
    frame_time: float | None

    @property
    def kind(self) -> tuple[Any, ...]:
        """What all planes of one volume have in common, apart from `is_aligned`."""
        unknown = (one is None for one in (self.position, self.orientation, self.spacing))
        return self.series, self.shape, *unknown

    def is_aligned(self, other: Frame) -> bool:
        """Tell whether directions and spacing are those of another image of this `kind`."""
        pairs = (self.orientation, other.orientation), (self.spacing, other.spacing)
        return all(
            a is None or b is None or bool(np.abs(np.subtract(a, b)).max() < ALIKE)
            for a, b in pairs
        )


def is_segmentation(header: Dataset) -> bool:
    """Tell whether a file holds labels."""
    return str(header.get("SOPClassUID", "")) in SEGMENTATIONS


def frames_of(path: Path, header: Dataset) -> list[Frame]:
    """Return the images of a file; none if it holds no pixels.

    Raises
    ------
    UnreadableImageError
        If its header is damaged.
    """
    with reading(path):
        if "Rows" not in header:
            return []
        count = int(header.get("NumberOfFrames") or 1)
        groups = header.get("PerFrameFunctionalGroupsSequence") or ()
        if count == 1 and not groups:
            return [_frame(header, (header,), ScanPlane(path))]
        if groups and len(groups) != count:
            raise UnreadableImageError(f"{path} has {count} frames, but describes {len(groups)}")
        shared = header.get("SharedFunctionalGroupsSequence") or ()
        common = [item for one in shared for item in _items(one)]
        return [
            _frame(header, (*_items_of(groups, k), *common, header), ScanPlane(path, k))
            for k in range(count)
        ]


def _items_of(groups: Sequence[Dataset], number: int) -> list[Dataset]:
    return list(_items(groups[number])) if groups else []


def _items(group: Dataset) -> Iterator[Dataset]:
    """Yield the contents of the functional groups of a frame."""
    for name in GROUPS:
        for item in group.get(name) or ():
            yield item
            yield from item.get("DiffusionGradientDirectionSequence") or ()


def _frame(header: Dataset, places: Sequence[Dataset], plane: ScanPlane) -> Frame:
    """Return an image; what is asked for is looked for in several data sets in turn."""

    def found(name: str) -> Any:
        values = (one.get(name) for one in places)
        return next((one for one in values if one not in (None, "")), None)

    samples = int(header.get("SamplesPerPixel") or 1)
    kind = str(header.get("PhotometricInterpretation") or "MONOCHROME2").strip()
    size = int(header.Rows), int(header.Columns)
    bits, signed = int(header.get("BitsStored") or 8), bool(header.get("PixelRepresentation"))
    modality = str(header.get("Modality") or "")
    unit = str(found("RescaleType") or "HU").strip().upper()
    thickness = _number(found("SliceThickness"))
    time = _number(found("FrameTime"))
    intercept = _number(found("RescaleIntercept"))
    instance = found("InstanceNumber")
    return Frame(
        plane,
        str(header.get("SeriesInstanceUID") or ""),
        int(header.get("SeriesNumber") or 0),
        int(instance or 0) if plane.frame is None else plane.frame,
        modality,
        (*size, 3) if samples > 1 or kind == "PALETTE COLOR" else size,
        _numbers(found("ImagePositionPatient"), 3),
        _numbers(found("ImageOrientationPatient"), 6),
        _numbers(found("PixelSpacing") or found("ImagerPixelSpacing"), 2),
        _number(found("SpacingBetweenSlices")) or thickness,
        thickness,
        1.0 if (slope := _number(found("RescaleSlope"))) is None else slope,
        intercept or 0.0,
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1),
        kind == "MONOCHROME1",
        modality == "CT" and unit == "HU" and kind != "MONOCHROME1" and intercept is not None,
        _window(found("WindowCenter"), found("WindowWidth"), found("VOILUTFunction")),
        tuple(str(found(name) or "") for name in MARKS),
        None if time is None else time / 1000,
    )


def _window(centre: Any, width: Any, function: Any) -> Limits | None:
    values = [_number(one if np.ndim(one) == 0 else one[0]) for one in (centre, width)]
    if values[0] is None or values[1] is None:
        return None
    return window_limits(values[0], values[1], str(function or "LINEAR").strip().upper())


def _number(value: Any) -> float | None:
    with suppress(TypeError, ValueError):
        number = float(value)
        return number if np.isfinite(number) else None
    return None


def _numbers(values: Any, count: int) -> Numbers | None:
    """Return so many finite numbers; None if there are others."""
    if values is None or np.ndim(values) != 1 or len(values) != count:
        return None
    numbers = tuple(_number(one) for one in values)
    known = tuple(one for one in numbers if one is not None)
    return known if len(known) == count else None
