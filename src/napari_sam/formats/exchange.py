"""All formats that annotations are written in and read from; a new one is one line here."""

from __future__ import annotations

from pathlib import Path

from .annotation import AnnotationFormat
from .coco_files import COCO
from .dicom_labels import SEG, SEG_MAP
from .imagej_roi import IMAGEJ_ROI, IMAGEJ_ROIS
from .label_tiff import LABEL_TIFF
from .measures_csv import MEASURES
from .nifti_labels import NIFTI
from .ome_zarr import OME_ZARR
from .project import PROJECT
from .yolo import YOLO, YOLO_TEXT

FORMATS: tuple[AnnotationFormat, ...] = (
    PROJECT,
    OME_ZARR,
    LABEL_TIFF,
    COCO,
    IMAGEJ_ROIS,
    IMAGEJ_ROI,
    YOLO,
    YOLO_TEXT,
    MEASURES,
    NIFTI,
    SEG_MAP,
    SEG,
)
"""In the order in which the dock offers them."""


def format_of(path: str | Path) -> AnnotationFormat | None:
    """Return the format that a path ends like; None if there is none."""
    name = Path(path).name.lower()
    return next((one for one in FORMATS if name.endswith(one.suffixes)), None)
