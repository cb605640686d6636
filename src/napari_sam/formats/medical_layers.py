"""Medical images and their labels as napari's layers, in millimetres; needs no napari."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..images.dicom_files import holds_dicom
from ..images.dicom_headers import TAGS
from ..images.dicom_kinds import is_segmentation
from ..images.dicom_opening import is_dicom, read_dataset
from ..images.nifti_files import LABEL_INTENT, is_nifti, load_nifti
from ..images.readers import StackImage, read_image
from ..images.scan import METADATA as SCAN
from ..images.scan import Scan, check_packages
from .annotation import Annotation
from .carried import METADATA, Carried
from .dicom_labels import read_segments
from .label_layers import LayerData, Reader, reader_of
from .nifti_labels import NIFTI, read_nifti_labels
from .ome_axes import PIXEL

MICROMETRE, MILLIMETRE = "um", "mm"
SHORT = {"second": "s"}
"""Units of time as napari's layers have them."""


def medical_reader(path: str | Sequence[str]) -> Reader | None:
    """Return what reads NIfTI and DICOM, images and labels, or None for anything else.

    Parameters
    ----------
    path : str or sequence of str
        Of files, or of folders of DICOM files.
    """
    return reader_of(path, _is_ours, _layer)


def image_options(image: StackImage, scan: Scan, name: str) -> dict[str, Any]:
    """Return the options of an Image layer: in millimetres, at the window of the file.

    Parameters
    ----------
    image : StackImage
    scan : Scan
        Of the image.
    name : str
        Of the layer, where the scan has none.
    """
    options = {
        "name": scan.name or name,
        **layer_place(scan, image.label_axes, image.scale, image.units),
    }
    if scan.window is not None:
        options["contrast_limits"] = scan.window
    return options


def layer_place(
    scan: Scan, axes: str, scale: tuple[float, ...] | None, units: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return scale, affine, units and metadata of a layer of a medical image.

    Parameters
    ----------
    scan : Scan
    axes : str
        A letter for each axis of the layer.
    scale : tuple of float or None
        Micrometres, where the scan does not place the image; along T in its unit.
    units : tuple of str
        Of the axes: that of T counts. Empty if it is unknown.
    """
    dimensions = len(axes)
    options: dict[str, Any] = {"metadata": {SCAN: scan}}
    time = scale[:1] if scale is not None and axes[0] == "T" else ()
    unit = units[0] if units else PIXEL
    clock = (SHORT.get(unit, unit),) if time else ()
    if scan.world is None:
        if scale is not None:
            options["scale"] = scale
            options["units"] = (*clock, *(MICROMETRE for _ in scale[len(time) :]))
        return options
    spacing = scan.world.spacing[-(dimensions - len(time)) :]
    options["scale"] = (*time, *spacing)
    options["units"] = (*clock, *(MILLIMETRE for _ in spacing))
    if len(spacing) == 3:
        options["affine"] = scan.world.layer_affine(dimensions)
    return options


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return holds_dicom(path)
    return path.is_file() and (is_dicom(path) or is_nifti(path))


def _layer(path: Path) -> LayerData:
    if path.is_file() and _holds_labels(path):
        return _labels_layer(read_segments(path) if is_dicom(path) else read_nifti_labels(path))
    image = read_image(path)
    if image.notice:
        warnings.warn(image.notice, stacklevel=2)
    name = next((path.name.removesuffix(one) for one in NIFTI.suffixes if one in path.name), "")
    options = image_options(image, image.scan or Scan(), name or path.stem)
    if image.axes.endswith("S"):
        options["rgb"] = True
    return image.data, options, "image"


def _holds_labels(path: Path) -> bool:
    if is_dicom(path):
        check_packages(f"{path}, a DICOM file,", "pydicom")
        return is_segmentation(read_dataset(path, TAGS))
    check_packages(f"{path}, a NIfTI file,", "nibabel")
    return int(load_nifti(path).header["intent_code"]) == LABEL_INTENT


def _labels_layer(annotation: Annotation) -> LayerData:
    scan, labels = annotation.geometry.scan or Scan(), annotation.labels
    axes = "".join(annotation.geometry.axes).upper()
    place = layer_place(scan, axes, annotation.geometry.scale, annotation.geometry.units)
    options = {"name": annotation.name, **place}
    options["metadata"][METADATA] = Carried(annotation.objects, annotation.properties)
    fits = int(labels.max(initial=0)) <= np.iinfo(np.int32).max
    return labels.astype(np.int32) if fits else labels, options, "labels"
