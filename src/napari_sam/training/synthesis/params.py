"""Parameters of synthetic images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any


def _between(low: float, high: float, least: float, most: float, text: str) -> Any:
    return field(default=(low, high), metadata={"min": least, "max": most, "help": text})


def _share(value: float, most: float, text: str) -> Any:
    return field(default=value, metadata={"min": 0.0, "max": most, "help": text})


@dataclass(frozen=True)
class SynthesisParams:
    """Parameters of synthetic images; a value is drawn evenly from each range.

    Contrast, noise and the like are shares of the range of grey values of the background's image:
    the 0.5th to the 99.5th percentile.

    Raises
    ------
    ValueError
        If a number is out of range, or a range does not rise.
    """

    objects: tuple[float, float] | None = field(
        default=None,
        metadata={
            "min": 0,
            "max": 10_000,
            "help": "objects of an image; by default as dense as in a labelled image",
        },
    )
    scale: tuple[float, float] = _between(0.8, 1.25, 0.3, 3, "size of an object, as a factor")
    rotation: tuple[float, float] = _between(-180, 180, -180, 180, "angle of an object, in degrees")
    brightness: tuple[float, float] = _between(-0.05, 0.05, -1, 1, "added to an object")
    contrast: tuple[float, float] = _between(
        0.8, 1.25, 0.1, 10, "of an object with its ground, as a factor"
    )
    blur: tuple[float, float] = _between(0, 0, 0, 50, "width of the blur of an image, in pixels")
    noise: tuple[float, float] = _between(0, 0, 0, 1, "standard deviation of noise")
    uneven: tuple[float, float] = _between(0, 0, 0, 1, "loss of light at the darkest corner")
    stripes: tuple[float, float] = _between(0, 0, 0, 1, "strength of stripes along rows or columns")
    saturation: tuple[float, float] = _between(
        0, 0, 0, 0.9, "cut off the range's top and bottom, half each"
    )
    touching: float = _share(0.2, 1.0, "share of the objects that are moved to touch another one")
    overlap: float = _share(0.0, 0.5, "how much of an object later ones may hide, as a share")
    flips: bool = field(default=True, metadata={"help": "do not mirror objects"})

    def __post_init__(self) -> None:
        for one in fields(self):
            value, limits = getattr(self, one.name), one.metadata
            if value is None or "min" not in limits:
                continue
            low, high = value if isinstance(value, tuple) else (value, value)
            least, most = limits["min"], limits["max"]
            if not all(map(math.isfinite, (low, high))) or not least <= low <= high <= most:
                shown = f"{low:g}" if isinstance(value, float) else f"{low:g} to {high:g}"
                raise ValueError(
                    f"{one.name} lies from {least:g} to {most:g} and does not fall, but is {shown}"
                )
