"""One image, one predictor, one cache of embeddings; chooses the field of view."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import stopping
from .._version import __version__
from ..images.transforms import contrast_of, scaled_size
from ..types import (
    ImageEmbedding,
    MaskLogits,
    Plane,
    Prediction,
    PredictRequest,
    Prompts,
    SliceKey,
    Window,
)
from .cache import DiskCache
from .predictor import SamPredictor

CACHE_BYTES = 1_000_000_000
SMALL_OBJECT = 40.0
"""An object whose longer side is shorter than this in the model's input is looked at closer."""
CONTEXT = 5.0
"""Side of the closer look, in sides of the object."""
LEAST_WINDOW = 48
"""Least side of the closer look, in pixels of the plane."""
LEAST_GAIN = 1.3
"""A closer look must magnify at least this much more."""

Limits = tuple[float, float]
CacheKey = tuple[SliceKey, Limits | None]


class Session:
    """Answers prompts on the planes of one image; embeddings are made once and kept.

    May be called from several threads. Inside `stopping.stoppable` an encoding that nobody waits
    for any more ends in `Stopped`, and nothing of it is kept.

    Parameters
    ----------
    predictor : SamPredictor
    max_bytes : int
        Bound of the cache; the embeddings used longest ago go first.
    closer_look : bool
        Whether a small object is looked at again in a window of its own.
    disk : DiskCache, optional
        Keeps whole planes beyond the session. Windows are not written: they follow the prompts, so
        hardly one is asked for again, and each would take the place of a plane. It writes in the
        background, after the plane was encoded.
    """

    def __init__(
        self,
        predictor: SamPredictor,
        max_bytes: int = CACHE_BYTES,
        closer_look: bool = True,
        disk: DiskCache | None = None,
    ) -> None:
        self.predictor = predictor
        self.max_bytes = max_bytes
        self.closer_look = closer_look
        self.disk = disk
        self._image: Any = None
        self._cache: OrderedDict[CacheKey, ImageEmbedding] = OrderedDict()
        self._limits: dict[SliceKey, Limits | None] = {}
        self._cleared = 0
        self._lock = threading.Lock()  # of the cache; never held for long
        self._encoding = threading.Lock()

    def clear(self) -> None:
        """Forget every embedding: the image has changed."""
        with self._lock:
            self._forget()
            self._image = None
            self._cleared += 1

    def ready(self, plane: Plane) -> bool:
        """Tell whether all of a plane is encoded already."""
        with self._lock:
            return plane.image is self._image and _cache_key(plane.whole) in self._cache

    def embedding(self, plane: Plane) -> ImageEmbedding:
        """Return the embedding of a plane, or of its window, from a cache if it can.

        Raises
        ------
        ValueError
            If the plane cannot be encoded.
        """
        key = _cache_key(plane)
        with self._lock:
            if plane.image is not self._image:
                self._forget()
                self._image = plane.image
            kept = self._kept(key)
        if kept is not None:
            return kept
        with self._encoding:  # one plane at a time; nobody but workers waits here
            stopping.check()  # the wait may have been long
            with self._lock:
                kept = self._kept(key)
            if kept is not None:
                return kept
            cleared = self._cleared
            embedding = self._encoded(plane)
            with self._lock:
                if plane.image is self._image and cleared == self._cleared:
                    self._keep(key, embedding)
            return embedding

    def crop_embedding(self, plane: Plane, crop: Window) -> ImageEmbedding:
        """Return the embedding of a part (x0, y0, x1, y1), end exclusive, of a plane.

        A crop that is all of the plane shares its embedding with clicks. See `embedding`.
        """
        rows, columns = plane.size
        return self.embedding(plane.within(None if crop == (0, 0, columns, rows) else crop))

    def predict(self, request: PredictRequest) -> Prediction:
        """Answer one request; see `predict_many`."""
        return self.predict_many(request.plane, [request.prompts], request.multimask_output)[0]

    def predict_many(
        self, plane: Plane, prompts: Sequence[Prompts], multimask_output: bool | None = None
    ) -> list[Prediction]:
        """Answer the prompts of several objects of one plane.

        The whole plane is looked at first; where it had to be reduced for the model, an object that
        turns out small is looked at again, closer. A correction (a mask input with a window) goes
        on in that window as long as its prompts lie in it.

        Parameters
        ----------
        plane : Plane
            Its window is left aside.
        prompts : sequence of Prompts, in pixels of the whole plane
        multimask_output : bool, optional
            See `SamPredictor.predict`.

        Returns
        -------
        list of Prediction with masks of the whole plane

        Raises
        ------
        ValueError
            If there is no prompt, one lies outside the plane, or the plane cannot be encoded.
        """
        plane = plane.whole
        for one in prompts:
            check_inside(one, plane.size)
        answers: dict[int, Prediction] = {}
        windows = {k: w for k, one in enumerate(prompts) if (w := _earlier_window(one)) is not None}
        fresh = [k for k in range(len(prompts)) if k not in windows]
        if fresh:
            embedding = self.embedding(plane)
            found = self.predictor.predict_many(
                embedding, [prompts[k] for k in fresh], multimask_output
            )
            for k, answer in zip(fresh, found, strict=True):
                answers[k] = answer
                window = self._window(prompts[k], answer, embedding) if self.closer_look else None
                if window is not None:
                    windows[k] = window
        for k, window in windows.items():
            answers[k] = self._predict_in(plane, window, prompts[k], multimask_output)
        return [answers[k] for k in range(len(prompts))]

    def _predict_in(
        self, plane: Plane, window: Window, prompts: Prompts, multimask_output: bool | None
    ) -> Prediction:
        x0, y0 = window[:2]
        embedding = self.embedding(plane.within(window))
        answer = self.predictor.predict(embedding, prompts.moved(-x0, -y0), multimask_output)
        left, top, right, bottom = answer.frame
        return replace(
            answer,
            masks=tuple(mask.moved(x0, y0, plane.size) for mask in answer.masks),
            frame=(left + x0, top + y0, right + x0, bottom + y0),
            window=window,
        )

    def _encoded(self, plane: Plane) -> ImageEmbedding:
        """Encode a plane, or take it from the disk."""
        pixels, limits = self._read(plane)
        if self.disk is None or plane.key.window is not None:
            return self.predictor.encode(pixels, limits)
        model = self.predictor.model
        prepared = self.predictor.prepare(pixels, limits)
        key = disk_key(model.fingerprint, prepared.rgb)
        arrays = self.disk.get(key)
        if arrays is not None:
            with suppress(KeyError):  # a development version may have had other features
                return self.predictor.embedding(model.unpack(arrays), prepared)
        features = model.encode(prepared.rgb)
        self.disk.put_later(key, lambda: model.pack(features))
        return self.predictor.embedding(features, prepared)

    def _read(self, plane: Plane) -> tuple[NDArray[Any], Limits | None]:
        """Return the pixels of a plane or its window, and the contrast of all of the plane."""
        pixels = plane.read()
        if plane.contrast is not None:
            return pixels, plane.contrast
        key = plane.whole.key
        with self._lock:
            if key in self._limits and plane.image is self._image:
                return pixels, self._limits[key]
        limits = contrast_of(pixels if plane.key.window is None else plane.whole.read())
        with self._lock:
            if plane.image is self._image:
                self._limits[key] = limits
        return pixels, limits

    def _forget(self) -> None:
        self._cache.clear()
        self._limits.clear()

    def _kept(self, key: CacheKey) -> ImageEmbedding | None:
        if key not in self._cache:
            return None
        self._cache.move_to_end(key)
        return self._cache[key]

    def _keep(self, key: CacheKey, embedding: ImageEmbedding) -> None:
        self._cache[key] = embedding
        total = sum(nbytes(kept.features) for kept in self._cache.values())
        while total > self.max_bytes and len(self._cache) > 1:
            _, oldest = self._cache.popitem(last=False)
            total -= nbytes(oldest.features)

    def _window(
        self, prompts: Prompts, answer: Prediction, embedding: ImageEmbedding
    ) -> Window | None:
        """Return where to look closer, or None if the object is large enough as it is."""
        best = answer.masks[answer.best]
        if prompts.box is None and not best:
            return None
        box = np.array(best.box, np.float64) if prompts.box is None else prompts.box
        h, w = embedding.original_size
        side = float(max(box[2] - box[0], box[3] - box[1])) + 1
        scale = embedding.input_size[1] / w
        if scale >= 1 or side * scale >= SMALL_OBJECT:
            return None
        reach = max(side * CONTEXT, LEAST_WINDOW) / 2
        points = prompts.point_coords
        low = np.minimum(box[:2], points.min(0)) if len(points) else box[:2]
        high = np.maximum(box[2:], points.max(0)) if len(points) else box[2:]
        middle = (low + high) / 2
        reach = max(reach, float((high - low).max()))
        x0, y0 = (max(0, int(v - reach)) for v in middle)
        x1, y1 = min(w, int(middle[0] + reach) + 1), min(h, int(middle[1] + reach) + 1)
        model = self.predictor.model
        inner = scaled_size((y1 - y0, x1 - x0), model.image_size, model.largest_scale)
        gain = inner[1] / (x1 - x0) / scale
        return (x0, y0, x1, y1) if gain >= LEAST_GAIN else None


