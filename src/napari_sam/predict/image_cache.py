"""What is kept of one image: the embeddings and contrast limits of its planes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import stopping
from ..images.blocks import chunked
from ..images.plane_stack import PlaneStack
from ..images.transforms import contrast_of
from ..types import Contrast, ImageEmbedding, Plane, SliceKey

MOST_PLANES = 32
"""Planes of an image in memory that its range is taken from."""
FEW_PLANES = 8
"""The same where a plane is large, or has to be read from elsewhere."""
LARGE_PLANE = 1 << 20
"""Pixels of a large plane."""
SAMPLED_PLANE = 1 << 24
"""Most pixels of a plane that is read at once from elsewhere only to find its contrast."""
KEPT_SECONDS, KEPT_SHARE = 5.0, 10.0
"""So long chunks are kept, or ten times as long as they took to read: an array may still be written
to, as during an acquisition."""
BLOCKS, BLOCK = 8, 256
"""Of a larger one 8 x 8 evenly spaced blocks of 256 x 256 pixels are read."""


class ImageCache:
    """Keeps what was found out about the pixels of one image, until they change.

    May be used by several threads. When the pixels change, or another image is asked about, it is
    replaced by a new one: what is still being encoded for the old one is never taken for new.

    Parameters
    ----------
    image : array-like
    clock : callable
        Returns seconds.

    Attributes
    ----------
    outdated : bool
        Whether the pixels have changed since.
    """

    def __init__(self, image: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.image = image
        self._clock = clock
        self.outdated = False
        self._embeddings: OrderedDict[Hashable, ImageEmbedding] = OrderedDict()
        self._limits: dict[Hashable, Contrast | None] = {}
        self._spans: dict[Hashable, float] = {}
        self._stack: tuple[Hashable, PlaneStack, float] | None = None  # until when
        self._lock = threading.Lock()  # never held for long

    def __contains__(self, plane: Plane) -> bool:
        with self._lock:
            return plane.look in self._embeddings

    def get(self, plane: Plane) -> ImageEmbedding | None:
        """Return the embedding of a plane or its window, if it is kept."""
        with self._lock:
            found = self._embeddings.get(plane.look)
            if found is not None:
                self._embeddings.move_to_end(plane.look)
            return found

    def keep(self, plane: Plane, embedding: ImageEmbedding, max_bytes: int) -> None:
        """Keep the embedding of a plane or its window.

        Of more than `max_bytes`, those used longest ago go first; this one stays.
        """
        with self._lock:
            self._embeddings[plane.look] = embedding
            self._embeddings.move_to_end(plane.look)
            total = sum(nbytes(kept.features) for kept in self._embeddings.values())
            while total > max_bytes and len(self._embeddings) > 1:
                _, oldest = self._embeddings.popitem(last=False)
                total -= nbytes(oldest.features)

    def read(self, plane: Plane) -> tuple[NDArray[Any], Contrast | None]:
        """Return the pixels of a plane or its window, and the contrast of all of the plane."""
        stored, start = self._stored(plane), self._clock()
        pixels = stored.read()
        self._note_time(start)
        if plane.contrast is not None:
            return pixels, plane.contrast
        look, whole = plane.whole.look, stored.whole
        with self._lock:
            if look in self._limits:
                return pixels, self._limits[look]
        limits = contrast_of(
            pixels_for_contrast(whole, pixels if plane.key.window is None else None),
            plane.channels,
            (lambda: self._span(plane, whole)) if plane.key.fixed else None,
        )
        with self._lock:
            self._limits[look] = limits
        return pixels, limits

    def _stored(self, plane: Plane) -> Plane:
        """Return a plane that is read in whole chunks of its array; some are kept for a while."""
        array = plane.key.array_of(plane.image)
        chunks = chunks_of(array)
        if chunks is None:
            return plane
        version, now = (plane.key.level, plane.revision), self._clock()
        with self._lock:
            kept = self._stack
            if kept is None or kept[0] != version or now > kept[2]:
                self._stack = kept = version, PlaneStack(chunked(array, chunks)), inf
            stack = kept[1]
        return replace(plane, image=stack, key=replace(plane.key, level=None))

    def _note_time(self, start: float) -> None:
        """Note how long chunks are kept, when the first ones have been read."""
        now = self._clock()
        with self._lock:
            if self._stack is not None and self._stack[2] == inf:
                until = now + max(KEPT_SECONDS, KEPT_SHARE * (now - start))
                self._stack = (*self._stack[:2], until)

    def _span(self, plane: Plane, stored: Plane) -> float:
        """Return the range of the stack that a plane lies in, found once."""
        stack = plane.key.displayed, plane.key.level, plane.channels, plane.revision
        with self._lock:
            if stack in self._spans:
                return self._spans[stack]
        span = widest_span(stored)
        with self._lock:
            self._spans[stack] = span
        return span


def chunks_of(array: Any) -> tuple[int, ...] | None:
    """Return the sides of the chunks of an array of dask, zarr or HDF5; None for any other."""
    chunks = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    if not isinstance(chunks, tuple) or not all(isinstance(n, int) and n > 0 for n in chunks):
        return None
    return chunks if len(chunks) == len(array.shape) else None


def pixels_for_contrast(plane: Plane, pixels: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return the pixels that the contrast of a plane is found from.

    They do not depend on what of the plane was asked for first.

    Parameters
    ----------
    plane : Plane
        Without a window.
    pixels : (H, W) or (H, W, C), optional
        Of the plane, if all of it was read already.

    Returns
    -------
    (h, w) or (h, w, C)
        All of it; of a very large plane that is not in memory, blocks side by side.
    """
    height, width = plane.size
    in_memory = isinstance(plane.key.array_of(plane.image), np.ndarray)
    if in_memory or height * width <= SAMPLED_PLANE:
        return plane.read() if pixels is None else pixels
    if pixels is not None:
        plane = replace(plane, image=pixels, key=SliceKey((0, 1)))
    h, w = min(BLOCK, height), min(BLOCK, width)
    lines = []
    for y0 in np.linspace(0, height - h, BLOCKS).astype(int).tolist():
        stopping.check()
        starts = np.linspace(0, width - w, BLOCKS).astype(int).tolist()
        windows = [(x0, y0, x0 + w, y0 + h) for x0 in starts]
        lines.append(np.concatenate([plane.within(one).read() for one in windows], axis=1))
    return np.concatenate(lines)


