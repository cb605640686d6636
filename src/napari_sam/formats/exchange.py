"""All formats that annotations are written in and read from; a new one is one line here."""

from __future__ import annotations

from pathlib import Path

from .annotation import AnnotationFormat

FORMATS: tuple[AnnotationFormat, ...] = ()
"""In the order in which the dock offers them."""


def format_of(path: str | Path) -> AnnotationFormat | None:
    """Return the format that a path ends like; None if there is none."""
    name = Path(path).name.lower()
    return next((one for one in FORMATS if name.endswith(one.suffixes)), None)
