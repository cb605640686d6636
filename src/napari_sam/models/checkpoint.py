"""Checkpoint files of torch: read without running code, and loaded into a model as float32."""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .inert_pickle import READ_ERRORS, RefusedError
from .recognition import Checkpoint, recognise
from .stored import Extent, StoredFile, StoredTensor, UnsupportedTensor
from .torch_format import read_torch

MAX_NAMES = 3  # of an error message
SAFETENSORS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
"""Types of numbers by their names in safetensors."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types that weights may have; shorter ones need scales that are kept elsewhere."""


def read(path: Path) -> Checkpoint:
    """Read the model that a file holds.

    Only tensors, numbers, strings and plain containers are read, never code: safetensors, or
    torch's own format, of which all else is left out (`inert_pickle`).

    Parameters
    ----------
    path : Path
        A `.safetensors` file, or what `torch.save` wrote.

    Returns
    -------
    Checkpoint
        Its tensors are `stored.StoredTensor`: they are read when the model is built.

    Raises
    ------
    ValueError
        If there is no such file, it is damaged, holds anything else, or is no model that is known.
    """
    if not path.is_file():
        raise ValueError(f"there is no file of weights at {path}")
    file = StoredFile(path)
    left_out: set[str] = set()
    named = path.suffix == ".safetensors" and not zipfile.is_zipfile(path)  # else it was renamed
    if named or _is_safetensors(file):
        content = _safetensors(file)
    else:
        content, left_out = _torch(file)
    try:
        checkpoint = recognise(content)
    except ValueError as error:
        more = f" (it holds {_listed(sorted(left_out))}, which were left out)" if left_out else ""
        raise ValueError(f"{path}: {error}{more}") from error
    for name, value in checkpoint.tensors.items():
        if isinstance(value, UnsupportedTensor):
            raise ValueError(f"{path}: {name} is {value.kind}; save dense tensors of float32")
    return checkpoint


def stored_tensors(path: Path) -> dict[str, StoredTensor | UnsupportedTensor]:
    """Return the tensors of a safetensors file as they are, of whatever model.

    Raises
    ------
    ValueError
        If it cannot be read or is damaged.
    """
    return _safetensors(StoredFile(path))


def load_into(module: nn.Module, checkpoint: Checkpoint) -> None:
    """Give a module a checkpoint's tensors as float32, each name exactly once.

    Raises
    ------
    ValueError
        If a tensor is missing, left over, of another shape or type, or not finite.
    """
    own = module.state_dict()
    wanted = {name: tuple(value.shape) for name, value in own.items()}
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
            raise ValueError(
                f"this is no complete {checkpoint.family} model: it {text} {_listed(names)}"
            )
    copies = {
        name: _weight(name, value, own[name].dtype) for name, value in checkpoint.tensors.items()
    }
    module.load_state_dict(copies, strict=True, assign=True)


def fingerprint(module: nn.Module) -> str:
    """Return a hash of the names, shapes, types and values of a module's weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in module.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _weight(name: str, value: Tensor | StoredTensor, wanted: torch.dtype) -> Tensor:
    """Return a tensor in memory of its own, of the type that a module wants."""
    floating = wanted.is_floating_point
    if value.dtype not in (FLOATS if floating else (torch.int64, torch.int32)):
        kind = str(value.dtype).removeprefix("torch.")
        raise ValueError(f"{name} holds {kind}; save weights as float32, bfloat16 or float16")
    if isinstance(value, Tensor) and (value.layout != torch.strided or value.device.type == "meta"):
        raise ValueError(f"{name} is no dense tensor with values; save weights as dense tensors")
    copy = value.read() if isinstance(value, StoredTensor) else value.detach().clone()
    copy = copy.to(torch.float32 if floating else wanted)
    if floating and copy.numel() and not all(map(math.isfinite, map(float, copy.aminmax()))):
        raise ValueError(f"{name} holds NaN or infinite numbers; take a checkpoint without them")
    return copy


def _is_safetensors(file: StoredFile) -> bool:
    """Tell by the content: the length of a header in JSON, then the header."""
    if file.size < 9:
        return False
    start = file.read(Extent(0, 9))
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < file.size


def _safetensors(file: StoredFile) -> dict[str, StoredTensor | UnsupportedTensor]:
    """Return the tensors of a file in the format of safetensors.

    It is read here, since its own library maps the file.
    """
    try:
        length = int.from_bytes(file.read(Extent(0, 8)), "little")
        header = json.loads(file.read(Extent(8, length)))
        header.pop("__metadata__", None)
        return {name: _described(file, 8 + length, entry) for name, entry in header.items()}
    except READ_ERRORS as error:
        raise ValueError(f"{file.path} is not a readable safetensors file: {error}") from error


def _described(
    file: StoredFile, start: int, entry: dict[str, Any]
) -> StoredTensor | UnsupportedTensor:
    """Return the tensor that an entry of a header tells of; data begin at `start`."""
    dtype, shape = SAFETENSORS.get(entry["dtype"]), tuple(entry["shape"])
    if dtype is None:
        return UnsupportedTensor(f"of type {entry['dtype']}")
    begin, end = entry["data_offsets"]
    stride, step = [], 1
    for side in reversed(shape):
        stride.append(step)
        step *= side
    if begin < 0 or end - begin != step * dtype.itemsize or start + end > file.size:
        raise ValueError("a tensor does not fit into the file")
    return StoredTensor(
        file, Extent(start + begin, end - begin), dtype, shape, tuple(reversed(stride))
    )


def _torch(file: StoredFile) -> tuple[Any, set[str]]:
    try:
        return read_torch(file)
    except RefusedError as error:
        raise ValueError(f"{file.path} {error}") from error
    except (zipfile.BadZipFile, struct.error, NotImplementedError, *READ_ERRORS) as error:
        raise ValueError(f"{file.path} is damaged or no file of weights") from error


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
