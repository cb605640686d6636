"""Weights on disk, the memory that they need and the device that they go to."""

from __future__ import annotations

import pickle
import re
import struct
import time
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
DAMAGE = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError,
    TypeError, ValueError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
"""What reading flipped or missing bytes was seen to raise."""
PRECISIONS = ("auto", "float32", "bfloat16")
PAYS = 1.5
"""How many times as fast bfloat16 has to be."""


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
    named = path.suffix == ".safetensors"
    content = _safetensors(path) if named or _is_safetensors(path) else _torch(path)
    try:
        return recognise(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error


def _is_safetensors(path: Path) -> bool:
    """Tell by the content: the length of a header in JSON, then the header."""
    with open(path, "rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def _torch(path: Path) -> Any:
    mapped = _is_archive(path)  # the format before torch 1.6 cannot be mapped
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        what = _refused(path, str(error), mapped)
        if not what:
            raise ValueError(f"{path} is damaged or no file of weights") from error
        raise ValueError(
            f"{path} holds more than tensors ({what}) and is refused, since reading it would run "
            "code; where you trust it, load it in its own program and save the bare weights with "
            "torch.save(model.state_dict(), path)"
        ) from error
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged or no file of weights") from error


def _is_archive(path: Path) -> bool:
    """Tell the archives that torch writes from its older format; refuse programs."""
    try:
        if not zipfile.is_zipfile(path):
            return False
        names = zipfile.ZipFile(path).namelist()
    except DAMAGE as error:
        raise ValueError(f"{path} is damaged or no file of weights") from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise ValueError(f"{path} is a TorchScript program; save the bare weights of its model")
    return True


def _refused(path: Path, text: str, mapped: bool) -> str:
    """Return the names of what a file holds beside tensors; empty if none is found."""
    found = REFUSED.search(text)
    try:
        names = sorted(get_unsafe_globals_in_checkpoint(path)) if mapped else []
    except (pickle.UnpicklingError, *DAMAGE):
        names = []
    return ", ".join(names) or (found.group(1) if found else "")


def check_memory(weights: int, working: int, device: str, name: str) -> None:
    """Refuse a model that the machine cannot hold, before anything is tried.

    Parameters
    ----------
    weights, working : int
        Bytes of the weights, and of working with them.
    device : str
        The weights go through the main memory also where they end elsewhere.
    name : str

    Raises
    ------
    ValueError
        Telling what is needed and what is free.
    """
    elsewhere = device.startswith("cuda")
    in_main = weights if elsewhere else weights + working
    asked = [("cpu", in_main, psutil.virtual_memory().available)]
    if elsewhere:
        place = torch.device(device)
        kept = torch.cuda.memory_reserved(place) - torch.cuda.memory_allocated(place)
        free = torch.cuda.mem_get_info(place)[0] + kept
        asked.append((device, weights + working, free))
    for where, needed, free in asked:
        if needed > free:
            raise ValueError(
                f"{name} needs about {needed / 1e9:.1f} GB of memory on {where}, but "
                f"{free / 1e9:.1f} GB are free; close something or choose a smaller model"
            )


def choose_dtype(precision: str, device: str) -> torch.dtype:
    """Return what an encoder's products are computed in.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 where it pays: on graphics cards that have it, and on processors that
        multiply in it at least `PAYS` times as fast, which is measured here in a tenth of a second.
    device : str

    Raises
    ------
    ValueError
        If the precision is unknown.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"the precision is one of {PRECISIONS}, but is {precision!r}")
    if precision == "auto":
        kind = device.partition(":")[0]
        if kind == "cuda":
            pays = torch.cuda.is_bf16_supported()
        else:
            pays = kind == "cpu" and _product_time(torch.float32) > PAYS * _product_time(
                torch.bfloat16
            )
        precision = "bfloat16" if pays else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def only_float32(precision: str, name: str) -> None:
    """Refuse any other precision for a family that has only float32.

    Raises
    ------
    ValueError
        Telling what to do.
    """
    if precision not in ("auto", "float32"):
        raise ValueError(f"{name} computes in float32 only; leave the precision at auto")


def _product_time(dtype: torch.dtype) -> float:
    """Return the shortest of three times, in seconds, of a product as in an encoder."""
    x, weight = torch.ones(512, 768, dtype=dtype), torch.ones(1536, 768, dtype=dtype)
    times = []
    for _ in range(4):  # the first one also gets ready
        start = time.perf_counter()
        torch.nn.functional.linear(x, weight)
        times.append(time.perf_counter() - start)
    return min(times)


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
