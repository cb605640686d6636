"""Draw a chest as computed tomography shows it, and write it as a DICOM series: draw_ct.py FOLDER.

Without a folder it is read again and forgotten. No patient is behind it.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy import ndimage

from napari_sam.io import read_image

SHAPE, SPACING = (24, 200, 256), (3.0, 1.4, 1.4)  # planes, rows, columns; millimetres
NODULES = ((11, 72, 60, 9), (13, 120, 84, 7), (12, 78, 196, 11))  # z, y, x and radius, voxels


def draw_chest():
    """Return Hounsfield units (Z, Y, X): body, fat, lungs, vessels, nodules, heart and spine."""
    rng = np.random.default_rng(3)
    z, y, x = np.ogrid[tuple(map(slice, SHAPE))]

    def inside(cy, cx, height, width):
        return np.broadcast_to(((y - cy) / height) ** 2 + ((x - cx) / width) ** 2 < 1, SHAPE)

    values = np.full(SHAPE, -1000.0)
    values[inside(100, 128, 82, 112)] = -90
    values[inside(100, 128, 76, 105)] = 30
    end = 0.02 * (z - 12) ** 2  # the organs end above and below
    for cx in (74, 182):
        values[inside(95, cx, 56 - end, 38 - end)] = -830
    values[inside(158, 128, 14, 16)] = 420
    values[inside(84, 138, 30 - 2 * end, 33 - 2 * end)] = 55
    for k in range(70):
        angle, far, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.8), rng.normal(0, 0.2, 2)
        cy = 95 + 50 * far * np.sin(angle) + slope[0] * (z - 12)
        cx = (74, 182)[k % 2] + 33 * far * np.cos(angle) + slope[1] * (z - 12)
        radius = rng.uniform(0.8, 2.2)
        values[inside(cy, cx, radius, radius) & (values < -700)] = 20
    for cz, cy, cx, radius in NODULES:
        values[(3 * (z - cz)) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < radius**2] = 45
    values = ndimage.gaussian_filter(values, (0.4, 0.8, 0.8)) + rng.normal(0, 22, SHAPE)
    return np.clip(values, -1024, 3000).astype(np.int16)


def write_series(folder, values):
    """Write Hounsfield units as one file for each plane, numbered from the head to the feet."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for k, plane in enumerate(values):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.PatientName, one.PatientID, one.Modality, one.SeriesNumber = "Nobody", "0", "CT", 3
        one.InstanceNumber = len(values) - k
        one.ImagePositionPatient = [-180, -140, SPACING[0] * k]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.PixelSpacing, one.SliceThickness = list(SPACING[1:]), SPACING[0]
        one.RescaleSlope, one.RescaleIntercept, one.RescaleType = 1, -1024, "HU"
        one.WindowCenter, one.WindowWidth = 40, 400
        one.Rows, one.Columns = plane.shape
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
        one.PixelData = (plane + 1024).astype(np.uint16).tobytes()
        one.save_as(folder / f"IM{one.InstanceNumber:04d}.dcm", enforce_file_format=True)


with tempfile.TemporaryDirectory() as temporary:
    place = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
    write_series(place, draw_chest())
    image = read_image(place)
    print(f"{image.axes} {image.data.shape}, {image.data.min()} to {image.data.max()} HU")
