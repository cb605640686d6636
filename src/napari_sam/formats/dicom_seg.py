"""Labels as a DICOM segmentation that refers to the images it was made on, patient left out.

The study, series and instances are named by their UIDs, without which a viewer cannot lay the
segmentation over its images. Name, id, dates and all other texts of patient and study are written
only where `Scan.keep_patient` asks for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from ..images.dicom_opening import quiet
from ..images.scan import Scan, check_packages
from ..images.world import WorldAffine
from .dicom_frames import SegmentFrame, write_frames
from .dicom_segments import LARGEST_LABEL, PROGRAM, descriptions, like
from .dicom_sources import read_source, source_paths
from .found import masks_of

if TYPE_CHECKING:
    from pydicom import Dataset

UTF_8 = "ISO_IR 192"
GROUP = 0x0063
"""Of private elements: the note, as JSON."""
LARGEST = 65535
"""Most segments."""
Kind = Literal["BINARY", "LABELMAP"]


def check_seg(scan: Scan | None) -> None:
    """Raise a ValueError if labels of an image cannot go to a DICOM segmentation.

    Its first file is read for it, and one plane is tried.
    """
    if scan is None or not scan.planes:
        raise ValueError(
            "a DICOM segmentation refers to the DICOM images that it was made on, but this image "
            "is of another format; write the labels as .nii.gz"
        )
    check_packages("writing a DICOM segmentation", "highdicom")
    if scan.times > 1:
        raise ValueError(
            f"a DICOM segmentation is of one point in time, but these images are of {scan.times}; "
            "write .nii.gz"
        )
    paths = source_paths(scan)
    gone = next((one for one in paths if not one.is_file()), None)
    if gone is not None:
        raise ValueError(f"a DICOM segmentation refers to {gone}, which is gone; write .nii.gz")
    if scan.world is None and len(scan.planes) > 1:
        raise ValueError(
            "these DICOM images do not say where their planes lie, which a segmentation needs; "
            "write .nii.gz"
        )
    if len(paths) > 1 and (any(one and one.frame is not None for one in scan.planes)):
        raise ValueError(
            "labels of frames of several DICOM files cannot refer to all; write .nii.gz"
        )
    source = read_source(paths[0], scan)
    with _taking():
        extra = {} if scan.world is None else {"plane_positions": _positions(scan.world, 1)}
        plane = np.ones((1, int(source.Rows), int(source.Columns)), np.uint16)
        _segmentation([source], plane, "BINARY", descriptions([1], [1], {}, "{}"), extra)


@contextmanager
def _taking() -> Iterator[None]:
    """Turn what highdicom raises at images into a sentence."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"these DICOM images take no segmentation: {reason}; write .nii.gz"
        ) from error


def write_seg(
    path: Path,
    labels: NDArray[np.unsignedinteger],
    scan: Scan | None,
    classes: Mapping[int, str],
    note: str,
    kind: Kind,
) -> NDArray[np.unsignedinteger]:
    """Write labels that `check_seg` has nothing against.

    Parameters
    ----------
    path : Path
    labels : (Z, Y, X) or (Y, X) unsigned int
        Planes as in the image.
    scan : Scan or None
        Of the image.
    classes : mapping of int to str
        Of labels.
    note : str
        The provenance, as JSON.
    kind : "BINARY" or "LABELMAP"
        A segment has frames of its own of one bit a pixel, numbered from 1 without gaps; or one
        frame of labels for each plane.

    Returns
    -------
    The labels as they were written.

    Raises
    ------
    ValueError
        If the labels do not fit, or the source images are gone.
    """
    if scan is None:
        raise ValueError("there is no image that the labels refer to")
    planes = labels.reshape((-1, *labels.shape[-2:]))
    if len(planes) != len(scan.planes) or labels.ndim > 3:
        raise ValueError(f"labels of {labels.shape} do not fit {len(scan.planes)} planes of DICOM")
    found = [(k, label, mask) for k, plane in enumerate(planes) for label, mask in masks_of(plane)]
    values = sorted({label for _, label, _ in found}) or [1]
    if len(values) > LARGEST or (kind == "LABELMAP" and values[-1] > LARGEST):
        raise ValueError(f"a DICOM segmentation holds {LARGEST} objects; write .nii.gz")
    if values[-1] > LARGEST_LABEL:
        raise ValueError(
            f"labels of a DICOM segmentation go up to {LARGEST_LABEL}, but one is {values[-1]}"
        )
    segments = values if kind == "LABELMAP" else range(1, len(values) + 1)
    drawn = sorted({k for k, _, _ in found})
    sources, order, extra = _sources(scan, drawn)
    by_frame = kind == "BINARY" and bool(found)
    pixels = np.stack([planes[k] for k in order]).astype(np.uint16)
    if by_frame:  # of two segments here: what the frames of each plane have in common
        described = descriptions([0, 0], (1, 2), {}, note)
        pixels[...] = 0
        pixels[np.isin(order, drawn), 0, 0] = 1
        pixels[order.index(drawn[0])].flat[-1] = 2
    else:
        described = descriptions(values, segments, classes, note)
    with _taking():
        made = _segmentation(sources, pixels, kind, described, extra)
        groups = _add_references(made, scan, sources)
        _add_note(made, note, scan, planes.shape)
    made.SpecificCharacterSet = UTF_8
    if not by_frame:
        made.save_as(path, enforce_file_format=True)
        return labels
    made.SegmentSequence = [
        like(described[0], number, label, classes)
        for number, label in zip(segments, values, strict=True)
    ]
    numbers = {label: number for number, label in enumerate(values, 1)}
    frames = [SegmentFrame(numbers[label], k, mask) for k, label, mask in found]
    write_frames(path, made, groups, frames)
    return labels


