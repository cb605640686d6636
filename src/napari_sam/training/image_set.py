"""All labelled images on the device that trains: flat tensors, read by index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .fields import LABELS
from .labelled_images import LabelledImage

LEVELS = 4
"""Sizes that every image is kept at, each half of the one before: shrinking does not alias."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N images and their M objects as tensors on one device.

    Attributes
    ----------
    pixels : (T,) int32
        Red, green and blue in the lowest 24 bits; images after one another, level after level.
    start : (LEVELS, N) int64
        Where each image begins in `pixels`.
    size : (LEVELS, N, 2) int64, (height, width)
    labels : (U,) int16
        Of level 0, images after one another; -1 is ground that may hold objects without a label.
    labels_start : (N,) int64
    exhaustive : (N,) bool
        Whether every object is labelled, but on ground of -1.
    neighbours : (N, 2) int64
        Images above and below in the stack, whose equal labels are the same objects; -1 where
        there is none.
    objects : (M, 4) float
        Label, middle (x, y) in pixels, longest side in pixels; by image.
    first, count : (N,) int64
        Objects of each image.
    images_of : (K, 2) int64
        First image and number of images of each stratum.
    odds : (K,) float
        How often each stratum is drawn.
    strata : tuple of (source, kind)
    """

    pixels: Tensor
    start: Tensor
    size: Tensor
    labels: Tensor
    labels_start: Tensor
    exhaustive: Tensor
    neighbours: Tensor
    objects: Tensor
    first: Tensor
    count: Tensor
    images_of: Tensor
    odds: Tensor
    strata: tuple[tuple[str, str], ...]

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.pixels.device

    @classmethod
    def of(cls, images: Sequence[LabelledImage], device: torch.device | str = "cpu") -> ImageSet:
        """Copy images to a device; images without an object are left out.

        Raises
        ------
        ValueError
            If none has an object, or a label is too large.
        """
        renumbered = [(item, *_objects(item.labels)) for item in images]
        chosen = sorted(
            (entry for entry in renumbered if len(entry[2])), key=lambda entry: _stratum(entry[0])
        )
        if not chosen:
            raise ValueError("none of the images holds an object")
        items = [entry[0] for entry in chosen]
        levels = [_levels(item.image) for item in items]
        sizes = np.array([[level.shape for level in own] for own in levels])
        counts = np.array([len(entry[2]) for entry in chosen])
        strata = tuple(dict.fromkeys(_stratum(item) for item in items))
        owners = np.array([strata.index(_stratum(item)) for item in items])
        shown = np.bincount(owners)
        tensors = {
            "pixels": np.concatenate([own[k].ravel() for k in range(LEVELS) for own in levels]),
            "start": _starts(sizes.prod(-1).T.ravel()).reshape(LEVELS, -1),
            "size": sizes.transpose(1, 0, 2),
            "labels": np.concatenate([entry[1].ravel() for entry in chosen]),
            "labels_start": _starts(sizes[:, 0].prod(-1)),
            "exhaustive": np.array([item.exhaustive for item in items]),
            "neighbours": _neighbours(items),
            "objects": np.concatenate([entry[2] for entry in chosen]).astype(np.float32),
            "first": _starts(counts),
            "count": counts,
            "images_of": np.stack([_starts(shown), shown], axis=1),
            "odds": _odds(strata, np.bincount(owners, counts)).astype(np.float32),
        }
        placed = {name: torch.from_numpy(array).to(device) for name, array in tensors.items()}
        return cls(**placed, strata=strata)

    def read_pixels(self, image: Tensor, level: Tensor, coords: Tensor) -> Tensor:
        """Sample images bilinearly; beyond an image there is 0.

        Parameters
        ----------
        image, level : (B,) int64
        coords : (B, S, S, 2) float, (x, y) in pixels of level 0

        Returns
        -------
        (B, 3, S, S) float, 0..1
        """
        size = self.size[level, image]
        start = self.start[level, image][:, None, None]
        h, w = size[:, 0, None, None], size[:, 1, None, None]
        shrunk = (coords + 0.5) / (2.0 ** level.to(coords.dtype))[:, None, None, None] - 0.5
        corner = shrunk.floor()
        part = shrunk - corner
        x, y = corner.long().unbind(-1)
        channels = [torch.zeros_like(part[..., 0]) for _ in range(3)]
        for dy in (0, 1):
            for dx in (0, 1):
                column, row = x + dx, y + dy
                known = (column >= 0) & (column < w) & (row >= 0) & (row < h)
                place = (
                    start + row.clamp(min=0).minimum(h - 1) * w + column.clamp(min=0).minimum(w - 1)
                )
                weight = (part[..., 0] if dx else 1 - part[..., 0]) * known
                weight = weight * (part[..., 1] if dy else 1 - part[..., 1])
                value = self.pixels[place]
                for k in range(3):
                    channels[k] += weight * (value >> (8 * k) & 255)
        return torch.stack(channels, dim=1) / 255

    def read_labels(self, image: Tensor, coords: Tensor) -> Tensor:
        """Return the labels (B, S, S) int64, also -1, at coordinates (B, S, S, 2); 0 beyond."""
        size = self.size[0, image]
        h, w = size[:, 0, None, None], size[:, 1, None, None]
        column, row = coords.round().long().unbind(-1)
        known = (column >= 0) & (column < w) & (row >= 0) & (row < h)
        place = row.clamp(min=0).minimum(h - 1) * w + column.clamp(min=0).minimum(w - 1)
        return self.labels[self.labels_start[image][:, None, None] + place].long() * known


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return where pieces of these lengths begin when they lie after one another."""
    return np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)


