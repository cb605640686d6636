"""A model before and after training, on labelled images that it did not learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import random_generator, whole_number
from ..everything.amg import AutomaticMaskGenerator
from ..everything.amg_params import AmgParams
from ..masks import iou, middle_of, to_labels
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..types import Mask, Progress, Prompts
from .changes import MOST, Change, cut_out, most_changed
from .judged import Judged, Kin, kin_of
from .paired import Bootstrap, Difference, FoundPlane, precision_difference
from .scores import (
    MIN_PIXELS,
    Answer,
    ObjectScore,
    found_objects,
    plane_answer,
    score_image,
    session_answer,
)
from .verdict import AP50, ObjectPair, Versus, counted

if TYPE_CHECKING:
    from ..models.contract import PromptableModel

__all__ = ["Judged", "ObjectPair", "Versus", "comparing"]

Read = Callable[[ObjectScore], float]


def comparing(
    before: PromptableModel,
    after: PromptableModel,
    examples: Sequence[Judged],
    clicks: int = 8,
    everything: bool = True,
    limit: int | None = None,
    closer_look: bool = False,
    seed: int = 0,
) -> Generator[Progress, None, Versus]:
    """Score two models on the same objects, with simulated clicks and boxes.

    A model that was trained on labels of other images can still do better on such labels than
    the earlier one: it learns what an object's usual shape is, and draws that. So the later model
    is also asked where the image, but neither the click nor the label, is turned by 180 degrees.
    If that costs it nothing, it does not look at the image.

    Parameters
    ----------
    before, after : PromptableModel
    examples : sequence of Judged
        Neither model learnt from them.
    clicks : int
        How many clicks each object gets.
    everything : bool
        Whether everything mode is scored, on images that are labelled completely.
    limit : int, optional
        Score at most so many objects of each image, spread evenly over its labels. Of a stack
        those are taken first that no plane before shows.
    closer_look : bool
        Whether small objects are looked at in windows of their own, which takes longer.
    seed : int
        Of the bootstrap, from 0 up.

    Yields
    ------
    Progress
        While an image is worked on.

    Returns
    -------
    Versus

    Raises
    ------
    ValueError
        If no object is large enough to be scored, or a number is out of range.
    """
    clicks = whole_number("clicks", clicks, 1)
    rng = random_generator(seed)
    models = (SamPredictor(before), SamPredictor(after))
    objects: list[ObjectPair] = []
    planes: list[FoundPlane] = []
    changes: list[Change] = []
    total = 2 * len(examples)
    seen: Counter[int] = Counter()
    for place, (example, kin) in enumerate(zip(examples, kin_of(examples), strict=True)):
        labels = _chosen(example, kin, limit, seen)
        rgb = _as_rgb(example.image)
        answers, scores = [], []
        for side, predictor in enumerate(models):
            yield Progress(2 * place + side, total, f"comparing on {example.name}")
            answers.append(_answer(predictor, rgb, closer_look))
            scores.append(list(score_image(answers[side], labels, "", example.name, clicks)))
        if scores[0]:
            turned = _answer(models[1], np.ascontiguousarray(rgb[::-1, ::-1]), closer_look)
            found = _paired(kin, example, scores[0], scores[1], turned)
            objects += found
            changes = most_changed([*changes, *_changes(example, rgb, found, answers)])
        if everything and _is_complete(example):
            at = Progress(2 * place, total)
            planes.append((yield from _found(models, example, kin, rgb, at)))
    if not objects:
        raise ValueError(
            "no object is left to compare the models on; label more images, or hold out more"
        )
    draws = Bootstrap([one.group for one in objects], [one.track for one in objects], rng)
    precision = precision_difference(planes, AP50, rng)
    rows = _differences(draws, objects, clicks)
    return Versus(
        rows if precision is None else (*rows, precision),
        _by_class(draws, objects, clicks),
        draws.difference(
            "image turned round",
            np.array([one.turned for one in objects]),
            np.array([one.after.clicks[0] for one in objects]),
        ),
        tuple(objects),
        tuple(changes),
    )


def _figures(clicks: int) -> dict[str, tuple[Read, bool]]:
    """Return what is compared: how it is read from a score, and whether more is better."""

    def at(count: int) -> Read:
        return lambda score: score.clicks[count - 1]

    counts = [count for count in (1, 2, 4, 8) if count <= clicks]
    named = {f"{counted(count, 'click')}": (at(count), True) for count in counts}
    return {**named, "box": (lambda s: s.box, True), "NoC@85": (lambda s: s.noc, False)}


def _differences(
    draws: Bootstrap,
    objects: Sequence[ObjectPair],
    clicks: int,
    chosen: NDArray[np.bool_] | None = None,
) -> tuple[Difference, ...]:
    return tuple(
        draws.difference(
            name,
            np.array([read(one.before) for one in objects]),
            np.array([read(one.after) for one in objects]),
            rises,
            chosen,
        )
        for name, (read, rises) in _figures(clicks).items()
    )


def _by_class(
    draws: Bootstrap, objects: Sequence[ObjectPair], clicks: int
) -> dict[str, tuple[Difference, ...]]:
    kinds = np.array([one.category for one in objects], object)
    if not any(kinds):
        return {}
    return {
        name: _differences(draws, objects, clicks, np.asarray(kinds == name))
        for name in sorted(set(kinds.tolist()))
    }


def _chosen(example: Judged, kin: Kin, limit: int | None, seen: Counter[int]) -> NDArray[np.int32]:
    """Return the labels that are scored, the others being 0, and count their tracks as seen."""
    if limit is None:
        return example.labels
    ids, sizes = np.unique(example.labels, return_counts=True)
    known = [int(k) for k, n in zip(ids, sizes, strict=True) if k and n >= MIN_PIXELS]
    if not known:
        return example.labels
    evenly = np.linspace(0, len(known) - 1, min(limit, len(known))).astype(int).tolist()
    order = [known[k] for k in dict.fromkeys([*evenly, *range(len(known))])]
    order.sort(key=lambda label: seen[kin.tracks[label]])
    seen.update(kin.tracks[label] for label in order[:limit])
    return np.where(np.isin(example.labels, order[:limit]), example.labels, np.int32(0))


def _paired(
    kin: Kin,
    example: Judged,
    before: Sequence[ObjectScore],
    after: Sequence[ObjectScore],
    turned: Answer,
) -> list[ObjectPair]:
    """Return the objects of an image, and ask for them where it is turned round."""
    truths = [Mask.of(example.labels == score.label) for score in before]
    replies = turned([_click(truth) for truth in truths])
    return [
        ObjectPair(
            kin.image,
            kin.group,
            kin.tracks[one.label],
            example.classes.get(one.label, ""),
            one,
            other,
            iou(reply.masks[reply.best], truth),
        )
        for one, other, reply, truth in zip(before, after, replies, truths, strict=True)
    ]


def _changes(
    example: Judged, rgb: NDArray[np.uint8], found: Sequence[ObjectPair], answers: Sequence[Answer]
) -> list[Change]:
    """Return the objects of an image that changed most, with both answers to one click."""
    gain = np.array([one.after.clicks[0] - one.before.clicks[0] for one in found])
    order = np.argsort(gain)
    places = sorted({*order[:MOST].tolist(), *order[-MOST:].tolist()})
    chosen = [found[place] for place in places]
    truths = [Mask.of(example.labels == one.before.label) for one in chosen]
    clicks = [_click(truth) for truth in truths]
    replies = zip(*(answer(clicks) for answer in answers), strict=True)
    return [
        cut_out(
            example.name,
            one.before.label,
            (one.before.clicks[0], one.after.clicks[0]),
            rgb,
            (truth, first.masks[first.best], last.masks[last.best]),
        )
        for one, truth, (first, last) in zip(chosen, truths, replies, strict=True)
    ]


def _found(
    models: Sequence[SamPredictor],
    example: Judged,
    kin: Kin,
    rgb: NDArray[np.uint8],
    at: Progress,
) -> Generator[Progress, None, FoundPlane]:
    """Run everything mode of both models on an image."""
    hits, extra = [], []
    for predictor in models:
        params = AmgParams(**predictor.model.amg_defaults)
        generator = AutomaticMaskGenerator(predictor, params)
        candidates = yield from _placed(generator.propose(rgb), example.name, at)
        size = rgb.shape[0], rgb.shape[1]
        records = generator.select(candidates)
        labels = to_labels(records, size, params.min_mask_region_area)
        found, others = found_objects(labels, example.labels)
        hits.append(found)
        extra.append(others)
    tracks = tuple(track for _, track in sorted(kin.tracks.items()))
    return FoundPlane(hits[0], hits[1], extra[0], extra[1], kin.group, tracks)


def _placed(
    steps: Generator[Progress, None, Any], name: str, at: Progress
) -> Generator[Progress, None, Any]:
    """Report the steps of everything mode as those of the comparison."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        yield Progress(at.done, at.total, f"everything on {name}: {step.text}")


def _answer(predictor: SamPredictor, rgb: NDArray[np.uint8], closer_look: bool) -> Answer:
    if closer_look:
        return session_answer(Session(predictor), rgb)
    return plane_answer(predictor, rgb)


def _as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image as colours, whose contrast is left as it is."""
    return image if image.ndim == 3 else np.stack([image] * 3, axis=-1)


def _click(truth: Mask) -> Prompts:
    return Prompts([middle_of(truth)], [1])


def _is_complete(example: Judged) -> bool:
    return example.complete is None or bool(example.complete.all())
