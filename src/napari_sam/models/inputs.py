"""Checks of what a model is given; the same for every family. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_plane(rgb: NDArray[Any], longest: int) -> None:
    """Refuse what is no resized plane.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    longest : int
        The most pixels that a side may have.

    Raises
    ------
    ValueError
        Naming shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or not 1 <= min(rgb.shape) <= max(rgb.shape) <= longest:
        raise ValueError(
            f"a plane to encode is (h, w, 3) with sides of 1 to {longest}, but is {rgb.shape}"
        )
    _check_type("a plane to encode", rgb, np.uint8)


def check_prompts(
    coords: NDArray[Any],
    labels: NDArray[Any],
    boxes: NDArray[Any] | None,
    mask_input: NDArray[Any] | None,
    grid: tuple[int, int],
    guide_logits: NDArray[Any] | None = None,
    real: type = np.float32,
) -> None:
    """Refuse prompts that do not fit together.

    Parameters
    ----------
    coords : (P, N, 2) float32
    labels : (P, N) int64
    boxes : (P, 4) float32 or None
    mask_input, guide_logits : (P, h, w) float32 or None
    grid : (h, w) int
        Size of the low-resolution logits.
    real : type
        In place of float32, for a model whose weights were made double.

    Raises
    ------
    ValueError
        Naming the one that is wrong.
    """
    if coords.ndim != 3 or coords.shape[2] != 2:
        raise ValueError(f"coords must be (P, N, 2), but are {coords.shape}")
    count = len(coords)
    for name, array, shape, dtype in (
        ("coords", coords, coords.shape, real),
        ("labels", labels, coords.shape[:2], np.int64),
        ("boxes", boxes, (count, 4), real),
        ("mask_input", mask_input, (count, *grid), real),
        ("logits of the guide", guide_logits, (count, *grid), real),
    ):
        if array is None:
            continue
        if array.shape != shape:
            raise ValueError(f"{name} must be {shape}, but are {array.shape}")
        _check_type(name, array, dtype)
    if labels.size and not -1 <= labels.min() <= labels.max() <= 1:
        raise ValueError("labels must be 1 (object), 0 (background) or -1 (padding)")


def _check_type(name: str, array: NDArray[Any], dtype: type) -> None:
    if array.dtype != dtype:
        raise ValueError(f"{name} must be {np.dtype(dtype)}, but is {array.dtype}")
