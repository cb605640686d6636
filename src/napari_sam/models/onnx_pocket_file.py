"""The graphs of the bundled `pocket`, with its own weights or those of a tuned one.

The graphs hold no weights: they say where in `pocket.safetensors` each of them lies, under its name
there. The weights of another file of the same structure are given to ONNX Runtime in their place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .cards import opened, read_header
from .families import EXPORTED_RUNTIME
from .onnx_sessions import Forms, Graph
from .pocket_base import PocketBase

FOLDER = Path(str(resources.files("napari_sam") / "weights"))
WEIGHTS = "pocket.safetensors"
DTYPES: Mapping[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
"""Types of weights that are read here, by their names in safetensors."""
DAMAGED = (KeyError, TypeError, ValueError, OverflowError)
"""What a header of nonsense ends in."""
Halves = Mapping[str, NDArray[np.float16]]


@dataclass(frozen=True, eq=False)
class PocketFile:
    """The weights of a `pocket`; an `onnx_files.GraphFile`.

    Attributes
    ----------
    weights : mapping of str to (...) float16
        Empty for the bundled ones, which ONNX Runtime reads itself.
    """

    weights: Halves
    family = EXPORTED_RUNTIME
    kind = "pocket"
    image_size = PocketBase.image_size
    precision = "float32"

    @classmethod
    def read(cls, path: Path) -> PocketFile:
        """Read the weights of a `pocket`; those that are float32 are rounded to float16.

        Parameters
        ----------
        path : Path
            In the format of safetensors.

        Raises
        ------
        ValueError
            If the file is not there or damaged, or holds anything else.
        """
        bundled = path.resolve() == (FOLDER / WEIGHTS).resolve()
        return cls({} if bundled else _read(path))

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take in memory, as float32."""
        return 2 * (FOLDER / WEIGHTS).stat().st_size

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the graphs and the weights."""
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(FOLDER.glob("pocket_*.onnx")):
            digest.update(path.read_bytes())
        weights = self.weights or _read(FOLDER / WEIGHTS)
        for name in sorted(weights):
            digest.update(name.encode())
            digest.update(weights[name].tobytes())
        return digest.hexdigest()

    def graph(self, name: str, device: str, inputs: Forms, outputs: Forms) -> Graph:
        """Return one of the two graphs on a device; see `onnx_files.GraphFile.graph`."""
        part = f"{Path(name).stem}."
        own = {key: value for key, value in self.weights.items() if key.startswith(part)}
        return Graph(FOLDER / f"pocket_{name}", device, inputs, outputs, own)


def _read(path: Path) -> Halves:
    """Return the weights in a file, whose names and shapes are those of the bundled ones."""
    with opened(FOLDER / WEIGHTS) as bundled:
        layout = read_header(bundled)[0]
    layout.pop("__metadata__", None)
    with opened(path) as file:
        try:
            header, start = read_header(file)
            header.pop("__metadata__", None)
            if _fits(header, layout):
                return {name: _half(file, start, entry) for name, entry in header.items()}
        except DAMAGED as error:
            raise ValueError(f"{path} is not a readable safetensors file: {error}") from error
    raise ValueError(
        f"{path} is not a pocket and needs torch: pip install torch, or export it with "
        "napari-sam export where torch is"
    )


def _fits(header: Mapping[str, Any], layout: Mapping[str, Any]) -> bool:
    """Tell whether a file holds the tensors of a `pocket`, in types that are read here."""
    return header.keys() == layout.keys() and all(
        header[name]["shape"] == entry["shape"] and header[name]["dtype"] in DTYPES
        for name, entry in layout.items()
    )


def _half(file: BinaryIO, begin: int, entry: Mapping[str, Any]) -> NDArray[np.float16]:
    """Return a tensor of a file whose data begin at `begin`, in half precision.

    Raises
    ------
    ValueError
        If the file ends too early, or a number is not finite.
    """
    dtype, (start, end) = DTYPES[entry["dtype"]], entry["data_offsets"]
    if start < 0 or end - start != prod(entry["shape"]) * dtype.itemsize:
        raise ValueError("a tensor does not fit into the file")
    file.seek(begin + start)
    content = file.read(end - start)
    if len(content) != end - start:
        raise ValueError("it ends too early")
    with np.errstate(over="ignore"):  # what is too large is not finite then
        half: NDArray[np.float16] = np.frombuffer(content, dtype).astype(np.float16)
    if not np.isfinite(half).all():
        raise ValueError("it holds NaN, infinite or very large numbers")
    return half.reshape(entry["shape"])
