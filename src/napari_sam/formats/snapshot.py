"""Copies of labels that stay as they are while the user goes on, made in the background."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..types import Progress

if TYPE_CHECKING:
    import zarr

TEXT = "copying the labels"


class Snapshot:
    """Labels at one moment; those on disk take a hidden folder until `close`.

    Attributes
    ----------
    labels : (...) int array
    """

    def __init__(self, labels: Any, folder: tempfile.TemporaryDirectory[str] | None = None) -> None:
        self.labels = labels
        self._folder = folder

    def close(self) -> None:
        """Remove what was copied on disk."""
        self.labels = None
        if self._folder is not None:
            self._folder.cleanup()


def snapshot_of(labels: Any) -> Generator[Progress, None, Snapshot]:
    """Copy labels, a plane at a time; the caller checks that they did not change meanwhile.

    Of a zarr array in a folder, the files of its chunks get a second name: zarr never changes a
    file but renames another into its place. That takes milliseconds and no room.

    Parameters
    ----------
    labels : (..., H, W) int array-like

    Raises
    ------
    OSError
        If the disk refuses it.
    """
    root = getattr(getattr(labels, "store", None), "root", None)
    if root is not None:
        return (yield from _linked(Path(root) / str(labels.path)))
    shape = tuple(int(n) for n in labels.shape)
    copy = np.empty(shape, labels.dtype)
    places = list(np.ndindex(*shape[:-2]))
    for number, place in enumerate(places, 1):
        copy[place] = np.asarray(labels[place])
        yield Progress(number, len(places), TEXT)
    return Snapshot(copy)


def _linked(place: Path) -> Generator[Progress, None, Snapshot]:
    import zarr

    folder = tempfile.TemporaryDirectory(prefix=".snapshot-", dir=place.parent)
    target = Path(folder.name) / place.name
    whole = False
    try:
        shutil.copytree(place, target, copy_function=_link)
        yield Progress(1, 1, TEXT)
        array: zarr.Array[Any] = zarr.open_array(target, mode="r")
        whole = True
    finally:
        if not whole:
            folder.cleanup()
    return Snapshot(array, folder)


def _link(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the disk has no such names."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        return  # a chunk became empty, or was still beside its place; the caller copies again
    except OSError:
        shutil.copyfile(source, target)
