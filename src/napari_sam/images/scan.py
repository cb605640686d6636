"""What a medical image says besides its pixels; nothing that names the patient."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..types import Limits
from .decoding import UnreadableImageError
from .world import WorldAffine

METADATA = "napari_sam_scan"
"""The key of a `Scan` in the metadata of a napari layer."""
INSTALL = 'pip install "napari-sam-stack[medical]"'


@dataclass(frozen=True)
class ScanPlane:
    """Where the pixels of a plane are.

    Attributes
    ----------
    path : Path
        A DICOM file.
    frame : int or None
        Which of its frames, counted from 0; None in a file of one.
    """

    path: Path
    frame: int | None = None


@dataclass(frozen=True)
class Scan:
    """What a medical image says besides its pixels.

    Attributes
    ----------
    world : WorldAffine or None
        None if the file does not place the image.
    window : (low, high) float or None
        Values shown black and white, as the file asks for.
    hounsfield : bool
        Whether the values are Hounsfield units.
    planes : tuple of ScanPlane or None
        Of a DICOM series, in the order of the image; None for a plane that is missing.
    times : int
        Points in time, one after the other in `planes`.
    header : bytes
        Of a NIfTI file, without its texts: codes of qform and sform, units.
    name : str
        Kind and number of a DICOM series: "CT series 3". Names of its files may name the patient.
    keep_patient : bool
        Whether results may name the patient.
    """

    world: WorldAffine | None = None
    window: Limits | None = None
    hounsfield: bool = False
    planes: tuple[ScanPlane | None, ...] = ()
    times: int = 1
    header: bytes = b""
    name: str = ""
    keep_patient: bool = False


def check_packages(what: str, *names: str) -> None:
    """Refuse a format whose packages are not installed.

    Raises
    ------
    UnreadableImageError
        Which says how to install them.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UnreadableImageError(f"{what} needs {' and '.join(missing)}; install it: {INSTALL}")
