"""Labelled images of a folder: pairs of TIFF files, or `.npz` sources."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

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
    try:
        with np.load(path, allow_pickle=False) as archive:
            for key in sorted(key for key in archive.files if key.startswith("image_")):
                number = key.removeprefix("image_")
                if wanted is not None and int(number) not in wanted:
                    continue
                image, labels = archive[key], archive[f"labels_{number}"]
                if image.shape[:2] != labels.shape:
                    raise ValueError(f"{key} is {image.shape}, its labels are {labels.shape}")
                yield LabelledPlane(path.stem, number, image, labels.astype(np.int32))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ValueError(f"{path} is not a source of labelled images: {error}") from error


def _is_labels(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.stem.endswith(MARK)


def _read_pair(path: Path) -> Iterator[LabelledPlane]:
    name = path.stem.removesuffix(MARK)
    partners = [path.with_name(name + suffix) for suffix in SUFFIXES]
    present = [partner for partner in partners if partner.is_file()]
    if not present:
        raise ValueError(f"{path} has no image {name}.tif beside it")
    image, labels = read_image(present[0]), read_image(path)
    if labels.data.dtype.kind not in "ui" or "S" in labels.axes:
        raise ValueError(f"{path} holds no labels but {labels.data.dtype} {labels.axes}")
    if labels.data.shape != image.label_shape:
        raise ValueError(
            f"{path} has the shape {labels.data.shape}, but its image has {image.label_shape}"
        )
    if labels.data.ndim == 2:
        yield LabelledPlane(name, name, image.data, labels.data)
        return
    for z in range(len(labels.data)):
        yield LabelledPlane(name, f"{name} {z}", image.data[z], labels.data[z])
