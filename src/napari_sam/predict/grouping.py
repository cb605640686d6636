"""Which point belongs to which object: the rule that the widget and the command line share."""

from __future__ import annotations

from collections.abc import Sequence

from ..types import Prompts

Point = tuple[float, float]
Box = tuple[float, float, float, float]


def group_prompts(
    foreground: Sequence[Point], background: Sequence[Point], boxes: Sequence[Box]
) -> list[Prompts]:
    """Sort the points and boxes of one plane into objects.

    Every box is an object. A foreground point inside exactly one box belongs to it, any other to
    the one object without a box; background points apply to all objects.

    Parameters
    ----------
    foreground, background : sequence of (x, y) float
    boxes : sequence of (x0, y0, x1, y1) float

    Returns
    -------
    list of Prompts
        In the order of the boxes; the object without a box comes last.

    Raises
    ------
    ValueError
        If a box is inverted, or there are background points alone.
    """
    checked = [Prompts(box=box) for box in boxes]
    owned: list[list[Point]] = [[] for _ in boxes]
    free: list[Point] = []
    for point in foreground:
        around = [k for k, box in enumerate(boxes) if _inside(point, box)]
        (owned[around[0]] if len(around) == 1 else free).append(point)
    groups = [
        _prompts(points, background, tuple(prompt.box) if prompt.box is not None else None)
        for points, prompt in zip(owned, checked, strict=True)
    ]
    if free:
        groups.append(_prompts(free, background, None))
    if background and not groups:
        raise ValueError("background points need an object: a foreground point or a box")
    return groups


def _inside(point: Point, box: Box) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _prompts(
    foreground: Sequence[Point], background: Sequence[Point], box: Sequence[float] | None
) -> Prompts:
    labels = [1] * len(foreground) + [0] * len(background)
    return Prompts([*foreground, *background], labels, box)
