"""Windows of computed tomography: which Hounsfield units are shown black and white."""

from __future__ import annotations

from collections.abc import Mapping

from ..types import Limits

WINDOWS: Mapping[str, tuple[float, float]] = {
    "lung": (-600.0, 1500.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "abdomen": (50.0, 400.0),
}
"""Centre and width in Hounsfield units, as Radiopaedia lists them (Windowing (CT))."""


def preset_limits(name: str) -> Limits:
    """Return what a preset shows black and white, in Hounsfield units.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    if name not in WINDOWS:
        raise ValueError(f"a window is one of {', '.join(WINDOWS)}, but is {name!r}")
    centre, width = WINDOWS[name]
    return centre - width / 2, centre + width / 2


def window_limits(centre: float, width: float, function: str = "LINEAR") -> Limits | None:
    """Return what a window of a DICOM file shows black and white; None if it is none.

    Parameters
    ----------
    centre, width : float
    function : str
        VOI LUT Function: of LINEAR, the ends are half a unit lower (DICOM PS3.3, C.11.2.1.2.1).
    """
    if function == "LINEAR":
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    else:
        low, high = centre - width / 2, centre + width / 2
    return (low, high) if -1e30 < low < high < 1e30 else None
