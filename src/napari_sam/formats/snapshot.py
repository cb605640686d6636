"""Labels on their way to a file while the user goes on with them.

What changes meanwhile is taken again, until nothing has; so the file holds one moment of them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..types import Progress
from .annotation import Annotation, AnnotationFormat
from .project import PROJECT, Place, ProjectWriter

Write = Callable[[Annotation, Path], None]
TEXT = "copying the labels"


class Writer(Protocol):
    """Writes an annotation: first its planes, as often as they change, then all the rest.

    All methods but `close` raise ValueError or OSError where the disk refuses it.
    """

    def write_planes(self, places: Iterable[Place]) -> Generator[Progress, None, None]:
        """Take planes of the labels as they are now, for the first time or again."""

    def finish(self, annotation: Annotation) -> None:
        """Write the file.

        Parameters
        ----------
        annotation : Annotation
            Of the moment at which the planes were taken; its labels are not read any more.
        """

    def close(self) -> None:
        """Remove what is not needed any more."""


def writer_of(kind: AnnotationFormat, annotation: Annotation, path: Path) -> Writer:
    """Return what writes an annotation whose labels may change meanwhile.

    A project is written from the labels themselves; for all other formats they are copied first.

    Parameters
    ----------
    kind : AnnotationFormat
        One that can be written.
    annotation : Annotation
    path : Path

    Raises
    ------
    ValueError
        If the format cannot be written, or the disk refuses it.
    """
    labels = annotation.labels
    if kind is PROJECT:
        return ProjectWriter(path, labels, annotation.geometry)
    if kind.write is None:
        raise ValueError(f"{kind.title} cannot be written")
    root = getattr(getattr(labels, "store", None), "root", None)
    if root is not None:
        return _Linked(Path(root) / str(labels.path), kind.write, path)
    return _Copied(labels, kind.write, path)


class _Copied:
    """Copies labels in memory."""

    def __init__(self, labels: Any, write: Write, path: Path) -> None:
        self._labels, self._write, self._path = labels, write, path
        self._copy = np.empty(tuple(int(n) for n in labels.shape), labels.dtype)

    def write_planes(self, places: Iterable[Place]) -> Generator[Progress, None, None]:
        found = list(places)
        for number, place in enumerate(found, 1):
            self._copy[place] = np.asarray(self._labels[place])
            yield Progress(number, len(found), TEXT)

    def finish(self, annotation: Annotation) -> None:
        self._write(replace(annotation, labels=self._copy), self._path)

    def close(self) -> None:
        self._copy = np.empty(0, self._copy.dtype)


class _Linked:
    """Gives the files of a zarr array in a folder a second name, in a hidden folder beside it.

    zarr never changes a file but renames another into its place. That takes milliseconds and no
    room.
    """

    def __init__(self, place: Path, write: Write, path: Path) -> None:
        self._place, self._write, self._path = place, write, path
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def write_planes(self, places: Iterable[Place]) -> Generator[Progress, None, None]:
        del places  # all at once: it is quicker than a look at each
        self.close()
        self._folder = tempfile.TemporaryDirectory(prefix=".snapshot-", dir=self._place.parent)
        shutil.copytree(self._place, Path(self._folder.name) / "labels", copy_function=_link)
        yield Progress(1, 1, TEXT)

    def finish(self, annotation: Annotation) -> None:
        import zarr

        if self._folder is None:
            raise ValueError("the labels were not copied yet")
        labels: zarr.Array[Any] = zarr.open_array(Path(self._folder.name) / "labels", mode="r")
        self._write(replace(annotation, labels=labels), self._path)

    def close(self) -> None:
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()


def _link(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the disk has no such names."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        return  # a chunk became empty, or was still beside its place; the caller copies again
    except OSError:
        shutil.copyfile(source, target)
