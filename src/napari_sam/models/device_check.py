"""Whether a device computes what the CPU does; where it does not, a model stays on the CPU."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .contract import PromptableModel

TOLERANCE = 0.2
"""Largest share of its root mean square that an answer may be off. Wrong ones are off by about the
whole; bfloat16 is by 0.3 to 0.8 % in decoders of the usual size, by 10 % in a tiny random one."""
TINY = 1e-30  # in place of a size of zero
LONGEST = 100  # of a device's error, characters


def build_on(
    build: Callable[[str, str], PromptableModel],
    device: str,
    precision: str,
    check_memory: Callable[[], None],
) -> PromptableModel:
    """Build a model on a device, or on the CPU where the device fails or answers otherwise.

    The copies are built one after the other, so that memory holds the weights once.

    Parameters
    ----------
    build : callable of (device, precision)
    device, precision : str
    check_memory : callable
        Refuses, as `weights.check_memory`, a model that the CPU's memory cannot hold.

    Returns
    -------
    PromptableModel
        Its `notice` tells why it is not on the device.

    Raises
    ------
    ValueError
        If the device cannot be used and the CPU's memory is too small.
    """
    if device == "cpu":
        return build(device, precision)
    expected = build("cpu", "float32").probe()
    found = _tried(lambda: build(device, precision), expected)
    if not isinstance(found, str):
        return found
    try:
        check_memory()
    except ValueError as error:
        raise ValueError(f"{device} {found}, and {error}") from error
    model = build("cpu", precision)
    model.notice = (
        f"{model.name} runs on the CPU, because {device} {found}; "
        "update torch and the driver, or choose cpu"
    )
    return model


def disagreement(
    found: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.float32]]
) -> str:
    """Tell what is wrong with a device's answers; empty if they are within `TOLERANCE`.

    Parameters
    ----------
    found, expected : sequence of arrays
        What `probe` returned there and on the CPU.
    """
    if not all(np.isfinite(array).all() for array in found):
        return "gives numbers that are not finite"
    off = max(
        _size(one.astype(np.float64) - other) / max(_size(other), TINY)
        for one, other in zip(found, expected, strict=True)
    )
    return f"is {100 * off:.3g} % off what the CPU computes" if off > TOLERANCE else ""


def noise(side: int) -> NDArray[np.uint8]:
    """Return the picture (side, side, 3) that models are tried on."""
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def question(
    side: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Return what is asked of it: coords, labels and boxes of one prompt, as `decode` takes them.

    A box leaves no choice of scale that a small difference could turn.
    """
    box = np.array([[side / 4, side / 4, 3 * side / 4, 3 * side / 4]], np.float32)
    return np.full((1, 1, 2), side / 2, np.float32), np.ones((1, 1), np.int64), box


def _tried(
    build: Callable[[], PromptableModel], expected: Sequence[NDArray[np.float32]]
) -> PromptableModel | str:
    """Return the model, or what is wrong with its device."""
    try:
        model = build()
        return disagreement(model.probe(), expected) or model
    except (RuntimeError, TypeError) as error:  # a type that a device has not is a TypeError
        reason = str(error).partition("\n")[0] or type(error).__name__
        return f"fails ({textwrap.shorten(reason, LONGEST, placeholder=' ...')})"


def _size(array: NDArray[np.floating]) -> float:
    """Return the root mean square."""
    return math.sqrt(np.square(array, dtype=np.float64).mean())
