"""Corrections: a question with further points goes on from the answer that is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..predict.session import replace_mask
from ..types import Prediction, PredictRequest, Prompts


def going_on(fresh: PredictRequest, answer: Prediction, rank: int) -> PredictRequest:
    """Return the request that goes on from an answer if it is about the same object.

    Parameters
    ----------
    fresh : PredictRequest
        Knows nothing of the answer; it is returned as it is for another object.
    answer : Prediction
    rank : int
        Of the mask that was shown; see `ranked`.

    Returns
    -------
    PredictRequest with the window of the answer and its logits as mask input
    """
    asked = answer.request
    if asked is None or not _extends(fresh.prompts, asked.prompts):
        return fresh
    if replace(asked.key, window=None) != fresh.key:
        return fresh
    if asked.contrast_limits != fresh.contrast_limits:
        return fresh
    logits = answer.low_res_logits[ranked(answer, rank)]
    return replace(fresh, key=asked.key, prompts=replace_mask(fresh.prompts, logits))


def ranked(answer: Prediction, rank: int) -> int:
    """Return the index of the mask at a rank, the highest predicted IoU first."""
    order = np.argsort(-answer.iou_predictions, kind="stable")
    return int(order[min(rank, len(order) - 1)])


def _extends(new: Prompts, old: Prompts) -> bool:
    """Tell whether `new` is `old` with further points."""
    same_box = (new.box is None) == (old.box is None) and (
        new.box is None or old.box is None or np.array_equal(new.box, old.box)
    )
    before, after = _points(old), _points(new)
    return same_box and before < after and not (new.box is None and not before)


def _points(prompts: Prompts) -> set[tuple[float, float, int]]:
    pairs = zip(prompts.point_coords, prompts.point_labels, strict=True)
    return {(float(x), float(y), int(label)) for (x, y), label in pairs}
