"""What a DICOM segmentation says of its objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._version import __version__

if TYPE_CHECKING:
    from pydicom import Dataset

PROGRAM = "napari-sam-stack"
OBJECT = "object"
"""Label of a segment without a class."""
LONGEST = 64
"""Characters of a label in DICOM."""
LARGEST_LABEL = 2**31 - 1
"""Of an object: labels are read as int32."""


def descriptions(
    values: Sequence[int], segments: Sequence[int], classes: Mapping[int, str], note: str
) -> list[Any]:
    """Return what is said of each object.

    Parameters
    ----------
    values : sequence of int
        Labels.
    segments : sequence of int
        The numbers of their segments.
    classes : mapping of int to str
        Of labels.
    note : str
        The provenance, as JSON.

    Returns
    -------
    list of highdicom.seg.SegmentDescription
    """
    import highdicom
    from pydicom.sr.codedict import codes

    automatic = json.loads(note).get("command") == "everything"
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=PROGRAM, family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    return [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=segment_name(classes.get(label, "")) or OBJECT,
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type="AUTOMATIC" if automatic else "SEMIAUTOMATIC",
            algorithm_identification=algorithm,
            tracking_uid=highdicom.UID(),
            tracking_id=str(label),
        )
        for number, label in zip(segments, values, strict=True)
    ]


def like(one: Dataset, number: int, label: int, classes: Mapping[int, str]) -> Dataset:
    """Return the description of another object, much faster than `descriptions`."""
    import highdicom
    from pydicom import Dataset

    other = Dataset()
    for element in one:
        other.add(element)
    other.add_new("SegmentNumber", "US", number)
    other.add_new("SegmentLabel", "LO", segment_name(classes.get(label, "")) or OBJECT)
    other.add_new("TrackingID", "UT", str(label))
    other.add_new("TrackingUID", "UI", highdicom.UID())
    return other


def segment_name(name: str) -> str:
    """Return a class as a label of a segment holds it: short, and without what parts values."""
    return " ".join(name.replace("\\", "/").split())[:LONGEST].strip()
