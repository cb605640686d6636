"""Examples divided into those that are learnt and those that are held out to judge by.

Neighbouring planes, and both sides of a cut, show nearly the same. So groups stay together, and
where there is one group only, a gap that belongs to neither part lies between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...checks import random_generator
from .examples import Example
from .series import series_of

DRAWS = 200
"""Random divisions of groups, of which the one closest to the wanted share is taken."""
GAP_PLANES = 0.05
"""Share of a stack's planes, from one plane up, that lie between the two parts."""
FEWEST_BLOCKS = 4
"""A stack of fewer planes is divided within its planes."""
GAP_PIXELS = 0.05
"""Share of a plane's longer side that lies between the two parts."""


@dataclass(frozen=True, eq=False)
class Split:
    """Examples to learn from and examples to judge by.

    Attributes
    ----------
    learn, held_out : list of Example
    sentence : str
        How they were divided.
    """

    learn: list[Example]
    held_out: list[Example]
    sentence: str


def split(examples: Sequence[Example], held_out: float = 0.25, seed: int = 0) -> Split:
    """Divide examples: by group, else by blocks of planes, else within the planes.

    Groups that share an image are one group, and so are files that are planes of one series, see
    `series.series_of`. A single stack of four planes or more is cut into two blocks of planes, and
    anything smaller along the longer side of its planes; what lies between the two parts is left
    out, with the objects that reach into it.

    Parameters
    ----------
    examples : sequence of Example
    held_out : float
        The share of the objects that is wanted in the held-out part, between 0 and 1.
    seed : int
        The same seed divides the same examples in the same way.

    Returns
    -------
    Split
        Both parts hold an object.

    Raises
    ------
    ValueError
        If too little is labelled to be divided, or a number is out of range.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"the held-out share lies between 0 and 1, but is {held_out}")
    rng = random_generator(seed)
    series = series_of(examples)
    joined = [
        replace(one, group=series[one.group][0], place=series[one.group][1])
        if one.group in series
        else one
        for one in examples
    ]
    groups = _groups(joined)
    labelled = [group for group in groups if _count(group)]
    if not labelled:
        raise ValueError("no object is labelled; label some objects first")
    stacks = len({name for name, _ in series.values()})
    which = f"{stacks} stacks" if stacks > 1 else "one stack"
    note = f"; {len(series)} numbered files are neighbouring planes of {which}" if series else ""
    if len(labelled) > 1:
        parts = _by_group(groups, held_out, rng)
        return replace(parts, sentence=parts.sentence + note)
    found = _by_blocks(labelled[0], held_out, rng) or _within(labelled[0], held_out, rng)
    if found is None:
        raise ValueError(
            f"{_count(labelled[0])} labelled objects in {labelled[0][0].family} cannot be divided "
            "into a part to learn from and a part to judge by; label objects in another image, or "
            "in other parts of this one"
        )
    rest = [one for group in groups if group is not labelled[0] for one in group]
    return Split([*found.learn, *rest], found.held_out, found.sentence + note)


def _groups(examples: Sequence[Example]) -> list[list[Example]]:
    """Return the groups in order of appearance; those that share an image are one."""
    owner: dict[str, str] = {}

    def root(name: str) -> str:
        while owner.setdefault(name, name) != name:
            name = owner[name]
        return name

    for one in examples:
        family, image = root(f"group {one.family}"), root(f"image {one.digest}")
        owner[image] = family
    groups: dict[str, list[Example]] = {}
    for one in examples:
        groups.setdefault(root(f"group {one.family}"), []).append(one)
    return list(groups.values())


def _count(examples: Sequence[Example]) -> int:
    return sum(len(one.objects) for one in examples)


def _by_group(groups: list[list[Example]], share: float, rng: np.random.Generator) -> Split:
    """Divide by group, as close to the wanted share of objects as random divisions come."""
    counts = np.array([_count(group) for group in groups])
    best: NDArray[np.bool_] = np.zeros(len(groups), bool)
    least = np.inf
    for _ in range(DRAWS):
        order = rng.permutation(len(groups))
        below = np.cumsum(counts[order])
        for size in np.searchsorted(below, share * below[-1]) + np.arange(2):
            chosen = np.isin(np.arange(len(groups)), order[:size])
            part = counts[chosen].sum() / below[-1]
            if 0 < part < 1 and abs(part - share) < least - 1e-9:
                best, least = chosen, abs(part - share)
    learn = [one for group, out in zip(groups, best, strict=True) if not out for one in group]
    held = [one for group, out in zip(groups, best, strict=True) if out for one in group]
    number = int(best.sum())
    what = "image or stack is" if number == 1 else "images or stacks are"
    return Split(learn, held, f"{number} of {len(groups)} {what} held out, {_share(learn, held)}")


def _by_blocks(group: list[Example], share: float, rng: np.random.Generator) -> Split | None:
    """Divide a stack into two blocks of planes with a gap; several stacks of a group likewise."""
    several = len({one.stack for one in group}) >= FEWEST_BLOCKS
    blocks: dict[tuple[str, int], list[Example]] = {}
    for one in group:
        blocks.setdefault((one.stack, 0 if several else one.place), []).append(one)
    if not several and len({one.stack for one in group}) > 1:
        return None
    order = list(blocks) if several else sorted(blocks)
    if len(order) < FEWEST_BLOCKS:
        return None
    if rng.random() < 0.5:
        order.reverse()
    counts = np.array([_count(blocks[key]) for key in order])
    below = np.cumsum(counts)
    cut = 1 + int(np.argmin(np.abs(below - share * below[-1])))
    first = order[:cut]
    gap = max(1, round(GAP_PLANES * len(order)))
    kept = order[cut + gap :]
    if not several:
        kept = [key for key in order[cut:] if abs(key[1] - first[-1][1]) > gap]
    held = [one for key in first for one in blocks[key]]
    learn = [one for key in kept for one in blocks[key]]
    if not _count(held) or not _count(learn):
        return None
    what = "stacks" if several else "planes"
    left = len(order) - len(first) - len(kept)
    gone = (
        f"1 {what[:-1]} between the parts is"
        if left == 1
        else f"{left} {what} between the parts are"
    )
    between = f"{gone} left out" if left else "with a gap between the parts"
    return Split(
        learn,
        held,
        f"a block of {len(first)} of {len(order)} {what} is held out, {between}, "
        f"{_share(learn, held)}",
    )


def _within(group: list[Example], share: float, rng: np.random.Generator) -> Split | None:
    """Cut all planes of a group in two at the same place, with a gap between."""
    shape = group[0].labels.shape
    if any(one.labels.shape != shape for one in group):
        return None
    at_end = rng.random() < 0.5
    longer = int(shape[1] >= shape[0])
    for axis in (longer, 1 - longer):
        gap = max(2, round(GAP_PIXELS * shape[axis]))
        cut = _cut(group, axis, share, gap, at_end)
        if cut is None:
            continue
        low, high = (0, cut), (cut + gap, shape[axis])
        pieces = [[_piece(one, axis, ends) for one in group] for ends in (low, high)]
        if at_end:
            pieces.reverse()
        held, learn = pieces
        if _count(held) and _count(learn):
            side = {(0, False): "upper", (0, True): "lower", (1, False): "left", (1, True): "right"}
            return Split(
                learn,
                held,
                f"the {side[axis, at_end]} part of the image is held out, a strip of {gap} pixels "
                f"beside it is left out, {_share(learn, held)}",
            )
    return None


def _cut(group: list[Example], axis: int, share: float, gap: int, at_end: bool) -> int | None:
    """Return where the gap begins so that the held-out side has about its share of objects.

    Only objects that do not reach into the gap count; at the best place all others are fewest.
    """
    side = group[0].labels.shape[axis]
    boxes = np.array([box for one in group for box in one.boxes.values()])
    starts, stops = boxes[:, 1 - axis], boxes[:, 3 - axis]
    first, last = np.sort(starts), np.sort(stops)
    cuts = np.arange(1, side - gap)
    if not len(cuts):
        return None
    below = np.searchsorted(last, cuts, side="right")
    above = len(first) - np.searchsorted(first, cuts + gap, side="left")
    held, learn = (above, below) if at_end else (below, above)
    usable = (held > 0) & (learn > 0)
    if not usable.any():
        return None
    total = len(first)
    lost = total - held - learn
    cost = np.abs(held / np.maximum(held + learn, 1) - share) + lost / total
    return int(cuts[np.argmin(np.where(usable, cost, np.inf))])


def _piece(one: Example, axis: int, ends: tuple[int, int]) -> Example:
    """Return the part of an example between two places of an axis, without objects cut by them."""
    height, width = one.labels.shape
    box = (0, ends[0], width, ends[1]) if axis == 0 else (ends[0], 0, ends[1], height)
    part = one.within(box, f"{one.name}, from {'row' if axis == 0 else 'column'} {ends[0]}")
    cut = [k for k, own in one.boxes.items() if own[1 - axis] < ends[0] or own[3 - axis] > ends[1]]
    return part.without([k for k in cut if k in part.boxes])


def _share(learn: Sequence[Example], held: Sequence[Example]) -> str:
    a, b = _count(learn), _count(held)
    return f"{b} of {a + b} objects"
