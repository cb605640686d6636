"""Examples from files and folders as users have them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from ...types import Progress
from .examples import Example
from .findings import Finding
from .labelled_files import labelled_files

MOST_BYTES = 2 * 10**9
"""Memory of all examples, and no more than a part of what is free:"""
FREE_SHARE = 4


@dataclass(frozen=True, eq=False)
class Collected:
    """Examples, and what could not be used.

    Attributes
    ----------
    examples : list of Example
    refused : tuple of Finding
        Files that were left out, and why.
    """

    examples: list[Example]
    refused: tuple[Finding, ...] = ()


def collect(
    sources: Sequence[str | Path],
    *,
    complete: bool | None = None,
    most: int | None = None,
    limit: int | None = None,
) -> Generator[Progress, None, Collected]:
    """Read examples from files and folders.

    These are read: an image with its label image beside it (NAME.tif and NAME_labels.tif; other
    endings are in `labelled_files.MARKS`), folders of such pairs, folders "images" and "labels"
    with equal names, `.npz` sources, projects, COCO files, records of SA-1B (NAME.jpg and
    NAME.json), OME-Zarr with labels, and other annotations beside an image of the same name.

    Parameters
    ----------
    sources : sequence of path
        Folders without labels are searched for the images that COCO files name.
    complete : bool, optional
        True: every object in every image is labelled; false: only the objects are known. By
        default as the source says: label images and COCO files are complete, records of SA-1B are
        not, and in projects it is as marked.
    most : int, optional
        Files that are read at most, evenly spaced over all.
    limit : int, optional
        Bytes that all examples may take; by default 2 GB, or a quarter of the free memory.

    Yields
    ------
    Progress
        After each file.

    Returns
    -------
    Collected

    Raises
    ------
    ValueError
        If nothing can be used, the limit is exceeded, or `most` is below 1.
    """
    if most is not None and most < 1:
        raise ValueError(f"at least 1 file is read, but most is {most}")
    items, refused = labelled_files([Path(source) for source in sources], complete)
    if most is not None and most < len(items):
        items = [items[k] for k in np.linspace(0, len(items) - 1, most).round().astype(int)]
    if limit is None:
        limit = min(MOST_BYTES, int(psutil.virtual_memory().available) // FREE_SHARE)
    examples: list[Example] = []
    images: dict[str, Example] = {}
    used = 0
    for number, (name, read) in enumerate(items, 1):
        try:
            for one in read():
                same = images.setdefault(one.digest, one)
                used += one.nbytes if same is one else one.nbytes - one.image.nbytes
                examples.append(one if same is one else replace(one, image=same.image))
                if used > limit:
                    raise MemoryError
        except MemoryError:
            raise ValueError(_too_large(number, len(items), name, limit)) from None
        except ValueError as error:
            refused.append(Finding("unreadable", f"{error}; {name} is left out"))
        yield Progress(number, len(items), f"reading {name}")
    if not examples:
        reason = refused[0].sentence if refused else "there is no labelled image"
        raise ValueError(f"nothing to learn from: {reason}")
    return Collected(examples, tuple(refused))


def _too_large(number: int, files: int, name: str, limit: int) -> str:
    memory = f"more than {limit / 1e9:.2g} GB of memory"
    if number == 1:
        return (
            f"the labelled planes of {name} take {memory}; write some of them into a file of their "
            "own, and learn from that"
        )
    return (
        f"the first {number} of {files} files take {memory}; name fewer files, or let only some "
        "be read"
    )
