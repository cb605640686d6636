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
EPSILON = 1e-30  # in place of a root mean square of zero
MAX_REASON = 100  # of a device's error, characters


def build_on(
    build: Callable[[str, str], PromptableModel],
    device: str,
    precision: str,
    check_memory: Callable[[], None],
    software: str,
    reference: str,
) -> PromptableModel:
    """Build a model on a device, or on the CPU where the device fails or answers otherwise.

    The copies are built one after the other, so that memory holds the weights once.

    Parameters
    ----------
    build : callable of (device, precision)
    device, precision : str
    check_memory : callable
        Refuses, as `Runtime.check_memory`, a model that the CPU's memory cannot hold.
    software : str
        What runs the model there, for the notice.
    reference : str
        The precision that the CPU answers in, for the comparison.

    Returns
    -------
    PromptableModel
        Its `notice` says why it is not on the device.

    Raises
    ------
    ValueError
        If the device cannot be used and the CPU's memory is too small.
    """
    if device == "cpu":
        return build(device, precision)
    expected = build("cpu", reference).probe()
    found = _built_and_checked(lambda: build(device, precision), expected)
    if not isinstance(found, str):
        return found
    try:
        check_memory()
    except ValueError as error:
        raise ValueError(f"{device} {found}, and {error}") from error
    model = build("cpu", precision)
    reason = (
        f"{model.name} runs on the CPU, because {device} {found}; "
        f"update {software} and the driver, or choose cpu"
    )
    model.notice = f"{reason}; {model.notice}" if model.notice else reason
    return model


def disagreement(
    found: Sequence[NDArray[np.float32]], expected: Sequence[NDArray[np.float32]]
) -> str:
    """Return what is wrong with a device's answers; empty if they are within `TOLERANCE`.

    Parameters
    ----------
    found, expected : sequence of arrays
        What `probe` returned there and on the CPU.
    """
    if not all(np.isfinite(array).all() for array in found):
        return "gives numbers that are not finite"
    off = max(
        _rms(one.astype(np.float64) - other) / max(_rms(other), EPSILON)
        for one, other in zip(found, expected, strict=True)
    )
    return f"is {100 * off:.3g} % off what the CPU computes" if off > TOLERANCE else ""


def probe_image(side: int) -> NDArray[np.uint8]:
    """Return the image (side, side, 3), noise, that `probe` encodes."""
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def probe_prompt(
    side: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Return the prompt that `probe` decodes: coords, labels and boxes as `decode` takes them.

    A box leaves no choice of scale that a small difference could turn.
    """
    box = np.array([[side / 4, side / 4, 3 * side / 4, 3 * side / 4]], np.float32)
    return np.full((1, 1, 2), side / 2, np.float32), np.ones((1, 1), np.int64), box


def _built_and_checked(
    build: Callable[[], PromptableModel], expected: Sequence[NDArray[np.float32]]
) -> PromptableModel | str:
    """Return the model, or what is wrong with its device."""
    try:
        model = build()
        return disagreement(model.probe(), expected) or model
    except (RuntimeError, TypeError) as error:  # a missing type is a TypeError
        reason = str(error).partition("\n")[0] or type(error).__name__
        return f"fails ({textwrap.shorten(reason, MAX_REASON, placeholder=' ...')})"


def _rms(array: NDArray[np.floating]) -> float:
    """Return the root mean square."""
    return math.sqrt(np.square(array, dtype=np.float64).mean())
