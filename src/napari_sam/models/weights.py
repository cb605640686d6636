"""Weights on disk and the device that they go to."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file.

    Raises
    ------
    ValueError
        If there is no such file, or it is damaged or of another kind.
    """
    if not path.is_file():
        raise ValueError(f"there is no file of weights at {path}")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error


def choose_device(name: str) -> str:
    """Return the device to run on.

    Parameters
    ----------
    name : str
        "auto", or a device of torch.

    Raises
    ------
    ValueError
        If it is unknown or not on this machine.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise ValueError(f"the device is auto, cpu, cuda or mps, but is {name!r}")
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise ValueError(f"this machine (or its torch) has no {kind}; use cpu or auto")
    if kind == "cuda" and ":" in name and int(name.partition(":")[2]) >= torch.cuda.device_count():
        raise ValueError(f"there is no {name}; this machine has {torch.cuda.device_count()}")
    return name
