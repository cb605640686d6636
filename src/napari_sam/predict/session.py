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
from ..images.transforms import contrast_of
from ..types import (
    ImageEmbedding,
    Plane,
    Prediction,
    PredictRequest,
    Prompts,
    SliceKey,
    Window,
)
from .cache import DiskCache
from .predictor import SamPredictor
from .windows import check_inside, closer_window, earlier_window, worth_telling

CACHE_BYTES = 1_000_000_000

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
        on in that window as long as its prompts lie in it; beyond, the whole plane is looked at
        first again.

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
        given = [worth_telling(one) for one in prompts]
        answers: dict[int, Prediction] = {}
        windows = {k: w for k, one in enumerate(given) if (w := earlier_window(one)) is not None}
        fresh = [k for k in range(len(given)) if k not in windows]
        if fresh:
            embedding = self.embedding(plane)
            found = self.predictor.predict_many(
                embedding, [given[k] for k in fresh], multimask_output
            )
            for k, answer in zip(fresh, found, strict=True):
                answers[k] = answer
                window = None
                if self.closer_look:
                    window = closer_window(given[k], answer, embedding, self.predictor.model)
                if window is None:
                    continue
                windows[k] = window
                if given[k].mask_input is not None:  # what the whole plane made of it says more
                    given[k] = given[k].with_mask(answer.logits(answer.best))
        for k, window in windows.items():
            answers[k] = self._predict_in(plane, window, given[k], multimask_output)
        return [answers[k] for k in range(len(given))]

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


def nbytes(features: Any) -> int:
    """Return the memory that features take, in bytes."""
    if isinstance(features, Sequence):
        return sum(nbytes(part) for part in features)
    return int(getattr(features, "nbytes", 0))


def _cache_key(plane: Plane) -> CacheKey:
    return plane.key, plane.contrast
