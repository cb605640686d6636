"""Exported models on ONNX Runtime, and `pocket` where torch is not installed.

It is a `contract.Runtime`, and the family of what it reads.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from .families import EXPORTED_SUFFIX
from .memory import require_memory
from .onnx_files import ExportedFile, GraphFile
from .onnx_pocket import OnnxPocket
from .onnx_pocket_file import PocketFile
from .onnx_sam import OnnxSam
from .onnx_sessions import devices

if TYPE_CHECKING:
    from .contract import PromptableModel

SOFTWARE = "onnxruntime"
REFERENCE = "auto"  # an exported model has one precision


def read(path: Path) -> GraphFile:
    """Read an exported model, given a file of its folder, or the weights of a `pocket`.

    Raises
    ------
    ValueError
        If it is not there, damaged, or holds another model.
    """
    if path.suffix.lower() == EXPORTED_SUFFIX:
        return ExportedFile.read(path)
    return PocketFile.read(path)


def choose_device(name: str) -> str:
    """Return the device to run on.

    Parameters
    ----------
    name : str
        "auto", or one of `onnx_sessions.PROVIDERS`, "cuda" also with the number of a card.

    Raises
    ------
    ValueError
        If it is unknown or not on this machine.
    """
    here = devices()
    if name == "auto":
        return here[0]
    kind = name.partition(":")[0]
    if not re.fullmatch(r"cpu|cuda(:\d{1,2})?|coreml|directml", name):
        raise ValueError(
            f"with ONNX Runtime the device is auto, cpu, cuda, cuda:1, coreml or directml, but is "
            f"{name!r}"
        )
    if kind not in here:
        raise ValueError(
            f"the onnxruntime that is installed has no {kind}; use cpu or auto, or install the "
            "build of onnxruntime that has it"
        )
    return name


def check_memory(weights: int, working: int, device: str, name: str) -> None:
    """Refuse a model that the main memory cannot hold; see `contract.Runtime`.

    How much of a card's memory is free cannot be asked; a model that does not fit there runs on the
    processor.
    """
    free = psutil.virtual_memory().available
    require_memory(name, weights + working, free, "cpu")


def build(file: GraphFile, name: str, device: str) -> PromptableModel:
    """Return the model that a file holds.

    Raises
    ------
    ValueError
        If its graphs cannot be run, or are of another model.
    RuntimeError
        If the device cannot run them.
    """
    return OnnxPocket(file, name, device) if file.kind == "pocket" else OnnxSam(file, name, device)
