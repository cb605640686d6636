"""Files and folders in which objects are labelled, found by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from ...formats.exchange import format_of
from ...formats.ome_zarr import holds_labels
from ...formats.placed_labels import labels_in
from ...formats.project import INDEX as PROJECT_INDEX
from ...images.dicom_files import is_dicom_image
from ...images.readers import read_image
from ...images.zarr_files import is_zarr
from .coco_images import CocoImage, coco_images, read_coco_image
from .coco_search import (
    LABEL_FOLDERS,
    Find,
    all_images_in,
    image_stem,
    images_in,
    is_image,
    searching,
)
from .examples import Example
from .findings import Finding
from .lost_labels import holds_objects
from .nnunet_files import Case, is_nnunet, nnunet_cases, read_case
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

T = TypeVar("T")
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw", "rawimages")
"""Names of folders of images, with folders of `LABEL_FOLDERS` beside them."""


@dataclass(frozen=True)
class Readers(Generic[T]):
    """What reads labelled files of each kind.

    Attributes
    ----------
    pair : callable of (image, label image)
    annotation : callable of (image, file of another format)
    project : callable of (project, image or None)
    npz, zarr : callable of the file, or the OME-Zarr with labels in it
    coco : callable of (CocoImages of one image file, what finds it)
    case : callable of a case of nnU-Net
    """

    pair: Callable[[Path, Path], Iterator[T]]
    annotation: Callable[[Path, Path], Iterator[T]]
    project: Callable[[Path, Path | None], Iterator[T]]
    npz: Callable[[Path], Iterator[T]]
    zarr: Callable[[Path], Iterator[T]]
    coco: Callable[[Sequence[CocoImage], Find], Iterator[T]]
    case: Callable[[Case], Iterator[T]]


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
    readers: Readers[Example] = Readers(
        pair=lambda image, labels: read_pair(image, labels, complete),
        annotation=lambda image, path: _read_format(path, image, complete),
        project=lambda path, image: read_project_examples(path, image, complete),
        npz=lambda path: read_npz(path, complete),
        zarr=lambda path: read_zarr_labels(path, complete),
        coco=lambda some, find: _read_coco(some, find, complete),
        case=lambda one: read_case(one, complete),
    )
    finder = Finder(paths, readers)
    return finder.items(), finder.refused


class Finder(Generic[T]):
    """Looks for labelled images in files and folders; reads no pixels.

    Parameters
    ----------
    paths : sequence of Path
    readers : Readers

    Attributes
    ----------
    refused : list of Finding
        What looks like labels but has no image.
    """

    def __init__(self, paths: Sequence[Path], readers: Readers[T]) -> None:
        self.refused: list[Finding] = []
        self._paths, self._readers = paths, readers
        self._items: list[tuple[str, Callable[[], Iterator[T]]]] = []
        self._taken: set[Path] = set()

    def items(self) -> list[tuple[str, Callable[[], Iterator[T]]]]:
        """Return the name of each file, and what reads it.

        Raises
        ------
        ValueError
            If a path does not exist.
        """
        self._check()
        for path in self._paths:
            if path.is_dir() and not self._one(path, images_in(path.parent)):
                before = len(self._items)
                self._folder(path)
                if len(self._items) == before:
                    for inner in sorted(one for one in path.iterdir() if one.is_dir()):
                        self._folder(inner)
            elif path.is_file() and not self._one(path, images_in(path.parent), named=True):
                self._refuse(path, f"{path.name} is no label image and has none beside it")
        return self._items

    def paired(self) -> list[tuple[str, Callable[[], Iterator[T]]]]:
        """Do as `items` where the first path holds labels, and the second one their images.

        Files of two folders belong together by their names; two files do whatever they are called.
        """
        self._check()
        labels, images = self._paths
        several = images.is_dir() and not is_zarr(images)
        stems = stem_of(labels), image_stem(stem_of(labels))
        files = all_images_in(images) if several else {}
        if not several or (labels.is_file() and is_dicom_image(images) and stems[0] not in files):
            files = dict.fromkeys(stems, images)
        if several and is_dicom_image(images):
            files.setdefault(images.name, images)
        if labels.is_dir() and not is_zarr(labels) and not (labels / PROJECT_INDEX).is_file():
            self._beside_each_other(images, labels, files)
        elif not self._labels(labels, files):
            self._refuse(labels, f"{labels.name} holds no labels for {images.name}")
        return self._items

    def _check(self) -> None:
        for path in self._paths:
            if not path.exists():
                raise ValueError(f"there is no file or folder {path}")

    def _folder(self, folder: Path) -> None:
        """Take what is in a folder, and in two folders of images and of labels in it."""
        if is_nnunet(folder):
            try:
                for one in nnunet_cases(folder):
                    self._add(one.labels, partial(self._readers.case, one))
            except ValueError as error:
                self._refuse(folder, str(error))
            return
        images = images_in(folder)
        inner = {one.name.lower().replace("_", ""): one for one in folder.iterdir() if one.is_dir()}
        for path in sorted(folder.iterdir()):
            if not path.name.startswith("."):
                self._one(path, images)
        pictures = next((inner[name] for name in IMAGE_FOLDERS if name in inner), None)
        labels = next((inner[name] for name in LABEL_FOLDERS if name in inner), None)
        if pictures is not None and labels is not None:
            self._beside_each_other(pictures, labels, all_images_in(pictures))

    def _beside_each_other(self, pictures: Path, labels: Path, files: dict[str, Path]) -> None:
        """Take what is in a folder of labels, and in the folders in it that images have, too."""
        for path in sorted(labels.iterdir()):
            if path.is_dir() and not is_zarr(path) and (pictures / path.name).is_dir():
                inner = pictures / path.name
                self._beside_each_other(inner, path, all_images_in(inner))
            elif not path.name.startswith("."):
                self._labels(path, files)

    def _labels(self, path: Path, files: dict[str, Path]) -> bool:
        """Take a file of labels whose image is one of some files; return whether it is one."""
        if not is_image(path) and not is_zarr(path):
            return self._one(path, files)
        image = image_of(files, stem_of(path)) or image_of(files, image_stem(stem_of(path)))
        if image is None:
            self._refuse(path, f"{path.name} has no image of this name")
            return True
        return self._add(path, partial(self._readers.pair, image, path))

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
        stem, read = stem_of(path), self._readers
        suffix = path.suffix.lower()
        if suffix == ".npz":
            return self._add(path, partial(read.npz, path))
        if (path / PROJECT_INDEX).is_file() or path.name == PROJECT_INDEX:
            folder = path.parent if path.name == PROJECT_INDEX else path
            image = image_of(images, stem_of(folder))
            return self._add(folder, partial(read.project, folder, image))
        if path.is_dir() and is_zarr(path) and zarr_labels(path):
            return self._add(path, partial(read.zarr, path))
        if suffix == ".json":
            return self._coco(path, images)
        base = image_stem(stem)
        if base != stem and (is_image(path) or is_zarr(path)):
            image = image_of(images, base)
            if image is not None:
                return self._add(path, partial(read.pair, image, path))
            self._refuse(path, f"{path.name} has no image {base}{suffix} beside it")
            return True
        if path.is_dir() and is_zarr(path) and holds_labels(path):
            self._refuse(path, f"{path.name} holds labels, but no image has its name and theirs")
            return True
        kind = format_of(path)
        if kind is not None and kind.read is not None and not is_image(path):
            image = image_of(images, base)
            if image is not None and image != path:  # an image as OME-Zarr may be found for itself
                return self._add(path, partial(read.annotation, image, path))
        if named and self._beside(path, images):
            return True
        if not is_image(path) and not is_zarr(path) and holds_objects(path):
            self._refuse(path, f"{path.name} has no image {base} that belongs to it")
            return True
        return False

    def _beside(self, path: Path, images: dict[str, Path]) -> bool:
        """Take the labels beside an image that the user named."""
        own = [
            one
            for one in images.values()
            if image_stem(stem_of(one)) == stem_of(path) and one != path
        ]
        for one in own:
            self._add(one, partial(self._readers.pair, path, one))
        record = path.with_suffix(".json")
        return bool(own) or (record.is_file() and self._coco(record, images))

    def _coco(self, path: Path, images: dict[str, Path]) -> bool:
        find = searching(path, images, self._paths)
        if stem_of(path) in images:  # a record of one image; there may be thousands
            return self._add(path, lambda: self._readers.coco(coco_images(path), find))
        try:
            found = coco_images(path)
        except ValueError as error:
            self._refuse(path, str(error))
            return True
        files: dict[str, list[CocoImage]] = {}
        for one in found:
            files.setdefault(one.name, []).append(one)
        for name, some in files.items():
            title = name if len(files) > 1 else path.name
            self._items.append((title, partial(self._readers.coco, some, find)))
        return True

    def _add(self, path: Path, read: Callable[[], Iterator[T]]) -> bool:
        if path.resolve() not in self._taken:
            self._taken.add(path.resolve())
            self._items.append((path.name, read))
        return True

    def _refuse(self, path: Path, sentence: str) -> None:
        self.refused.append(Finding("unreadable", f"{sentence}; {path.name} is left out"))


def _read_coco(some: Sequence[CocoImage], find: Find, complete: bool | None) -> Iterator[Example]:
    for one in some:
        yield from read_coco_image(one, find, complete)


def _read_format(path: Path, image_path: Path, complete: bool | None) -> Iterator[Example]:
    """Yield the planes of an annotation in a format of another program."""
    kind = format_of(path)
    image = read_image(image_path)
    if kind is None or kind.read is None:
        raise ValueError(f"{path.name} is in no format that objects are read of")
    annotation = labels_in(image, path) or kind.read(path, image.label_shape)
    yield from read_annotation(
        image_path, image, annotation, True if complete is None else complete
    )
