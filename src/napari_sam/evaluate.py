"""How good the answers are: IoU against clicks and boxes, per source, on labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .masks import box_of, iou, middle_of, worst_click
from .predictor import SamPredictor
from .session import Session
from .types import Prediction, PredictRequest, Prompts, SliceKey

MIN_PIXELS = 12
"""Objects of fewer pixels are not scored."""

Answer = Callable[[Sequence[Prompts]], list[Prediction]]
"""Answers the prompts of several objects of one plane."""


@dataclass(frozen=True)
class ObjectScore:
    """What one object got.

    Attributes
    ----------
    source, name : str
        Of the image.
    label, area : int
        The object and its pixels.
    clicks : tuple of float
        IoU after 1, 2, ... clicks, of the mask that the model itself ranks first.
    oracle : float
        IoU of the best of the masks after one click.
    box : float
        IoU from the tight box.
    ellipse : float
        IoU of the ellipse inscribed in the box, which never looks at the image.
    predicted : float
        Predicted IoU after one click, of the mask ranked first.
    """

    source: str
    name: str
    label: int
    area: int
    clicks: tuple[float, ...]
    oracle: float
    box: float
    ellipse: float
    predicted: float


@dataclass(frozen=True)
class Summary:
    """Means over the objects of one source.

    Attributes
    ----------
    source : str
    objects : int
    clicks : tuple of float
        Mean IoU after 1, 2, ... clicks.
    oracle, box, ellipse : float
        Means, see `ObjectScore`.
    calibration : float
        Mean absolute difference of predicted and true IoU after one click.
    """

    source: str
    objects: int
    clicks: tuple[float, ...]
    oracle: float
    box: float
    ellipse: float
    calibration: float


def plane_answer(predictor: SamPredictor, plane: NDArray[np.generic]) -> Answer:
    """Return what answers prompts on one embedding of the whole plane."""
    embedding = predictor.encode(plane)
    return lambda prompts: predictor.predict_many(embedding, prompts)


def session_answer(session: Session, plane: NDArray[np.generic]) -> Answer:
    """Return what answers prompts through a session, which may look closer."""
    key = SliceKey((0, 1))

    def answer(prompts: Sequence[Prompts]) -> list[Prediction]:
        return [session.predict(PredictRequest(key, plane, None, p)) for p in prompts]

    return answer


def score_image(
    answer: Answer,
    labels: NDArray[np.integer],
    source: str = "",
    name: str = "",
    clicks: int = 1,
    limit: int | None = None,
) -> Iterator[ObjectScore]:
    """Prompt every object of a labelled plane as a person would.

    The first click lies in the middle of the object, each further one in the middle of the
    deepest error, with the earlier logits as mask input.

    Parameters
    ----------
    answer : Answer
        Made by `plane_answer` or `session_answer`.
    labels : (H, W) int
        0 is background.
    source, name : str
        Copied into the scores.
    clicks : int
        How many clicks to give.
    limit : int, optional
        Score at most so many objects, spread evenly over the labels.

    Yields
    ------
    ObjectScore
    """
    ids, counts = np.unique(labels, return_counts=True)
    chosen = [int(k) for k, n in zip(ids, counts, strict=True) if k and n >= MIN_PIXELS]
    if limit is not None and len(chosen) > limit:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, limit).astype(int)]
    if not chosen:
        return
    truths = [labels == k for k in chosen]
    boxes = [box_of(truth) for truth in truths]
    boxed = answer([Prompts(box=box) for box in boxes])
    first = [Prompts([middle_of(truth)], [1]) for truth in truths]
    history, answers = _clicked(answer, truths, first, clicks)
    for k, truth in enumerate(truths):
        reply = answers[k]
        yield ObjectScore(
            source=source,
            name=name,
            label=chosen[k],
            area=int(truth.sum()),
            clicks=tuple(history[k]),
            oracle=max(iou(mask, truth) for mask in reply.masks),
            box=iou(boxed[k].masks[boxed[k].best], truth),
            ellipse=iou(ellipse_in(boxes[k], truth.shape), truth),
            predicted=float(reply.iou_predictions[reply.best]),
        )


def _clicked(
    answer: Answer,
    truths: Sequence[NDArray[np.bool_]],
    prompts: list[Prompts],
    clicks: int,
) -> tuple[list[list[float]], list[Prediction]]:
    """Return the IoU of each object after each click, and the answers to the first one."""
    history: list[list[float]] = [[] for _ in truths]
    initial: list[Prediction] = []
    for turn in range(clicks):
        replies = answer(prompts)
        initial = initial or replies
        for k, (reply, truth) in enumerate(zip(replies, truths, strict=True)):
            mask = reply.masks[reply.best]
            history[k].append(iou(mask, truth))
            click = worst_click(truth, mask) if turn + 1 < clicks else None
            if click is None:
                continue
            point, label = click
            prompts[k] = Prompts(
                [*prompts[k].point_coords, point],
                [*prompts[k].point_labels, label],
                mask_input=reply.low_res_logits[reply.best],
            )
    return history, initial


def ellipse_in(box: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the ellipse inscribed in an inclusive box (x0, y0, x1, y1) as a mask (H, W)."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    half = (box[2:] - box[:2] + 1) / 2
    middle = (box[2:] + box[:2]) / 2
    return np.asarray(((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1)


def summarise(scores: Iterable[ObjectScore]) -> list[Summary]:
    """Return the mean over the objects of each source, in order of appearance."""
    groups: dict[str, list[ObjectScore]] = {}
    for score in scores:
        groups.setdefault(score.source, []).append(score)
    return [
        Summary(
            source=source,
            objects=len(group),
            clicks=tuple(np.mean([s.clicks for s in group], axis=0).tolist()),
            oracle=float(np.mean([s.oracle for s in group])),
            box=float(np.mean([s.box for s in group])),
            ellipse=float(np.mean([s.ellipse for s in group])),
            calibration=float(np.mean([abs(s.predicted - s.clicks[0]) for s in group])),
        )
        for source, group in groups.items()
    ]