def _segmentation(
    sources: Sequence[Dataset],
    pixels: NDArray[np.unsignedinteger],
    kind: Kind,
    described: Sequence[Any],
    extra: Mapping[str, Any],
) -> Any:
    import highdicom

    with quiet():
        return highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=pixels,
            segmentation_type=kind,
            segment_descriptions=described,
            series_instance_uid=highdicom.UID(),
            series_number=1,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=PROGRAM,
            manufacturer_model_name=PROGRAM,
            software_versions=__version__,
            device_serial_number="1",
            content_label="OBJECTS",
            series_description="Objects",
            **extra,
        )


def _sources(scan: Scan, drawn: Sequence[int]) -> tuple[list[Dataset], list[int], dict[str, Any]]:
    """Return the source images, the planes in their order, and where the planes lie.

    The latter only where planes are not simply those of the sources: some are missing but hold
    objects, which `drawn` tells, or the file has frames besides.
    """
    known = [(k, one) for k, one in enumerate(scan.planes) if one is not None]
    paths = source_paths(scan)
    several = len(paths) < len(known) or known[0][1].frame is not None
    sources = [read_source(path, scan) for path in paths]
    if several:
        known.sort(key=lambda one: one[1].frame or 0)
    order = [k for k, _ in known]
    frames = int(sources[0].get("NumberOfFrames") or 1) if several else len(sources)
    if scan.world is None or (frames == len(order) and set(drawn) <= set(order)):
        return sources, order, {}
    everywhere = list(range(len(scan.planes)))
    return sources, everywhere, {"plane_positions": _positions(scan.world, len(everywhere))}


def _positions(world: WorldAffine, count: int) -> list[Any]:
    """Return where the first planes lie."""
    import highdicom

    places = world.lps @ np.array([[0, 0, k, 1] for k in range(count)]).T
    return [
        highdicom.PlanePositionSequence("PATIENT", image_position=place[:3]) for place in places.T
    ]


def _add_references(made: Any, scan: Scan, sources: Sequence[Dataset]) -> dict[int, Dataset]:
    """Name the source of each frame that has one, where others lie in planes that are missing.

    highdicom names those of all frames or of none. Return the groups of a frame of each plane.
    """
    from pydicom import Dataset
    from pydicom.sr.codedict import codes

    groups = made.PerFrameFunctionalGroupsSequence
    if scan.world is None:
        return {0: groups[0]}
    to_voxels = np.linalg.inv(scan.world.lps)
    by_path = dict(zip(source_paths(scan), sources, strict=True))
    found: dict[int, Dataset] = {}
    for group in groups:
        number = 0
        if "PlanePositionSequence" in group:
            place = [*map(float, group.PlanePositionSequence[0].ImagePositionPatient), 1.0]
            number = round(float((to_voxels @ place)[2]))
        found[number] = group
        plane = scan.planes[number]
        if group.get("DerivationImageSequence") or plane is None:
            continue
        reference, derivation = Dataset(), Dataset()
        reference.ReferencedSOPClassUID = by_path[plane.path].SOPClassUID
        reference.ReferencedSOPInstanceUID = by_path[plane.path].SOPInstanceUID
        if plane.frame is not None:
            reference.ReferencedFrameNumber = plane.frame + 1
        reference.SpatialLocationsPreserved = "YES"
        purpose = codes.DCM.SourceImageForImageProcessingOperation
        reference.PurposeOfReferenceCodeSequence = [_code(purpose)]
        derivation.SourceImageSequence = [reference]
        derivation.DerivationCodeSequence = [_code(codes.DCM.Segmentation)]
        group.DerivationImageSequence = [derivation]
    return found


def _code(code: Any) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _add_note(made: Any, note: str, scan: Scan, shape: tuple[int, ...]) -> None:
    """Add the provenance and the grid of the whole image; frames without labels are left out."""
    grid = None if scan.world is None else {"shape": list(shape), "lps": scan.world.lps.tolist()}
    content = json.dumps({**json.loads(note), "grid": grid})
    block = made.private_block(GROUP, PROGRAM, create=True)
    block.add_new(0x01, "UT", content)
    if not scan.keep_patient:
        made.PatientIdentityRemoved = "YES"
        made.DeidentificationMethod = "patient and study left out, UIDs kept"
