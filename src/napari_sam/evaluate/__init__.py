"""Scores of a model on labelled images; two models, and two annotators, compared."""

from .annotators import Agreement, Comparison, compare
from .scores import (
    ObjectScore,
    Summary,
    average_precision,
    background_noticed,
    plane_answer,
    pool_small,
    score_image,
    session_answer,
    summarise,
)
from .versus import Versus, comparing

__all__ = [
    "Agreement",
    "Comparison",
    "ObjectScore",
    "Summary",
    "Versus",
    "average_precision",
    "background_noticed",
    "compare",
    "comparing",
    "plane_answer",
    "pool_small",
    "score_image",
    "session_answer",
    "summarise",
]
