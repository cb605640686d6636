"""How good the answers are: IoU against clicks and boxes, AP of everything, on labelled images."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import random_generator, whole_number
from ..masks import iou, middle_of, overlap_counts, worst_click
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..types import Mask, Plane, Prediction, Prompts

MIN_PIXELS = 12
"""Objects of fewer pixels are not scored."""
JITTER = 0.1
"""How far the sides of a sloppy box lie off, as a part of the box's side."""
WANTED = 0.85
"""IoU that NoC counts the clicks to."""
LOSS = 0.05
"""A further click that costs more IoU than this is counted as harm."""
FEW = 30
"""Sources with fewer objects are pooled."""
POOLED = "sources of few objects"
THRESHOLDS = tuple(np.arange(0.5, 1.0, 0.05).round(2).tolist())
"""IoU at which an object of everything mode counts as found."""
BESIDE = 3.0
"""How far from every object a click on background lies, in pixels."""
DRAWS = 1000
"""Bootstrap samples."""

Answer = Callable[[Sequence[Prompts]], list[Prediction]]
"""Answers the prompts of several objects of one plane."""


@dataclass(frozen=True)
class ObjectScore:
    """The scores of one object.

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
    box, sloppy : float
        IoU from the tight box, and from one whose sides lie off by up to a tenth.
    ellipse : float
        IoU of the ellipse inscribed in the box, which never looks at the image.
    predicted : float
        Predicted IoU after one click, of the mask ranked first.
    present : bool
        Whether the model sees an object there after one click.
    """

    source: str
    name: str
    label: int
    area: int
    clicks: tuple[float, ...]
    oracle: float
    box: float
    sloppy: float
    ellipse: float
    predicted: float
    present: bool = True

    @property
    def noc(self) -> float:
        """Clicks that it took to reach `WANTED`; one more than were given if it was not reached."""
        reached = [k for k, value in enumerate(self.clicks, start=1) if value >= WANTED]
        return float(reached[0] if reached else len(self.clicks) + 1)

    @property
    def harm(self) -> float:
        """Share of the further clicks that cost more than `LOSS`."""
        steps = np.diff(self.clicks)
        return float((steps < -LOSS).mean()) if len(steps) else 0.0


FIGURES: dict[str, Callable[[ObjectScore], float]] = {
    "1 click": lambda s: s.clicks[0],
    "best of 3": lambda s: s.oracle,
    "all clicks": lambda s: s.clicks[-1],
    "NoC@85": lambda s: s.noc,
    "box": lambda s: s.box,
    "sloppy box": lambda s: s.sloppy,
    "ellipse": lambda s: s.ellipse,
    "harm": lambda s: s.harm,
    "predicted - true": lambda s: s.predicted - s.clicks[0],
    "off by": lambda s: abs(s.predicted - s.clicks[0]),
    "denied": lambda s: float(not s.present),
}
"""What is averaged over objects, by the name it has in tables."""


