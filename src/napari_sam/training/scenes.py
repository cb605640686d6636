"""Scenes that are more than shapes on a ground: tissue, smears, ultrasound, sections of a body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Drawn = tuple[NDArray[np.float64], NDArray[np.int32]]
"""Pixels 0..1, (S, S) or (S, S, 3), and labels (S, S)."""


def tissue(rng: np.random.Generator, size: int) -> Drawn:
    """Draw cells or neurites that fill the plane, with walls between: electron micrographs."""
    y, x = warped_grid(rng, size, float(rng.uniform(2, 10)), float(rng.uniform(8, 30)))
    count = int(np.exp(rng.uniform(np.log(12), np.log(160))))
    middles = rng.uniform(-0.1, 1.1, (count, 2)) * size
    weight = rng.uniform(0, 0.35) * size / np.sqrt(count) * rng.uniform(0, 1, count)
    distance = np.full((2, size, size), np.inf)  # to the nearest and the second nearest
    labels = np.zeros((size, size), np.int32)
    for k, (cy, cx) in enumerate(middles, start=1):
        own = np.hypot(y - cy, x - cx) - weight[k - 1]
        nearer = own < distance[0]
        distance[1] = np.where(nearer, distance[0], np.minimum(distance[1], own))
        distance[0] = np.where(nearer, own, distance[0])
        labels[nearer] = k
    gap = distance[1] - distance[0]
    wall = float(rng.uniform(1.5, 5))
    labels[gap < wall] = 0
    dark = 1 / (1 + np.exp((gap - wall) / rng.uniform(0.4, 1.2)))
    tone = rng.uniform(0.55, 0.85, count + 1) if rng.random() < 0.5 else np.full(count + 1, 0.75)
    pixels = tone[np.maximum(labels, 0)] - rng.uniform(0.25, 0.6) * dark
    inner = ndimage.gaussian_filter(rng.normal(size=(size, size)), rng.uniform(2, 5))
    organelles = inner > rng.uniform(1.5, 2.5) * inner.std()
    pixels -= rng.uniform(0, 0.35) * ndimage.gaussian_filter(organelles.astype(float), 0.8)
    if rng.random() < 0.3:  # stained walls shine instead
        pixels = 1 - pixels
    return pixels + grain(rng, size, 0.06, rng.uniform(0.5, 1.5)), labels


def smear(rng: np.random.Generator, size: int) -> Drawn:
    """Draw a few cells, nucleus and cytoplasm as one object, among many that are not asked for."""
    y, x = np.mgrid[:size, :size]
    radius = float(np.exp(rng.uniform(np.log(0.06), np.log(0.16)))) * size
    pixels = np.ones((size, size, 3)) * rng.uniform(0.8, 0.97, 3)
    common = rng.uniform([0.75, 0.45, 0.45], [0.95, 0.75, 0.8])
    for _ in range(int(rng.integers(5, 40))):  # red cells, paler in the middle
        far = radial(y, x, rng.uniform(0, size, 2), radius * rng.uniform(0.6, 0.8), rng, 0.05)
        pale = np.clip(1 - 0.5 * np.exp(-((far / 0.5) ** 2)), 0, 1)
        cover = soft(far)[..., None]
        pixels = pixels * (1 - cover * pale[..., None] * (1 - common))
    labels = np.zeros((size, size), np.int32)
    for k in range(1, int(rng.integers(2, 5))):
        middle = rng.uniform(0.15, 0.85, 2) * size
        far = radial(y, x, middle, radius * rng.uniform(0.9, 1.5), rng, 0.12)
        cytoplasm = rng.uniform([0.6, 0.6, 0.75], [0.85, 0.8, 0.95])
        pixels = pixels * (1 - soft(far)[..., None]) + soft(far)[..., None] * cytoplasm
        nucleus = np.zeros((size, size))
        for _ in range(int(rng.integers(1, 4))):  # lobes
            at = middle + rng.normal(0, 0.3, 2) * radius
            nucleus = np.maximum(
                nucleus, soft(radial(y, x, at, radius * rng.uniform(0.45, 0.8), rng, 0.15))
            )
        nucleus = (nucleus * soft(far))[..., None]
        stain = rng.uniform([0.3, 0.1, 0.4], [0.55, 0.35, 0.65])
        mottled = 1 + grain(rng, size, 0.12, 2.0)[..., None]
        pixels = pixels * (1 - nucleus) + nucleus * stain * mottled
        labels[far < 1] = k
    return ndimage.gaussian_filter(pixels, (0.8, 0.8, 0)), labels


def ultrasound(rng: np.random.Generator, size: int) -> Drawn:
    """Draw a lesion, organ or head in layered tissue under speckle, with shadows."""
    y, x = warped_grid(rng, size, size * 0.02, size * 0.15)
    layers = np.interp(y, np.linspace(-20, size + 20, 9), rng.uniform(0.25, 0.8, 9))
    far = radial(y, x, rng.uniform(0.25, 0.75, 2) * size, size * rng.uniform(0.08, 0.34), rng, 0.12)
    inside = soft(far, float(rng.uniform(0.02, 0.15)))
    tone = rng.uniform(0.05, 0.35) if rng.random() < 0.8 else rng.uniform(0.7, 0.95)
    pixels = layers * (1 - inside) + tone * inside
    if rng.random() < 0.35:  # a bright rim, as of a skull
        pixels += 0.6 * np.exp(-(((far - 1) / rng.uniform(0.03, 0.08)) ** 2))
    below = np.cumsum(inside > 0.5, axis=0) / size * (inside < 0.5)
    pixels *= 1 + rng.uniform(-1.5, 1.5) * below
    speckle = ndimage.gaussian_filter(rng.rayleigh(0.8, (size, size)), rng.uniform(0.6, 1.6))
    pixels = np.clip(pixels, 0.02, 1.2) * speckle
    pixels *= np.interp(np.arange(size), [0, size], rng.uniform(0.5, 1.1, 2))[:, None]
    return pixels, (far < 1).astype(np.int32)


def body(rng: np.random.Generator, size: int) -> Drawn:
    """Draw a section of a body with organs, vessels and bone: computed tomography, resonance."""
    y, x = warped_grid(rng, size, size * 0.01, size * 0.1)
    shape = radial(
        y, x, rng.uniform(0.45, 0.55, 2) * size, size * rng.uniform(0.36, 0.5), rng, 0.06
    )
    pixels = rng.uniform(0, 0.1) + rng.uniform(0.15, 0.4) * soft(shape)
    wall = soft(shape / rng.uniform(0.8, 0.93))
    pixels += rng.uniform(-0.1, 0.2) * wall
    labels = np.zeros((size, size), np.int32)
    for k in range(1, int(rng.integers(3, 14))):
        radius = size * float(np.exp(rng.uniform(np.log(0.03), np.log(0.2))))
        far = radial(y, x, rng.uniform(0.2, 0.8, 2) * size, radius, rng, 0.15)
        cover = soft(far) * wall
        if (labels[far < 1] > 0).mean() > 0.1 or (wall[far < 1] < 0.5).mean() > 0.1:
            continue
        tone = rng.uniform(0.1, 1.0)
        pixels = pixels * (1 - cover) + tone * cover
        if rng.random() < 0.3:  # a chamber: a wall of another tone
            ring = np.exp(-(((far - 1.15) / 0.12) ** 2)) * wall
            pixels = pixels * (1 - ring) + rng.uniform(0, 0.6) * ring
        labels[far < 1] = k
    pixels = ndimage.gaussian_filter(pixels, rng.uniform(0.5, 1.5))
    return pixels + grain(rng, size, rng.uniform(0.01, 0.05), rng.uniform(0.5, 1.2)), labels


def filaments(rng: np.random.Generator, size: int) -> Drawn:
    """Draw rods, worms and fibres."""
    labels = np.zeros((size, size), np.int32)
    width = float(np.exp(rng.uniform(np.log(2.0), np.log(9.0))))
    y, x = np.mgrid[:size, :size]
    bend = float(rng.uniform(0, 0.35))
    for k in range(1, int(rng.integers(3, 30))):
        steps = int(rng.uniform(3, 14))
        place, angle = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi)
        nearest = np.full((size, size), np.inf)
        for _ in range(steps):
            nearest = np.minimum(nearest, (y - place[0]) ** 2 + (x - place[1]) ** 2)
            angle += rng.normal(0, bend)
            place = place + 0.7 * width * np.array([np.sin(angle), np.cos(angle)])
        inside = (nearest < width * width) & (labels == 0)
        if inside.sum() > 20:
            labels[inside] = k
    covered = ndimage.gaussian_filter((labels > 0).astype(float), rng.uniform(0.5, 1.5))
    tone = 1 + 0.3 * rng.uniform(-1, 1, int(labels.max()) + 1)
    contrast = rng.uniform(0.15, 0.6) * rng.choice([-1, 1])
    pixels = 0.5 + contrast * covered * tone[labels] + grain(rng, size, 0.05, rng.uniform(1, 10))
    if rng.random() < 0.4:  # differential interference: light from one side
        pixels = 0.5 + rng.uniform(1, 3) * ndimage.sobel(pixels, rng.integers(2)) / 4
    return pixels, labels


SCENES = (tissue, smear, ultrasound, body, filaments)
SPARSE = (smear, ultrasound, body)
"""Scenes with things in them that are not labelled."""


def warped_grid(
    rng: np.random.Generator, size: int, reach: float, sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows and columns (S, S) of a plane that is bent by about `reach` pixels."""
    y, x = np.mgrid[:size, :size].astype(float)
    bends = []
    for _ in range(2):
        field = ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma)
        bends.append(reach * field / (field.std() + 1e-9))
    return y + bends[0], x + bends[1]


