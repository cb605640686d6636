"""The images of a series, in natural order, and how far each of them is."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from glob import has_magic
from pathlib import Path
from typing import Literal

from ....files import replacing

State = Literal["", "started", "done", "unreadable"]
SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".npy", ".gif", ".webp")
"""Of files that are taken from a folder; those named one by one may have any."""
LABELS = re.compile(r"(.*[ _.-])?(labels|masks?)(\.ome)?", re.IGNORECASE)
"""Names, without their last ending, of label images: no image to annotate."""
DONE_FILE = ".napari-sam-series.json"
"""In the folder of results: which images are done."""
LARGEST_DONE_FILE = 10_000_000


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Return a key that sorts "image 2" before "image 10"."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [(0, int(one)) if one.isdecimal() else (1, one) for one in parts if one]


def listed(places: Iterable[Path]) -> list[Path]:
    """Return the image files of folders, patterns and files, each once, in natural order.

    Parameters
    ----------
    places : iterable of Path
        A folder gives the images in it, a name whose last part has "*" all images that fit.

    Raises
    ------
    ValueError
        If there is none.
    """
    places = list(places)
    found: set[Path] = set()
    for place in places:
        if place.is_dir():
            found |= {one for one in place.iterdir() if _is_image(one)}
        elif has_magic(place.name) and not place.exists():
            found |= {one for one in place.parent.glob(place.name) if _is_image(one)}
        else:
            found.add(place)
    if not found:
        names = ", ".join(str(place) for place in places)
        raise ValueError(f"there is no image in {names}; choose another folder")
    return sorted((one.absolute() for one in found), key=natural_key)


def result_places(paths: Sequence[Path], folder: Path | None, suffix: str) -> list[Path]:
    """Return where the annotation of each image goes.

    Parameters
    ----------
    paths : sequence of Path
    folder : Path or None
        None: beside each image.
    suffix : str
        Ending of an annotation.
    """
    folders = [folder or path.parent for path in paths]
    names = [[path.stem, path.name, f"{path.parent.name}_{path.name}"] for path in paths]
    pairs = list(zip(folders, names, strict=True))
    same = Counter((place, name) for place, ones in pairs for name in set(ones))
    places = []
    for path, (place, ones) in zip(paths, pairs, strict=True):
        # the first name that no other image could have
        name = next((one for one in ones if same[place, one] == 1), f"{_hash(path)}_{path.name}")
        places.append(place / f"{name}{suffix}")
    return places


def done_name(path: Path, place: Path) -> str:
    """Return what an image is called where it is noted as done; differs for two of one name."""
    return path.name if place.name.startswith(path.stem) else place.name


def states(paths: Sequence[Path], places: Sequence[Path]) -> list[State]:
    """Return how far each image is.

    "done" where it was noted so, or a label image of its name lies beside the annotation's
    place; "started" where an annotation is there.
    """
    noted = {folder: done_names(folder) for folder in {place.parent for place in places}}
    return [
        "done"
        if done_name(path, place) in noted[place.parent] or _has_labels(path, place.parent)
        else "started"
        if place.exists()
        else ""
        for path, place in zip(paths, places, strict=True)
    ]


def done_names(folder: Path) -> set[str]:
    """Return the names of the images that are noted as done in a folder of results."""
    place = folder / DONE_FILE
    try:
        if place.stat().st_size > LARGEST_DONE_FILE:
            return set()
        names = json.loads(place.read_text(encoding="utf-8"))["done"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()
    return {one for one in names if isinstance(one, str)} if isinstance(names, list) else set()


def note_done(folder: Path, name: str, done: bool = True) -> None:
    """Note in a folder of results that an image is done, or not.

    Raises
    ------
    ValueError
        Where the disk refuses it.
    """
    names = done_names(folder) | {name} if done else done_names(folder) - {name}
    with replacing(folder / DONE_FILE) as partial:
        partial.write_text(json.dumps({"version": 1, "done": sorted(names)}), encoding="utf-8")


def next_unfinished(now: Sequence[State], after: int) -> int | None:
    """Return the first image after one that is neither done nor unreadable; None if all are.

    It goes on at the beginning after the last.
    """
    order = [*range(after + 1, len(now)), *range(after + 1)]
    return next((k for k in order if now[k] in ("", "started") and k != after), None)


def _is_image(path: Path) -> bool:
    fits = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    return fits and LABELS.fullmatch(path.stem) is None and path.is_file()


def _hash(path: Path) -> str:
    return hashlib.sha256(str(path).encode(errors="replace")).hexdigest()[:8]


def _has_labels(path: Path, folder: Path) -> bool:
    names = (f"{path.stem}{join}labels{end}" for join in "_- ." for end in (".tif", ".png"))
    return any((folder / name).is_file() for name in names)
