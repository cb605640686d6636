"""One image, one predictor, one cache of embeddings; chooses the field of view."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import stopping
from .._version import __version__
from ..types import (
    Contrast,
    ImageEmbedding,
    MaskLogits,
    Plane,
    Prediction,
    PredictRequest,
    Prompts,
    Window,
)
from .cache import DiskCache
from .image_cache import ImageCache
from .lowering import lowered
from .predictor import SamPredictor
from .windows import (
    check_inside,
    closer_window,
    cut_to_plane,
    earlier_window,
    follows_view,
    window_in_view,
    worth_telling,
)

CACHE_BYTES = 1_000_000_000

TRIES = 3
"""How often a plane is encoded at most when its pixels change meanwhile, as in a live image."""


class Session:
    """Answers prompts on the planes of one image; embeddings are made once and kept.

    May be called from several threads. Inside `stopping.stoppable` an encoding whose result
    is no longer needed ends in `Stopped`, and nothing of it is kept.

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
        self._cache: ImageCache | None = None
        self._lock = threading.Lock()  # of the name above; never held for long
        self._encoding = threading.Lock()

    def clear(self) -> None:
        """Forget every embedding: the pixels of the image have changed, or it is closed.

        A plane that is being encoded is encoded again before it is returned.
        """
        with self._lock:
            if self._cache is not None:
                self._cache.outdated = True
            self._cache = None

    def ready(self, plane: Plane) -> bool:
        """Tell whether all of a plane is encoded already."""
        cache = self._cache
        return cache is not None and cache.image is plane.image and plane.whole in cache

    def embedding(self, plane: Plane, keep: bool = True) -> ImageEmbedding:
        """Return the embedding of a plane, or of its window, from a cache if it can.

        Parameters
        ----------
        plane : Plane
        keep : bool
            Whether it will be asked for again.

        Raises
        ------
        ValueError
            If the plane cannot be encoded.
        """
        cache = self._cache_of(plane.image)
        kept = cache.get(plane)
        if kept is not None:
            return kept
        with self._encoding:  # one plane at a time; only workers wait here
            for _ in range(TRIES):
                stopping.check()  # the wait may have been long
                if cache.outdated:
                    cache = self._renewed(cache)
                embedding = cache.get(plane) or self._encoded(plane, cache)
                if keep:
                    cache.keep(plane, embedding, self.max_bytes)
                if not cache.outdated:
                    break
            return embedding

    def read(self, plane: Plane) -> tuple[NDArray[Any], Contrast | None]:
        """Return the pixels of a plane or its window, and the contrast that they are seen at.

        Returns
        -------
        pixels : (H, W) or (H, W, C)
        contrast : see `Plane.contrast`
            Never None where limits are needed; those of a window are of its whole plane.
        """
        return self._cache_of(plane.image).read(plane)

    def crop_embedding(self, plane: Plane, crop: Window, keep: bool = True) -> ImageEmbedding:
        """Return the embedding of a part (x0, y0, x1, y1), end exclusive, of a plane.

        A crop that is all of the plane shares its embedding with clicks and is always kept. See
        `embedding`.
        """
        rows, columns = plane.size
        whole = crop == (0, 0, columns, rows)
        return self.embedding(plane.within(None if whole else crop), keep or whole)

    def predict(self, request: PredictRequest) -> Prediction:
        """Answer one request; see `predict_many`."""
        return self.predict_many(request.plane, [request.prompts], request.multimask_output)[0]

    def follows_view(self, plane: Plane) -> bool:
        """Tell whether a plane is so large that prompts are answered where the user looks."""
        return follows_view(plane.size, self.predictor.model.image_size, plane.spacing)

    def predict_many(
        self,
        plane: Plane,
        prompts: Sequence[Prompts],
        multimask_output: bool | None = None,
        view: Window | None = None,
    ) -> list[Prediction]:
        """Answer the prompts of several objects of one plane.

        The whole plane is looked at first; an object that turns out small is looked at again,
        closer: where the plane was reduced for the model below `SMALL_OBJECT`, else below
        `TINY_OBJECT` (`windows`). A box ends at the edges of the plane.

        A correction (a mask input with a window) goes on in that window as long as its prompts lie
        in it; beyond, the whole plane is looked at first again.

        Parameters
        ----------
        plane : Plane
            Its window is left aside.
        prompts : sequence of Prompts, in pixels of the whole plane
        multimask_output : bool, optional
            See `SamPredictor.predict`.
        view : (x0, y0, x1, y1) int, end exclusive, optional
            What is on screen of the plane. In a very large plane (`follows_view`) a part of about
            this size about the prompts takes the place of the whole plane.

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
        known = self.predictor.model, plane.spacing, self.closer_look
        plain = [lowered(one, plane.size, *known) for one in prompts]
        given = [worth_telling(cut_to_plane(one, plane.size)) for one in plain]
        answers: dict[int, Prediction] = {}
        windows = {k: w for k, one in enumerate(given) if (w := earlier_window(one)) is not None}
        fresh = [k for k in range(len(given)) if k not in windows]
        fields: dict[Window | None, list[int]] = {}
        for k in fresh:
            fields.setdefault(self._field(plane, given[k], view), []).append(k)
        for field, asked in fields.items():
            found = self._predict_in(plane, field, [given[k] for k in asked], multimask_output)
            for k, (answer, window) in zip(asked, found, strict=True):
                answers[k] = answer
                if window is None:
                    continue
                windows[k] = window
                if given[k].mask_input is not None:  # what the whole plane made of it says more
                    given[k] = given[k].with_mask(answer.logits(answer.best))
        for k, window in windows.items():
            ((answers[k], _),) = self._predict_in(plane, window, [given[k]], multimask_output)
        return [answers[k] for k in range(len(given))]

    def _field(self, plane: Plane, prompts: Prompts, view: Window | None) -> Window | None:
        """Return the part of a plane that is looked at first; None is all of it."""
        located = len(prompts.point_coords) > 0 or prompts.box is not None
        framed = prompts.mask_input is None or isinstance(prompts.mask_input, MaskLogits)
        if view is None or not located or not framed or prompts.guide is not None:
            return None
        if not self.follows_view(plane):
            return None
        size = self.predictor.model.image_size
        return window_in_view(prompts, view, plane.size, size, plane.spacing)

    def _predict_in(
        self,
        plane: Plane,
        window: Window | None,
        prompts: Sequence[Prompts],
        multimask_output: bool | None,
    ) -> list[tuple[Prediction, Window | None]]:
        """Return answers from a window of a plane, or all of it, and where to look closer."""
        x0, y0 = (0, 0) if window is None else window[:2]
        embedding = self.embedding(plane.within(window))
        local = prompts if window is None else [one.moved(-x0, -y0) for one in prompts]
        found: list[tuple[Prediction, Window | None]] = []
        answers = self.predictor.predict_many(embedding, local, multimask_output)
        for one, answer in zip(local, answers, strict=True):
            closer = None
            if self.closer_look:
                closer = closer_window(one, answer, embedding, self.predictor.model, plane.spacing)
            if closer is not None:
                left, top, right, bottom = closer
                closer = left + x0, top + y0, right + x0, bottom + y0
            found.append((_placed(answer, window, plane.size), closer))
        return found

    def _cache_of(self, image: Any) -> ImageCache:
        """Return the cache of an image; that of another one is dropped."""
        with self._lock:
            if self._cache is None or self._cache.image is not image:
                self._cache = ImageCache(image)
            return self._cache

    def _renewed(self, cache: ImageCache) -> ImageCache:
        """Return the cache that took the place of an outdated one of the same image."""
        with self._lock:
            if self._cache is None:
                self._cache = ImageCache(cache.image)
            if self._cache.image is cache.image:
                return self._cache
        return ImageCache(cache.image)  # another image is worked on by now

    def _encoded(self, plane: Plane, cache: ImageCache) -> ImageEmbedding:
        """Encode a plane, or take it from the disk."""
        pixels, contrast = cache.read(plane)
        stopping.check()  # reading may have been slow
        prepared = self.predictor.prepare(pixels, contrast, plane.channels, plane.spacing)
        model = self.predictor.model
        if self.disk is None or plane.key.window is not None:
            return self.predictor.embedding(model.encode(prepared.rgb), prepared)
        key = disk_key(model.fingerprint, prepared.rgb)
        arrays = self.disk.get(key)
        if arrays is not None:
            with suppress(KeyError):  # a development version may have had other features
                return self.predictor.embedding(model.unpack(arrays), prepared)
        features = model.encode(prepared.rgb)
        self.disk.put_later(key, lambda: model.pack(features))
        return self.predictor.embedding(features, prepared)


def _placed(answer: Prediction, window: Window | None, size: tuple[int, int]) -> Prediction:
    """Return an answer from a window as one in the plane of `size` (H, W)."""
    if window is None:
        return answer
    x0, y0 = window[:2]
    left, top, right, bottom = answer.frame
    return replace(
        answer,
        masks=tuple(mask.moved(x0, y0, size) for mask in answer.masks),
        frame=(left + x0, top + y0, right + x0, bottom + y0),
        window=window,
    )


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
