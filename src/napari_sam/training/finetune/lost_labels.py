"""Tells files of objects from others of the same endings, where no image belongs to them."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ...formats.exchange import format_of
from ...formats.yolo import parsed_line, read_text


def holds_objects(path: Path) -> bool:
    """Tell whether a file holds objects in a format of its own, such as a text of YOLO.

    Texts and archives are looked into. DICOM files are not told from images, and count as none.
    """
    kind = format_of(path)
    if kind is None or kind.read is None:
        return False
    if path.suffix.lower() == ".txt":
        return _is_yolo(path)
    if path.suffix.lower() == ".zip":
        return _holds_rois(path)
    return ".dcm" not in kind.suffixes


def _is_yolo(path: Path) -> bool:
    try:
        first = next((line for line in read_text(path).splitlines() if line.strip()), None)
        if first is not None:
            parsed_line(first, path.name)
    except ValueError:
        return False
    return first is not None


def _holds_rois(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