class Figure(NamedTuple):
    """A mean and the 95 % interval of a bootstrap over images."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """Means over the objects of one source.

    Attributes
    ----------
    source : str
    objects, images : int
    figures : dict of str to Figure
        By the names of `FIGURES`.
    """

    source: str
    objects: int
    images: int
    figures: dict[str, Figure]


def plane_answer(predictor: SamPredictor, plane: NDArray[np.generic]) -> Answer:
    """Return what answers prompts on one embedding of the whole plane."""
    embedding = predictor.encode(plane)
    return lambda prompts: predictor.predict_many(embedding, prompts)


def session_answer(session: Session, plane: NDArray[np.generic]) -> Answer:
    """Return what answers prompts through a session, which may look closer."""
    return partial(session.predict_many, Plane(plane))


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

    Raises
    ------
    ValueError
        If the labels are no (H, W) of integers, or a number is below 1.
    """
    labels = _label_plane(labels)
    clicks = whole_number("clicks", clicks, 1)
    limit = None if limit is None else whole_number("limit", limit, 1)
    ids, counts = np.unique(labels, return_counts=True)
    chosen = [int(k) for k, n in zip(ids, counts, strict=True) if k and n >= MIN_PIXELS]
    if limit is not None and len(chosen) > limit:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, limit).astype(int)]
    if not chosen:
        return
    truths = [Mask.of(labels == k) for k in chosen]
    boxes = [np.array(truth.box, np.float64) for truth in truths]
    sloppy = [
        _sloppy(box, labels.shape, zlib.crc32(f"{source} {name} {k}".encode()))
        for box, k in zip(boxes, chosen, strict=True)
    ]
    boxed = answer([Prompts(box=box) for box in boxes])
    loose = answer([Prompts(box=box) for box in sloppy])
    first = [Prompts([middle_of(truth)], [1]) for truth in truths]
    history, answers = _clicked(answer, truths, first, clicks)
    for k, truth in enumerate(truths):
        reply = answers[k]
        yield ObjectScore(
            source=source,
            name=name,
            label=chosen[k],
            area=truth.area,
            clicks=tuple(history[k]),
            oracle=max(iou(mask, truth) for mask in reply.masks),
            box=iou(boxed[k].masks[boxed[k].best], truth),
            sloppy=iou(loose[k].masks[loose[k].best], truth),
            ellipse=iou(ellipse_in(boxes[k], truth.size), truth),
            predicted=float(reply.iou_predictions[reply.best]),
            present=reply.present,
        )


def background_noticed(
    answer: Answer, labels: NDArray[np.integer], clicks: int = 8, seed: int = 0
) -> list[bool]:
    """Click beside all objects of a plane; return for each click whether the model reports absence.

    Parameters
    ----------
    answer : Answer
    labels : (H, W) int
        Every object is labelled.
    clicks : int
        At most so many, at places drawn from `seed`.

    Returns
    -------
    list of bool

    Raises
    ------
    ValueError
        If the labels are no (H, W) of integers, or a number is out of range.
    """
    labels = _label_plane(labels)
    clicks = whole_number("clicks", clicks, 1)
    rng = random_generator(seed)
    far = ndimage.distance_transform_edt(labels == 0) > BESIDE
    places = np.argwhere(far)[:, ::-1]
    if not len(places):
        return []
    chosen = rng.choice(places, min(clicks, len(places)), replace=False)
    return [not a.present for a in answer([Prompts([place], [1]) for place in chosen])]


