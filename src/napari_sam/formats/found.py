"""What files of other programs hold: objects and prompts, checked before memory is asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import LARGEST_SIDE, shown
from ..objects import SegmentedObject
from ..objects.drawn import Drawing, DrawnRow
from ..types import Mask, SliceKey
from .annotation import Annotation, Geometry

LARGEST_FILE = 2**28
"""Bytes of a text or a list of outlines."""
MOST_PIXELS = 2**25
"""Of labels whose size only their file names; larger with an open image."""
PIXELS_PER_BYTE = 2**12
"""So many pixels more for each byte of the file."""
MOST_PLANES = 2**20

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Found:
    """What a file holds.

    Attributes
    ----------
    objects : tuple of SegmentedObject
        Labels from 1, all different.
    prompts : tuple of DrawnRow
        What has no area of its own: points, and boxes.
    shape : tuple of int
        Of the labels.
    notice : str
        What was left out, a clause; empty if nothing was.
    """

    objects: tuple[SegmentedObject, ...]
    prompts: Drawing
    shape: tuple[int, ...]
    notice: str = ""

    def annotation(self, path: Path, image: tuple[int, ...] | None) -> Annotation:
        """Return it as labels; a pixel that several objects have goes to the first.

        Parameters
        ----------
        path : Path
            Of the file, or the folder of files.
        image : tuple of int or None
            Shape of the open image; None if there is none.

        Raises
        ------
        ValueError
            If the labels would take far more memory than the file.
        """
        size = path.stat().st_size if path.is_file() else 0
        if image is None and math.prod(self.shape) > max(MOST_PIXELS, PIXELS_PER_BYTE * size):
            raise ValueError(
                f"{path.name} says that its labels have the shape {self.shape}; open the image "
                "that they belong to first"
            )
        largest = max((one.label for one in self.objects), default=0)
        labels = np.zeros(self.shape, np.int32 if largest < 2**31 else np.int64)
        for one in self.objects:
            for key, outline in one.outlines.items():
                part = labels[key.index][outline.mask.part] if outline.mask else labels[:0]
                if outline.mask:
                    part[outline.mask.bits & (part == 0)] = one.label
        n = len(self.shape)
        axes = ("z", "y", "x")[-n:] if n < 4 else (*"tz"[: n - 2], "y", "x")
        if n > 4:
            axes = (*(f"axis {k}" for k in range(n - 2)), "y", "x")
        geometry = Geometry(axes, (1.0,) * n, ("pixel",) * n, (0.0,) * n)
        names = sorted({one.category for one in self.objects if one.category.strip()})
        classes = [{"name": one, "colour": _colour(k), "key": ""} for k, one in enumerate(names)]
        return Annotation(
            labels,
            {one.label: one for one in self.objects},
            geometry,
            {"classes": classes} if classes else {},
            path.name.split(".")[0],
            self.prompts,
            notice=self.notice,
        )


def _colour(k: int) -> str:
    from ..objects.classes import COLOURS

    return COLOURS[k % len(COLOURS)]


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    ValueError
        If it is too large, nested too deeply, or no JSON.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise ValueError(f"{path.name} has {size} bytes, more than {LARGEST_FILE}")
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}: {error.msg}"
        raise ValueError(f"{path.name} is no JSON text: {reason}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is no JSON text") from None


def whole(value: Any, name: str, least: int, most: int) -> int:
    """Return a value of a file as a whole number.

    Raises
    ------
    ValueError
        If it is none, or not between `least` and `most`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{name} is a number from {least} to {most}, but is {shown(value)}")
    if value != int(value):
        raise ValueError(f"{name} is a whole number, but is {shown(value)}")
    return int(value)


def reals(value: Any, name: str) -> NDArray[np.float64]:
    """Return a list of a file as finite numbers, (N,).

    Raises
    ------
    ValueError
        If it is none.
    """
    if not isinstance(value, list) or not all(
        isinstance(one, int | float) and not isinstance(one, bool) and abs(one) <= 1e9
        for one in value
    ):
        raise ValueError(f"{name} is a list of numbers, but is {shown(value)}")
    return np.array(value, np.float64)


def size_of(height: Any, width: Any) -> Size:
    """Return the size of an image; ValueError if it is none."""
    h, w = (whole(one, "a side of an image", 1, LARGEST_SIDE) for one in (height, width))
    return h, w


def key_of(place: Sequence[int], shape: Sequence[int]) -> SliceKey:
    """Return the plane at a place on the leading axes.

    Raises
    ------
    ValueError
        If there is none.
    """
    lead = tuple(shape[:-2])
    if len(place) != len(lead) or not all(0 <= k < n for k, n in zip(place, lead, strict=True)):
        raise ValueError(f"there is no plane {tuple(place)} in an image of the shape {shape}")
    n = len(shape)
    return SliceKey((n - 2, n - 1), tuple(enumerate(place)))


def check_size(size: Size, shape: Sequence[int], what: str) -> None:
    """Raise a ValueError if a plane of a file has another size than the image."""
    if tuple(size) != tuple(shape[-2:]):
        raise ValueError(
            f"{what} has {size[0]} x {size[1]} pixels, but the image {shape[-2]} x {shape[-1]}"
        )


def box_row(key: SliceKey, box: Sequence[float]) -> DrawnRow:
    """Return a box (x0, y0, x1, y1) of pixel centres in a plane as it is drawn."""
    x0, y0, x1, y1 = (float(one) for one in box)
    corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    return DrawnRow("shapes", "rectangle", tuple(_placed(key, x, y) for x, y in corners))


def point_row(key: SliceKey, x: float, y: float) -> DrawnRow:
    """Return a point on an object as it is drawn."""
    return DrawnRow("points", "object", (_placed(key, x, y),))


def _placed(key: SliceKey, x: float, y: float) -> tuple[float, ...]:
    values = dict(key.fixed) | {key.displayed[0]: y, key.displayed[1]: x}
    return tuple(float(values[axis]) for axis in range(len(values)))


def planes_of(labels: Any) -> Iterator[tuple[tuple[int, ...], SliceKey, NDArray[Any]]]:
    """Yield the place, the key and the pixels of each plane, one read at a time."""
    shape = tuple(int(n) for n in labels.shape)
    for place in np.ndindex(*shape[:-2]):
        yield place, key_of(place, shape), np.asarray(labels[place])


def masks_of(plane: NDArray[Any]) -> Iterator[tuple[int, Mask]]:
    """Yield each label of a plane with its pixels."""
    values, places = np.unique(plane, return_inverse=True)
    places = places.reshape(plane.shape) + 1
    size = (plane.shape[0], plane.shape[1])
    for number, part in enumerate(ndimage.find_objects(places), 1):
        label = int(values[number - 1])
        if label:
            corner = part[1].start, part[0].start
            yield label, Mask.of(places[part] == number, corner, size)