def radial(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    middle: NDArray[np.float64],
    radius: float,
    rng: np.random.Generator,
    wobble: float,
) -> NDArray[np.float64]:
    """Return the distance from the middle of an irregular oval, 1 at its edge."""
    dy, dx = y - middle[0], x - middle[1]
    turn, stretch = rng.uniform(0, np.pi), float(np.exp(rng.normal(0, 0.18)))
    u = (dx * np.cos(turn) + dy * np.sin(turn)) / stretch
    v = (dy * np.cos(turn) - dx * np.sin(turn)) * stretch
    angle = np.arctan2(v, u)
    edge = radius * np.ones_like(angle)
    for waves in (2, 3, 4, 6):
        edge += radius * rng.normal(0, wobble / waves) * np.cos(waves * angle + rng.uniform(0, 6.3))
    return np.asarray(np.hypot(u, v) / np.maximum(edge, 1))


def soft(far: NDArray[np.float64], width: float = 0.04) -> NDArray[np.float64]:
    """Return 1 inside and 0 outside of an oval, smoothly."""
    return np.asarray(1 / (1 + np.exp(np.clip((far - 1) / width, -40, 40))))


def grain(rng: np.random.Generator, size: int, spread: float, sigma: float) -> NDArray[np.float64]:
    """Return smooth noise (S, S) of deviation `spread`."""
    field = ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma)
    return np.asarray(spread * field / (field.std() + 1e-9))
