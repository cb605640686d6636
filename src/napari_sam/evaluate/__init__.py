"""Scores of a model on labelled images: IoU against clicks and boxes, average precision."""

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
    "ObjectScore",
    "Summary",
    "average_precision",
    "background_noticed",
    "plane_answer",
    "pool_small",
    "score_image",
    "session_answer",
    "summarise",
]
