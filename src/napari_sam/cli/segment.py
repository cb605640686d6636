"""`napari-sam segment`: the objects that prompts name, in their planes or followed from there."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..formats.label_images import check_label_target
from ..formats.label_result import LabelResult, label_result
from ..formats.prompt_files.contract import FilePrompt
from ..images.readers import StackImage
from ..models.registry import check_name
from ..predict.predictor import SamPredictor
from ..predict.prompt_kinds import PROMPT_KINDS
from ..predict.session import Session
from ..stack.propagate import MEMORY, FoundPlane, propagate, propagator_of
from ..stack.small import advice
from ..stack.volumes import Place, StackFrame
from ..types import Limits, Mask, Plane, Progress, Prompts, SliceKey
from .commands import (
    Say,
    channels_note,
    load,
    provenance,
    read_input,
    read_used_channels,
    summary,
)
from .endings import TerminatedError
from .prompt_file import FileAnswers, answer_file, place_of, read_file_prompts
from .prompt_text import Planes, read_axis, read_planes, read_prompts, read_window, spacing_of

SESSION_BYTES = 200_000_000
"""Embeddings that are kept while objects are followed; far more planes than are looked at again."""


class Answer(NamedTuple):
    """An object as the model sees it in the plane of its prompts.

    Attributes
    ----------
    number : int
        Its label.
    place : int, tuple of int, or None in a 2-D image
        Of the plane.
    mask : Mask
    score : float
    present : bool
        Whether the model sees it at all.
    """

    number: int
    place: Place | None
    mask: Mask
    score: float
    present: bool


@dataclass
class Extent:
    """How far an object was followed along the axis.

    Attributes
    ----------
    first, last : int
        The outermost planes in which it has been found.
    doubtful : (int, float) or None
        The plane whose answer is least certain, and its score; None if it was followed into none.
    """

    first: int
    last: int
    doubtful: tuple[int, float] | None = None

    def add(self, place: int, score: float) -> None:
        """Note a plane in which it was found."""
        self.first, self.last = min(self.first, place), max(self.last, place)
        if self.doubtful is None or score < self.doubtful[1]:
            self.doubtful = place, round(score, 4)


@dataclass(frozen=True)
class ImagePlanes:
    """The planes of an image, as they are looked at.

    Attributes
    ----------
    image : StackImage
    frame : StackFrame or None
        None for a single plane.
    channels : tuple of int or None
    contrast : (low, high) float or None
    """

    image: StackImage
    frame: StackFrame | None
    channels: tuple[int, ...] | None
    contrast: Limits | None = None

    def key(self, place: Place | None) -> SliceKey:
        """Return the key of the plane at a place."""
        if self.frame is None or place is None:
            return SliceKey((0, 1))
        places = place if isinstance(place, tuple) else (place,)
        axes = (axis for axis, _ in self.frame.key.fixed)
        return SliceKey(self.frame.key.displayed, tuple(zip(axes, places, strict=True)))

    def plane(self, place: Place | None) -> Plane:
        """Return the plane at a place; pixels that are not square are resampled for the model."""
        key = self.key(place)
        rows, columns = spacing_of(self.image, key.displayed)
        spacing = rows, columns
        return Plane(self.image.data, key, self.contrast, channels=self.channels, spacing=spacing)

    def along(self, place: Place) -> tuple[int, tuple[Place, ...]]:
        """Return the position of a place along the axis, and all places of its stack."""
        frame = self.frame
        if frame is None or not isinstance(place, tuple):
            number = place if isinstance(place, int) else 0
            return number, tuple(range(0 if frame is None else frame.shape[frame.axis]))
        at = [axis for axis, _ in frame.key.fixed].index(frame.axis)
        numbers = range(frame.shape[frame.axis])
        return place[at], tuple((*place[:at], number, *place[at + 1 :]) for number in numbers)


def segment(args: Namespace, say: Say) -> str:
    """Segment the objects that points and boxes name; return a summary as JSON."""
    check_name(args.model)
    image = read_input(args, say)
    dimensions = len(image.label_axes)
    check_label_target(args.output, args.image, args.overwrite, dimensions, image.scan)
    given = {name: getattr(args, name) for name in PROMPT_KINDS}
    frame = read_axis(args.axis, image)
    of_file = read_file_prompts(args, image, say)
    typed = any(given.values()) or not of_file
    prompts = read_prompts(image, given, frame, args.one_object) if typed else {}
    only = _read_only(args, image, frame)
    channels = read_used_channels(args, image, say)
    contrast = read_window(args.window, image)
    model = load(args, say)
    propagator = propagator_of(model, args.propagator)
    predictor = SamPredictor(model, tidy_masks=False if args.untidy else None)
    session = Session(predictor, max_bytes=SESSION_BYTES)
    planes = ImagePlanes(image, frame, channels, contrast)
    follow = partial(propagate, session, only=only, propagator=propagator)
    ended: BaseException | None = None
    extents: dict[int, Extent] = {}
    with label_result(args.output, image, args.image, args.overwrite) as result:
        answers, records = _painted(session, planes, prompts, of_file, args, result, say)
        painted = {
            one.number for one in answers if _has_pixel(result.labels, planes.key(one.place), one)
        }
        if args.propagate:
            advise = partial(advice, model) if propagator == MEMORY else None
            ended = _follow(follow, advise, planes, answers, result.labels, extents, say)
            if ended is not None and not args.keep_partial:
                raise ended
        note = _note(args, given, records, propagator) | channels_note(channels)
        result.provenance = provenance(args, model, complete=ended is None, **note)
    if ended is not None:
        say(f"the labels of the planes that are done are in {args.output}", keep=True)
        raise ended
    more = {**_told(answers, painted, say), **channels_note(channels)}
    if records:
        more["prompts"] = records
    if args.propagate:
        more["planes"] = {number: [one.first, one.last] for number, one in extents.items()}
        more["doubtful"] = {
            number: list(one.doubtful) for number, one in extents.items() if one.doubtful
        }
    return summary(args, result, model, **more)


def _note(
    args: Namespace, given: dict[str, Any], records: list[dict[str, Any]], propagator: str
) -> dict[str, Any]:
    """Return what was asked for, as it is kept with the labels."""
    note: dict[str, Any] = {"prompts": given, "axis": args.axis, "window": args.window}
    if records:
        note["prompt_file"] = records
    if args.propagate:
        note |= {"propagate": True, "slices": args.slices, "one_object": args.one_object}
        note["propagator"] = propagator
    return note


def _painted(
    session: Session,
    planes: ImagePlanes,
    prompts: Mapping[Place | None, list[Prompts]],
    of_file: Sequence[FilePrompt],
    args: Namespace,
    result: LabelResult,
    say: Say,
) -> tuple[list[Answer], list[dict[str, Any]]]:
    """Ask for all objects and paint them; those of a file come last, with a record of each."""
    answers = _answers(session, planes, prompts, args.one_object, say)
    for answer in answers:
        _paint(result.labels, planes.key(answer.place).index, {answer.number: answer.mask})
    if not of_file:
        return answers, []
    first = len(answers) + 1
    found = answer_file(session, of_file, planes.plane, result.labels, first, say)
    result.objects = found.objects
    return [*answers, *_of_file(found, result.labels)], found.records


def _told(answers: list[Answer], painted: set[int], say: Say) -> dict[str, Any]:
    """Say which objects have no pixel; return what there is to say of the answers."""
    absent = [one.number for one in answers if not one.present]
    empty = sorted({one.number for one in answers} - painted - {*absent})
    for number in empty:
        say(f"object {number} has no pixel: earlier objects cover it or its mask is empty", True)
    return {"scores": [one.score for one in answers], "absent": absent, "empty": empty}


def _read_only(args: Namespace, image: StackImage, frame: StackFrame | None) -> Planes | None:
    """Return the planes that objects are followed into; None if they are not followed."""
    if args.propagate and frame is None:
        raise ValueError("--propagate needs a stack, but this image is a single plane")
    if not args.propagate:
        for name in ("slices", "one_object", "propagator"):
            if getattr(args, name):
                raise ValueError(f"--{name.replace('_', '-')} goes together with --propagate")
        return None
    return read_planes(args.slices, image, frame)


def _answers(
    session: Session,
    planes: ImagePlanes,
    prompts: Mapping[Place | None, list[Prompts]],
    one_object: bool,
    say: Say,
) -> list[Answer]:
    """Ask for each object in the plane of its prompts."""
    total = sum(map(len, prompts.values()))
    answers: list[Answer] = []
    for place, objects in prompts.items():
        say(f"object {len(answers) + 1} of {total}")
        for found in session.predict_many(planes.plane(place), objects):
            number = 1 if one_object else len(answers) + 1
            score = round(float(found.iou_predictions[found.best]), 4)
            answers.append(Answer(number, place, found.masks[found.best], score, found.present))
    return answers


def _of_file(found: FileAnswers, labels: Any) -> list[Answer]:
    """Paint the objects of a file, the best first, and return them."""
    answers = []
    for one in found.answers:
        if one.outcome != "object":
            continue
        number, key = one.seed.number, one.plane.key
        _paint(labels, key.index, {number: one.mask})
        place = place_of(tuple(at for _, at in key.fixed))
        answers.append(Answer(number, place, one.mask, round(one.score, 4), True))
    return sorted(answers, key=lambda answer: answer.number)


def _follow(
    follow: Callable[..., Iterable[Progress | FoundPlane]],
    advise: Callable[..., str] | None,
    planes: ImagePlanes,
    answers: list[Answer],
    labels: Any,
    extents: dict[int, Extent],
    say: Say,
) -> BaseException | None:
    """Follow objects through their stacks; return what interrupted it, so that labels are kept."""
    stacks: dict[tuple[Place, ...], dict[int, dict[int, Mask]]] = {}
    for one in answers:
        if one.place is not None and one.present and one.mask.area:
            place, places = planes.along(one.place)
            stacks.setdefault(places, {}).setdefault(one.number, {})[place] = one.mask
            extents.setdefault(one.number, Extent(place, place)).add(place, one.score)
    try:
        for places, keyframes in stacks.items():
            stack = [planes.plane(place) for place in places]
            text = "" if advise is None else advise(stack[0], keyframes)
            if text:
                say(text, keep=True)
            for step in follow(stack, keyframes):
                if isinstance(step, Progress):
                    say(step.text)
                else:
                    _write(labels, stack[step.place].key, step, extents)
    except (KeyboardInterrupt, TerminatedError, ValueError, OSError, MemoryError) as error:
        return error
    return None


def _write(labels: Any, key: SliceKey, step: FoundPlane, extents: dict[int, Extent]) -> None:
    """Write what was found in a plane, and note how far the objects go."""
    _paint(labels, key.index, {number: one.mask for number, one in step.found.items()})
    for number, one in step.found.items():
        if one.mask.area:
            extents[number].add(step.place, one.score)


def _paint(labels: Any, index: tuple[Any, ...], masks: Mapping[int, Mask]) -> None:
    """Write objects into a plane, where no other object lies yet."""
    if not masks:
        return
    plane: NDArray[np.int32] = np.array(labels[index])
    for number, mask in masks.items():
        part = plane[mask.part]
        part[mask.bits & (part == 0)] = number
    labels[index] = plane


def _has_pixel(labels: Any, key: SliceKey, answer: Answer) -> bool:
    plane = np.asarray(labels[key.index])
    return bool((plane[answer.mask.part] == answer.number).any())
