"""What is read of exported models before they are built: their description and their graphs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from .families import EXPORTED_RUNTIME
from .onnx_folder import ExportedModel, folder_of
from .onnx_sessions import Forms, Graph

PRECISIONS = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
"""What `PromptableModel.precision` is called by, for each of `onnx_folder.PRECISIONS`."""


class GraphFile(Protocol):
    """A model whose network is two graphs; a `contract.ModelFile`."""

    @property
    def family(self) -> str:
        """Name of one of `families.FAMILIES`."""

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take in memory."""

    @property
    def kind(self) -> str:
        """One of `onnx_folder.FAMILIES`: which inputs and outputs the graphs have."""

    @property
    def image_size(self) -> int:
        """Length that the longer side of a plane is resized to, pixels."""

    @property
    def precision(self) -> str:
        """As `PromptableModel.precision`."""

    @property
    def fingerprint(self) -> str:
        """A hash of the graphs and the weights."""

    def graph(self, name: str, device: str, inputs: Forms, outputs: Forms) -> Graph:
        """Return one of the two graphs on a device; see `Graph`.

        Parameters
        ----------
        name : str
            `onnx_folder.ENCODER` or `onnx_folder.DECODER`.
        device : str
        inputs, outputs : Forms
        """


@dataclass(frozen=True)
class ExportedFile:
    """An exported model in its folder; a `GraphFile`.

    Attributes
    ----------
    folder : Path
    exported : ExportedModel
    """

    folder: Path
    exported: ExportedModel
    family = EXPORTED_RUNTIME

    @classmethod
    def read(cls, path: Path) -> ExportedFile:
        """Read the description of a model, and check its files.

        Parameters
        ----------
        path : Path
            The folder, or a file in it.

        Raises
        ------
        ValueError
            If a file is missing or damaged.
        """
        exported = ExportedModel.read(path)
        folder = folder_of(path)
        exported.verify(folder)
        return cls(folder, exported)

    @property
    def nbytes(self) -> int:
        """Bytes of the graphs and their weights."""
        return self.exported.nbytes

    @property
    def kind(self) -> str:
        """Which inputs and outputs the graphs have."""
        return self.exported.family

    @property
    def image_size(self) -> int:
        """Length that the longer side of a plane is resized to, pixels."""
        return self.exported.image_size

    @property
    def precision(self) -> str:
        """As `PromptableModel.precision`."""
        return PRECISIONS[self.exported.precision]

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the hashes of the files."""
        marks = [f"{name} {mark}" for name, mark in sorted(self.exported.files.items())]
        return hashlib.blake2b("\n".join(marks).encode(), digest_size=16).hexdigest()

    def graph(self, name: str, device: str, inputs: Forms, outputs: Forms) -> Graph:
        """Return one of the two graphs on a device; see `GraphFile.graph`."""
        return Graph(self.folder / name, device, inputs, outputs)
