"""Checkpoint files of torch: read without running code, and loaded into a model as float32."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.serialization import get_unsafe_globals_in_checkpoint

from .recognition import Checkpoint, recognise

REFUSED_CLASS = re.compile(r"GLOBAL (\S+)")
"""Where torch's refusal of a file names the class."""
READ_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError,
    TypeError, ValueError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
"""What reading flipped or missing bytes was seen to raise."""
MAX_NAMES = 3  # of an error message


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


def load_into(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Give a module a checkpoint's tensors as float32, each name exactly once.

    Raises
    ------
    ValueError
        If a tensor is missing, left over or of another shape.
    """
    wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in checkpoint.tensors.items()}
    wrong = [
        f"{name} is {found[name]} in place of {wanted[name]}"
        for name in wanted.keys() & found.keys()
        if wanted[name] != found[name]
    ]
    for text, names in (
        ("lacks", sorted(wanted.keys() - found.keys())),
        ("has besides", sorted(found.keys() - wanted.keys())),
        ("differs in shape:", sorted(wrong)),
    ):
        if names:
            more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            listed = ", ".join(names[:MAX_NAMES])
            raise ValueError(
                f"this is no complete {checkpoint.family} model: it {text} {listed}{more}"
            )
    copies = {  # the file may be mapped into memory
        name: value.float().clone() if value.is_floating_point() else value.clone()
        for name, value in checkpoint.tensors.items()
    }
    module.load_state_dict(copies, strict=True, assign=True)


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
        what = _refused_classes(path, str(error), mapped)
        if not what:
            raise ValueError(f"{path} is damaged or no file of weights") from error
        raise ValueError(
            f"{path} holds more than tensors ({what}) and is refused, since reading it would run "
            "code; where you trust it, load it in its own program and save the bare weights with "
            "torch.save(model.state_dict(), path)"
        ) from error
    except READ_ERRORS as error:
        raise ValueError(f"{path} is damaged or no file of weights") from error


def _is_archive(path: Path) -> bool:
    """Tell the archives that torch writes from its older format; refuse programs."""
    try:
        if not zipfile.is_zipfile(path):
            return False
        names = zipfile.ZipFile(path).namelist()
    except READ_ERRORS as error:
        raise ValueError(f"{path} is damaged or no file of weights") from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise ValueError(f"{path} is a TorchScript program; save the bare weights of its model")
    return True


def _refused_classes(path: Path, text: str, mapped: bool) -> str:
    """Return the names of what a file holds beside tensors; empty if none is found."""
    found = REFUSED_CLASS.search(text)
    try:
        names = sorted(get_unsafe_globals_in_checkpoint(path)) if mapped else []
    except (pickle.UnpicklingError, *READ_ERRORS):
        names = []
    return ", ".join(names) or (found.group(1) if found else "")
