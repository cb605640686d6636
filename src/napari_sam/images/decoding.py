"""Errors of decoding libraries become one sentence that names the file."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,  # a codec of a package or of Python that is not there
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # those of imagecodecs, an encrypted zip file, an endless recursion
    SyntaxError,  # of Pillow, and of XML
    TypeError,
    ValueError,
    StopIteration,
    BadZipFile,
    lzma.LZMAError,
    struct.error,
    TokenError,  # of the header of a .npy
    zlib.error,
)
"""What decoders raise at a damaged file."""


class UnreadableImageError(ValueError):
    """An image that is not read; the message is a whole sentence."""


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn what decoders raise into a sentence that names the file.

    Raises
    ------
    UnreadableImageError
        Which passes through, and in place of all that decoders raise.
    """
    try:
        yield
    except UnreadableImageError:
        raise
    except MemoryError as error:
        raise UnreadableImageError(f"{path} does not fit into memory") from error
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImageError(f"{path} is not an image that can be read: {reason}") from error
