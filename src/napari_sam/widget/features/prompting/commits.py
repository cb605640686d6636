"""Commits: the objects in work become edits of the layers that they belong to."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ....objects import edits
from ....objects.overlap import RULES
from ....objects.segmented import Outline, upright
from ....types import SliceKey
from ...context import Context
from ...labels_view import LabelsView
from ...work.planes import WorkOnPlanes
from ...work.question import ObjectInWork, Question

Outlines = dict[SliceKey, Outline]


def commit_all(context: Context, work: WorkOnPlanes, questions: Sequence[Question]) -> str:
    """Write all objects in work as one step.

    New ones go to the results of the image, each under its next label; changed ones keep their
    label and their layer.

    Parameters
    ----------
    context : Context
    work : WorkOnPlanes
    questions : sequence of Question
        Of all planes, answered.

    Returns
    -------
    str
        What was done, for the status line.

    Raises
    ------
    ValueError
        If nothing can be written; nothing changes then.
    OSError
        If the disk refuses it; nothing changes then.
    """
    results, session = context.bench.results, context.session
    if results is None or session is None:
        raise ValueError("there is no layer to commit to yet; try again in a moment")
    outlines = _outlines(questions, session.predictor.model.name, _hash(context))
    followed = _add_propagated(outlines, work)
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
        return f"object {', '.join(closed)} was not changed"
    made = []
    for view in dict.fromkeys((results, *changed)):
        mine = changed.get(view, {})
        ours = new if view is results else []
        if not mine and not ours:
            continue
        view.look_again()
        found = {label: one for label in mine if (one := work.reopened.object(label)) is not None}
        edit = edits.commit(
            view.store,
            ours,
            mine,
            RULES[context.overlap].rule,
            found=found,
            category=context.category,
            time=time.time(),
        )
        made.append((view, edit))
    for place, (view, edit) in enumerate(made):
        try:
            (view.join if place else view.apply)(edit)
        except (ValueError, OSError):
            if place:  # all or nothing: what the other layer has got goes again
                for target, back in context.history.steps.undo():
                    if isinstance(target, LabelsView):
                        target.walked(back.inverse(), "undone")
            raise
    text = " and ".join(edit.text for _, edit in made)
    kept = sum(len(edit.objects) for _, edit in made)
    covered = len(new) + sum(len(one) for one in changed.values()) - kept
    rest = f", {covered} covered by others" if covered else ""
    rest += followed
    hidden = [view.layer.name for view, _ in made if not view.layer.visible]
    rest += f" into {hidden[0]}, which is hidden" if hidden else ""
    return f"{text} committed{rest} (Ctrl+Z undoes it)"


def _outlines(questions: Sequence[Question], model: str, weights: str) -> dict[int, Outlines]:
    """Return what is to be written of each object in work, by number and plane."""
    outlines: dict[int, Outlines] = {}
    for question in questions:
        for number, one in question.objects.items():
            if not one.kept:
                planes = outlines.setdefault(number, {})
                key, outline = question.plane.key, _outline(one, model, weights)
                planes[upright(key)] = outline if upright(key) == key else outline.turned()
    return outlines


def _add_propagated(outlines: dict[int, Outlines], work: WorkOnPlanes) -> str:
    """Add what propagation found in other planes; says how much that is, for the status line."""
    count = 0
    for number in work.numbers():
        for key, outline in work.outlines(number).items():
            planes = outlines.setdefault(number, {})
            if key not in planes:
                planes[key] = outline
                count += bool(outline.mask)
    return f", with {count} propagated outlines" if count else ""


def _outline(one: ObjectInWork, model: str, weights: str) -> Outline:
    """Return an object in work as it is kept."""
    if one.answer is None or one.mask is None:
        raise ValueError("the object has no answer yet; wait a moment")
    score = float(one.answer.iou_predictions[one.shown])
    return Outline(one.mask, one.prompts, one.shown, score, "prompted", model, weights)


def _hash(context: Context) -> str:
    session = context.session
    return "" if session is None else session.predictor.model.fingerprint
