"""What a DICOM file holds: images, labels, or something else, which is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""SOP classes of segmentations, and of label maps."""
NO_IMAGES = ("1.2.840.10008.5.1.4.1.1.481.2", "1.2.840.10008.5.1.4.1.1.4.2")
"""SOP classes with rows and columns that are no image: radiation dose, spectroscopy."""
STORAGE = " Storage"
"""What the names of most SOP classes end with."""


def is_segmentation(header: Dataset) -> bool:
    """Tell whether a file holds labels."""
    return _sop_class(header) in SEGMENTATIONS


def is_image(header: Dataset) -> bool:
    """Tell whether a file holds images."""
    return "Rows" in header and _sop_class(header) not in (*SEGMENTATIONS, *NO_IMAGES)


def kind_name(header: Dataset) -> str:
    """Return what DICOM calls the content of a file: "RT Dose", "Comprehensive SR"."""
    from pydicom.uid import UID

    name = UID(_sop_class(header)).name
    known = name.endswith(STORAGE)  # any other is the UID itself
    return name.removesuffix(STORAGE) if known else "object of an unknown kind"


def kinds_text(headers: Iterable[Dataset]) -> str:
    """Return how many files there are of each kind: "1 RT Dose, 2 RT Structure Set"."""
    counts = Counter(kind_name(one) for one in headers)
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))


def _sop_class(header: Dataset) -> str:
    """Return the SOP class; a DICOMDIR has it in its file meta information alone."""
    meta = getattr(header, "file_meta", None) or {}
    return str(header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or "")
