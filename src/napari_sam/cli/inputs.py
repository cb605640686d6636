"""The images that a command is asked for: files, folders, globs and lists of them."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..images.dicom_files import holds_dicom
from ..images.zarr_files import is_zarr
from .manifest import is_results

LIST = ".txt"
"""The ending of a file that lists images, a path in each line."""


@dataclass(frozen=True)
class Input:
    """One image of several.

    Attributes
    ----------
    path : Path
    name : str
        Its path from the folder that holds all of them, with slashes.
    result : str
        Likewise the name of its result, without an ending.
    """

    path: Path
    name: str
    result: str


@dataclass(frozen=True)
class Found:
    """What was named.

    Attributes
    ----------
    images : list of Input
    failed : dict of str to str
        Why files and folders cannot be read, by name.
    left_out : Counter of str
        How many there are of what is no image to segment, by what it is.
    """

    images: list[Input]
    failed: dict[str, str]
    left_out: Counter[str]


@dataclass
class _Search:
    """What has been found so far; images lie in none of the results, `beside`."""

    beside: Path
    paths: dict[Path, None] = field(default_factory=dict)
    anchors: set[str] = field(default_factory=set)
    failed: dict[Path, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def take(self, path: Path, anchor: Path | None = None) -> None:
        """Add an image, or those of a folder; `anchor` is the folder that a glob begins in."""
        whole = path.resolve() if path.is_dir() else path.parent.resolve() / path.name
        if whole.resolve().is_relative_to(self.beside):
            if anchor is None:
                raise ValueError(f"{path} lies in the folder of results; choose another -o")
            return
        if anchor is not None and self._is_of_results(path, anchor):
            self.left_out["results of earlier runs"] += 1
            return
        if not whole.exists():  # it may be there in another run, where names have to be the same
            self.failed[whole] = "there is no file"
            return
        try:
            plain = whole.is_dir() and not is_image_folder(whole)
        except OSError as error:
            self.failed[whole] = error.strerror or str(error)
            return
        place = whole.parent if not plain else whole
        self.anchors.add(str(place if anchor is None else anchor.resolve()))
        for one in self._within(whole) if whole.is_dir() else [whole]:
            self.paths.setdefault(one)

    def _is_of_results(self, path: Path, anchor: Path) -> bool:
        between = (one for one in (path, *path.parents) if one != anchor and one.is_dir())
        return any(one.is_relative_to(anchor) and is_results(one) for one in between)

    def _within(self, folder: Path) -> Iterator[Path]:
        try:
            array = is_zarr(folder)
            dicom = not array and holds_dicom(folder)
            entries = [one for one in sorted(folder.iterdir()) if not one.name.startswith(".")]
        except OSError as error:
            self.failed[folder] = error.strerror or str(error)
            return
        if dicom or array:
            yield folder
        if not array and folder.resolve() != self.beside:
            yield from self._of(entries, dicom)

    def _of(self, entries: Sequence[Path], dicom: bool) -> Iterator[Path]:
        """Yield the images among the entries of a folder, which may be of a DICOM series."""
        from ..training.finetune.coco_search import image_stem, is_image
        from ..training.finetune.reading import stem_of

        images = {stem_of(one): one for one in entries if is_image(one)}
        for one in entries:
            stem = stem_of(one)
            if one.is_dir() and one.is_symlink():  # it may lead back
                self.left_out["links to folders"] += 1
            elif one.is_dir() and one.resolve() != self.beside and is_results(one):
                self.left_out["folders of results of earlier runs"] += 1
            elif one.is_dir():
                yield from self._within(one)
            elif is_image(one) and dicom:
                self.left_out["pictures in folders of DICOM files"] += not one.match("*.dcm")
            elif is_image(one) and image_stem(stem) != stem and image_stem(stem) in images:
                self.left_out["label images beside their images"] += 1
            elif is_image(one):
                yield one


def is_image_folder(path: Path) -> bool:
    """Tell whether a folder is one image: an OME-Zarr or a DICOM series."""
    return path.is_dir() and (is_zarr(path) or holds_dicom(path))


def is_several(given: Sequence[Path]) -> bool:
    """Tell whether what was typed may name more than one image."""
    path = given[0]
    if len(given) > 1 or _is_glob(path) or is_list(path):
        return True
    return path.is_dir() and not is_image_folder(path)


def globbed(given: Sequence[Path]) -> list[Path]:
    """Return paths, and in the place of globs what they name.

    Raises
    ------
    ValueError
        If a glob names nothing.
    """
    return [one for path in given for one, _ in _expanded(path)]


def find_inputs(given: Sequence[Path], results: Path) -> Found:
    """Return the images that were named, in order.

    Parameters
    ----------
    given : sequence of Path
        Files; folders, with their sub-folders, except hidden ones; globs; `.txt` files that list
        any of these. A folder that is an OME-Zarr or a DICOM series is one image.
    results : Path
        The folder of results, where no image is looked for; nor is it in those of earlier runs.

    Raises
    ------
    ValueError
        If there is none, or one that is named itself lies among the results.
    """
    search = _Search(results.resolve())
    for path in given:
        for one, anchor in _listed(path) if is_list(path) else _expanded(path):
            search.take(one, anchor)
    if not search.paths:
        for path, reason in search.failed.items():
            raise ValueError(f"there is no image: {path}: {reason}")
        raise ValueError(f"there is no image in {', '.join(map(str, given))}")
    try:
        root = Path(os.path.commonpath(search.anchors))
    except ValueError as error:  # two drives
        raise ValueError(f"the images lie in no common folder ({error}); run them apart") from None
    names = {path: path.relative_to(root) for path in search.paths}
    results_of = _result_names(names)
    images = [
        Input(path, name.as_posix(), results_of[path].as_posix()) for path, name in names.items()
    ]
    failed = {
        (
            path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
        ).as_posix(): reason
        for path, reason in search.failed.items()
    }
    return Found(images, failed, +search.left_out)


def _result_names(names: dict[Path, Path]) -> dict[Path, Path]:
    """Return the name of each result: without the ending, which stays where two would be alike."""
    from ..training.finetune.reading import stem_of

    short = {
        path: name.with_name(stem_of(path) if path.is_file() or is_zarr(path) else name.name)
        for path, name in names.items()
    }
    while True:
        owners: dict[str, list[Path]] = {}
        for path, name in short.items():
            owners.setdefault(str(name).lower(), []).append(path)
        alike = [path for paths in owners.values() if len(paths) > 1 for path in paths]
        longer = [path for path in alike if short[path] != names[path]]
        if not longer:
            return short
        short |= {path: names[path] for path in longer}


def _first_magic(path: Path) -> int | None:
    """Return the first part of a path that is a pattern; one that exists as it stands is none."""
    for k, part in enumerate(path.parts):
        if glob.has_magic(part) and not Path(*path.parts[: k + 1]).exists():
            return k
    return None


def _is_glob(path: Path) -> bool:
    return _first_magic(path) is not None


def is_list(path: Path) -> bool:
    """Tell whether a file lists images."""
    return path.suffix.lower() == LIST and path.is_file()


def _expanded(path: Path) -> Iterator[tuple[Path, Path | None]]:
    """Yield what a path or a glob names, and the folder that names of results count from."""
    first = _first_magic(path)
    if first is None:
        yield path, None
        return
    fixed, pattern = Path(*path.parts[:first]), "/".join(path.parts[first:])
    found = [
        one
        for one in sorted(fixed.glob(pattern))
        if not any(part.startswith(".") for part in one.relative_to(fixed).parts)
    ]
    if not found:
        raise ValueError(f"nothing is called like {path}")
    for one in found:
        yield one, fixed


def _listed(path: Path) -> Iterator[tuple[Path, Path | None]]:
    """Yield what a file lists; paths count from the current folder, or from that of the list."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    entries = [Path(line.strip()) for line in lines if line.strip() and line.strip()[0] != "#"]
    places = [one if one.exists() else path.parent / one for one in entries]
    if not any(one.exists() or _is_glob(one) for one in places):
        raise ValueError(f"{path} is not an image but a list, and no line of it names a file")
    for one in places:
        yield from _expanded(one)
