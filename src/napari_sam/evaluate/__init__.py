"""Scores of a model on labelled images, and of two annotators against each other."""

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

__all__ = [
    "Agreement",
    "Comparison",
    "ObjectScore",
    "Summary",
    "average_precision",
    "background_noticed",
    "compare",
    "plane_answer",
    "pool_small",
    "score_image",
    "session_answer",
    "summarise",
]
