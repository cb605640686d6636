"""Sample images: a stack of nuclei that we draw ourselves, and pictures of scikit-image."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

from ..checks import random_generator, shown

STACK_SHAPE = (24, 256, 256)
STACK_SCALE = (1.0, 0.25, 0.25)
"""Size of a voxel of the drawn stack in micrometres: z, y, x."""
NUCLEI = 52
"""Nuclei in a stack of `STACK_SHAPE`; other shapes hold as many per volume."""

Shape = tuple[int, int, int]
Layers = list[tuple[Any, dict[str, Any], str]]


def cells_stack(shape: Shape = STACK_SHAPE, seed: int = 0) -> NDArray[np.uint16]:
    """Draw a stack of fluorescent nuclei as a confocal microscope shows them.

    Parameters
    ----------
    shape : (Z, H, W) int
    seed : int

    Returns
    -------
    (Z, H, W) uint16
    """
    return cells_stack_with_labels(shape, seed)[0]


def cells_stack_labels(shape: Shape = STACK_SHAPE, seed: int = 0) -> NDArray[np.int32]:
    """Return the label of every nucleus of `cells_stack`, (Z, H, W) int32; 0 is background."""
    return _place_nuclei(shape, random_generator(seed))


def cells_stack_with_labels(
    shape: Shape = STACK_SHAPE, seed: int = 0
) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Return `cells_stack` and `cells_stack_labels` of one seed.

    Raises
    ------
    ValueError
        If the shape is not three positive whole numbers, or the seed not one from 0 up.
    """
    rng = random_generator(seed)
    labels = _place_nuclei(shape, rng)
    return _photograph(_stain(labels, rng), rng), labels


def immunohistochemistry_layers() -> Layers:
    """Return the layer of a stained colon section, RGB (scikit-image)."""
    return _layers(_sample("immunohistochemistry"), "immunohistochemistry", rgb=True)


def cell_layers() -> Layers:
    """Return the layer of a single cell in phase contrast (scikit-image)."""
    return _layers(_sample("cell"), "cell")


def coins_layers() -> Layers:
    """Return the layer of Greek coins (scikit-image)."""
    return _layers(_sample("coins"), "coins")


def cells_stack_layers() -> Layers:
    """Return the layer of the drawn stack of nuclei, with its scale in micrometres."""
    return _layers(cells_stack(), "cells stack (drawn)", scale=STACK_SCALE, units=("um",) * 3)


def cells3d_layers() -> Layers:
    """Return nuclei and membranes in three dimensions (scikit-image, downloaded once)."""
    volume = _sample("cells3d")  # (Z, C, Y, X): membranes, nuclei
    scale = {"scale": (0.29, 0.26, 0.26), "units": ("um",) * 3}
    return [
        *_layers(volume[:, 0], "cells3d membranes", **scale),
        *_layers(volume[:, 1], "cells3d nuclei", **scale),
    ]


def human_mitosis_layers() -> Layers:
    """Return a field of nuclei, some of them dividing (scikit-image, downloaded once)."""
    return _layers(_sample("human_mitosis"), "human mitosis")


def brain_layers() -> Layers:
    """Return slices of a head in magnetic resonance (scikit-image, downloaded once)."""
    return _layers(_sample("brain"), "brain")


def _layers(image: Any, name: str, **options: Any) -> Layers:
    return [(image, {"name": name, **options}, "image")]


def _sample(name: str) -> NDArray[Any]:
    """Return an image of scikit-image, which downloads some of them.

    Raises
    ------
    ValueError
        If it cannot be downloaded; the errors of requests are OSErrors.
    """
    try:
        return np.asarray(getattr(data, name)())
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the sample {name!r} is downloaded with {error.name}, which is not installed; "
            "install it, or take another sample"
        ) from error
    except (OSError, ValueError) as error:  # no network; a file whose digest is wrong
        raise ValueError(
            f"the sample {name!r} could not be downloaded; check the network, or take another "
            f"sample ({type(error).__name__})"
        ) from error


