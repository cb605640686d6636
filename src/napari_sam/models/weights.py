"""Weights on disk, the memory that they need and the device that they go to."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.serialization import get_unsafe_globals_in_checkpoint

from .checkpoint import Checkpoint, recognise

REFUSED = re.compile(r"GLOBAL (\S+)")
"""Where torch's refusal of a file names the class."""


def read(path: Path) -> Checkpoint:
    """Read the model that a file holds.

    Only tensors, numbers, strings and plain containers are read, never code: safetensors, or
    torch's own format with `weights_only`.

    Parameters
    ----------
    path : Path
        A `.safetensors` file, or what `torch.save` wrote.

    Returns
    -------
    Checkpoint
        Its tensors may still be mapped from the file.

    Raises
    ------
    ValueError
        If there is no such file, it is damaged, holds anything else, or is no model that is known.
    """
    if not path.is_file():
        raise ValueError(f"there is no file of weights at {path}")
    content = _safetensors(path) if path.suffix == ".safetensors" else _torch(path)
    try:
        return recognise(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error


def _torch(path: Path) -> Any:
    mapped = zipfile.is_zipfile(path)  # the format before torch 1.6 cannot be mapped
    if mapped and any(name.endswith("/constants.pkl") for name in zipfile.ZipFile(path).namelist()):
        raise ValueError(f"{path} is a TorchScript program; save the bare weights of its model")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        found = REFUSED.search(str(error))
        names = sorted(get_unsafe_globals_in_checkpoint(path)) if mapped else []
        if not names and found is None:
            raise ValueError(f"{path} is not a file of weights that torch can read") from error
        what = ", ".join(names) or (found.group(1) if found else "")
        raise ValueError(
            f"{path} holds more than tensors ({what}) and is refused, since reading it would run "
            "code; where you trust it, load it in its own program and save the bare weights with "
            "torch.save(model.state_dict(), path)"
        ) from error
    except (RuntimeError, EOFError, OSError, LookupError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged or no file of weights") from error


def check_memory(needed: int, device: str, name: str) -> None:
    """Refuse a model that the device cannot hold, before anything is tried.

    Parameters
    ----------
    needed : int
        Bytes of the weights and of encoding a plane.
    device : str
    name : str

    Raises
    ------
    ValueError
        Telling what is needed and what is free.
    """
    if device.startswith("cuda"):
        free = torch.cuda.mem_get_info(torch.device(device))[0]
    else:
        free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"{name} needs about {needed / 1e9:.1f} GB of memory on {device}, but "
            f"{free / 1e9:.1f} GB are free; close something or choose a smaller model"
        )


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
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise ValueError(f"the device is auto, cpu, cuda, cuda:1 or mps, but is {name!r}")
    kind = name.partition(":")[0]
    if (kind == "cuda" and not cuda) or (kind == "mps" and not mps):
        raise ValueError(f"this machine (or its torch) has no {kind}; use cpu or auto")
    if ":" in name and int(name.partition(":")[2]) >= torch.cuda.device_count():
        raise ValueError(f"there is no {name}; this machine has {torch.cuda.device_count()}")
    return name
