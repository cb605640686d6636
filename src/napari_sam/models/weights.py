"""The runtime of models of torch: devices, memory and precision; a `contract.Runtime`."""

from __future__ import annotations

import re
from pathlib import Path

import psutil
import torch

from .checkpoint import read
from .contract import PRECISIONS
from .memory import require_memory

__all__ = ["REFERENCE", "SOFTWARE", "check_memory", "choose_device", "choose_dtype", "read"]
SOFTWARE = "torch"
REFERENCE = "float32"
BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")
"""Instructions of processors that multiply in bfloat16, in about half the time of float32."""
CPU_INFO = Path("/proc/cpuinfo")


def check_memory(weights: int, working: int, device: str, name: str) -> None:
    """Refuse a model that the machine cannot hold, before anything is built.

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
    on_gpu = device.startswith("cuda")
    needs = [("cpu", weights if on_gpu else weights + working, psutil.virtual_memory().available)]
    if on_gpu:
        gpu = torch.device(device)
        cached = torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
        free = torch.cuda.mem_get_info(gpu)[0] + cached
        needs.append((device, weights + working, free))
    for where, needed, free in needs:
        require_memory(name, needed, free, where)


def choose_dtype(precision: str, device: str) -> torch.dtype:
    """Return what an encoder's products are computed in.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        "auto" takes bfloat16 on graphics cards and processors that have instructions for it. What
        else runs on the machine plays no part, so that a model answers alike at every start.
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
            pays = kind == "cpu" and has_bfloat16()
        precision = "bfloat16" if pays else "float32"
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


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


def has_bfloat16() -> bool:
    """Tell whether the processor has instructions that multiply in bfloat16."""
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # since torch 2.11
    if capabilities is not None:
        found = capabilities()
        return any(found.get(flag, False) for flag in BFLOAT16_FLAGS)
    try:
        words = CPU_INFO.read_text(encoding="utf-8", errors="replace").split()
    except OSError:  # not Linux
        return False
    return any(flag in words for flag in BFLOAT16_FLAGS)
