"""Files and folders in which objects are labelled, found by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path, PureWindowsPath

from ...formats.exchange import format_of
from ...formats.ome_zarr import holds_labels
from ...formats.project import INDEX as PROJECT_INDEX
from ...images.readers import read_image
from ...images.zarr_files import is_zarr
from .coco_images import CocoImage, coco_images, read_coco_image
from .examples import Example
from .findings import Finding
from .reading import (
    Read,
    image_of,
    read_annotation,
    read_npz,
    read_pair,
    read_project_examples,
    read_zarr_labels,
    stem_of,
    zarr_labels,
)

Find = Callable[[CocoImage], Path | None]
IMAGES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy", ".bmp", ".webp", ".jp2", ".gif")
"""Endings of image files that are looked for; OME-Zarr as well."""
MARKS = (
    "_cp_masks", "_instances", "_segmentation", "_labels", "_masks", "_label", "_mask", "_seg",
    "_gt", "-labels", "-masks", "-label", "-mask",
)  # fmt: skip
"""What the name of a label image ends with, beside its image."""
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw", "rawimages")
LABEL_FOLDERS = (
    "labels", "label", "masks", "mask", "groundtruth", "gt", "instances", "segmentations",
    "annotations", "targets",
)  # fmt: skip
"""Names of folders of images, and of folders of their labels beside them."""


def labelled_files(
    paths: Sequence[Path], complete: bool | None
) -> tuple[list[tuple[str, Read]], list[Finding]]:
    """Return the name of each labelled file and what reads its examples; no pixel is read yet.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders.
    complete : bool or None
        See `collect.collect`.

    Returns
    -------
    list of (str, callable), and list of Finding
        The latter of what looks like labels but has no image.

    Raises
    ------
    ValueError
        If a path does not exist.
    """
    finder = _Finder(paths, complete)
    return finder.items(), finder.refused


class _Finder:
    """Looks for labelled images in files and folders; reads no pixels.

    Parameters
    ----------
    paths : sequence of Path
    complete : bool or None

    Attributes
    ----------
    refused : list of Finding
        What looks like labels but has no image.
    """

    def __init__(self, paths: Sequence[Path], complete: bool | None) -> None:
        self.refused: list[Finding] = []
        self._paths, self._complete = paths, complete
        self._items: list[tuple[str, Read]] = []
        self._taken: set[Path] = set()

    def items(self) -> list[tuple[str, Read]]:
        """Return the name of each file, and what reads its examples.

        Raises
        ------
        ValueError
            If a path does not exist.
        """
        for path in self._paths:
            if not path.exists():
                raise ValueError(f"there is no file or folder {path}")
        for path in self._paths:
            if path.is_dir() and not self._one(path, _images(path.parent)):
                before = len(self._items)
                self._folder(path)
                if len(self._items) == before:
                    for inner in sorted(one for one in path.iterdir() if one.is_dir()):
                        self._folder(inner)
            elif path.is_file() and not self._one(path, _images(path.parent), named=True):
                self._refuse(path, f"{path.name} is no label image and has none beside it")
        return self._items

    def _folder(self, folder: Path) -> None:
        """Take what is in a folder, and in two folders of images and of labels in it."""
        images = _images(folder)
        inner = {one.name.lower().replace("_", ""): one for one in folder.iterdir() if one.is_dir()}
        for path in sorted(folder.iterdir()):
            if not path.name.startswith("."):
                self._one(path, images)
        pictures = next((inner[name] for name in IMAGE_FOLDERS if name in inner), None)
        labels = next((inner[name] for name in LABEL_FOLDERS if name in inner), None)
        if pictures is None or labels is None:
            return
        files = _images(pictures)
        for path in sorted(labels.iterdir()):
            if path.suffix.lower() in IMAGES or is_zarr(path):
                image = image_of(files, stem_of(path)) or image_of(files, _base(stem_of(path)))
                if image is None:
                    self._refuse(path, f"{path.name} has no image of this name in {pictures.name}")
                else:
                    self._add(path, partial(read_pair, image, path, self._complete))
            elif path.suffix.lower() == ".json":
                self._one(path, files)

    def _one(self, path: Path, images: dict[str, Path], named: bool = False) -> bool:
        """Take a file, or a folder that is one thing; return whether it is.

        Parameters
        ----------
        path : Path
        images : dict of str to Path
            Those beside it, by their stems.
        named : bool
            Whether the user named this file: then an image is taken with the labels beside it.
        """
        stem, complete = stem_of(path), self._complete
        suffix = path.suffix.lower()
        if suffix == ".npz":
            return self._add(path, partial(read_npz, path, complete))
        if (path / PROJECT_INDEX).is_file() or path.name == PROJECT_INDEX:
            folder = path.parent if path.name == PROJECT_INDEX else path
            image = image_of(images, stem_of(folder))
            return self._add(folder, partial(read_project_examples, folder, image, complete))
        if path.is_dir() and is_zarr(path) and zarr_labels(path):
            return self._add(path, partial(read_zarr_labels, path, complete))
        if suffix == ".json":
            return self._coco(path, images)
        base = _base(stem)
        if base != stem and (suffix in IMAGES or is_zarr(path)):
            image = image_of(images, base)
            if image is not None:
                return self._add(path, partial(read_pair, image, path, complete))
            self._refuse(path, f"{path.name} has no image {base}{suffix} beside it")
            return True
        if path.is_dir() and is_zarr(path) and holds_labels(path):
            self._refuse(path, f"{path.name} holds labels, but no image has its name and theirs")
            return True
        kind = format_of(path)
        if kind is not None and kind.read is not None and suffix not in IMAGES:
            image = image_of(images, base)
            if image is not None:
                return self._add(path, partial(_read_format, path, image, complete))
        return named and self._beside(path, images)

    def _beside(self, path: Path, images: dict[str, Path]) -> bool:
        """Take the labels beside an image that the user named."""
        own = [
            one for one in images.values() if _base(stem_of(one)) == stem_of(path) and one != path
        ]
        for one in own:
            self._add(one, partial(read_pair, path, one, self._complete))
        record = path.with_suffix(".json")
        return bool(own) or (record.is_file() and self._coco(record, images))

    def _coco(self, path: Path, images: dict[str, Path]) -> bool:
        find = self._search(path, images)
        if stem_of(path) in images:  # a record of one image; there may be thousands
            return self._add(path, partial(_read_record, path, find, self._complete))
        try:
            found = coco_images(path)
        except ValueError as error:
            self._refuse(path, str(error))
            return True
        for one in found:
            name = one.name if len(found) > 1 else path.name
            self._items.append((name, partial(read_coco_image, one, find, self._complete)))
        return True

    def _search(self, path: Path, images: dict[str, Path]) -> Find:
        """Return what finds the image that a COCO file names.

        It lies where its path says: from the file, from a folder that the user named, or from a
        folder beside the file; and likewise above a folder that is called like one of labels.
        Failing that, it is the only file there of this name.
        """
        own = path.absolute().parent
        apart = own.name.lower().replace("_", "") in LABEL_FOLDERS
        listed = cache(_images)

        @cache
        def places() -> list[list[Path]]:
            roots = (own, own.parent) if apart else (own,)
            inner = (one for root in roots for one in sorted(root.iterdir()))
            named = [one for one in self._paths if one.is_dir() and not is_zarr(one)]
            return [named, [*roots, *(one for one in inner if _holds_images(one))]]

        def hits(look: Callable[[Path], Path | None]) -> list[Path]:
            """Return what is in the folders that the user named, else what is in the others."""
            for folders in places():
                found = [place for one in folders if (place := look(one)) is not None]
                if found:
                    return list({place.resolve(): place for place in found}.values())
            return []

        def find(one: CocoImage) -> Path | None:
            name = one.relative
            if name.is_absolute() or ".." in name.parts or PureWindowsPath(one.name).drive:
                raise ValueError(
                    f"{path.name} names the image {one.name}; name images by their path from the "
                    "folder of this file"
                )
            stem = stem_of(Path(name.name))
            beside = images.get(stem)
            if (own / name).is_file():
                return own / name
            if beside is not None and beside.name == str(name):
                return beside
            exact = hits(lambda folder: _file(folder / name))
            found = exact or hits(lambda folder: _file(folder / name.name))
            if not found:
                found = [beside] if beside else hits(lambda folder: listed(folder).get(stem))
            if len(found) > 1 or (found and not exact and one.namesakes):
                raise ValueError(
                    f"several images are called {name.name}, and {path.name} does not say which "
                    f"{one.name} is; keep the file beside its images, or name one folder of them"
                )
            if found:
                return found[0]
            return None if one.others else images.get(_base(stem_of(path)))

        return find

    def _add(self, path: Path, read: Read) -> bool:
        if path.resolve() not in self._taken:
            self._taken.add(path.resolve())
            self._items.append((path.name, read))
        return True

    def _refuse(self, path: Path, sentence: str) -> None:
        self.refused.append(Finding("unreadable", f"{sentence}; {path.name} is left out"))


def _read_record(path: Path, find: Find, complete: bool | None) -> Iterator[Example]:
    """Yield the examples of a JSON file beside an image."""
    for one in coco_images(path):
        yield from read_coco_image(one, find, complete)


def _read_format(path: Path, image_path: Path, complete: bool | None) -> Iterator[Example]:
    """Yield the planes of an annotation in a format of another program."""
    kind = format_of(path)
    image = read_image(image_path)
    if kind is None or kind.read is None:
        raise ValueError(f"{path.name} is in no format that objects are read of")
    annotation = kind.read(path, image.label_shape)
    yield from read_annotation(
        image_path, image, annotation, True if complete is None else complete
    )


def _holds_images(path: Path) -> bool:
    """Return whether a folder may hold images, not labels."""
    name = path.name.lower().replace("_", "")
    return path.is_dir() and not is_zarr(path) and name not in LABEL_FOLDERS


def _file(path: Path) -> Path | None:
    return path if path.is_file() else None


def _images(folder: Path) -> dict[str, Path]:
    """Return the images in a folder by their stems; the first of several with one stem."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGES or (path.is_dir() and is_zarr(path)):
            found.setdefault(stem_of(path), path)
    return found


def _base(stem: str) -> str:
    """Return the name of the image that a label image of a name belongs to; itself if to none."""
    lower = stem.lower()
    mark = next((one for one in MARKS if lower.endswith(one) and len(stem) > len(one)), "")
    return stem[: len(stem) - len(mark)]