def _sloppy(box: NDArray[np.float64], shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Return a box whose sides lie off by up to `JITTER` of its own, inside the plane."""
    sides = np.tile(box[2:] - box[:2] + 1, 2)
    moved = box + np.random.default_rng(seed).uniform(-JITTER, JITTER, 4) * sides
    moved = np.clip(moved, 0, np.tile([shape[1] - 1, shape[0] - 1], 2))
    return np.asarray(moved if (moved[2:] > moved[:2]).all() else box)


def _clicked(
    answer: Answer,
    truths: Sequence[Mask],
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
                mask_input=reply.logits(reply.best),
            )
    return history, initial


def ellipse_in(box: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the ellipse inscribed in an inclusive box (x0, y0, x1, y1) as a mask (H, W)."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    half = (box[2:] - box[:2] + 1) / 2
    middle = (box[2:] + box[:2]) / 2
    return np.asarray(((x - middle[0]) / half[0]) ** 2 + ((y - middle[1]) / half[1]) ** 2 <= 1)


def pool_small(scores: Sequence[ObjectScore]) -> list[ObjectScore]:
    """Return the scores with the sources of fewer than `FEW` objects under one name."""
    counts: dict[str, int] = {}
    for score in scores:
        counts[score.source] = counts.get(score.source, 0) + 1
    return [s if counts[s.source] >= FEW else replace(s, source=POOLED) for s in scores]


def summarise(scores: Iterable[ObjectScore], seed: int = 0) -> list[Summary]:
    """Return the means over the objects of each source, in order of appearance.

    The intervals are those of a bootstrap over images: objects of one image are alike.

    Parameters
    ----------
    scores : iterable of ObjectScore
    seed : int
        Of the bootstrap, from 0 up.

    Raises
    ------
    ValueError
        If the seed is no such number.
    """
    groups: dict[str, list[ObjectScore]] = {}
    for score in scores:
        groups.setdefault(score.source, []).append(score)
    rng = random_generator(seed)
    return [
        Summary(
            source,
            len(group),
            len({s.name for s in group}),
            {name: _figure(group, read, rng) for name, read in FIGURES.items()},
        )
        for source, group in groups.items()
    ]


def _figure(
    group: Sequence[ObjectScore], read: Callable[[ObjectScore], float], rng: np.random.Generator
) -> Figure:
    names = {name: k for k, name in enumerate(dict.fromkeys(s.name for s in group))}
    place = np.array([names[s.name] for s in group])
    values = np.array([read(s) for s in group])
    sums, counts = np.bincount(place, values), np.bincount(place)
    drawn = rng.integers(len(names), size=(DRAWS, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Figure(float(values.mean()), float(low), float(high))


def average_precision(
    labels: NDArray[np.integer], truth: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return TP / (TP + FP + FN) of a label image at each of `THRESHOLDS`.

    The measure of the Data Science Bowl 2018 (Caicedo et al., Nat Methods 16:1247, 2019).

    Parameters
    ----------
    labels, truth : (H, W) int
        0 is background.

    Returns
    -------
    (len(THRESHOLDS),) float64; nan where both are empty

    Raises
    ------
    ValueError
        If one is no (H, W) of integers, or they differ in size.
    """
    found, real, _, overlap = _overlaps(labels, truth)
    total = len(found) + len(real)
    if not total:
        return np.full(len(THRESHOLDS), np.nan)
    hits = np.array([(overlap > threshold).sum() for threshold in THRESHOLDS])
    return np.asarray(hits / (total - hits))


def found_objects(
    labels: NDArray[np.integer], truth: NDArray[np.integer]
) -> tuple[NDArray[np.bool_], int]:
    """Tell which objects of a plane were found, with an IoU above 0.5.

    Parameters
    ----------
    labels, truth : (H, W) int
        0 is background.

    Returns
    -------
    found : (N,) bool
        For each object of `truth`, by rising labels.
    extra : int
        Objects of `labels` that are none of `truth`.

    Raises
    ------
    ValueError
        See `average_precision`.
    """
    given, real, pairs, overlap = _overlaps(labels, truth)
    hits = pairs[overlap > THRESHOLDS[0]]
    return np.isin(real, hits[:, 1]), len(given) - len(hits)


def _overlaps(
    labels: NDArray[np.integer], truth: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the labels of both, the pairs (P, 2) of them that overlap, and their IoU (P,)."""
    found, real, counts = overlap_counts(_label_plane(labels), _label_plane(truth))
    table = counts.tocoo()
    row, column = table.coords
    overlap = table.data / (counts.sum(1)[row] + counts.sum(0)[column] - table.data)
    pairs = np.stack([found[row], real[column]], axis=1).astype(np.int64)
    objects = (pairs > 0).all(axis=1)
    overlap = np.asarray(overlap[objects], np.float64)
    return _objects(found), _objects(real), pairs[objects], overlap


def _objects(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    return labels[labels > 0].astype(np.int64)


def _label_plane(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Refuse what holds no labels of one plane."""
    array = np.asarray(labels)
    if array.ndim != 2 or array.dtype.kind not in "bui":
        raise ValueError(
            f"labels are (H, W) of integers, but these are {array.shape} of {array.dtype}"
        )
    return array
