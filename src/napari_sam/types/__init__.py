"""The values that pass between packages: frozen, plain, numpy."""

from .answers import Prediction, PredictRequest, Progress
from .masks import Mask, MaskLogits, MaskRecord
from .planes import Contrast, ImageEmbedding, Limits, Plane, SliceKey, Window
from .prompts import PlaneGuide, Prompts, Stroke

__all__ = [
    "Contrast",
    "ImageEmbedding",
    "Limits",
    "Mask",
    "MaskLogits",
    "MaskRecord",
    "Plane",
    "PlaneGuide",
    "PredictRequest",
    "Prediction",
    "Progress",
    "Prompts",
    "SliceKey",
    "Stroke",
    "Window",
]
