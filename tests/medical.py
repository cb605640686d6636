"""Synthetic medical images: DICOM series, multi-frame files and NIfTI, with a patient to leak."""

from __future__ import annotations

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)

SECRETS = ("Zyxwvu", "Quxington", "PID778899", "19230417", "20240229", "ACC5544332", "Dr^Plugh")
"""Texts that must not be left behind: name, id, birth date, study date, accession, physician."""
OBLIQUE = (
    (0.9396926207859084, 0.3420201433256687, 0.0),
    (-0.2961981327260237, 0.8137976813493738, 0.5000000000000001),
)
"""Directions of rows and columns, turned about two axes."""
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
SPACING = (2.5, 0.8, 0.7)
"""Of planes, rows and columns, in millimetres."""
ORIGIN = (-30.0, -41.5, 112.25)


def affine(orientation=AXIAL, spacing=SPACING, origin=ORIGIN):
    """Return the affine (4, 4) from (column, row, plane) to LPS millimetres."""
    row, column = (np.array(one) for one in orientation)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = row * spacing[2], column * spacing[1]
    matrix[:3, 2] = np.cross(row, column) * spacing[0]
    matrix[:3, 3] = origin
    return matrix


def phantom(shape=(7, 40, 48), objects=((2, 14, 15, 6), (4, 27, 33, 5))):
    """Return Hounsfield units of spheres in water, and their labels."""
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    values, labels = np.zeros(shape, np.int16), np.zeros(shape, np.uint8)
    for number, (cz, cy, cx, radius) in enumerate(objects, 1):
        inside = (2.5 * (z - cz)) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        values[inside], labels[inside] = 200 + 50 * number, number
    return values, labels


