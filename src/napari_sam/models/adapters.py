"""Files of tuned weights: what differs from a base model, merged into it when it is read.

A weight that changed as a whole is stored by its name, or as `NAME.added`, the difference, for
which half precision will do. One that changed by a product of low rank (LoRA; Hu et al.,
arXiv:2106.09685) is stored as that: `NAME.lora_a` (r, inputs) and `NAME.lora_b` (rows, r) in place
of `NAME.weight`, where `NAME.lora_rows` (rows,) says which of its rows change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..files import replacing
from ..steps import drive
from .cards import SUFFIX, Card, with_card
from .checkpoint import stored_tensors
from .recognition import Checkpoint
from .registry import reading
from .stored import StoredTensor

LORA_A, LORA_B, LORA_ROWS = ".lora_a", ".lora_b", ".lora_rows"
ADDED = ".added"


def write_tuned(path: str | Path, tensors: Mapping[str, Tensor], card: Card) -> None:
    """Write tuned weights with their card.

    Parameters
    ----------
    path : path
        A `.safetensors` file; it is replaced in one go.
    tensors : mapping of str to Tensor
        All weights of the model if the card says that the file is complete; otherwise those that
        differ from the base's, whole or as LoRA.
    card : Card

    Raises
    ------
    ValueError
        If the path has another suffix, there are no tensors, or the disk refuses the file.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise ValueError(f"a tuned model is a {SUFFIX} file, but this is {path.name}")
    if not tensors:
        raise ValueError("there are no tuned weights to write")
    with replacing(path) as partial:
        own = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        _save(own, partial)
        with_card(partial, card, partial)


def fingerprint_of(checkpoint: Checkpoint) -> str:
    """Return a hash of the names, shapes and values of a model's weights.

    The precision that they are stored or computed in plays no part, nor does their order.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(checkpoint.tensors):
        value = _read(checkpoint.tensors[name])
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def merged(base: Checkpoint, path: Path, card: Card) -> Checkpoint:
    """Return a base model's weights with what a tuned file changes in them.

    Parameters
    ----------
    base : Checkpoint
    path : Path
        Of the tuned file.
    card : Card
        Of the tuned file.

    Raises
    ------
    ValueError
        If it was tuned on other weights, or what it holds does not fit.
    """
    if fingerprint_of(base) != card.base_fingerprint:
        raise ValueError(
            f"{path} was tuned on other weights than those of {card.base}; load it with the file "
            "that it was tuned on"
        )
    try:
        changed = _changed(base, stored_tensors(path))
    except ValueError as error:
        raise ValueError(f"{path} does not fit its base {card.base}: {error}") from error
    return Checkpoint({**base.tensors, **changed}, base.family)


def export_full(name: str | Path, target: str | Path, offline: bool | None = None) -> None:
    """Write a model with all its weights in the published format of its family.

    Other programs of the family read it, as those of segment-anything and micro-sam do.

    Parameters
    ----------
    name : str or path
        A tuned file, or any other model.
    target : path
        A `.safetensors` file, or else what `torch.save` writes.
    offline : bool, optional
        As in `registry.loading`.

    Raises
    ------
    ValueError
        If the model cannot be loaded or the disk refuses the file.
    """
    checkpoint: Any = drive(reading(name, "cpu", offline))
    tensors = {key: _read(value).clone() for key, value in checkpoint.tensors.items()}
    with replacing(target) as partial:
        if Path(target).suffix.lower() == SUFFIX:
            _save(tensors, partial)
        else:
            torch.save(tensors, partial)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # in place of the system's
        raise OSError(str(error)) from error


def _changed(base: Checkpoint, tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights that a tuned file changes, by their names in the base."""
    changed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if not isinstance(value, StoredTensor):
            raise ValueError(f"{name} is no dense tensor of numbers")
        if name.endswith((LORA_B, LORA_ROWS)):
            continue  # with the first of the pair
        if name.endswith(LORA_A):
            stem = name.removesuffix(LORA_A)
            weight = _read(base.tensors[f"{stem}.weight"]) if _has(base, stem) else None
            if weight is None or f"{stem}{LORA_B}" not in tensors:
                raise ValueError(f"there is nothing that {name} belongs to")
            rows = tensors.get(f"{stem}{LORA_ROWS}")
            chosen = torch.arange(len(weight)) if rows is None else _read(rows)
            changed[f"{stem}.weight"] = added(
                weight, _read(value), _read(tensors[f"{stem}{LORA_B}"]), chosen
            )
            continue
        own = name.removesuffix(ADDED)
        if base.shape(own) != tuple(value.shape):
            raise ValueError(f"{name} is {tuple(value.shape)} in place of {base.shape(own)}")
        new = _read(value)
        changed[own] = new if own == name else _read(base.tensors[own]) + new
    return changed


def added(weight: Tensor, a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
    """Return a weight with a product of low rank added to some of its rows.

    Parameters
    ----------
    weight : (outputs, inputs) float32
    a : (r, inputs) float32
    b : (rows, r) float32
    rows : (rows,) int64

    Returns
    -------
    (outputs, inputs) float32

    Raises
    ------
    ValueError
        If the shapes do not fit, or a row is named twice or is not there.
    """
    fits = weight.ndim == a.ndim == b.ndim == 2 and rows.ndim == 1
    if not fits or (len(rows), len(a), weight.shape[1]) != (*b.shape, a.shape[1]):
        raise ValueError("the shapes of an adapter do not fit the weight that it changes")
    known = rows.dtype == torch.int64 and len(set(rows.tolist())) == len(rows)
    if not known or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(weight)):
        raise ValueError("an adapter names rows that its weight does not have")
    return weight.index_add(0, rows, b @ a)


def _has(base: Checkpoint, stem: str) -> bool:
    return f"{stem}.weight" in base.tensors


def _read(value: Tensor | StoredTensor) -> Tensor:
    """Return a tensor of a checkpoint, float32 if it is of floating point."""
    tensor = value.read() if isinstance(value, StoredTensor) else value
    return tensor.float() if tensor.is_floating_point() else tensor.long()
