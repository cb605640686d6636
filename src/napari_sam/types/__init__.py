"""The values that pass between packages: frozen, plain, numpy."""

from .answers import Prediction, PredictRequest, Progress
from .masks import Mask, MaskLogits, MaskRecord
from .planes import ImageEmbedding, Plane, SliceKey, Window
from .prompts import PlaneGuide, Prompts

__all__ = [
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
    "SliceKey",
    "Window",
]