def _place_nuclei(shape: Shape, rng: np.random.Generator) -> NDArray[np.int32]:
    """Place irregular ellipsoids that may touch, but hardly overlap."""
    try:
        sides = tuple(index(side) for side in shape)
    except TypeError:
        sides = ()
    if len(sides) != 3 or min(sides) < 1:
        raise ValueError(
            f"a stack has three sides, positive whole numbers, but its shape is {shown(shape)}"
        )
    wanted = max(1, round(NUCLEI * np.prod(shape) / np.prod(STACK_SHAPE)))
    nearest = np.full(shape, 1.0)
    labels = np.zeros(shape, np.int32)
    taken: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for _ in range(60 * wanted):
        if len(taken) == wanted:
            break
        across = rng.uniform(12.0, 19.0)
        stretch = rng.uniform(1.0, 1.3)
        radii = np.array([rng.uniform(3.2, 5.5), across * stretch, across / stretch])
        centre = rng.uniform(0, 1, 3) * np.array(shape)
        mean = np.array([radii[0], across, across])
        gaps = [np.linalg.norm((centre - c) / (mean + m)) for c, m in taken]
        if gaps and min(gaps) < rng.uniform(0.88, 1.1):
            continue
        taken.append((centre, mean))
        _carve(labels, nearest, len(taken), centre, radii, rng)
    return _numbered(labels)


def _carve(
    labels: NDArray[np.int32],
    nearest: NDArray[np.float64],
    label: int,
    centre: NDArray[np.float64],
    radii: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Write one nucleus where its surface is nearer than that of any other."""
    reach = np.array([radii[0], radii[1:].max(), radii[1:].max()]) * 1.35 + 1
    low = np.maximum(0, centre - reach).astype(int)
    high = np.minimum(labels.shape, centre + reach + 1).astype(int)
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grid = np.stack(
        np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij")
    )
    z, y, x = grid - centre[:, None, None, None]
    turn, tilt = rng.uniform(0, np.pi), rng.normal(0, 0.06)
    z = z + tilt * x
    u = (y * np.cos(turn) + x * np.sin(turn)) / radii[1]
    v = (x * np.cos(turn) - y * np.sin(turn)) / radii[2]
    direction = np.stack([z / radii[0], u, v])
    distance = np.sqrt((direction**2).sum(0))
    direction = direction / np.maximum(distance, 1e-6)
    surface = np.ones_like(distance)
    for bumps, height in ((2.0, 0.1), (3.2, 0.07), (5.0, 0.03)):
        wave = rng.normal(size=3)
        wave *= bumps / np.linalg.norm(wave)
        surface += height * np.sin(np.tensordot(wave, direction, 1) + rng.uniform(0, 2 * np.pi))
    relative = distance / surface
    inside = relative < nearest[part]
    labels[part][inside] = label
    nearest[part][inside] = relative[inside]


def _numbered(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the labels numbered from 1 without gaps."""
    present, index = np.unique(labels, return_inverse=True)
    first = 0 if present[0] == 0 else 1
    return np.asarray(index.reshape(labels.shape) + first, np.int32)


def _stain(labels: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how much dye each voxel holds: chromatin, darker nucleoli, a brighter rim."""
    count = int(labels.max()) + 1
    brightness = np.clip(np.exp(rng.normal(-0.1, 0.38, count)), 0.35, 2.4)
    brightness[0] = 0
    coarse, fine = (
        _noise(labels.shape, sigma, rng) for sigma in ((1.2, 4.0, 4.0), (0.6, 1.2, 1.2))
    )
    texture = np.clip(1 + 0.17 * coarse + 0.13 * fine, 0.25, None)
    nucleoli = _noise(labels.shape, (0.9, 2.4, 2.4), rng) > 1.75
    texture[nucleoli] *= 0.45
    edge = labels != ndimage.grey_erosion(labels, size=(1, 5, 5))
    texture[edge] *= 1.1
    return np.asarray(brightness[labels] * texture)


def _noise(
    shape: tuple[int, ...], sigma: tuple[float, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return smooth noise of mean zero and unit deviation."""
    field = ndimage.gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-9))


def _photograph(dye: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Blur along the axis, add haze, lose light with depth, count photons, read them out."""
    sharp = ndimage.gaussian_filter(dye, (1.1, 0.9, 0.9))
    haze = ndimage.gaussian_filter(dye, (5.0, 16.0, 16.0))
    depth = np.exp(-np.arange(dye.shape[0]) / 45.0)[:, None, None]
    uneven = 1 + 0.1 * _noise(dye.shape[1:], (dye.shape[1] / 3, dye.shape[2] / 3), rng)
    photons = 95.0 * np.clip((sharp + 0.28 * haze) * depth * uneven, 0, None) + 3.0
    counts = 14.0 * rng.poisson(photons) + 100.0 + rng.normal(0, 16.0, dye.shape)
    return np.asarray(np.rint(np.clip(counts, 0, 65535)), np.uint16)
