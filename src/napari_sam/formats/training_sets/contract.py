"""What a training set is made of, and what a system that reads one must provide."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ...images.transforms import to_rgb8
from ...types import Mask

Losses = Counter[str]
"""What a format cannot hold, a clause each, and how often it occurred."""
NO_CLASS = "object"
"""The class of objects without one, where a system has no others."""
UNKNOWN_GROUND = "images with ground of which nothing is known, which counts as background"
CLASSES_LOST = "objects that lose their class"
OVERLAPS_LOST = "objects that lose pixels to a smaller one above them"
CROWDS_LOST = "crowds, which are left out"
STRETCHED = "images stretched to 8 bit"


@dataclass(frozen=True, eq=False)
class SetObject:
    """One object in one plane.

    Attributes
    ----------
    label : int
        Equal in two planes of a volume where it is the same object.
    mask : Mask
    category : str
        Its class; empty if it has none.
    score : float
        Predicted IoU; 1 where a person drew it.
    crowd : bool
        Whether it is several objects that nobody told apart.
    """

    label: int
    mask: Mask
    category: str = ""
    score: float = 1.0
    crowd: bool = False


@dataclass(frozen=True, eq=False)
class SetImage:
    """One image of a training set, a plane or a volume.

    Attributes
    ----------
    name : str
        Letters, digits, "_" and "-"; no two images of a set have the same.
    image : (H, W) or (Z, H, W) real; colours or channels are a last axis
    axes : str
        "YX" or "ZYX", and last S for colours or C for other channels.
    planes : tuple of tuple of SetObject
        Of each plane; one where the image is a plane.
    held_out : bool
        Whether it is kept for testing.
    classes : tuple of str
        Those that its file defines, in their order.
    spacing : tuple of float or None
        Size of a pixel along each axis but the last of channels, in micrometres.
    unknown : (H, W) or (Z, H, W) bool, or None
        Ground of which nothing is known; None if there is none.
    """

    name: str
    image: NDArray[Any]
    axes: str
    planes: tuple[tuple[SetObject, ...], ...]
    held_out: bool = False
    classes: tuple[str, ...] = ()
    spacing: tuple[float, ...] | None = None
    unknown: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Without colours or channels."""
        return tuple(self.image.shape[: len(self.axes.rstrip("SC"))])

    @property
    def objects(self) -> list[SetObject]:
        """Those of all planes."""
        return [one for plane in self.planes for one in plane]


class SetWriter(Protocol):
    """Writes a training set into an empty folder, one image at a time.

    Attributes
    ----------
    files : dict of str to list of Path
        Those of each image, by its name.
    """

    files: dict[str, list[Path]]

    def add(self, one: SetImage) -> None:
        """Write an image and its labels; ValueError where it does not fit the set."""

    def remove(self, name: str) -> None:
        """Take back an image, even one that was written in part."""

    def finish(self) -> None:
        """Write what is only known at the end."""


class FolderWriter:
    """Knows the files of each image, for writers of sets; see `SetWriter`.

    Parameters
    ----------
    folder : Path
        Empty.
    losses : Losses
    border : bool
        Whether the edges of objects are a class.
    """

    def __init__(self, folder: Path, losses: Losses, border: bool = False) -> None:
        self._folder, self._losses = folder, losses
        self.files: dict[str, list[Path]] = {}

    def remove(self, name: str) -> None:
        """Remove the files of an image, and the folders that are empty then."""
        for path in self.files.pop(name, ()):
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()

    def finish(self) -> None:
        """Do nothing: each image stands for itself."""

    def _place(self, one: SetImage, *parts: str) -> Path:
        """Return where a file of an image goes, in a folder that is there."""
        path = self._folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files.setdefault(one.name, []).append(path)
        return path


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """A system's form of a training set.

    Attributes
    ----------
    title : str
        What sentences call the system.
    writer : callable of (folder, losses, border)
        Begins a set. What the form cannot hold is counted in `losses`. `border` asks for a class
        of the edges of objects.
    volumes : bool
        Whether it takes volumes.
    border : bool
        Whether it can have a class of edges.
    """

    title: str
    writer: Callable[[Path, Losses, bool], SetWriter]
    volumes: bool = False
    border: bool = False


@dataclass
class ClassNumbers:
    """Numbers of classes in the order in which they appear.

    Attributes
    ----------
    first : int
        The number of the first one.
    names : list of str
        "" for objects without one.
    """

    first: int = 0
    names: list[str] = field(default_factory=list)

    def take(self, one: SetImage) -> None:
        """Give numbers to the classes of an image: those that its file defines come first."""
        used = {each.category for each in one.objects}
        for name in (*one.classes, *sorted(used, key=lambda name: (not name, name))):
            if name not in self.names:
                self.names.append(name)

    def of(self, one: SetObject) -> int:
        """Return the number of the class of an object."""
        return self.first + self.names.index(one.category)

    @property
    def unnamed(self) -> str:
        """What objects without a class are called: "object", or what no class is called."""
        free = NO_CLASS
        while free in self.names:
            free += "_"
        return free

    @property
    def listed(self) -> list[str]:
        """The names, with one for objects without a class."""
        return [name or self.unnamed for name in self.names]


