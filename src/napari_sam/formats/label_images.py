"""Label images with their axes, scale and provenance: TIFF, OME-Zarr, PNG, numpy's own format.

A new format is a function that writes it and its line in `LABEL_FORMATS`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from ..checks import shown
from ..files import (
    check_target,
    put_back,
    replacing_all,
    replacing_folder,
    same_file,
    write_text,
)
from ..images.scan import Scan
from .annotation import Annotation, Geometry
from .dicom_seg import check_seg, write_seg
from .labels_group import LabelsGroup
from .nifti_volume import check_nifti, write_nifti
from .ome_axes import PIXEL
from .ome_zarr import holds_labels

Labels = NDArray[np.unsignedinteger]

AXES = ("YX", "ZYX", "TYX", "TZYX")
"""Axes of label images; any other are read again in another order, or as channels."""
PROGRAM = "napari-sam-stack"
"""What the provenance of results names as their program."""


@dataclass(frozen=True)
class About:
    """What is written with labels.

    Attributes
    ----------
    axes : str
        A letter for each axis.
    scale : tuple of float or None
        A length in micrometres for each.
    note : str
        The provenance, as JSON.
    scan : Scan or None
        Of a medical image.
    classes : mapping of int to str
        Of labels, where they are known.
    units : tuple of str
        Of the scale; empty if those of lengths alone are known.
    """

    axes: str
    scale: tuple[float, ...] | None
    note: str
    scan: Scan | None = None
    classes: Mapping[int, str] = field(default_factory=dict)
    units: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelFormat:
    """A format that labels are written in.

    Attributes
    ----------
    write : callable of (path, labels, about)
        `path` is a Path, `labels` (..., H, W) of the smallest unsigned integers, `about` an
        `About`. Returns the labels as they were written.
    stacks : bool
        Whether it holds more than one plane.
    folder : bool
        Whether it is a folder.
    check : callable of (Scan or None)
        Raises ValueError where labels of such an image cannot be written.
    """

    write: Callable[[Path, Labels, About], Labels]
    stacks: bool = True
    folder: bool = False
    check: Callable[[Scan | None], None] = lambda scan: None


def check_label_target(
    path: str | Path,
    source: str | Path | None,
    overwrite: bool,
    dimensions: int,
    scan: Scan | None = None,
) -> None:
    """Do as `check_target`, and refuse a format that labels of such an image cannot go to."""
    suffix = label_suffix(path)
    if suffix not in LABEL_FORMATS:
        known = ", ".join(LABEL_FORMATS)
        raise ValueError(f"labels are written as {known}, but the result is called {path}")
    if dimensions != 2 and not LABEL_FORMATS[suffix].stacks:
        raise ValueError(f"a {suffix} holds one plane; write the labels of a stack as .tif or .npy")
    LABEL_FORMATS[suffix].check(scan)
    if source is not None and _inside(Path(path), Path(source)):
        raise ValueError(f"the result {path} would lie in the input; choose another place")
    if LABEL_FORMATS[suffix].folder:
        _check_folder(Path(path), source, overwrite)
    else:
        check_target(path, source, overwrite)


def label_suffix(path: str | Path) -> str:
    """Return the ending that tells the format of labels: ".tif", ".ome.zarr"."""
    name = Path(path).name.lower()
    double = (one for one in LABEL_FORMATS if one.count(".") > 1 and name.endswith(one))
    return next(double, Path(path).suffix.lower())


def _inside(path: Path, source: Path) -> bool:
    """Tell whether a result would lie in a folder that is the input, or hold the input."""
    target, given = path.resolve(), source.resolve()
    within = given.is_dir() and target.is_relative_to(given)
    return target != given and (within or given.is_relative_to(target))


def _check_folder(path: Path, source: str | Path | None, overwrite: bool) -> None:
    """Do as `check_target` for a folder; only one that holds labels is replaced."""
    put_back(path)
    if path.is_dir() and overwrite and not holds_labels(path):
        raise ValueError(f"{path} holds no labels and is not replaced; choose another name")
    if not path.is_dir():
        check_target(path, source, overwrite)
    elif source is not None and same_file(path, Path(source)):
        raise ValueError(f"the result {path} would replace the input; choose another name")
    elif not overwrite:
        raise ValueError(f"{path} exists; choose another name or give --overwrite")
    else:
        check_target(path.with_name(f".{path.name[-200:]}"), None, True)  # the place beside it


def write_labels(
    path: str | Path,
    labels: NDArray[np.integer],
    axes: str,
    scale: tuple[float, ...] | None = None,
    overwrite: bool = False,
    provenance: Mapping[str, Any] | None = None,
    source: str | Path | None = None,
    companions: Mapping[Path, str] | None = None,
    scan: Scan | None = None,
    classes: Mapping[int, str] | None = None,
    units: Sequence[str] = (),
) -> Labels:
    """Write labels as the smallest unsigned integers that hold them.

    They go to a temporary file beside the target, which takes its place when it is complete. Texts
    that belong to them are replaced together with them: a process that is killed never leaves
    labels and texts of two runs (see `files.replacing_all`).

    Parameters
    ----------
    path : str or Path
        `.tif` (OME-TIFF, compressed; axes, scale and provenance in the description), `.ome.zarr`
        (a folder, one plane to a chunk), `.npy` (the numbers alone), `.png` (one plane of 16
        bit; provenance as a text), `.nii` or `.nii.gz` (with the affine of the image), or, of a
        DICOM image, `.dcm` (a segment for each object) or `.labelmap.dcm`.
    labels : (H, W), (Z, H, W) or (T, Z, H, W) int
    axes : str
        One letter per axis: one of `AXES`.
    scale : tuple of float, optional
        Micrometres, one per axis.
    overwrite : bool
    provenance : mapping, optional
        Written as JSON: program, version, model, parameters.
    source : str or Path, optional
        The input, which is never written to.
    companions : mapping of Path to str, optional
        Files of text that are written with them.
    scan : Scan, optional
        Of a medical image.
    classes : mapping of int to str, optional
        Of labels, for formats that hold them.
    units : sequence of str
        Of the scale, for NIfTI: the step of time is known if that of T is "second".

    Returns
    -------
    The labels as they were written.

    Raises
    ------
    ValueError
        If the place or the labels will not do.
    """
    labels = np.asarray(labels)
    check_label_target(path, source, overwrite, labels.ndim, scan)
    _check_axes(labels, axes, scale)
    companions = companions or {}
    for companion in companions:
        check_target(companion, source, overwrite)
    compact = smallest(labels)
    note = json.dumps(dict(provenance or {}), sort_keys=True)
    form = LABEL_FORMATS[label_suffix(path)]
    write, about = form.write, About(axes, scale, note, scan, classes or {}, tuple(units))
    if form.folder:
        with replacing_folder(path) as folder:
            written = write(folder, compact, about)
        for other, text in companions.items():
            write_text(other, text, source, overwrite)
        return written
    with replacing_all([path, *companions]) as (partial, *others):
        for other, text in zip(others, companions.values(), strict=True):
            other.write_text(text, encoding="utf-8")
        return write(partial, compact, about)


def smallest(labels: NDArray[np.integer]) -> Labels:
    """Return labels as the smallest unsigned integers that hold them.

    Raises
    ------
    ValueError
        If one is negative, or they are not integers.
    """
    if labels.dtype.kind not in "bui":
        raise ValueError(f"labels are integers, but these are {labels.dtype}")
    if labels.size and labels.min() < 0:
        raise ValueError(f"labels are not negative, but one is {labels.min()}")
    largest = int(labels.max()) if labels.size else 0
    return labels.astype(np.min_scalar_type(largest))


def _check_axes(labels: NDArray[np.integer], axes: str, scale: tuple[float, ...] | None) -> None:
    if labels.ndim not in (2, 3, 4) or not labels.size:
        raise ValueError(
            f"labels are (H, W), (Z, H, W) or (T, Z, H, W), but have the shape {labels.shape}"
        )
    if not isinstance(axes, str) or len(axes) != labels.ndim:
        raise ValueError(f"{labels.ndim} axes need as many letters, but there are {shown(axes)}")
    if axes not in AXES:
        raise ValueError(f"the axes of labels are {', '.join(AXES)}, but these are {shown(axes)}")
    if scale is None:
        return
    try:
        fits = len(scale) == labels.ndim and all(0 < size < math.inf for size in scale)
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"the scale is a length above 0 for each of {axes}, but is {shown(scale)}")


def _write_tiff(path: Path, labels: Labels, about: About) -> Labels:
    if labels.dtype.itemsize > 4:
        raise ValueError(f"a .tif holds labels up to 4294967295, but one is {labels.max()}")
    metadata: dict[str, Any] = {"axes": about.axes, "Description": about.note}
    for axis, size in zip(about.axes, about.scale or (), strict=False):
        if axis in "ZYX":
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "\u00b5m"}
    tifffile.imwrite(
        path, labels, ome=True, compression="zlib", photometric="minisblack", metadata=metadata
    )
    return labels


def _write_npy(path: Path, labels: Labels, about: About) -> Labels:
    np.save(path, labels)
    return labels


def _write_png(path: Path, labels: Labels, about: About) -> Labels:
    if labels.dtype.itemsize > 2:
        raise ValueError(f"a .png holds 65535 labels, but there are {labels.max()}; write a .tif")
    wide = labels.astype(np.uint16)
    information = PngImagePlugin.PngInfo()
    information.add_text("Description", about.note)
    Image.fromarray(wide).save(path, pnginfo=information)
    return wide


def _write_zarr(path: Path, labels: Labels, about: About) -> Labels:
    geometry = geometry_from(about.axes, about.scale)
    group = LabelsGroup(path, labels.shape, labels.dtype, geometry)
    for place in np.ndindex(*labels.shape[:-2]):
        group.write_plane(labels, place)
    group.describe(Annotation(labels, {}, geometry), json.loads(about.note))
    return labels


def _write_nifti(path: Path, labels: Labels, about: About) -> Labels:
    return write_nifti(path, labels, about.axes, about.scale, about.note, about.scan, about.units)


def _write_seg(path: Path, labels: Labels, about: About) -> Labels:
    return write_seg(path, labels, about.scan, about.classes, about.note, "BINARY")


def _write_labelmap(path: Path, labels: Labels, about: About) -> Labels:
    return write_seg(path, labels, about.scan, about.classes, about.note, "LABELMAP")


def geometry_from(
    axes: str,
    scale: Sequence[float] | None = None,
    units: Sequence[str] = (),
    translate: Sequence[float] = (),
) -> Geometry:
    """Return where labels lie, from what a `StackImage` says of its axes.

    Where no units are given, those of a scale are micrometres, but for time.
    """
    guessed = [PIXEL if scale is None or letter == "T" else "micrometer" for letter in axes]
    return Geometry(
        tuple(axes.lower()),
        tuple(scale or (1.0,) * len(axes)),
        tuple(units or guessed),
        tuple(translate or (0.0,) * len(axes)),
    )


OME_ZARR = ".ome.zarr"
LABEL_FORMATS: Mapping[str, LabelFormat] = {
    ".tif": LabelFormat(_write_tiff),
    ".tiff": LabelFormat(_write_tiff),
    OME_ZARR: LabelFormat(_write_zarr, folder=True),
    ".npy": LabelFormat(_write_npy),
    ".png": LabelFormat(_write_png, stacks=False),
    ".nii": LabelFormat(_write_nifti, check=check_nifti),
    ".nii.gz": LabelFormat(_write_nifti, check=check_nifti),
    ".labelmap.dcm": LabelFormat(_write_labelmap, check=check_seg),
    ".dcm": LabelFormat(_write_seg, check=check_seg),
}
