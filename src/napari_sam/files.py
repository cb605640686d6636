"""Files that results go to: refused before the long work, whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def check_target(path: str | Path, source: str | Path | None, overwrite: bool) -> None:
    """Refuse a place where a result cannot go; call it before the long work.

    Parameters
    ----------
    path : str or Path
        The result.
    source : str or Path or None
        The input, which is never written to.
    overwrite : bool

    Raises
    ------
    ValueError
        If there is no such folder or no right to write in it, the path is the input's, or a file
        is there and may not be overwritten.
    """
    path = Path(path)
    folder = path.resolve().parent
    if not folder.is_dir():
        raise ValueError(f"no place for the result: there is no folder {folder}")
    if path.is_dir():
        raise ValueError(f"no place for the result: {path} is a folder")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"no place for the result: the folder {folder} is write-protected")
    if source is not None and _same_file(path, Path(source)):
        raise ValueError(f"the result {path} would replace the input; choose another name")
    if (path.exists() or path.is_symlink()) and not overwrite:
        raise ValueError(f"{path} exists; choose another name or give --overwrite")


@contextmanager
def written_beside(place: Path, partial: Path | None = None) -> Iterator[Path]:
    """Write a file beside its place and move it there when it is complete.

    Parameters
    ----------
    place : Path
        Where the file goes; what was there stays until then, and for good where writing fails.
    partial : Path, optional
        Where to write until then, in the same folder; by default a hidden name with this
        process's number and the same suffix.

    Yields
    ------
    Path
        Where to write. It ends with the context.
    """
    if partial is None:
        partial = place.with_name(f".{place.stem}.{os.getpid()}.partial{place.suffix}")
    try:
        yield partial
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """Write a result like `written_beside`.

    Raises
    ------
    ValueError
        Where the disk refuses it.
    """
    try:
        with written_beside(Path(target).resolve()) as partial:
            yield partial
    except OSError as error:
        raise ValueError(f"no place for the result {target}: {error.strerror or error}") from error


def write_text(path: str | Path, text: str, source: str | Path | None, overwrite: bool) -> None:
    """Write a text (see `replacing`); raises as `check_target` does."""
    check_target(path, source, overwrite)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _same_file(a: Path, b: Path) -> bool:
    if a.resolve() == b.resolve():
        return True
    return a.exists() and b.exists() and a.samefile(b)
