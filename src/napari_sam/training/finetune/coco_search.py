"""Finds the image that a COCO file names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path, PureWindowsPath

from ...images.dicom_files import is_dicom_image
from ...images.zarr_files import is_zarr
from .coco_images import CocoImage
from .reading import stem_of

Find = Callable[[CocoImage], Path | None]
IMAGES = (
    ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".npy", ".bmp", ".webp", ".jp2", ".gif",
    ".nii", ".nii.gz",
)  # fmt: skip
"""Endings of image files that are looked for; OME-Zarr as well."""
MARKS = (
    "_cp_masks", "_instances", "_segmentation", "_labels", "_masks", "_label", "_mask", "_seg",
    "_gt", "-labels", "-masks", "-label", "-mask",
)  # fmt: skip
"""What the name of a label image ends with, beside its image."""
LABEL_FOLDERS = (
    "labels", "label", "masks", "mask", "groundtruth", "gt", "instances", "segmentations",
    "annotations", "targets",
)  # fmt: skip
"""Names of folders of labels."""


def searching(path: Path, images: Mapping[str, Path], roots: Sequence[Path]) -> Find:
    """Return what finds the image that a COCO file names.

    It lies where its path says: from the file, from a folder that the user named, or from a
    folder beside the file; and likewise above a folder that is called like one of labels.
    Failing that, it is the only file there of this name.

    Parameters
    ----------
    path : Path
        The COCO file.
    images : mapping of str to Path
        Those beside it, by their stems.
    roots : sequence of Path
        What the user named; folders of it count.
    """
    own = path.absolute().parent
    apart = own.name.lower().replace("_", "") in LABEL_FOLDERS
    listed = cache(images_in)

    @cache
    def places() -> list[list[Path]]:
        above = (own, own.parent) if apart else (own,)
        inner = (one for root in above for one in sorted(root.iterdir()))
        named = [one for one in roots if one.is_dir() and not is_zarr(one)]
        return [named, [*above, *(one for one in inner if _holds_images(one))]]

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
        return None if one.others else images.get(image_stem(stem_of(path)))

    return find


def images_in(folder: Path) -> dict[str, Path]:
    """Return the images in a folder by their stems; the first of several with one stem."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if is_image(path) or (path.is_dir() and is_zarr(path)):
            found.setdefault(stem_of(path), path)
    return found


def all_images_in(folder: Path) -> dict[str, Path]:
    """Do as `images_in`, and return DICOM: folders of series by their names, files by their stems.

    Files that hold labels are left out.
    """
    found = {stem_of(one): one for one in sorted(folder.glob("*.dcm")) if is_dicom_image(one)}
    for one in sorted(folder.iterdir()):
        if one.is_dir() and is_dicom_image(one):
            found[one.name] = one
    return found | images_in(folder)


def is_image(path: Path) -> bool:
    """Tell whether a file is called like an image."""
    return path.name.lower().endswith(IMAGES)


def image_stem(stem: str) -> str:
    """Return the name of the image that a label image of a name belongs to; itself if to none."""
    lower = stem.lower()
    mark = next((one for one in MARKS if lower.endswith(one) and len(stem) > len(one)), "")
    return stem[: len(stem) - len(mark)]


def _holds_images(path: Path) -> bool:
    """Return whether a folder may hold images, not labels."""
    name = path.name.lower().replace("_", "")
    return path.is_dir() and not is_zarr(path) and name not in LABEL_FOLDERS


def _file(path: Path) -> Path | None:
    return path if path.is_file() else None
