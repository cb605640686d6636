"""Features as small arrays that can be kept; numpy, whatever the features are computed in.

A value takes 8 bits or less: each channel is counted in equal steps from its least value.
Neighbours in a map differ by little, so the numbers are replaced by their differences along both
axes, and those are written with as few bits as their frequency allows (the Huffman code of zlib).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
ROOT = "features"


def pack(features: Any, steps: float = math.inf) -> dict[str, NDArray[Any]]:
    """Return features as arrays.

    Parameters
    ----------
    features : array or Tensor (B, C, h, w), or a NamedTuple of such, or of NamedTuples
    steps : float
        Steps in the standard deviation of a channel, where 256 levels reach for that; by default
        there are always 256 levels between its least and its largest value.

    Returns
    -------
    dict of str to array
    """
    return {
        f"{path}.{name}": array
        for path, maps in _leaves(features, ROOT)
        for name, array in compress(maps, steps).items()
    }


def unpack(
    arrays: Mapping[str, NDArray[Any]],
    kind: Any,
    made: Callable[[NDArray[np.float32]], Any] = np.asarray,
    path: str = ROOT,
) -> Any:
    """Return the features that `pack` was given.

    Parameters
    ----------
    arrays : mapping of str to array
    kind : type
        A NamedTuple whose fields are maps or NamedTuples; any other type stands for maps.
    made : callable
        Turns an array (B, C, h, w) float32 into such maps.
    path : str
        Of the part that is asked for.

    Returns
    -------
    kind

    Raises
    ------
    KeyError
        If the arrays are of features of another kind.
    """
    if not hasattr(kind, "_fields"):
        names = ("codes", "size", "low", "step")
        return made(decompress(*(arrays[f"{path}.{name}"] for name in names)))
    parts = get_type_hints(kind).items()
    return kind(*(unpack(arrays, part, made, f"{path}.{name}") for name, part in parts))


def compress(maps: NDArray[np.float32], steps: float) -> dict[str, NDArray[Any]]:
    """Return the codes (N,) uint8, size (2,), least values and steps (B, C, 1, 1) of maps."""
    axes = (2, 3)
    low, high = maps.min(axes, keepdims=True), maps.max(axes, keepdims=True)
    spread = maps.std(axes, keepdims=True)
    step = np.maximum(spread / np.float32(steps), (high - low) / np.float32(LEVELS - 1))
    step[step == 0] = 1
    levels = np.rint((maps - low) / step).astype(np.uint8)
    for axis in axes:  # modulo 256, which a sum takes back
        levels = np.diff(levels, axis=axis, prepend=np.uint8(0))
    coder = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
    codes = np.frombuffer(coder.compress(levels.tobytes()) + coder.flush(), np.uint8)
    return {"codes": codes, "size": np.array(maps.shape[2:]), "low": low, "step": step}


def decompress(
    codes: NDArray[np.uint8],
    size: NDArray[np.int64],
    low: NDArray[np.float32],
    step: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the maps (B, C, h, w) that `compress` was given, to half a step."""
    levels = np.frombuffer(zlib.decompress(codes.tobytes()), np.uint8).reshape(
        *low.shape[:2], *size
    )
    for axis in (2, 3):
        levels = levels.cumsum(axis, dtype=np.uint8)
    return np.asarray(levels * step + low, np.float32)


def _leaves(features: Any, path: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    if isinstance(features, np.ndarray):
        yield path, features
    elif hasattr(features, "_fields"):
        for name, part in zip(features._fields, features, strict=True):
            yield from _leaves(part, f"{path}.{name}")
    else:
        yield path, features.float().cpu().numpy()
