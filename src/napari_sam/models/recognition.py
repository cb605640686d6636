"""Which family a checkpoint belongs to, by the names and shapes of its tensors; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from .families import FAMILIES, UNSUPPORTED, known_titles

WRAPPERS = ("model_state", "state_dict", "model", "model_state_dict")
"""Keys that a state dict is found under in files of training programs."""
PREFIXES = ("module.", "sam.")
"""What training programs put in front of every name."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors of one model, without wrappers and prefixes.

    Attributes
    ----------
    tensors : mapping of str to array
        Anything with a `shape`.
    family : str
        Name of one of `families.FAMILIES`.
    """

    tensors: Mapping[str, Any]
    family: str

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take as float32."""
        return 4 * sum(prod(self.shape(name)) for name in self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises
        ------
        ValueError
            If there is none of this name.
        """
        if name not in self.tensors:
            raise ValueError(f"the checkpoint lacks {name}")
        return tuple(self.tensors[name].shape)

    def count(self, prefix: str) -> int:
        """Return how many numbered modules follow `prefix`."""
        rests = (name[len(prefix) :] for name in self.tensors if name.startswith(prefix))
        return len({rest.partition(".")[0] for rest in rests})


def recognise(content: object) -> Checkpoint:
    """Find the model in what a file holds.

    Parameters
    ----------
    content : object
        A state dict, bare or inside a dictionary under one of `WRAPPERS`, the names perhaps
        prefixed. Further keys (an optimiser, the decoder of an extra head) are left aside.

    Returns
    -------
    Checkpoint

    Raises
    ------
    ValueError
        If there is no model in it that can be loaded.
    """
    found = state_dict(content)
    tensors = {strip_prefixes(name): value for name, value in found.items()}
    if len(tensors) < len(found):
        raise ValueError("the file holds several models; save the one that is meant")
    for part, what in UNSUPPORTED.items():
        if any(part in name for name in tensors):
            raise ValueError(f"the file holds {what}, which cannot be loaded; {known_titles()}")
    family = next((f for f in FAMILIES if f.tensor and f.tensor in tensors), None)
    if family is None:
        raise ValueError(f"the file's tensors are not those of a known model; {known_titles()}")
    if family.parts:
        tensors = {name: v for name, v in tensors.items() if name.startswith(family.parts)}
    return Checkpoint(tensors, family.name)


def state_dict(content: object) -> dict[str, Any]:
    """Return the tensors by name of a state dict that may be wrapped.

    Raises
    ------
    ValueError
        If there are none.
    """
    for _ in range(len(WRAPPERS) + 1):
        if not isinstance(content, Mapping):
            break
        inner = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        inner = [mapping for mapping in inner if mapping]
        if not inner:
            tensors = {str(key): v for key, v in content.items() if hasattr(v, "shape")}
            if tensors:
                return tensors
            break
        content = inner[0]
    raise ValueError("the file holds no dictionary of tensors; save the model's state_dict()")


def strip_prefixes(name: str) -> str:
    """Return a tensor's name without the prefixes of training programs."""
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name
