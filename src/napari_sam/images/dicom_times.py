"""What DICOM files say of time: which values order images at one position, and in which unit."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Any

import numpy as np

TIMES = {
    "TemporalPositionIdentifier": 0.0,
    "TriggerTime": 1e-3,
    "TemporalPositionTimeOffset": 1.0,
    "FrameReferenceTime": 1e-3,
    "DiffusionBValue": 0.0,
    "AcquisitionNumber": 0.0,
    "AcquisitionTime": 1.0,
    "ContentTime": 1.0,
}
"""What orders images at one position, and its unit in seconds; 0 where it is no time."""
CLOCKS = ("AcquisitionTime", "ContentTime")
"""Times of the day: hours, minutes and seconds, in files of several frames after the date."""
DAY = 86400
"""Seconds."""


def time_of(name: str, value: Any) -> float | None:
    """Return a value of `TIMES`, a time of the day in seconds."""
    if name not in CLOCKS:
        return number_of(value)
    whole, _, digits = str(value).split("+")[0].split("-")[0].partition(".")  # without the zone
    number, part = number_of(whole), number_of(f"0.{digits}")
    if number is None or part is None:
        return None
    rest, seconds = divmod(int(number), 100)
    rest, minutes = divmod(rest, 100)
    days, hours = divmod(rest, 100)
    if days:
        try:
            days = date(days // 10000, days // 100 % 100, days % 100).toordinal()
        except (OverflowError, ValueError):
            return None
    return days * DAY + (hours * 60 + minutes) * 60 + seconds + part


def number_of(value: Any) -> float | None:
    """Return a finite number; None if it is none."""
    with suppress(TypeError, ValueError):
        number = float(value)
        return number if np.isfinite(number) else None
    return None
