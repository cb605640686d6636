"""Which prompt belongs to which object: the rule that the dock and the command line share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..types import Prompts
from .prompt_kinds import PlacedPrompt


def group_prompts(
    placed: Sequence[PlacedPrompt], outlined: Collection[int] = ()
) -> list[tuple[int, Prompts]]:
    """Sort the prompts of one plane into objects.

    A prompt with an owner belongs to that object, wherever it lies. Those without one are sorted by
    their place: every box is an object, a foreground point inside exactly one of these boxes
    belongs to it, any other to the one object without a box, and background points apply to all
    of these objects (`PromptKind.scope`).

    Parameters
    ----------
    placed : sequence of PlacedPrompt
    outlined : collection of int
        Numbers of objects that have an outline already.

    Returns
    -------
    list of (number, Prompts), by number
        Owners keep theirs; objects without an owner get higher ones, in the order of their boxes,
        the object without a box last.

    Raises
    ------
    ValueError
        If a box is inverted, or an object has two, or background points alone: only objects with
        an outline, among them all with a negative number, can do with these.
    """
    owned: dict[int, list[PlacedPrompt]] = {}
    for one in placed:
        if one.owner is not None:
            owned.setdefault(one.owner, []).append(one)
    following = max([0, *owned]) + 1
    free = _by_place([one for one in placed if one.owner is None])
    groups = [*sorted(owned.items()), *enumerate(free, following)]
    return [
        (number, _together(group, number < 0 or number in outlined)) for number, group in groups
    ]


def owner_of(point_xy: ArrayLike, boxes: Mapping[int, ArrayLike]) -> int | None:
    """Return the number of the box that alone contains a point.

    Parameters
    ----------
    point_xy : (2,) float, (x, y) in pixels of the plane
        Or several, (N, 2), that all have to lie inside.
    boxes : mapping of number to (x0, y0, x1, y1) float
        Their edges belong to them.

    Returns
    -------
    int, or None if no box contains it, or several do
    """
    points = np.reshape(point_xy, (-1, 2))
    around = [number for number, box in boxes.items() if _inside(points, box)]
    return around[0] if len(around) == 1 else None


def _inside(points: ArrayLike, box: ArrayLike) -> bool:
    corners = np.reshape(box, (2, 2))
    return bool(((points >= corners[0]) & (points <= corners[1])).all())


def _by_place(placed: Sequence[PlacedPrompt]) -> list[list[PlacedPrompt]]:
    """Sort prompts without an owner into objects."""
    objects = [[one] for one in placed if one.kind.scope == "object"]
    boxes = {k: one.box for k, [one] in enumerate(objects) if one.box is not None}
    loose: list[PlacedPrompt] = []
    for one in placed:
        if one.kind.scope == "place":
            number = owner_of(one.values, boxes)
            (loose if number is None else objects[number]).append(one)
    if loose:
        objects.append(loose)
    common = [one for one in placed if one.kind.scope == "plane"]
    if common and not objects:
        return [common]
    return [[*group, *common] for group in objects]


def _together(group: Sequence[PlacedPrompt], begun: bool) -> Prompts:
    """Return the prompts of one object: those that can begin it come first."""
    if not begun and not any(one.kind.begins for one in group):
        raise ValueError(f"{group[0].kind.plural} need an object: a foreground point or a box")
    prompts = Prompts()
    for one in sorted(group, key=lambda one: not one.kind.begins):
        prompts = one.kind.give(prompts, one.values)
    return prompts
