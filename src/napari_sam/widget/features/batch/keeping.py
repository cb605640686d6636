"""Answers to the prompts of a layer become one edit: objects with their classes and scores."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

from ....formats.prompt_files.contract import SCORE
from ....objects import edits
from ....objects.classes import add_classes
from ....objects.overlap import RULES
from ....objects.segmented import Outline, SegmentedObject
from ....predict.batch import SeedAnswer
from ....types import Progress, SliceKey
from ...context import Context
from ...labels_view import LabelsView

Outlines = dict[SliceKey, Outline]
STABILITY = "stability"
"""The attribute of an object with the least stability of its outlines."""


def outlines_of(answers: Sequence[SeedAnswer], name: str, weights: str) -> dict[int, Outlines]:
    """Return the outlines of the objects that were found, by number and plane.

    Parameters
    ----------
    answers : sequence of SeedAnswer
    name, weights : str
        Of the model, and its fingerprint.
    """
    found: dict[int, Outlines] = {}
    for one in answers:
        if one.outcome == "object":
            prompts = one.seed.prompts
            outline = Outline(
                one.mask, prompts, one.candidate, one.score, "prompted", name, weights
            )
            found.setdefault(one.seed.number, {})[one.plane.key] = outline
    return found


def painted_of(answers: Sequence[SeedAnswer]) -> dict[int, SegmentedObject]:
    """Return the labels that the answers start from as objects, by label."""
    found: dict[int, Outlines] = {}
    for one in answers:
        if one.seed.label and one.seed.outline is not None:
            outline = Outline(one.seed.outline, origin="painted")
            found.setdefault(one.seed.label, {})[one.plane.key] = outline
    return {label: SegmentedObject(label, outlines) for label, outlines in found.items()}


def unchanged_since(
    view: LabelsView,
    before: Mapping[int, SegmentedObject],
    outlines: Mapping[int, Outlines],
    painted: Mapping[int, SegmentedObject],
) -> Generator[Progress, None, dict[int, Outlines]]:
    """Return the outlines of kept objects that nobody has changed, finished or deleted meanwhile.

    Parameters
    ----------
    view : LabelsView
    before : mapping of int to SegmentedObject
        The objects as they were when the run began.
    outlines : mapping of int to mapping of SliceKey to Outline
        By label.
    painted : mapping of int to SegmentedObject
        See `painted_of`. A painted label is there if a pixel of it is.

    Yields
    ------
    Progress
        Before each object.
    """
    objects, same = view.store.objects, {}
    for place, (label, some) in enumerate(outlines.items()):
        yield Progress(place, len(outlines), "objects")
        now = objects.get(label)
        if now is before.get(label) and (now is not None or _is_painted(view, painted[label])):
            same[label] = some
    return same


def _is_painted(view: LabelsView, one: SegmentedObject) -> bool:
    for key, outline in one.outlines.items():
        x0, y0, x1, y1 = outline.mask.box
        index = replace(key, window=(x0, y0, x1 + 1, y1 + 1)).index
        if (view.store.canvas.read(index) == one.label).any():
            return True
    return False


def kept_in_pieces(
    context: Context,
    view: LabelsView,
    outlines: Mapping[int, Outlines],
    classes: Mapping[int, str],
    scores: Mapping[int, float],
    stability: Mapping[int, float],
    overlap: str,
    refined: Mapping[int, SegmentedObject] | None = None,
) -> Generator[Progress, None, set[int]]:
    """Make objects of outlines, or change kept ones, as one step.

    A kept object stays as it is in planes where it gets no pixel of its new outline.

    Parameters
    ----------
    context : Context
    view : LabelsView
    outlines : mapping of int to mapping of SliceKey to Outline
        See `outlines_of`.
    classes : mapping of int to str
        Of some of them.
    scores : mapping of int to float
        What another system gave some of them; kept as an attribute.
    stability : mapping of int to float
    overlap : str
        Name of the rule that says which pixels they get.
    refined : mapping of int to SegmentedObject, optional
        Where the numbers are labels of kept objects, which change: the painted ones among them, as
        they are now. See `painted_of`.

    Yields
    ------
    Progress
        Every few milliseconds.

    Returns
    -------
    set of int
        Numbers of the objects that got a pixel.

    Raises
    ------
    ValueError, OSError
        If it cannot be written.
    """
    new = list(outlines.values()) if refined is None else []
    changed = {} if refined is None else dict(outlines)
    known = {} if refined is None else dict(refined)
    if not new and not changed:
        return set()
    view.look_again()
    edit = yield from edits.commit_in_pieces(
        view.store,
        new,
        changed,
        RULES[overlap].rule,
        found={label: one for label, one in known.items() if label not in view.store.objects},
        category=context.category,
        annotator=context.preferences.chosen.annotator,
        time=time.time(),
        keep_covered=True,
    )
    numbers = {id(one): number for number, some in outlines.items() for one in some.values()}
    objects = {}
    for label, (before, after) in edit.objects.items():
        outlined = () if after is None else after.outlines.values()
        named = next((n for one in outlined if (n := numbers.get(id(one)))), None)
        if after is not None and named is not None:
            facts = classes.get(named), scores.get(named), stability[named]
            objects[label] = before, _with_facts(after, *facts)
        yield Progress(len(objects), len(edit.objects), "objects")
    if not objects:
        return set()
    edit = replace(edit, objects=objects)
    added = add_classes(view.store, [name for name in classes.values() if name])
    edit = replace(edit, properties={**edit.properties, **added.properties})
    yield from context.recording.keep_outlines(edit)
    yield from view.make_or_join(edit, None)
    return {
        number
        for _, after in objects.values()
        for one in after.outlines.values()
        if (number := numbers.get(id(one)))
    }


def _with_facts(
    one: SegmentedObject, category: str | None, score: float | None, stability: float
) -> SegmentedObject:
    attributes = {**one.attributes, STABILITY: round(stability, 4)}
    if score is not None:
        attributes[SCORE] = score
    return replace(one, category=category or one.category, attributes=attributes)