def file_name(text: str) -> str:
    """Return a text as a name of a file that every system takes."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "image"


def painted(one: SetImage, value: Callable[[SetObject], int], losses: Losses) -> NDArray[np.int32]:
    """Return an image's objects as labels; small ones lie on top of large ones.

    Parameters
    ----------
    one : SetImage
    value : callable
        Returns the label of an object.
    losses : Losses
        Objects that lose pixels are counted, and crowds, which are left out.

    Raises
    ------
    ValueError
        If a label is none of 31 bits.
    """
    labels = np.zeros(one.shape, np.int32)
    for plane, objects in zip(labels.reshape(-1, *one.shape[-2:]), one.planes, strict=True):
        below = np.zeros(plane.shape, np.int32)  # the place in the list of the object on top
        order = sorted((each for each in objects if not each.crowd), key=lambda k: -k.mask.area)
        covered: set[int] = set()
        for number, each in enumerate(order, 1):
            part = below[each.mask.part]
            covered.update(np.unique(part[each.mask.bits]).tolist())
            part[each.mask.bits] = number
            label = value(each)
            if not 0 < label < 2**31:
                raise ValueError(f"labels go from 1 to {2**31 - 1}, but one is {label}")
            plane[each.mask.part][each.mask.bits] = label
        losses[OVERLAPS_LOST] += len(covered - {0})
        losses[CROWDS_LOST] += len(objects) - len(order)
    return labels


def instances(one: SetImage, losses: Losses) -> NDArray[np.unsignedinteger[Any]]:
    """Return an image's objects as labels 1, 2, ... of 16 bit, or of 32 where there are more.

    Classes are counted as lost, and images with unknown ground.
    """
    numbers: dict[int, int] = {}
    labels = painted(one, lambda each: numbers.setdefault(each.label, len(numbers) + 1), losses)
    losses[CLASSES_LOST] += len({each.label for each in one.objects if each.category})
    losses[UNKNOWN_GROUND] += one.unknown is not None
    return labels.astype(np.uint16 if len(numbers) < 2**16 else np.uint32)


def write_tiff(
    path: Path,
    array: NDArray[Any],
    axes: str,
    spacing: Sequence[float] | None,
    channels_last: bool = False,
) -> None:
    """Write an image as OME-TIFF with the size of its pixels in micrometres.

    Channels that are no colours become the first axis, as in other TIFF files, unless
    `channels_last`; then each pixel has them side by side. Raises as `storable` does.
    """
    array = storable(array)
    samples = axes.endswith("S")
    if axes.endswith("C"):
        samples = channels_last
        array = array if samples else np.moveaxis(array, -1, 0)
        axes = f"{axes[:-1]}S" if samples else f"C{axes[:-1]}"
    metadata: dict[str, Any] = {"axes": axes}
    for letter, size in zip(axes.replace("C", ""), spacing or (), strict=False):
        metadata |= {f"PhysicalSize{letter}": size, f"PhysicalSize{letter}Unit": "\u00b5m"}
    tifffile.imwrite(
        path,
        array,
        ome=True,
        compression="zlib",
        photometric="rgb" if samples and array.shape[-1] == 3 else "minisblack",
        planarconfig="contig" if samples else None,
        metadata=metadata,
    )


def storable(array: NDArray[Any]) -> NDArray[Any]:
    """Return an image in a type that OME has; ValueError if there is none that holds it."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return array.astype(np.uint8)
    if kind == "f" and size == 2:
        return array.astype(np.float32)
    if (kind in "iu" and size <= 4) or (kind == "f" and size <= 8):
        return array
    if kind in "iu":
        low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
        for narrow in (np.int32, np.uint32):
            if np.iinfo(narrow).min <= low and high <= np.iinfo(narrow).max:
                return array.astype(narrow)
        raise ValueError(f"an image has up to 32 bits in OME, but its values go to {high}")
    raise ValueError(f"an image is of whole or real numbers, but is {array.dtype}")


def write_png(path: Path, one: SetImage, losses: Losses) -> None:
    """Write a plane as 8-bit PNG, grey or RGB, stretched as it is for our models."""
    losses[STRETCHED] += one.image.dtype != np.uint8 or one.axes.endswith("C")
    save_png(path, to_rgb8(one.image), grey=one.axes == "YX")


def save_png(path: Path, rgb: NDArray[np.uint8], grey: bool) -> None:
    """Write a picture (H, W, 3) as PNG; where `grey`, of one channel if it has no colours."""
    plain = grey and bool((rgb == rgb[..., :1]).all())
    Image.fromarray(rgb[..., 0] if plain else rgb).save(path, format="PNG")
