"""Objects in work on a plane: their prompts and the model's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...objects.segmented import Outline
from ...predict.kept_masks import logits_of
from ...predict.session import Session
from ...types import Mask, Plane, Prediction, Prompts, Window
from .candidates import Candidate, best_of, candidates_of

RECENT_BYTES = 32 * 2**20
"""Of logits of recent answers; the published SAM has 0.8 MB an object."""

Said = tuple[tuple[float, ...] | None, frozenset[tuple[float, ...]]]
"""A box or the vertices of a region; points and scribbles, each with its label at the end."""


@dataclass(frozen=True, eq=False)
class ObjectInWork:
    """One object on one plane, new or opened again.

    Attributes
    ----------
    prompts : Prompts
        The user's prompts.
    asked : Prompts
        The same, with the logits of the answer that it goes on from.
    answer : Prediction or None
        None as long as it is on its way.
    chosen : int or None
        Which of the candidates is shown; None is the best one.
    kept : bool
        Whether the answer is an outline that was known before, which no prompt has changed yet:
        that of a kept object, or a propagated one.
    start : Mask or None
        The outline of that kind that the question goes on from; there are no logits of it.
    propagated : bool
        Whether the outline was found by propagation.
    before : Candidate or None
        What was shown before the last prompt.
    all_sizes : bool
        Whether part, whole and group are asked for, however much the prompts say.
    """

    prompts: Prompts
    asked: Prompts
    answer: Prediction | None = None
    chosen: int | None = None
    kept: bool = False
    start: Mask | None = None
    propagated: bool = False
    before: Candidate | None = None
    all_sizes: bool = False

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The outlines to choose from; none as long as there is no answer."""
        if self.answer is None:
            return ()
        return candidates_of(self.answer, self.prompts, self.before)

    @cached_property
    def best(self) -> int:
        """Index of the candidate that is shown unless the user chooses."""
        return best_of(self.candidates, self.prompts)

    @property
    def shown(self) -> int:
        """Index of the candidate that is shown."""
        return self.best if self.chosen is None else self.chosen

    @property
    def candidate(self) -> Candidate | None:
        """The candidate that is shown."""
        return self.candidates[self.shown] if self.candidates else None

    def choosing(self, index: int) -> ObjectInWork:
        """Return the object with another candidate shown."""
        return replace(self, chosen=index)

    @property
    def several_sizes(self) -> bool:
        """Whether the answer offers several sizes, as one to a single click does."""
        many = self.answer is not None and len(self.answer.masks) > 1
        return many and self.asked.ambiguous and not self.start

    @cached_property
    def said(self) -> Said:
        """What was said, to be compared."""
        prompts = self.prompts
        pairs = zip(prompts.point_coords, prompts.point_labels, strict=True)
        points: set[tuple[float, ...]]
        points = {(float(x), float(y), float(label)) for (x, y), label in pairs}
        points |= {(*one.path.ravel().tolist(), one.label) for one in prompts.strokes}
        drawn = prompts.box if prompts.region is None else prompts.region.ravel()
        return None if drawn is None else tuple(drawn.tolist()), frozenset(points)

    @property
    def mask(self) -> Mask | None:
        """The mask that is shown."""
        return None if self.candidate is None else self.candidate.mask


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of one plane; those objects have an answer already that did not change.

    Attributes
    ----------
    plane : Plane
    objects : mapping of int to ObjectInWork
    view : (x0, y0, x1, y1) int, end exclusive, or None
        The part of the plane that is on screen; see `Session.predict_many`.
    """

    plane: Plane
    objects: Mapping[int, ObjectInWork]
    view: Window | None = None

    @property
    def open(self) -> dict[int, ObjectInWork]:
        """The objects that wait for an answer."""
        return {k: one for k, one in self.objects.items() if one.answer is None}

    @property
    def nbytes(self) -> int:
        """Bytes of the logits of the answers, and of what was shown before them."""
        return _nbytes(self.objects.values())

    def ask(self, session: Session) -> dict[int, Prediction]:
        """Return answers to the objects that wait for one; for workers."""
        answers: dict[int, Prediction] = {}
        for all_sizes, many in ((False, None), (True, True)):
            some = {k: one for k, one in self.open.items() if one.all_sizes == all_sizes}
            asked = [_asked(one, session, self.plane) for one in some.values()]
            found = session.predict_many(self.plane, asked, many, self.view) if asked else []
            answers.update(zip(some, found, strict=True))
        return answers

    def answered(
        self,
        answers: Mapping[int, Prediction],
        first: Callable[[Prediction], int] = lambda answer: answer.best,
    ) -> Question:
        """Return the question with answers to some of its objects, by number.

        Parameters
        ----------
        answers : mapping of int to Prediction
        first : callable
            Returns which mask is shown first where an answer offers several sizes.
        """
        objects = dict(self.objects)
        for number, answer in answers.items():
            if number in objects:
                one = replace(objects[number], answer=answer)
                objects[number] = replace(one, chosen=first(answer)) if one.several_sizes else one
        return replace(self, objects=objects)

    def asks_as(self, other: Question | None) -> bool:
        """Tell whether another question says the same of the same plane."""
        if other is None or not self.plane.same_as(other.plane):
            return False
        mine, theirs = ({k: one.said for k, one in q.objects.items()} for q in (self, other))
        return mine == theirs


def as_kept(outline: Outline, propagated: bool = False) -> ObjectInWork:
    """Return an object as it is known in a plane, before a prompt changes it."""
    prompts = Prompts() if outline.prompts is None else outline.prompts
    height, width = outline.mask.size
    answer = Prediction(
        (outline.mask,),
        np.array([outline.score], np.float32),
        np.zeros((1, 0, 0), np.float32),  # made of the mask where they are needed
        (0.0, 0.0, float(width), float(height)),
    )
    return ObjectInWork(prompts, prompts, answer, kept=True, propagated=propagated)


def _asked(one: ObjectInWork, session: Session, plane: Plane) -> Prompts:
    """Return what the model is asked about an object."""
    if not one.start:
        return one.asked
    model = session.predictor.model
    logits = logits_of(one.start, model, one.prompts, plane.spacing, session.closer_look)
    return one.asked.with_mask(logits)


def gone_on(prompts: Prompts, before: ObjectInWork | None) -> ObjectInWork:
    """Return an object with new prompts.

    Where they are those of before, it stays as it is; where they only add points, the question
    goes on from the mask that is shown; else it begins afresh. It does so, too, where a box is
    drawn about a propagated outline, or one that reaches out of the box: the box says it all, and
    the outline would hold the answer back.
    """
    fresh = ObjectInWork(prompts, prompts)
    if before is None or before.answer is None:
        return fresh
    old, new = before.said, fresh.said
    if old == new:
        return before
    same_box = old[0] == new[0]
    boxed = old[0] is None and before.kept and _agrees(prompts, before)
    something = old[0] is not None or bool(old[1]) or before.kept
    if (same_box or boxed) and something and old[1] <= new[1]:
        shown = before.candidate
        if before.kept or shown is None:
            return ObjectInWork(prompts, prompts, start=before.mask)
        return ObjectInWork(prompts, prompts.with_mask(shown.logits), before=shown)
    return fresh


def _agrees(prompts: Prompts, before: ObjectInWork) -> bool:
    """Tell whether a box about an outline that was kept may go on from it."""
    box, mask = prompts.box, before.mask
    if box is None or not mask or before.propagated:
        return False
    return bool(np.all(mask.box[:2] >= box[:2] - 1) and np.all(mask.box[2:] <= box[2:] + 1))


class RecentAnswers:
    """The newest answers on all planes: what was said before need not be asked again.

    So a plane that is shown again, and a change that is taken back, have the mask that they had,
    with the candidate that the user chose.

    Parameters
    ----------
    limit : int
        Bytes of logits that are kept.
    """

    def __init__(self, limit: int = RECENT_BYTES) -> None:
        self.limit = limit
        self._kept: list[tuple[Plane, ObjectInWork]] = []  # the newest last

    def find(self, plane: Plane, prompts: Prompts) -> ObjectInWork | None:
        """Return the object of which the same was said on the same plane; None if there is none."""
        said = ObjectInWork(prompts, prompts).said
        for other, one in reversed(self._kept):
            if one.said == said and other.same_as(plane):
                return one
        return None

    def age(self, plane: Plane, prompts: Prompts) -> int:
        """Return how many answers were older than that to prompts; -1 if there is none."""
        one = self.find(plane, prompts)
        return next((k for k, (_, other) in enumerate(self._kept) if other is one), -1)

    def keep(self, question: Question) -> None:
        """Keep the answers of a question."""
        for one in question.objects.values():
            if one.answer is None or one.kept:
                continue
            same = self.find(question.plane, one.prompts)
            self._kept = [pair for pair in self._kept if pair[1] is not same]
            self._kept.append((question.plane, one))
        while len(self._kept) > 1 and _nbytes(one for _, one in self._kept) > self.limit:
            del self._kept[0]

    def clear(self) -> None:
        """Forget all: the model would answer otherwise now."""
        self._kept.clear()


def _nbytes(objects: Iterable[ObjectInWork]) -> int:
    """Return the bytes of the logits that objects keep in memory; they may share an answer."""
    answers: dict[int, Prediction] = {}
    for one in objects:
        before = None if one.before is None else one.before.answer
        answers |= {id(answer): answer for answer in (one.answer, before) if answer is not None}
    return sum(answer.low_res_logits.nbytes for answer in answers.values())
