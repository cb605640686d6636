"""Lets transformers' SAM 2 compute in double precision, where its code asks for less."""

from __future__ import annotations

from typing import Any

import pytest
import torch

LOWER = ("float", "float32", "bfloat16")


class _Doubled:
    """The module torch, with doubles in place of the types of fewer bits."""

    def __getattr__(self, name: str) -> Any:
        return torch.float64 if name in LOWER else getattr(torch, name)


def doubled(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    """Make a module of transformers compute in double; models are built after this."""
    monkeypatch.setattr(module, "torch", _Doubled())
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
