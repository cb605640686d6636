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
from ..images.transforms import scaled_size
from ..masks import box_of
from ..types import ImageEmbedding, Prediction, PredictRequest, Prompts, SliceKey, Window
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

CacheKey = tuple[SliceKey, tuple[float, float] | None]


class Session:
    """Answers requests about one image; embeddings are made once and kept.

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
        self._cleared = 0
        self._lock = threading.Lock()  # of the cache; never held for long
        self._encoding = threading.Lock()

    def clear(self) -> None:
        """Forget every embedding: the image has changed."""
        with self._lock:
            self._cache.clear()
            self._image = None
            self._cleared += 1

    def ready(self, request: PredictRequest) -> bool:
        """Tell whether the plane of a request is encoded already."""
        with self._lock:
            key = (replace(request.key, window=None), request.contrast_limits)
            return request.image is self._image and key in self._cache

    def embedding(self, request: PredictRequest) -> ImageEmbedding:
        """Return the embedding of the plane (or window) of a request, from a cache if it can.

        Raises
        ------
        ValueError
            If the plane cannot be encoded.
        """
        key = (request.key, request.contrast_limits)
        with self._lock:
            if request.image is not self._image:
                self._cache.clear()
                self._image = request.image
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
            embedding = self._encoded(request)
            with self._lock:
                if request.image is self._image and cleared == self._cleared:
                    self._keep(key, embedding)
            return embedding

    def plane_size(self, request: PredictRequest) -> tuple[int, int]:
        """Return the rows and columns of the whole plane of a request."""
        rows, columns = request.key.displayed
        level = request.key.level
        shape = request.image.shape if level is None else request.image[level].shape
        return int(shape[rows]), int(shape[columns])

    def crop_embedding(self, request: PredictRequest, crop: Window) -> ImageEmbedding:
        """Return the embedding of a part (x0, y0, x1, y1), end exclusive, of a request's plane.

        A crop that is all of the plane shares its embedding with clicks. See `embedding`.
        """
        rows, columns = self.plane_size(request)
        window = None if crop == (0, 0, columns, rows) else crop
        return self.embedding(replace(request, key=replace(request.key, window=window)))

    def _encoded(self, request: PredictRequest) -> ImageEmbedding:
        """Encode the plane of a request, or take it from the disk."""
        plane = request.key.read(request.image)
        if self.disk is None or request.key.window is not None:
            return self.predictor.encode(plane, request.contrast_limits)
        model = self.predictor.model
        prepared = self.predictor.prepare(plane, request.contrast_limits)
        key = disk_key(model.fingerprint, prepared.rgb)
        arrays = self.disk.get(key)
        if arrays is not None:
            with suppress(KeyError):  # a development version may have had other features
                return self.predictor.embedding(model.unpack(arrays), prepared)
        features = model.encode(prepared.rgb)
        self.disk.put_later(key, lambda: model.pack(features))
        return self.predictor.embedding(features, prepared)

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

    def predict(self, request: PredictRequest) -> Prediction:
        """Answer one request.

        Where the request names no window, the whole plane is looked at first; where the plane had
        to be reduced for the model, an object that turns out small is looked at again, closer. The
        answer's request names the window that was used, so that a correction can go on in it with
        the logits as mask input.

        Parameters
        ----------
        request : PredictRequest

        Returns
        -------
        Prediction with masks (C, H, W) of the whole plane

        Raises
        ------
        ValueError
            If there is no prompt, it lies outside the plane, or the plane cannot be encoded.
        """
        whole_request = replace(request, key=replace(request.key, window=None))
        window = request.key.window
        if window is not None and _contains(window, request.prompts):
            size = self.plane_size(whole_request)
            return self._predict_in(request, window, size)
        if window is not None:  # the prompts left the window, the logits are of no use
            request = replace(whole_request, prompts=replace_mask(request.prompts))
            whole_request = request
        embedding = self.embedding(whole_request)
        size = embedding.original_size
        check_inside(request.prompts, size)
        answer = self.predictor.predict(embedding, request.prompts, request.multimask_output)
        answer = replace(answer, request=whole_request)
        window = self._window(request.prompts, answer, embedding) if self.closer_look else None
        if window is None:
            return answer
        closer = replace(request, key=replace(request.key, window=window))
        closer = replace(closer, prompts=replace_mask(request.prompts))
        return self._predict_in(closer, window, size)

    def _predict_in(
        self, request: PredictRequest, window: Window, size: tuple[int, int]
    ) -> Prediction:
        x0, y0, x1, y1 = window
        prompts = request.prompts.moved(-x0, -y0)
        answer = self.predictor.predict(self.embedding(request), prompts, request.multimask_output)
        masks = np.zeros((len(answer.masks), *size), bool)
        masks[:, y0:y1, x0:x1] = answer.masks
        return replace(answer, masks=masks, request=request)

    def _window(
        self, prompts: Prompts, answer: Prediction, embedding: ImageEmbedding
    ) -> Window | None:
        """Return where to look closer, or None if the object is large enough as it is."""
        box = prompts.box if prompts.box is not None else _box(answer.masks[answer.best])
        if box is None:
            return None
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


def replace_mask(prompts: Prompts, mask: NDArray[np.float32] | None = None) -> Prompts:
    """Return the same points and box with another mask input."""
    return Prompts(prompts.point_coords, prompts.point_labels, prompts.box, mask)


def _contains(window: Window, prompts: Prompts) -> bool:
    x0, y0, x1, y1 = window
    points = prompts.point_coords
    if prompts.box is not None:
        points = np.concatenate([points, prompts.box.reshape(2, 2)])
    inside = (points >= (x0 - 0.5, y0 - 0.5)) & (points <= (x1 - 0.5, y1 - 0.5))
    return bool(inside.all())


def _box(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    return box_of(mask) if mask.any() else None