def disk_key(fingerprint: str, rgb: NDArray[np.uint8]) -> str:
    """Return the key of a plane on disk; another version of this package has other keys.

    Parameters
    ----------
    fingerprint : str
        Of the model's weights.
    rgb : (h, w, 3) uint8
        The plane as the model gets it.

    Returns
    -------
    str of 64 hexadecimal digits
    """
    digest = hashlib.blake2b(f"{__version__} {fingerprint} {rgb.shape}".encode(), digest_size=32)
    digest.update(rgb.tobytes())
    return digest.hexdigest()


def check_inside(prompts: Prompts, size: tuple[int, int]) -> None:
    """Refuse prompts beyond a plane of `size` (H, W).

    Raises
    ------
    ValueError
        Naming the point or box that lies outside.
    """
    h, w = size
    for x, y in prompts.point_coords:
        if not (-0.5 <= x <= w - 0.5 and -0.5 <= y <= h - 0.5):
            raise ValueError(
                f"the point ({x:g}, {y:g}) lies outside the image; x goes from 0 to {w - 1} and "
                f"y from 0 to {h - 1}"
            )
    if prompts.box is not None:
        x0, y0, x1, y1 = prompts.box
        if x1 < 0 or y1 < 0 or x0 > w - 1 or y0 > h - 1:
            raise ValueError(
                f"the box {x0:g},{y0:g},{x1:g},{y1:g} lies outside the image; x goes from 0 to "
                f"{w - 1} and y from 0 to {h - 1}"
            )


def nbytes(features: Any) -> int:
    """Return the memory that features take, in bytes."""
    if isinstance(features, Sequence):
        return sum(nbytes(part) for part in features)
    return int(getattr(features, "nbytes", 0))


def _cache_key(plane: Plane) -> CacheKey:
    return plane.key, plane.contrast


def _earlier_window(prompts: Prompts) -> Window | None:
    """Return the window that a correction goes on in; None if its prompts left it."""
    mask = prompts.mask_input
    if not isinstance(mask, MaskLogits) or mask.window is None:
        return None
    x0, y0, x1, y1 = mask.window
    points = prompts.point_coords
    if prompts.box is not None:
        points = np.concatenate([points, prompts.box.reshape(2, 2)])
    inside = (points >= (x0 - 0.5, y0 - 0.5)) & (points <= (x1 - 0.5, y1 - 0.5))
    return mask.window if inside.all() else None
