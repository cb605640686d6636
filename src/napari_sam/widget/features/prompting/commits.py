"""Commits: the objects in work become edits of the layers that they belong to."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ....masks import stability_score
from ....models.contract import PromptableModel
from ....objects import edits
from ....objects.edit import Edit
from ....objects.overlap import RULES
from ....objects.reshape_edits import OF_THE_ANSWER
from ....objects.segmented import Outline, SegmentedObject, upright
from ....predict.batch import STABILITY_OFFSET
from ....types import Progress, SliceKey
from ...context import Context
from ...labels_view import LabelsView
from ...work.candidates import Candidate
from ...work.planes import WorkOnPlanes
from ...work.question import ObjectInWork, Question

Outlines = dict[SliceKey, Outline]


class ToCommit(NamedTuple):
    """What the objects in work have become.

    Attributes
    ----------
    outlines : mapping of int to dict of SliceKey to Outline
        By number, in upright planes.
    stability : mapping of Outline to float
        See `masks.stability_score`; of those that the model has just answered.
    """

    outlines: Mapping[int, Outlines]
    stability: Mapping[Outline, float]


class Plan(NamedTuple):
    """What is to be written of the objects in work.

    Attributes
    ----------
    edits : sequence of (LabelsView, Edit)
        One for each layer; empty if no object was changed.
    text : str
        What will have been done, for the status line.
    """

    edits: Sequence[tuple[LabelsView, Edit]]
    text: str


def outlines_to_commit(
    context: Context, work: WorkOnPlanes, questions: Sequence[Question]
) -> ToCommit:
    """Return the outlines of the objects in work that are to be written.

    Parameters
    ----------
    context : Context
    work : WorkOnPlanes
    questions : sequence of Question
        Of all planes, answered.

    Returns
    -------
    ToCommit

    Raises
    ------
    ValueError
        If a question has no answer, or no model is loaded.
    """
    session = context.session
    if session is None:
        raise ValueError(context.absence)
    found = _answered(questions, session.predictor.model)
    outlines: dict[int, Outlines] = {}
    for number, key, outline, _ in found:
        outlines.setdefault(number, {})[key] = outline
    _add_propagated(outlines, work)
    return ToCommit(outlines, {outline: stability for _, _, outline, stability in found})


def planned(
    context: Context, work: WorkOnPlanes, to_commit: ToCommit
) -> Generator[Progress, None, Plan]:
    """Plan how all objects in work are written as one step; nothing is written yet.

    New ones go to the results of the image, each under its next label; changed ones keep their
    label and their layer.

    Parameters
    ----------
    context : Context
    work : WorkOnPlanes
    to_commit : ToCommit

    Yields
    ------
    Progress
        Before each plane.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If there is nothing to be written, or it cannot be.
    OSError
        If the disk refuses it.
    """
    results, outlines = context.bench.results, to_commit.outlines
    if results is None:
        raise ValueError("there is no layer to commit to yet; try again in a moment")
    new = [planes for number, planes in sorted(outlines.items()) if number > 0]
    changed: dict[LabelsView, dict[int, Outlines]] = {}
    for number, planes in outlines.items():
        view = work.reopened.view(-number) if number < 0 else None
        if view is not None:
            changed.setdefault(view, {})[-number] = planes
    if not new and not changed:
        closed = [str(-number) for number in work.numbers() if number < 0]
        if not closed:
            raise ValueError("there is nothing to commit: no prompt lies in a plane of the image")
        return Plan([], f"object {', '.join(closed)} was not changed")
    made = []
    for view in dict.fromkeys((results, *changed)):
        mine = changed.get(view, {})
        ours = new if view is results else []
        if not mine and not ours:
            continue
        view.look_again()
        found = {label: one for label in mine if (one := work.reopened.object(label)) is not None}
        edit = yield from edits.commit_in_pieces(
            view.store,
            ours,
            mine,
            RULES[context.overlap].rule,
            found=found,
            category=context.category,
            annotator=context.preferences.chosen.annotator,
            time=time.time(),
        )
        made.append((view, _shown_first(_with_stability(edit, to_commit.stability), context)))
    text = " and ".join(edit.text for _, edit in made)
    kept = sum(len(edit.objects) for _, edit in made)
    covered = len(new) + sum(len(one) for one in changed.values()) - kept
    rest = f", {covered} covered by others" if covered else ""
    followed = sum(
        outline.origin == "propagated" and bool(outline.mask)
        for planes in outlines.values()
        for outline in planes.values()
    )
    rest += f", with {followed} propagated outlines" if followed else ""
    hidden = [view.layer.name for view, _ in made if not view.layer.visible]
    rest += f" into {hidden[0]}, which is hidden" if hidden else ""
    return Plan(made, f"{text} committed{rest} (Ctrl+Z undoes it)")


def _shown_first(edit: Edit, context: Context) -> Edit:
    """Return an edit that changes the plane shown before others.

    Where its planes cross each other, the order counts and stays.
    """
    if len({tuple(axis for axis, _ in one.fixed) for one in edit.patches}) > 1:
        return edit
    shown = context.shown()
    fixed = () if shown is None else shown.key.fixed
    return replace(edit, patches=tuple(sorted(edit.patches, key=lambda one: one.fixed != fixed)))


def _with_stability(edit: Edit, stability: Mapping[Outline, float]) -> Edit:
    """Return an edit whose objects know the least stability of their answered outlines.

    What was known may be that of an outline replaced now, and does not count then.
    """

    def known_of(old: SegmentedObject | None, one: SegmentedObject) -> SegmentedObject:
        new = {key: stability[made] for key, made in one.outlines.items() if made in stability}
        if not new:
            return one
        values, known = list(new.values()), one.attributes.get(OF_THE_ANSWER)
        replaced = old is not None and not new.keys().isdisjoint(old.outlines)
        if not replaced and len(new) < len(one.outlines) and isinstance(known, int | float):
            values.append(known)
        return replace(one, attributes={**one.attributes, OF_THE_ANSWER: round(min(values), 4)})

    changes = edit.objects.items()
    objects = {
        label: (old, None if new is None else known_of(old, new)) for label, (old, new) in changes
    }
    return replace(edit, objects=objects)


def _answered(
    questions: Sequence[Question], model: PromptableModel
) -> list[tuple[int, SliceKey, Outline, float]]:
    """Return number, upright plane, outline and stability of what the model answered."""
    found = []
    for question in questions:
        for number, one in question.objects.items():
            if one.kept:
                continue
            shown = one.candidate
            if shown is None:
                raise ValueError("the object has no answer yet; wait a moment")
            key, outline = question.plane.key, _outline(one, shown, model)
            place = upright(key)
            outline = outline if place == key else outline.turned()
            logits, threshold = shown.logits.values, model.mask_threshold
            stability = stability_score(logits, threshold, STABILITY_OFFSET)
            found.append((number, place, outline, stability))
    return found


def _add_propagated(outlines: dict[int, Outlines], work: WorkOnPlanes) -> None:
    """Add what propagation found in other planes."""
    for number in work.numbers():
        for key, outline in work.outlines(number).items():
            outlines.setdefault(number, {}).setdefault(key, outline)


def _outline(one: ObjectInWork, shown: Candidate, model: PromptableModel) -> Outline:
    """Return an object in work as it is kept."""
    name, weights = model.name, model.fingerprint
    return Outline(shown.mask, one.prompts, shown.index, shown.score, "prompted", name, weights)