def widest_span(plane: Plane) -> float:
    """Return the largest range, high - low, of any plane or channel of a stack.

    Parameters
    ----------
    plane : Plane
        Any plane of the stack. Others are read, evenly spaced over all axes that are not displayed;
        `MOST_PLANES` of them, or `FEW_PLANES`.
    """
    array = plane.key.array_of(plane.image)
    axes = [axis for axis, _ in plane.key.fixed]
    shape = [int(array.shape[axis]) for axis in axes]
    rows, columns = plane.size
    quick = isinstance(array, np.ndarray) and rows * columns <= LARGE_PLANE
    total = int(np.prod(shape))
    count = min(total, MOST_PLANES if quick else FEW_PLANES)
    span = 0.0
    for number in np.unique(np.linspace(0, total - 1, count).astype(int)):
        stopping.check()
        places = (int(place) for place in np.unravel_index(number, shape))
        key = replace(plane.key, fixed=tuple(zip(axes, places, strict=True)))
        limits = contrast_of(pixels_for_contrast(replace(plane, key=key)), plane.channels)
        if limits is not None:
            span = max(span, *np.ravel(np.diff(limits)).tolist())
    return span


def nbytes(features: Any) -> int:
    """Return the memory that features take, in bytes."""
    if isinstance(features, Sequence):
        return sum(nbytes(part) for part in features)
    return int(getattr(features, "nbytes", 0))
