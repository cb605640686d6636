"""Labelled images of a folder: pairs of TIFF files, or `.npz` sources."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from .decoding import UNREADABLE
from .plane_stack import check_size
from .readers import read_image

SUFFIXES = (".tif", ".tiff")
MARK = "_labels"


@dataclass(frozen=True, eq=False)
class LabelledPlane:
    """One plane with the label of every object.

    Attributes
    ----------
    source, name : str
    image : (H, W) or (H, W, C) real
    labels : (H, W) int
        0 is background.
    """

    source: str
    name: str
    image: NDArray[np.generic]
    labels: NDArray[np.integer]


def find_labelled(data: Path) -> list[Path]:
    """Return the label images and the `.npz` sources of a folder, or the one file given.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not data.exists():
        raise ValueError(f"there is no folder {data}")
    if not (data.is_file() or data.is_dir()):
        raise ValueError(f"{data} is neither a folder nor a file")
    found = [data] if data.is_file() else sorted(data.iterdir())
    chosen = [path for path in found if path.suffix == ".npz" or _is_labels(path)]
    if not chosen:
        raise ValueError(
            f"{data} holds no labelled image: neither a pair NAME.tif and NAME_labels.tif nor .npz"
        )
    return chosen


def read_labelled(path: Path) -> Iterator[LabelledPlane]:
    """Yield the planes of one of the files that `find_labelled` returns.

    Raises
    ------
    ValueError
        If it cannot be read, or image and labels do not fit.
    """
    return read_source(path) if path.suffix == ".npz" else _read_pair(path)


def read_source(path: Path, wanted: Container[int] | None = None) -> Iterator[LabelledPlane]:
    """Read the planes of a source of labelled images.

    Parameters
    ----------
    path : Path
        A `.npz` with `image_000` and `labels_000`, `image_001` and so on.
    wanted : container of int, optional
        The numbers of those that are read; by default all.

    Yields
    ------
    LabelledPlane, its name the number in three digits

    Raises
    ------
    ValueError
        If it is no such file, or image and labels do not fit.
    """
    if not path.is_file():
        raise ValueError(f"{path} is not a source of labelled images: it is no file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            for key in sorted(key for key in archive.files if key.startswith("image_")):
                number = key.removeprefix("image_")
                if wanted is None or int(number) in wanted:
                    yield LabelledPlane(path.stem, number, *_arrays(path, archive, number))
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} is not a source of labelled images: {reason}") from error


def _arrays(
    path: Path, archive: NpzFile, number: str
) -> tuple[NDArray[np.generic], NDArray[np.integer]]:
    """Read an image and its labels; refuse those that do not fit."""
    names = (f"image_{number}", f"labels_{number}")
    for name in names:
        nbytes = archive.zip.getinfo(f"{name}.npy").file_size if archive.zip else 0
        check_size(path, nbytes, nbytes)
    image, labels = (np.asarray(archive[name]) for name in names)
    if image.dtype.kind not in "buif" or image.ndim not in (2, 3):
        raise ValueError(f"{names[0]} is no image but {image.dtype} {image.shape}")
    if image.shape[:2] != labels.shape:
        raise ValueError(f"{names[0]} is {image.shape}, its labels are {labels.shape}")
    return image, _whole(labels, names[1])


def _whole(labels: NDArray[np.generic], name: str) -> NDArray[np.int32]:
    """Return labels as int32; refuse other numbers than those, which would change."""
    if labels.dtype.kind not in "bui":
        raise ValueError(f"{name} holds {labels.dtype}, but labels are whole numbers")
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0 or high > np.iinfo(np.int32).max:
        raise ValueError(f"{name} holds {low} to {high}, but labels go from 0 to 2147483647")
    return labels.astype(np.int32)


def _is_labels(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.stem.endswith(MARK)


def _read_pair(path: Path) -> Iterator[LabelledPlane]:
    name = path.stem.removesuffix(MARK)
    partners = [path.with_name(name + suffix) for suffix in SUFFIXES]
    present = [partner for partner in partners if partner.is_file()]
    if not present:
        raise ValueError(f"{path} has no image {name}.tif beside it")
    image, labels = read_image(present[0]), read_image(path)
    if labels.data.dtype.kind not in "ui" or labels.axes != labels.label_axes:
        raise ValueError(f"{path} holds no labels but {labels.data.dtype} {labels.axes}")
    if labels.data.shape != image.label_shape:
        raise ValueError(
            f"{path} has the shape {labels.data.shape}, but its image has {image.label_shape}"
        )
    if labels.data.ndim == 2:
        whole = _whole(np.asarray(labels.data), str(path))
        yield LabelledPlane(name, name, np.asarray(image.data), whole)
        return
    for place in np.ndindex(*labels.label_shape[:-2]):
        whole = _whole(np.asarray(labels.data[place]), str(path))
        title = " ".join([name, *map(str, place)])
        yield LabelledPlane(name, title, np.asarray(image.data[place]), whole)
