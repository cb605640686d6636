"""Images that the training code draws itself: blobs, rods, cells and textures with exact labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .data import LabelledImage
from .scenes import SCENES, SPARSE

SIZE = 256
SCENIC = 0.5
"""Share of images that are scenes and not shapes on a ground."""


def draw(rng: np.random.Generator, size: int = SIZE) -> LabelledImage:
    """Draw one labelled image of a random kind.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
        Side in pixels.

    Returns
    -------
    LabelledImage
    """
    complete = True
    if rng.random() < SCENIC:
        scene = SCENES[rng.integers(len(SCENES))]
        pixels, labels = scene(rng, size)
        complete = scene not in SPARSE
    else:
        labels = _shapes(rng, size)
        styles = (_fluorescence, _phase, _membranes, _stained, _textured)
        pixels = styles[rng.integers(len(styles))](labels, rng)
    if labels.max() == 0:
        return draw(rng, size)
    noise = rng.normal(0, rng.uniform(0.005, 0.06), pixels.shape)
    image = np.rint(np.clip(pixels + noise, 0, 1) * 255).astype(np.uint8)
    return LabelledImage("synthetic", "synthetic", image, labels, complete)


def draw_many(rng: np.random.Generator, count: int) -> list[LabelledImage]:
    """Draw `count` labelled images."""
    return [draw(rng) for _ in range(count)]


def _shapes(rng: np.random.Generator, size: int) -> NDArray[np.int32]:
    """Place irregular shapes, later ones behind earlier ones, some of them touching."""
    labels = np.zeros((size, size), np.int32)
    radius = float(np.exp(rng.uniform(np.log(5), np.log(60))))
    count = int(np.clip(rng.uniform(0.1, 0.7) * size * size / (np.pi * radius * radius), 1, 120))
    slender = rng.uniform(1, 4) if rng.random() < 0.3 else rng.uniform(1, 1.5)
    wobble = float(rng.uniform(0, 0.3))
    touching = rng.random() < 0.6
    y, x = np.mgrid[:size, :size]
    for k in range(1, count + 1):
        own = radius * float(np.exp(rng.normal(0, 0.25)))
        cx, cy = rng.uniform(0, size, 2)
        reach = int(own * slender * 1.6 + 3)
        r0, c0 = max(0, int(cy) - reach), max(0, int(cx) - reach)
        part = np.s_[r0 : int(cy) + reach, c0 : int(cx) + reach]
        dx, dy = x[part] - cx, y[part] - cy
        turn = rng.uniform(0, np.pi)
        u = (dx * np.cos(turn) + dy * np.sin(turn)) / (own * np.sqrt(slender))
        v = (dy * np.cos(turn) - dx * np.sin(turn)) / (own / np.sqrt(slender))
        angle = np.arctan2(v, u)
        edge = 1 + sum(
            wobble / m * np.cos(m * angle + rng.uniform(0, 2 * np.pi)) for m in (2, 3, 5)
        )
        inside = (u * u + v * v < edge * edge) & (labels[part] == 0)
        if not touching:
            inside &= ndimage.maximum_filter(labels[part], 3) == 0
        if inside.sum() > 0.4 * np.pi * own * own:
            labels[part][inside] = k
    return labels


def _noise(rng: np.random.Generator, size: int, sigma: float) -> NDArray[np.float64]:
    """Return smooth noise of unit deviation."""
    field = ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma, mode="wrap")
    return np.asarray(field / (field.std() + 1e-9))


def _per_object(
    labels: NDArray[np.int32], rng: np.random.Generator, spread: float
) -> NDArray[np.float64]:
    values = 1 + spread * rng.uniform(-1, 1, int(labels.max()) + 1)
    return np.asarray(values[labels])


def _fluorescence(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float64]:
    size = labels.shape[0]
    inside = (labels > 0).astype(float) * _per_object(labels, rng, 0.6)
    inside *= 1 + 0.25 * _noise(rng, size, rng.uniform(1, 4))
    if rng.random() < 0.25:  # holes
        inside *= 1 - 0.6 * (_noise(rng, size, rng.uniform(1.5, 4)) > 1.2)
    image = ndimage.gaussian_filter(inside, rng.uniform(0.5, 2.0))
    haze = ndimage.gaussian_filter(inside, rng.uniform(6, 20))
    return np.asarray(0.6 * image + rng.uniform(0, 0.5) * haze + rng.uniform(0, 0.2))


def _phase(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float64]:
    size = labels.shape[0]
    inside = (labels > 0).astype(float)
    sigma = rng.uniform(1.5, 5)
    halo = ndimage.gaussian_filter(inside, sigma) * (1 - inside)
    texture = _noise(rng, size, rng.uniform(0.8, 3)) * (0.02 + 0.08 * inside)
    shift = ndimage.sobel(ndimage.gaussian_filter(inside, 1), rng.integers(2)) * rng.uniform(0, 0.1)
    body = rng.uniform(-0.15, 0.1) * inside * _per_object(labels, rng, 0.8)
    return np.asarray(0.45 + body + rng.uniform(0.2, 0.8) * halo + texture + shift)


def _membranes(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float64]:
    size = labels.shape[0]
    edges = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        edges |= np.diff(labels, axis=axis, append=0) != 0
    wall = ndimage.gaussian_filter(edges.astype(float), rng.uniform(0.7, 1.6)) * 2.2
    grain = 0.12 * _noise(rng, size, rng.uniform(0.7, 2))
    spots = _noise(rng, size, rng.uniform(2, 4)) > rng.uniform(1.4, 2.2)
    inside = 0.25 * (_per_object(labels, rng, 0.6) - 1) * (labels > 0)
    return np.asarray(0.7 + inside - 0.6 * wall + grain - 0.25 * spots)


def _stained(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float64]:
    size = labels.shape[0]
    inside = ndimage.gaussian_filter((labels > 0).astype(float), rng.uniform(0.4, 1.2))
    depth = inside * _per_object(labels, rng, 0.4) * (1 + 0.15 * _noise(rng, size, 1.5))
    tissue = 0.5 + 0.25 * _noise(rng, size, rng.uniform(3, 12))
    stain = rng.uniform([0.4, 0.5, 0.15], [0.9, 0.9, 0.5])
    counter = rng.uniform([0.0, 0.2, 0.05], [0.2, 0.5, 0.25])
    absorbed = depth[..., None] * stain * rng.uniform(0.5, 1.2) + tissue[..., None] * counter
    return np.asarray(np.exp(-np.clip(absorbed, 0, None)))


def _textured(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float64]:
    """Objects that differ from their surroundings in brightness, texture or speckle."""
    size = labels.shape[0]
    inside = ndimage.gaussian_filter((labels > 0).astype(float), rng.uniform(0.5, 2.5))
    back, front = (0.12 * _noise(rng, size, rng.uniform(0.7, 6)) for _ in range(2))
    contrast = rng.uniform(0.08, 0.5) * rng.choice([-1, 1])
    slow = 0.12 * _noise(rng, size, rng.uniform(20, 60))
    image = 0.5 + slow + back * (1 - inside) + front * inside
    image = image + contrast * inside * _per_object(labels, rng, 0.3)
    if rng.random() < 0.4:  # ultrasound, synthetic aperture: multiplicative grain
        image = image * ndimage.gaussian_filter(rng.rayleigh(0.8, labels.shape), 0.7)
    return np.asarray(image)
