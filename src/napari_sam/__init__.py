"""Segment Anything for image stacks, as a napari plugin and a library.

The public names are imported when they are first used, so that importing the package loads
neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "AmgParams": "amg_params",
    "AutomaticMaskGenerator": "amg",
    "ImageEmbedding": "types",
    "MaskRecord": "types",
    "PlaneGuide": "types",
    "Prediction": "types",
    "PredictRequest": "types",
    "Progress": "types",
    "Prompts": "types",
    "SamPredictor": "predictor",
    "Session": "session",
    "SliceKey": "types",
    "load_model": "models.registry",
}
_MODULES = ("evaluate", "io", "masks", "samples", "stack", "transforms")

__all__ = [
    "AmgParams",
    "AutomaticMaskGenerator",
    "ImageEmbedding",
    "MaskRecord",
    "PlaneGuide",
    "PredictRequest",
    "Prediction",
    "Progress",
    "Prompts",
    "SamPredictor",
    "Session",
    "SliceKey",
    "__version__",
    "load_model",
    "stack",
]

if TYPE_CHECKING:
    from . import stack
    from .amg import AutomaticMaskGenerator
    from .amg_params import AmgParams
    from .models.registry import load_model
    from .predictor import SamPredictor
    from .session import Session
    from .types import (
        ImageEmbedding,
        MaskRecord,
        PlaneGuide,
        Prediction,
        PredictRequest,
        Progress,
        Prompts,
        SliceKey,
    )


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
