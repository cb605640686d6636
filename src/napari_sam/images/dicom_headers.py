"""Frames of DICOM files: what their headers say of place and values; no text of the patient."""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..types import Limits
from .ct_windows import window_limits
from .decoding import UnreadableImageError
from .dicom_opening import reading
from .dicom_times import TIMES, number_of, time_of
from .scan import ScanPlane

if TYPE_CHECKING:
    from pydicom import Dataset

KINDS = ("EchoNumbers", "EchoTime", "ImageType")
"""What tells images of several kinds at one position apart."""
REAL_BITS = 32
"""Allocated at least for a real number, of which no stored bits are stated."""
OTHER_NAMES = {
    "EffectiveEchoTime": "EchoTime",
    "FrameType": "ImageType",
    "TemporalPositionIndex": "TemporalPositionIdentifier",
    "NominalCardiacTriggerDelayTime": "TriggerTime",
    "FrameReferenceDateTime": "ContentTime",
    "FrameAcquisitionDateTime": "AcquisitionTime",
}
"""Of the same in files of several frames."""
OF_FRAMES = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing"),
    *("SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", *KINDS, *TIMES),
)
"""What each frame of a file may have of its own."""
OF_FILES = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality"),
    *("FrameOfReferenceUID", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("NumberOfFrames", "BitsAllocated", "BitsStored", "PixelRepresentation", "InstanceNumber"),
    "FrameTime",
)
FUNCTIONAL = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
TAGS = (*OF_FILES, *OF_FRAMES, *FUNCTIONAL)
"""All that is read of a header; the rest never enters memory."""
MOST_FRAMES = 10**6
"""Of a file."""
FRAGMENT = 8
"""Bytes of a compressed frame at least: those before its values."""
ALIKE = 1e-3
"""Directions and millimetres of spacing that differ by less are those of one volume."""
GROUPS = (
    "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
    "PixelValueTransformationSequence", "FrameVOILUTSequence", "MREchoSequence",
    "MRDiffusionSequence", "FrameContentSequence", "CardiacSynchronizationSequence",
    "TemporalPositionSequence", "MRImageFrameTypeSequence", "CTImageFrameTypeSequence",
)  # fmt: skip
"""Functional groups of an enhanced file that are looked at."""

Numbers = tuple[float, ...]
Seen = dict[tuple[int, bytes], dict[str, Any]]


@dataclass(frozen=True)
class Frame:
    """One image of a DICOM file.

    Attributes
    ----------
    plane : ScanPlane
    series : str
        Series Instance UID.
    reference : str
        Frame of Reference UID: positions of images compare only within one.
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
    apart : float or None
        Distance of planes as the file states it.
    thickness : float or None
    slope, intercept : float
        From stored values to those of the modality.
    stored : (float, float)
        Smallest and largest value that can be stored.
    inverted : bool
        Whether small values are bright.
    hounsfield : bool
    window : (low, high) float or None
    kinds : tuple of str
        Values of `KINDS`.
    times : tuple of float or None
        Values of `TIMES`.
    frame_time : float or None
        Between two frames, in seconds.
    """

    plane: ScanPlane
    series: str
    reference: str
    number: int
    instance: int
    modality: str
    shape: tuple[int, ...]
    position: Numbers | None
    orientation: Numbers | None
    spacing: Numbers | None
    apart: float | None
    thickness: float | None
    slope: float
    intercept: float
    stored: tuple[float, float]
    inverted: bool
    hounsfield: bool
    window: Limits | None
    kinds: tuple[str, ...]
    times: tuple[float | None, ...]
    frame_time: float | None

    @property
    def kind(self) -> tuple[Any, ...]:
        """What all planes of one volume have in common, apart from `is_aligned`."""
        unknown = (one is None for one in (self.position, self.orientation, self.spacing))
        return self.series, self.reference, self.shape, *unknown

    @property
    def place(self) -> Hashable:
        """The position, which files round in different ways; without one, the number."""
        if self.position is None:
            return self.instance
        return tuple(round(n, 3) + 0.0 for n in self.position)

    def is_aligned(self, other: Frame) -> bool:
        """Tell whether directions and spacing are those of another image of this `kind`."""
        pairs = (self.orientation, other.orientation), (self.spacing, other.spacing)
        return all(
            a is None or b is None or bool(np.abs(np.subtract(a, b)).max() < ALIKE)
            for a, b in pairs
        )


def frames_of(path: Path, header: Dataset, groups: tuple[str, ...] = GROUPS) -> list[Frame]:
    """Return the images of a file; none if it has no rows.

    Parameters
    ----------
    path : Path
    header : Dataset
    groups : tuple of str
        The functional groups of frames that are looked at.

    Raises
    ------
    UnreadableImageError
        If its header is damaged, or states more frames than the file can hold.
    """
    with reading(path):
        if "Rows" not in header:
            return []
        count = int(header.get("NumberOfFrames") or 1)
        _check_count(path, header, count)
        items = header.get("PerFrameFunctionalGroupsSequence") or ()
        if items and len(items) != count:
            raise UnreadableImageError(f"{path} has {count} frames, but describes {len(items)}")
        known, tags = _known(header), _tags(groups)
        for item in header.get("SharedFunctionalGroupsSequence") or ():
            known |= _in_item(item, tags, {})
        if count == 1 and not items:
            return [_frame(known, ScanPlane(path))]
        seen: Seen = {}
        own = (_in_item(one, tags, seen) for one in items) if items else repeat({}, count)
        return [_frame(known | one, ScanPlane(path, k)) for k, one in enumerate(own)]


