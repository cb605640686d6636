"""DICOM files read with no more memory than they have bytes, and without quoting them."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .decoding import UNREADABLE, UnreadableImageError

if TYPE_CHECKING:
    from pydicom import Dataset

SIGN = b"DICM"
SIGN_AT = 128


def is_dicom(path: Path) -> bool:
    """Tell whether a file begins as DICOM files do."""
    try:
        with path.open("rb") as file:
            return file.read(SIGN_AT + len(SIGN))[SIGN_AT:] == SIGN
    except OSError:
        return False


def read_dataset(path: Path, names: Sequence[str] | None = None, pixels: bool = False) -> Dataset:
    """Return what a file holds.

    Parameters
    ----------
    path : Path
    names : sequence of str, optional
        All that is read; the rest never enters memory. By default everything.
    pixels : bool
        Whether its pixels are read, too.

    Raises
    ------
    UnreadableImageError
        If it is damaged.
    """
    import pydicom

    tags = None if names is None else list(names)
    with reading(path), opened(path) as file:
        return pydicom.dcmread(file, stop_before_pixels=not pixels, specific_tags=tags)


def opened(path: Path) -> io.BufferedReader:
    """Return a file that asks for no more memory than it has bytes left."""
    return _Bounded(io.FileIO(path))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what pydicom raises at a damaged file into a sentence that quotes nothing of it.

    Raises
    ------
    UnreadableImageError
        Which passes through, and in place of all that pydicom raises.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        with quiet():
            yield
    except UnreadableImageError:
        raise
    except (BytesLengthException, InvalidDicomError, *UNREADABLE) as error:
        name = type(error).__name__
        raise UnreadableImageError(
            f"{path} is a DICOM file that cannot be read; it may be damaged ({name})"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Let pydicom neither warn nor log, which would quote what the file says of the patient."""
    logger = logging.getLogger("pydicom")

    def drop(record: logging.LogRecord) -> bool:
        return False

    logger.addFilter(drop)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.removeFilter(drop)


class _Bounded(io.BufferedReader):
    """A file that asks for no more memory than it has bytes left, whatever lengths it states."""

    def __init__(self, file: io.FileIO) -> None:
        super().__init__(file)
        self._length = self.seek(0, io.SEEK_END)
        self.seek(0)

    def read(self, size: int | None = -1) -> bytes:
        """Read so many bytes, or those that are left."""
        left = max(self._length - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))
