"""Files and folders in which objects are labelled, found by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from ...formats.exchange import format_of
from ...formats.ome_zarr import holds_labels
from ...formats.project import INDEX as PROJECT_INDEX
from ...images.readers import read_image
from ...images.zarr_files import is_zarr
from .coco_images import coco_images, read_coco_image
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
    zarr_labels,
)

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
                image = image_of(files, _stem(path)) or image_of(files, _base(_stem(path)))
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
        stem, complete = _stem(path), self._complete
        suffix = path.suffix.lower()
        if suffix == ".npz":
            return self._add(path, partial(read_npz, path, complete))
        if (path / PROJECT_INDEX).is_file() or path.name == PROJECT_INDEX:
            folder = path.parent if path.name == PROJECT_INDEX else path
            image = image_of(images, _stem(folder))
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
        own = [one for one in images.values() if _base(_stem(one)) == _stem(path) and one != path]
        for one in own:
            self._add(one, partial(read_pair, path, one, self._complete))
        record = path.with_suffix(".json")
        return bool(own) or (record.is_file() and self._coco(record, images))

    def _coco(self, path: Path, images: dict[str, Path]) -> bool:
        find = self._search(path, images)
        if _stem(path) in images:  # a record of one image; there may be thousands
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

    def _search(self, path: Path, images: dict[str, Path]) -> Callable[[str], Path | None]:
        """Return what finds the image that a COCO file names.

        It may lie in a folder that the user named, beside the file, or in a folder there; and
        likewise above a folder that is called like one of labels.
        """
        own = path.absolute().parent
        apart = own.name.lower().replace("_", "") in LABEL_FOLDERS

        def folders() -> Iterator[Path]:
            yield from (one for one in self._paths if one.is_dir())
            for root in (own, own.parent) if apart else (own,):
                yield root
                yield from sorted(one for one in root.iterdir() if one.is_dir())

        def find(name: str) -> Path | None:
            stem = _stem(Path(name))
            beside = images.get(stem) or images.get(_base(_stem(path)))
            if beside is not None:
                return beside
            exact = next((one / name for one in folders() if (one / name).is_file()), None)
            others = (_images(one).get(stem) for one in folders() if not is_zarr(one))
            return exact or next((one for one in others if one is not None), None)

        return find

    def _add(self, path: Path, read: Read) -> bool:
        if path.resolve() not in self._taken:
            self._taken.add(path.resolve())
            self._items.append((path.name, read))
        return True

    def _refuse(self, path: Path, sentence: str) -> None:
        self.refused.append(Finding("unreadable", f"{sentence}; {path.name} is left out"))


def _read_record(
    path: Path, find: Callable[[str], Path | None], complete: bool | None
) -> Iterator[Example]:
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


def _images(folder: Path) -> dict[str, Path]:
    """Return the images in a folder by their stems; the first of several with one stem."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGES or (path.is_dir() and is_zarr(path)):
            found.setdefault(_stem(path), path)
    return found


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".zarr") if path.name.endswith(".zarr") else path.stem
    return name.removesuffix(".ome").removesuffix(".coco")


def _base(stem: str) -> str:
    """Return the name of the image that a label image of a name belongs to; itself if to none."""
    lower = stem.lower()
    mark = next((one for one in MARKS if lower.endswith(one) and len(stem) > len(one)), "")
    return stem[: len(stem) - len(mark)]