def _check_count(path: Path, header: Dataset, count: int) -> None:
    """Refuse more frames than a file can hold."""
    if count == 1:
        return
    syntax = getattr(header, "file_meta", {}).get("TransferSyntaxUID")
    bits = int(header.get("BitsAllocated") or 1)  # colours may share values: one sample counts
    if syntax is None or syntax.is_deflated:
        least = 0
    elif syntax.is_compressed:
        least = count * FRAGMENT
    else:
        least = count * int(header.Rows) * int(header.Columns) * bits // 8
    if not 1 <= count <= MOST_FRAMES or least > path.stat().st_size:
        raise UnreadableImageError(
            f"{path} states {count} frames, which it cannot hold; it may be damaged"
        )


def _in_item(item: Dataset, tags: Container[int], seen: Seen) -> dict[str, Any]:
    """Return what the functional groups of a frame say; what many frames say is decoded once."""
    found: dict[str, Any] = {}
    for tag in [one for one in item.keys() if one in tags]:  # noqa: SIM118
        content = item.get_item(tag).value
        key = (tag, content) if isinstance(content, bytes) else None
        if key is not None and key in seen:
            found |= seen[key]
            continue
        inner: dict[str, Any] = {}
        for one in item[tag].value or ():
            inner |= _known(one)
        if key is not None:
            seen[key] = inner
        found |= inner
    return found


def _known(data: Dataset) -> dict[str, Any]:
    """Return the values of `OF_FILES` and `OF_FRAMES` by their names; those that are empty lack."""
    tags = _tags((*OF_FILES, *OF_FRAMES, *OTHER_NAMES))
    named = {tags[one]: data[one].value for one in list(data.keys()) if one in tags}
    return {OTHER_NAMES.get(k, k): value for k, value in named.items() if value not in (None, "")}


@cache
def _tags(names: tuple[str, ...]) -> dict[int, str]:
    """Return names by their tags."""
    from pydicom.datadict import tag_for_keyword

    tags = ((tag_for_keyword(one), one) for one in names)
    return {tag: one for tag, one in tags if tag is not None}


def _frame(known: Mapping[str, Any], plane: ScanPlane) -> Frame:
    """Return an image of which the values of `OF_FILES` and `OF_FRAMES` are known."""
    found = known.get
    samples = int(found("SamplesPerPixel") or 1)
    kind = str(found("PhotometricInterpretation") or "MONOCHROME2").strip()
    size = int(known["Rows"]), int(known["Columns"])
    modality = str(found("Modality") or "")
    unit = str(found("RescaleType") or "HU").strip().upper()
    time, slope = number_of(found("FrameTime")), number_of(found("RescaleSlope"))
    intercept = number_of(found("RescaleIntercept"))
    return Frame(
        plane,
        str(found("SeriesInstanceUID") or ""),
        str(found("FrameOfReferenceUID") or ""),
        int(found("SeriesNumber") or 0),
        int(found("InstanceNumber") or 0) if plane.frame is None else plane.frame,
        modality,
        (*size, 3) if samples > 1 or kind == "PALETTE COLOR" else size,
        _numbers(found("ImagePositionPatient"), 3),
        _numbers(found("ImageOrientationPatient"), 6),
        _numbers(found("PixelSpacing") or found("ImagerPixelSpacing"), 2),
        abs(number_of(found("SpacingBetweenSlices")) or 0.0) or None,  # some state the direction
        number_of(found("SliceThickness")),
        1.0 if slope is None else slope,
        intercept or 0.0,
        _stored(known),
        kind == "MONOCHROME1",
        modality == "CT" and unit == "HU" and kind != "MONOCHROME1" and intercept is not None,
        _window(found("WindowCenter"), found("WindowWidth"), found("VOILUTFunction")),
        tuple(str(found(name) or "") for name in KINDS),
        tuple(time_of(name, found(name)) for name in TIMES),
        None if time is None else time / 1000,
    )


def _stored(known: Mapping[str, Any]) -> tuple[float, float]:
    """Return the smallest and the largest value that can be stored; real ones have no ends."""
    if "BitsStored" not in known and int(known.get("BitsAllocated") or 8) >= REAL_BITS:
        return -np.inf, np.inf
    bits = int(known.get("BitsStored") or 8)
    signed = bool(known.get("PixelRepresentation"))
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def _window(centre: Any, width: Any, function: Any) -> Limits | None:
    values = [number_of(one if np.ndim(one) == 0 else one[0]) for one in (centre, width)]
    if values[0] is None or values[1] is None:
        return None
    return window_limits(values[0], values[1], str(function or "LINEAR").strip().upper())


def _numbers(values: Any, count: int) -> Numbers | None:
    """Return so many finite numbers; None if there are others."""
    if values is None or np.ndim(values) != 1 or len(values) != count:
        return None
    numbers = tuple(number_of(one) for one in values)
    known = tuple(one for one in numbers if one is not None)
    return known if len(known) == count else None