def _objects(labels: NDArray[np.int32]) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Return labels as int16, and (label, x, y, longest side) of every object, one row each."""
    if labels.max(initial=0) >= LABELS:
        raise ValueError(f"labels must be below {LABELS}, but one is {labels.max()}")
    rows, columns = np.nonzero(labels > 0)
    found = labels[rows, columns]
    count = int(found.max(initial=0)) + 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    for axis, place in enumerate((columns, rows)):
        np.minimum.at(low[:, axis], found, place)
        np.maximum.at(high[:, axis], found, place)
    ids = np.flatnonzero(np.isfinite(low[:, 0]))
    middle, side = (low[ids] + high[ids]) / 2, (high[ids] - low[ids]).max(axis=1, initial=0) + 1
    return labels.astype(np.int16), np.column_stack([ids, middle, side])


def _levels(image: NDArray[np.uint8]) -> list[NDArray[np.int32]]:
    """Return packed pixels at every level; each pixel is the mean of four of the level before."""
    pixels = image.astype(np.float32)
    levels = []
    for _ in range(LEVELS):
        whole = np.rint(pixels).astype(np.int32)
        if whole.ndim == 2:
            whole = np.stack([whole] * 3, axis=-1)
        levels.append(whole[..., 0] | whole[..., 1] << 8 | whole[..., 2] << 16)
        h, w = (side + side % 2 for side in pixels.shape[:2])
        margin = [(0, h - pixels.shape[0]), (0, w - pixels.shape[1])]
        even = np.pad(pixels, [*margin, *[(0, 0)] * (pixels.ndim - 2)], "edge")
        pixels = even.reshape(h // 2, 2, w // 2, 2, *pixels.shape[2:]).mean(axis=(1, 3))
    return levels


def _neighbours(items: Sequence[LabelledImage]) -> NDArray[np.int64]:
    """Return the image above and the one below of each image, -1 where there is none."""
    places = {(i.source, i.stack, i.place): k for k, i in enumerate(items) if i.stack}
    found = np.full((len(items), 2), -1)
    for k, item in enumerate(items):
        for side, step in enumerate((-1, 1)):
            other = places.get((item.source, item.stack, item.place + step), -1)
            if other >= 0 and items[other].labels.shape == item.labels.shape:
                found[k, side] = other
    return found.astype(np.int64)


def _stratum(item: LabelledImage) -> tuple[str, str]:
    return item.source, item.kind


def _odds(strata: Sequence[tuple[str, str]], objects: NDArray[np.number]) -> NDArray[np.float64]:
    """Return how often each stratum is drawn.

    A kind counts by the fourth root of its objects, and so does a source within its kind: rich
    ones are drawn more often, and small ones still occur.
    """
    kinds = list(dict.fromkeys(kind for _, kind in strata))
    own = np.array([kinds.index(kind) for _, kind in strata])
    within = objects**0.25
    odds = (np.bincount(own, objects) ** 0.25)[own] * within / np.bincount(own, within)[own]
    return np.asarray(odds / odds.sum())
