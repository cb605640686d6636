"""Which family a checkpoint belongs to, by the names and shapes of its tensors; no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from .families import FAMILIES, UNSUPPORTED, Family, known_titles

WRAPPERS = (
    "model_state", "state_dict", "model", "model_state_dict", "net", "network", "module",
    "weights", "params",
)  # fmt: skip
"""Keys of the weights in files of training programs, the one to take first; any other will do
where it is the only one."""
MAX_DEPTH = 4  # of containers in one another
HULLS = frozenset(
    {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
)
"""Parts of names that come from parallel, compiled and checkpointed modules, at any place."""


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

    def shape(self, name: str, axes: int | None = None) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Parameters
        ----------
        name : str
        axes : int, optional
            How many it must have, none of them empty.

        Raises
        ------
        ValueError
            If there is none of this name, or it has other axes.
        """
        if name not in self.tensors:
            raise ValueError(f"the checkpoint lacks {name}")
        found = tuple(self.tensors[name].shape)
        if axes is not None and (len(found) != axes or 0 in found):
            raise ValueError(f"{name} must have {axes} axes, none empty, but its shape is {found}")
        return found

    def count(self, prefix: str) -> int:
        """Return how many numbered modules follow `prefix`."""
        rests = (name[len(prefix) :] for name in self.tensors if name.startswith(prefix))
        return len({rest.partition(".")[0] for rest in rests})


class Candidate(NamedTuple):
    """A model in a file.

    Attributes
    ----------
    keys : tuple of str
        Of the containers around it.
    prefix : tuple of str
        What stands before each of its names.
    family : families.Family
    tensors : dict of str to array
        By their names in the family.
    """

    keys: tuple[str, ...]
    prefix: tuple[str, ...]
    family: Family
    tensors: dict[str, Any]


def recognise(content: object) -> Checkpoint:
    """Find the model in what a file holds.

    Parameters
    ----------
    content : object
        A state dict, bare or inside other dictionaries. Its names may all begin with the same
        prefix, whichever that is. Further keys (an optimiser, the decoder of an extra head) are
        left aside.

    Returns
    -------
    Checkpoint

    Raises
    ------
    ValueError
        If there is no model in it that can be loaded, or if there are several.
    """
    dicts = dict(state_dicts(content))
    if not dicts:
        raise ValueError("the file holds no dictionary of tensors; save the model's state_dict()")
    candidates = [found for keys, tensors in dicts.items() for found in models(keys, tensors)]
    first = min((_rank(found) for found in candidates), default=0)
    chosen = [found for found in candidates if _rank(found) == first]
    names = (
        chosen[0].tensors if chosen else [name for tensors in dicts.values() for name in tensors]
    )
    for part, what in UNSUPPORTED.items():
        if any(part in name for name in names):
            raise ValueError(f"the file holds {what}, which cannot be loaded; {known_titles()}")
    if not chosen:
        raise ValueError(f"the file's tensors are not those of a known model; {known_titles()}")
    if len(chosen) > 1:
        places = ", ".join(".".join((*found.keys, *found.prefix)) or "bare" for found in chosen)
        raise ValueError(f"the file holds several models ({places}); save the one that is meant")
    return Checkpoint(chosen[0].tensors, chosen[0].family.name)


def state_dicts(content: object) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield the dictionaries of tensors in nested containers, with the keys that lead there.

    Parts of names that wrap a module without changing it (`HULLS`) are left out of the names.
    """
    waiting: list[tuple[tuple[str, ...], object]] = [((), content)]
    seen: set[int] = set()  # a container may hold itself
    for keys, container in waiting:
        if id(container) in seen or len(keys) > MAX_DEPTH:
            continue
        seen.add(id(container))
        if isinstance(container, Mapping):
            items: Iterable[tuple[object, object]] = container.items()
            tensors = {str(key): value for key, value in items if hasattr(value, "shape")}
            if tensors:
                bare = {without_hulls(name): value for name, value in tensors.items()}
                yield keys, bare if len(bare) == len(tensors) else tensors
        elif isinstance(container, (list, tuple)):
            items = enumerate(container)
        else:
            continue
        waiting += [((*keys, str(key)), inner) for key, inner in items]


def models(keys: tuple[str, ...], tensors: Mapping[str, Any]) -> Iterator[Candidate]:
    """Yield the models in a dictionary of tensors, each with one prefix before all its names."""
    for family in FAMILIES:
        if not family.tensor:
            continue
        for name in tensors:
            prefix = name.removesuffix(family.tensor)
            if name.endswith(family.tensor) and (not prefix or prefix.endswith(".")):
                own = {
                    key.removeprefix(prefix): value
                    for key, value in tensors.items()
                    if key.startswith(prefix)
                    and key.removeprefix(prefix).startswith(family.parts or "")
                }
                yield Candidate(keys, tuple(prefix.split(".")[:-1]), family, own)


def without_hulls(name: str) -> str:
    """Return a tensor's name without the parts that wrap a module unchanged."""
    return ".".join(part for part in name.split(".") if part not in HULLS)


def _rank(found: Candidate) -> tuple[int, ...]:
    """Return a number for each key and part of the prefix; the least is the one to take."""
    places = {name: place for place, name in enumerate(WRAPPERS)}
    return tuple(
        places.get(name, len(WRAPPERS)) for name in (*found.keys, *(found.prefix or ("",)))
    )
