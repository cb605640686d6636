"""What synthetic images are made of: cut objects, and planes without objects."""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...formats.training_sets.contract import SetImage
from ...types import Progress
from ..sets.making import Item, SetResult, set_images
from .cutting import Cut, cuts, occupied
from .filling import filled

HALO = 3
"""Pixels around an object that are filled as well: its blur and its shadow."""
LEAST_GROUND = 0.25
"""Share of a plane without objects that filling them needs."""
LARGEST_HOLE = 0.1
"""Share of a plane that one hole takes; planes with larger ones are used where there are no others,
since the shape of a large hole stays visible."""
MOST_BYTES = 500_000_000
"""Memory of the objects, and of the planes; what is kept of more is drawn evenly."""
Kind = tuple[str, str, int]
"""Data type, letter and number of channels: only images of one kind are mixed."""


class Sized(Protocol):
    """Something that takes memory."""

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""


T = TypeVar("T", bound=Sized)


@dataclass(frozen=True, eq=False)
class Ground:
    """A complete plane whose objects are removed.

    Attributes
    ----------
    name : str
    kind : Kind
    pixels : (H, W, C) array
        As it was.
    holes : (H, W) bool
        Where it shows objects, and a little around them.
    objects : int
        How many it had.
    spacing : tuple of float or None
        See `SetImage`.
    """

    name: str
    kind: Kind
    pixels: NDArray[Any]
    holes: NDArray[np.bool_]
    objects: int
    spacing: tuple[float, ...] | None = None

    @property
    def largest_hole(self) -> float:
        """Share of the plane."""
        sizes = np.bincount(ndimage.label(self.holes)[0].ravel())[1:]
        return float(sizes.max(initial=0) / self.holes.size)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        return self.pixels.nbytes + self.holes.nbytes

    @property
    def limits(self) -> tuple[float, float]:
        """Range of grey values: the 0.5th to the 99.5th percentile."""
        low, high = np.percentile(self.pixels, (0.5, 99.5))
        return float(low), float(max(high, low + np.finfo(np.float32).eps))

    @property
    def levels(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Range of the ground in each channel: the 1st to the 99th percentile."""
        low, high = np.percentile(self.pixels[~self.holes], (1, 99), axis=0)
        return low, high

    def empty(self) -> NDArray[np.float32]:
        """Return the plane without its objects; each call returns the same."""
        return filled(self.pixels, self.holes, np.random.default_rng(self.objects))


class Kept(Generic[T]):
    """An even random choice of what does not fit into memory.

    Parameters
    ----------
    most : int
        Bytes.
    seed : int
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._rng = most, np.random.default_rng(seed)
        self._heap: list[tuple[float, int, T]] = []
        self._bytes = self._seen = 0

    def add(self, one: T) -> None:
        """Take one more, and drop those with the highest random keys where memory is short."""
        heapq.heappush(self._heap, (-float(self._rng.random()), self._seen, one))
        self._seen += 1
        self._bytes += one.nbytes
        while self._bytes > self._most and len(self._heap) > 1:
            self._bytes -= heapq.heappop(self._heap)[2].nbytes

    @property
    def values(self) -> list[T]:
        """What is kept, in the order in which it came."""
        return [one for _, _, one in sorted(self._heap, key=lambda item: item[1])]


@dataclass
class Bank:
    """What synthetic images are made of.

    Attributes
    ----------
    cuts : dict of Kind to list of Cut
    grounds : list of Ground
        Only of kinds with cuts.
    classes : tuple of str
    digest : str
        Hash of all images and labels.
    refused : list of str
        Files that were left out, a sentence each.
    """

    cuts: dict[Kind, list[Cut]]
    grounds: list[Ground]
    classes: tuple[str, ...]
    digest: str
    refused: list[str] = field(default_factory=list)


def gathered(
    items: Sequence[Item], seed: int, most: int = MOST_BYTES
) -> Generator[Progress, None, Bank]:
    """Read labelled files into a bank.

    Parameters
    ----------
    items : sequence of (str, callable)
        See `sets.making.making`.
    seed : int
    most : int
        Bytes of the objects, and of the planes.

    Yields
    ------
    Progress
        Before each file.

    Raises
    ------
    ValueError
        If there is no object to cut, or no plane with enough ground.
    """
    objects: dict[Kind, Kept[Cut]] = defaultdict(lambda: Kept(most, seed))
    grounds: Kept[Ground] = Kept(most, seed)
    digest, refused = hashlib.blake2b(digest_size=16), list[str]()
    classes: dict[str, None] = {}
    for number, (name, read) in enumerate(items):
        yield Progress(number, len(items), f"reading {name}")
        try:
            planes = (one for stack in read() for _, one in set_images(stack, False, SetResult()))
            for one in planes:
                pixels = with_channels(one)
                if not np.isfinite(pixels).all():
                    refused.append(f"{one.name} has values that are not finite; it is left out")
                    continue
                classes |= dict.fromkeys([*one.classes, *(each.category for each in one.objects)])
                _digest(digest, one)
                for cut in cuts(pixels, one.objects, one.name):
                    objects[kind_of(one)].add(cut)
                if (ground := ground_of(one, pixels)) is not None:
                    grounds.add(ground)
        except ValueError as error:
            refused.append(f"{error}; {name} is left out")
    found = {kind: kept.values for kind, kept in objects.items()}
    usable = [one for one in grounds.values if one.kind in found]
    reason = refused[0] if refused else "a border of the image cuts them all, or there are none"
    if not found:
        raise ValueError(f"there is no whole object to cut: {reason}")
    if not usable:
        raise ValueError(
            f"no complete plane has {LEAST_GROUND:.0%} of its pixels free of objects, which "
            "synthetic images are made on; add images with fewer objects"
        )
    named = tuple(one for one in classes if one)
    good = [one for one in usable if one.largest_hole <= LARGEST_HOLE] or usable
    return Bank(found, good, named, digest.hexdigest(), refused)


def kind_of(one: SetImage) -> Kind:
    """Return what must agree for pixels to be mixed."""
    channels = one.image.shape[2] if one.image.ndim == 3 else 1
    return one.image.dtype.name, one.axes[2:], channels


def with_channels(one: SetImage) -> NDArray[Any]:
    """Return the pixels of a plane with channels, (H, W, C)."""
    return one.image if one.image.ndim == 3 else one.image[..., None]


def ground_of(one: SetImage, pixels: NDArray[Any]) -> Ground | None:
    """Return a plane as ground; None where it is not complete or has too little ground."""
    if one.unknown is not None or any(each.crowd for each in one.objects):
        return None
    taken = occupied(one.objects, one.shape)
    holes = ndimage.binary_dilation(taken, iterations=HALO) if taken.any() else taken
    if (~holes).mean() < LEAST_GROUND:
        return None
    return Ground(one.name, kind_of(one), pixels, holes, len(one.objects), one.spacing)


def _digest(digest: Any, one: SetImage) -> None:
    digest.update(f"{one.name} {one.image.shape} {one.image.dtype}".encode())
    digest.update(np.ascontiguousarray(one.image).tobytes())
    for each in one.objects:
        digest.update(f"{each.label} {each.category} {each.mask.box}".encode())
        digest.update(each.mask.packed.tobytes())
