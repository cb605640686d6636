"""Segment Anything for image stacks, as a napari plugin and a library.

The public names are imported on first use, so that importing the package loads
neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

_HOMES = {
    "AmgParams": "everything.amg_params",
    "AutomaticMaskGenerator": "everything.amg",
    "ImageEmbedding": "types",
    "Mask": "types",
    "MaskLogits": "types",
    "MaskRecord": "types",
    "Plane": "types",
    "PlaneGuide": "types",
    "Prediction": "types",
    "PredictRequest": "types",
    "Progress": "types",
    "Prompts": "types",
    "SamPredictor": "predict.predictor",
    "Session": "predict.session",
    "SliceKey": "types",
    "Stroke": "types",
    "load_model": "models.registry",
}
_MODULES = {
    "evaluate": "evaluate",
    "io": "io",
    "masks": "masks",
    "samples": "images.samples",
    "stack": "stack",
    "transforms": "images.transforms",
}

__all__ = [
    "AmgParams",
    "AutomaticMaskGenerator",
    "ImageEmbedding",
    "Mask",
    "MaskLogits",
    "MaskRecord",
    "Plane",
    "PlaneGuide",
    "PredictRequest",
    "Prediction",
    "Progress",
    "Prompts",
    "SamPredictor",
    "Session",
    "SliceKey",
    "Stroke",
    "__version__",
    "load_model",
    "stack",
]

if TYPE_CHECKING:
    from . import stack
    from .everything.amg import AutomaticMaskGenerator
    from .everything.amg_params import AmgParams
    from .models.registry import load_model
    from .predict.predictor import SamPredictor
    from .predict.session import Session
    from .types import (
        ImageEmbedding,
        Mask,
        MaskLogits,
        MaskRecord,
        Plane,
        PlaneGuide,
        Prediction,
        PredictRequest,
        Progress,
        Prompts,
        SliceKey,
        Stroke,
    )


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