def dataset(kind=CTImageStorage, modality="CT", study=None, series=None):
    """Return a data set with a patient and a study, without pixels."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    one.PatientName, one.PatientID = "Zyxwvu^Quxington", "PID778899"
    one.PatientBirthDate, one.PatientSex, one.StudyDate = "19230417", "O", "20240229"
    one.StudyTime, one.SeriesDate, one.ContentDate = "101010", "20240229", "20240229"
    one.AccessionNumber, one.StudyID = "ACC5544332", "77"
    one.ReferringPhysicianName, one.InstitutionName = "Dr^Plugh", "Quxington Hospital"
    one.StudyDescription = one.SeriesDescription = "of Quxington"
    one.StudyInstanceUID, one.SeriesInstanceUID = study or generate_uid(), series or generate_uid()
    one.FrameOfReferenceUID, one.Modality = generate_uid(), modality
    one.Manufacturer, one.SeriesNumber = "none", 3
    add_private(one)
    return one


def add_private(one):
    """Put an element of a maker that names the patient into a data set or an item."""
    one.private_block(0x0011, "MAKER", create=True).add_new(0x01, "LO", "Zyxwvu Quxington")


def set_pixels(one, pixels):
    """Put stored values, uint16 or uint8, into a data set."""
    one.Rows, one.Columns = pixels.shape[-2:] if pixels.shape[-1] != 3 else pixels.shape[-3:-1]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = pixels.dtype.itemsize * 8
    one.HighBit, one.PixelRepresentation = one.BitsStored - 1, int(pixels.dtype.kind == "i")
    one.PixelData = pixels.tobytes()
    one["PixelData"].VR = "OW"


def write_series(
    folder,
    values,
    orientation=AXIAL,
    spacing=SPACING,
    origin=ORIGIN,
    missing=(),
    reverse=False,
    thickness=None,
    change=None,
    compressed=False,
    series=None,
    study=None,
    frame=None,
    prefix="IM",
):
    """Write Hounsfield units (Z, Y, X) as a CT series of one file for each plane.

    Their numbers and names go against their positions where `reverse` is set. `change` may alter
    each data set before it is written.
    """
    folder.mkdir(exist_ok=True)
    world = affine(orientation, spacing, origin)
    series, study, frame = (
        series or generate_uid(),
        study or generate_uid(),
        frame or generate_uid(),
    )
    for k, plane in enumerate(values):
        if k in missing:
            continue
        one = dataset(study=study, series=series)
        number = len(values) - k if reverse else k + 1
        one.FrameOfReferenceUID, one.InstanceNumber = frame, number
        one.ImagePositionPatient = [f"{n:.10g}" for n in world[:3] @ [0, 0, k, 1]]
        one.ImageOrientationPatient = [f"{n:.10g}" for n in np.ravel(orientation)]
        one.PixelSpacing, one.SliceThickness = list(spacing[1:]), thickness or spacing[0]
        one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -1024, "HU"
        one.WindowCenter, one.WindowWidth = [40, 300], [400, 1500]
        set_pixels(one, (plane + 1024).astype(np.uint16))
        if compressed:
            one.compress(JPEG2000Lossless)
        if change is not None:
            change(one, k)
        one.save_as(folder / f"{prefix}{number:04d}", enforce_file_format=True)
    return folder


def write_cine(folder, values, change):
    """Write Hounsfield units (T, Z, Y, X) as a series of one file for each plane and time.

    `change` alters each data set before it is written; it takes the data set, plane and time.
    """
    uids = {name: generate_uid() for name in ("series", "study", "frame")}
    for t, volume in enumerate(values):

        def mark(one, k, t=t):
            one.InstanceNumber = 1 + k * len(values) + t
            change(one, k, t)

        write_series(folder, volume, change=mark, prefix=f"T{t}_", **uids)
    return folder


def write_other(path, kind, modality, pixels=None):
    """Write a DICOM file of a SOP class that holds no image."""
    one = dataset(kind, modality)
    if pixels is not None:
        set_pixels(one, pixels)
    one.save_as(path, enforce_file_format=True)
    return path


def write_multiframe(
    path,
    values,
    orientation=AXIAL,
    spacing=SPACING,
    origin=ORIGIN,
    order=None,
    planes=None,
    change=None,
):
    """Write Hounsfield units (Z, Y, X) as one enhanced CT file, its frames in any order.

    So many planes follow one another, and begin again; `change` may alter the group of a frame.
    """
    world = affine(orientation, spacing, origin)
    one = dataset(EnhancedCTImageStorage)
    order = range(len(values)) if order is None else order
    shared, item = pydicom.Dataset(), pydicom.Dataset()
    item.PixelSpacing, item.SliceThickness = list(spacing[1:]), spacing[0]
    shared.PixelMeasuresSequence = [item]
    item = pydicom.Dataset()
    item.ImageOrientationPatient = [float(n) for n in np.ravel(orientation)]
    shared.PlaneOrientationSequence = [item]
    item = pydicom.Dataset()
    item.RescaleSlope, item.RescaleIntercept, item.RescaleType = 2, -1024, "HU"
    shared.PixelValueTransformationSequence = [item]
    one.SharedFunctionalGroupsSequence, one.PerFrameFunctionalGroupsSequence = [shared], []
    for name in ("PixelMeasures", "PlaneOrientation", "PixelValueTransformation"):
        add_private(shared[f"{name}Sequence"][0])
    add_private(shared)
    for k in order:
        place, content, group = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = [
            f"{n:.10g}" for n in world[:3] @ [0, 0, k % (planes or len(values)), 1]
        ]
        content.FrameAcquisitionDateTime = "20240229101010"
        group.PlanePositionSequence, group.FrameContentSequence = [place], [content]
        if change is not None:
            change(group, k)
        one.PerFrameFunctionalGroupsSequence.append(group)
        for item in (group, place, content):
            add_private(item)
    set_pixels(one, ((np.stack([values[k] for k in order]) + 1024) // 2).astype(np.uint16))
    one.NumberOfFrames, one.InstanceNumber = len(values), 1
    one.save_as(path, enforce_file_format=True)
    return path


SHEARED = np.array(
    [
        [-0.7, 0.15, 0.4, 31.0],
        [0.05, -0.8, 0.3, 40.0],
        [0.0, 0.1, 2.4, -12.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
"""From (column, row, plane) to RAS millimetres, its axes not at right angles."""


def write_nifti(path, values, matrix=SHEARED, kind=nibabel.Nifti1Image):
    """Write an image (Z, Y, X) as NIfTI, with texts that name the patient."""
    image = kind(np.asarray(values).T, matrix)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(matrix, code=2)
    image.set_qform(matrix, code=1, strip_shears=True)
    image.header["descrip"] = b"Zyxwvu Quxington"
    if kind is nibabel.Nifti1Image:
        image.header["db_name"] = b"PID778899"
    else:
        image.header["unused_str"] = b"PID778899"
    note = nibabel.nifti1.Nifti1Extension("comment", b"PID778899 Zyxwvu")
    image.header.extensions.append(note)
    image.to_filename(path)
    return path


def turned(path, axis):
    """Flip a NIfTI file along an axis of its voxels, so that they lie where they lay."""
    image = nibabel.load(path)
    whole = [slice(None)] * image.ndim
    whole[axis] = slice(None, None, -1)
    values = np.asarray(image.dataobj).copy()[tuple(whole)]
    step = np.eye(4)
    step[axis, axis], step[axis, 3] = -1, image.shape[axis] - 1
    nibabel.Nifti1Image(values, image.affine @ step).to_filename(path)


def millimetres(mask, lps):
    """Return where the voxels of a mask (Z, Y, X) lie, (N, 3) x, y, z in LPS, sorted."""
    places = np.argwhere(mask)[:, ::-1]
    points = np.c_[places, np.ones(len(places))] @ np.asarray(lps).T
    return sorted_points(points[:, :3])


def sorted_points(points):
    """Return points (N, 3) rounded to a hundredth of a millimetre, in a fixed order."""
    rounded = np.round(np.reshape(points, (-1, 3)), 2) + 0.0
    return rounded[np.lexsort(rounded.T)]


def by_simpleitk(image, mask):
    """Return where the voxels of a mask lie as SimpleITK has it."""
    return sorted_points(
        [image.TransformIndexToPhysicalPoint(p[::-1].tolist()) for p in np.argwhere(mask)]
    )
