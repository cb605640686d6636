"""`segment --prompts FILE`: what other systems found or users looked at, an object of each."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.prompt_files.contract import SCORE, FilePrompt, PromptChoice
from ..formats.prompt_files.known import read_prompt_file
from ..images.readers import StackImage
from ..objects import SegmentedObject
from ..predict.batch import Seed, SeedAnswer, SeededPlane, answer_planes
from ..predict.session import Session
from ..stack.volumes import Place
from ..types import Plane, Progress
from .commands import Say


def add_prompt_file(parser: ArgumentParser) -> None:
    """Declare what tells of prompts in a file."""
    default = PromptChoice()
    parser.add_argument(
        "--prompts", type=Path, metavar="FILE",
        help="prompts of another system, an object each: COCO results (.json), YOLO (.txt; a "
        "folder of texts is the planes of one stack), a table (.csv), ImageJ (.roi, .zip), QuPath "
        "(.geojson)",
    )  # fmt: skip
    parser.add_argument(
        "--image-id", default="", metavar="ID",
        help="which image of COCO results this one is; by default the one of its file name",
    )  # fmt: skip
    parser.add_argument(
        "--least-score", type=float, default=default.least_score, metavar="X",
        help="leave out prompts of the file that are less sure; by default all are taken",
    )  # fmt: skip
    parser.add_argument(
        "--dwell", type=float, default=default.dwell, metavar="S",
        help=f"a gaze (a table with times) that rests for S seconds is a click "
        f"(default {default.dwell:g})",
    )  # fmt: skip
    parser.add_argument(
        "--dispersion", type=float, default=default.dispersion, metavar="PX",
        help="width and height together within which it rests, in pixels "
        f"(default {default.dispersion:g})",
    )  # fmt: skip


def read_file_prompts(args: Namespace, image: StackImage, say: Say) -> tuple[FilePrompt, ...]:
    """Return the prompts of the file that is named; none where none is.

    Raises
    ------
    ValueError
        If the file is wrong or holds none for this image, or other flags do not go with it.
    """
    if args.prompts is None:
        return ()
    for name in ("one_object", "axis"):
        if getattr(args, name):
            flag = f"--{name.replace('_', '-')}"
            raise ValueError(f"{flag} does not go with --prompts: each is an object in its plane")
    choice = PromptChoice(
        args.image.name,
        args.image_id,
        args.dwell,
        args.dispersion,
        args.least_score,
        axes=image.label_axes[:-2],
    )
    read = read_prompt_file(args.prompts, image.label_shape, choice)
    if read.notice:
        say(f"{args.prompts.name} holds {read.notice}; they are left out", keep=True)
    if not read.prompts:
        raise ValueError(f"{args.prompts} holds no prompt for {args.image.name}")
    return read.prompts


@dataclass(frozen=True, eq=False)
class FileAnswers:
    """What became of the prompts of a file.

    Attributes
    ----------
    answers : list of SeedAnswer
        The best of a plane first; their objects are those with the outcome "object".
    places : dict of SliceKey to place
    objects : dict of int to SegmentedObject
        Of the labels that were found, with class and score.
    records : list of dict
        For each object of the file, as JSON can hold it.
    """

    answers: list[SeedAnswer]
    objects: dict[int, SegmentedObject]
    records: list[dict[str, Any]]


def answer_file(
    session: Session,
    prompts: Sequence[FilePrompt],
    plane: Callable[[Place | None], Plane],
    labels: Any,
    first: int,
    say: Say,
) -> FileAnswers:
    """Ask for the objects of a file, each in its planes.

    Parameters
    ----------
    session : Session
    prompts : sequence of FilePrompt
    plane : callable
        Returns the plane at a place.
    labels : (...) int array
        With the objects that are there already.
    first : int
        The label of the object with number 1.
    say : callable
    """
    by_place: dict[tuple[int, ...], list[Seed]] = {}
    for one in prompts:
        seed = Seed(one.number + first - 1, one.prompts, one.outline)
        by_place.setdefault(one.place, []).append(seed)
    planes = []
    for place, seeds in sorted(by_place.items()):
        shown = plane(place_of(place))
        planes.append(SeededPlane(shown, seeds.copy, _taken(labels, shown)))
    answers: list[SeedAnswer] = []
    for step in answer_planes(session, planes):
        if isinstance(step, Progress):
            say(step.text)
        else:
            answers += sorted(step, key=lambda one: -one.score)
    return FileAnswers(answers, *_told(prompts, answers, first))


def place_of(place: tuple[int, ...]) -> Place | None:
    """Return a place as the command line names it: None in a plane, a number in a stack."""
    return None if not place else place if len(place) > 1 else place[0]


def _taken(labels: Any, plane: Plane) -> Callable[[], NDArray[np.integer[Any]]]:
    return lambda: np.asarray(labels[plane.key.index])


def _told(
    prompts: Sequence[FilePrompt], answers: Sequence[SeedAnswer], first: int
) -> tuple[dict[int, SegmentedObject], list[dict[str, Any]]]:
    """Return the objects that were found, and what became of each of the file."""
    best: dict[int, SeedAnswer] = {}
    for one in answers:
        known = best.get(one.seed.number)
        if known is None or (known.outcome != "object" and one.outcome == "object"):
            best[one.seed.number] = one
    objects: dict[int, SegmentedObject] = {}
    records: dict[int, dict[str, Any]] = {}
    for said in prompts:
        label = said.number + first - 1
        if label in records:
            continue
        answer = best[label]
        records[label] = {
            "label": label,
            "where": said.where,
            "class": said.category,
            "prompt_score": said.score,
            "score": round(answer.score, 4),
            "outcome": answer.outcome,
        }
        if answer.outcome == "object":
            facts: Mapping[str, Any] = {} if said.score is None else {SCORE: said.score}
            objects[label] = SegmentedObject(label, {}, said.category, attributes=facts)
    return objects, list(records.values())
