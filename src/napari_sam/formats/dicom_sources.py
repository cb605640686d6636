"""What a DICOM segmentation needs of the images it refers to, patient left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..images.dicom_opening import read_dataset, reading
from ..images.scan import Scan
from ..images.world import WorldAffine

if TYPE_CHECKING:
    from pydicom import Dataset

ANONYMOUS = "Anonymous"
REFERENCES = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("FrameOfReferenceUID", "Modality", "Rows", "Columns", "NumberOfFrames", "ImageType"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("SpacingBetweenSlices", "SharedFunctionalGroupsSequence"),
    *("PerFrameFunctionalGroupsSequence", "ImagerPixelSpacing"),
)
"""What refers to the source images and places them."""
PLACES = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
}
"""Functional groups that place frames, with all that is kept of them; others may hold dates."""
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
EMPTY = (
    *("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"),
    *("ReferringPhysicianName", "PositionReferenceIndicator"),
)


def source_paths(scan: Scan) -> list[Path]:
    """Return the files of the planes, each once."""
    return list(dict.fromkeys(one.path for one in scan.planes if one is not None))


def read_source(path: Path, scan: Scan) -> Dataset:
    """Return what a segmentation needs of a source image.

    Raises
    ------
    ValueError
        If it cannot be read any more.
    """
    found = read_dataset(path, None if scan.keep_patient else REFERENCES)
    with reading(path):
        for name in EMPTY:
            if name not in found:
                setattr(found, name, "")
        if not scan.keep_patient:
            found.PatientName = found.PatientID = ANONYMOUS
            for name in GROUPS:
                if name in found:
                    setattr(found, name, [_places_of(group) for group in found[name].value])
        for name in ("PatientName", "PatientID"):
            if name not in found:
                setattr(found, name, "")
        if scan.world is not None:
            _set_geometry(found, scan.world)
    return found


def _set_geometry(found: Dataset, world: WorldAffine) -> None:
    """State directions and distances as the grid has them; highdicom asks for them in this place.

    Files round them in different ways, or state them for each frame, or not at all.
    """
    from pydicom import Dataset
    from pydicom.valuerep import format_number_as_ds

    lps, (_, down, across) = world.lps, world.spacing
    normal = np.cross(lps[:3, 0], lps[:3, 1])
    distance = round(abs(float(lps[:3, 2] @ normal / np.linalg.norm(normal))), 6)
    turn = Dataset()
    turn.ImageOrientationPatient = [
        format_number_as_ds(float(n)) for n in (*lps[:3, 0] / across, *lps[:3, 1] / down)
    ]
    measures = Dataset()
    measures.PixelSpacing = [format_number_as_ds(n) for n in (down, across)]
    given = [item for group in _groups(found) for item in group.get("PixelMeasuresSequence") or ()]
    stated = [one.get("SliceThickness") for one in (*given, found)]
    measures.SliceThickness = next((one for one in stated if one), distance)
    measures.SpacingBetweenSlices = distance
    if not found.get("SharedFunctionalGroupsSequence"):
        for element in (*turn, *measures):
            found.add(element)
        return
    for group in _groups(found):
        for name in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
            if name in group:
                delattr(group, name)
    shared = found.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [turn], [measures]


def _groups(found: Dataset) -> Iterator[Dataset]:
    for name in GROUPS:
        yield from found.get(name) or ()


def _places_of(group: Dataset) -> Dataset:
    """Return what a functional group says of the place of frames, and nothing else."""
    from pydicom import Dataset

    bare = Dataset()
    for name, fields in PLACES.items():
        items = []
        for given in group.get(name) or ():
            item = Dataset()
            for field in fields:
                if field in given:
                    setattr(item, field, given[field].value)
            items.append(item)
        if items:
            setattr(bare, name, items)
    return bare
