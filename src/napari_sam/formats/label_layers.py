"""Label images of ours as layers: napari's reader for them, which needs no napari.

napari knows readers by the names of files and asks the user where several fit. So ours is
contributed only for names that end in "labels".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from ..images.decoding import UNREADABLE
from ..images.readers import read_image
from .label_images import PROGRAM

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | Sequence[str]], list[LayerData]]


def label_reader(path: str | Sequence[str]) -> Reader | None:
    """Return what reads label images that this package wrote, or None for any other file.

    Parameters
    ----------
    path : str or sequence of str

    Returns
    -------
    callable or None
    """
    return reader_of(path, _is_ours, _layer)


def reader_of(
    path: str | Sequence[str],
    is_ours: Callable[[Path], bool],
    layer_of: Callable[[Path], LayerData],
) -> Reader | None:
    """Return what reads files and folders as layers, or None if one of them is not ours.

    Parameters
    ----------
    path : str or sequence of str
    is_ours : callable of Path
    layer_of : callable of Path
        Raises ValueError if it cannot be read.
    """

    def read(path: str | Sequence[str]) -> list[LayerData]:
        return [layer_of(Path(one)) for one in ([path] if isinstance(path, str) else path)]

    paths = [path] if isinstance(path, str) else path
    return read if paths and all(is_ours(Path(one)) for one in paths) else None


def _layer(path: Path) -> LayerData:
    image = read_image(path)
    options: dict[str, Any] = {"name": path.stem.removesuffix(".ome")}
    if image.scale is not None:  # no units: most images have none, and napari takes one for all
        options["scale"] = image.scale
    labels = np.asarray(image.data)
    fits = int(labels.max()) <= np.iinfo(np.int32).max
    return labels.astype(np.int32) if fits else labels, options, "labels"  # room for more objects


def _is_ours(path: Path) -> bool:
    """Tell whether the description of a file says that this package wrote it."""
    if not path.is_file():
        return False
    try:
        note = json.loads(_description(path))
    except UNREADABLE:
        return False
    return isinstance(note, dict) and note.get("program") == PROGRAM


def _description(path: Path) -> str:
    if path.suffix.lower() == ".png":
        with Image.open(path, formats=("PNG",)) as image:
            return str(image.info["Description"])
    with tifffile.TiffFile(path) as file:
        tree = tifffile.xml2dict(file.ome_metadata or "<OME/>")
    return str(tree["OME"]["Image"]["Description"])
