"""How likely it is that an object is wrong: flags with reasons, and a risk to sort by.

Each criterion turns a value into a severity: 0 up to `good`, 1 from `bad` on, straight between. A
criterion whose severity reaches `FLAGGED` is a flag. The risk is 1 - product of (1 - weight *
severity) over all criteria: the chance that at least one of independent warnings is right, where
the weight is that of a warning alone. So several small doubts add up, and one strong doubt is
never averaged away.

The limits and weights of scores, stability and size were chosen on the training images of
`benchmarks/review.py`, with the objects of everything mode; the other ones are set by hand.

Sizes are compared among objects of one class by the robust z-score of the logarithm, 0.6745 *
(x - median) / MAD (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993); 3.5 is their
limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..types import SliceKey
from .measured import Measured, Worst

FLAGGED = 0.5
"""Severity from which a criterion is a flag."""
FEW = 8
"""Sizes of fewer objects are not compared."""
LEAST_SPREAD = 0.05
"""Of the logarithms of sizes: objects that are all alike do not flag the smallest difference."""


@dataclass(frozen=True)
class Criterion:
    """What may be wrong with an object.

    Attributes
    ----------
    flag : str
        Its name in tables.
    weight : float
        The risk that it is by itself, at most.
    good, bad : float
        Values of severity 0 and 1.
    text : str
        A reason for the status line, formatted with `value`, and with `percent`, the value as a
        share.
    """

    flag: str
    weight: float
    good: float
    bad: float
    text: str

    def severity(self, value: float) -> float:
        """Return how bad a value is, from 0 to 1."""
        return min(max((value - self.good) / (self.bad - self.good), 0.0), 1.0)


CRITERIA: Mapping[str, Criterion] = {
    "check": Criterion("to check", 0.9, 0.0, 1.0, "marked to be checked"),
    "agreement": Criterion("jump", 0.8, 0.8, 0.2, "jump{planes} (IoU {value:.2f})"),
    "score": Criterion("low score", 0.7, 0.95, 0.45, "low score (predicted IoU {value:.2f})"),
    "gap": Criterion("gap", 0.7, 0.0, 1.0, "gap{planes}"),
    "hidden": Criterion("hidden", 0.6, 0.05, 0.45, "{percent:.0f} % of it belongs to others"),
    "size": Criterion("size", 0.3, 2.5, 4.5, "very {size} for its class (z {value:.1f})"),
    "stability": Criterion("unstable", 0.3, 0.95, 0.45, "unstable (stability {value:.2f})"),
    "pieces": Criterion(
        "pieces", 0.4, 0.0, 0.02, "several pieces ({percent:.1f} % lies outside the largest)"
    ),
    "painted": Criterion("painted", 0.3, 0.02, 0.22, "{percent:.0f} % was painted or erased since"),
    "holes": Criterion("holes", 0.3, 0.0, 0.02, "holes ({percent:.1f} % of its area)"),
    "border": Criterion("border", 0.1, 0.0, 1.0, "touches the border"),
}
"""By the names of `Measured.worst`; "check" and "size" are added here."""


@dataclass(frozen=True)
class Flag:
    """One reason to look at an object.

    Attributes
    ----------
    name : str
        Of the criterion in tables.
    text : str
        In words, with the value.
    risk : float
        What it adds by itself.
    key : SliceKey or None
        The plane to look at.
    """

    name: str
    text: str
    risk: float
    key: SliceKey | None


@dataclass(frozen=True, eq=False)
class Assessed:
    """An object with its size among others, and what may be wrong with it.

    Attributes
    ----------
    measured : Measured
    size : float
        Area or volume, in the unit of the spacing.
    sides : int
        2 for an area, 3 for a volume.
    flags : tuple of Flag
        The riskiest first.
    risk : float
        From 0 to 1.
    """

    measured: Measured
    size: float
    sides: int
    flags: tuple[Flag, ...]
    risk: float

    @property
    def key(self) -> SliceKey | None:
        """The plane to look at first; None if the object has no pixel."""
        flagged = (flag.key for flag in self.flags if flag.key is not None)
        return next(flagged, self.measured.largest)


def assessed(found: Sequence[Measured], spacing: tuple[float, ...]) -> list[Assessed]:
    """Compare measured objects with each other, and say what may be wrong with each.

    Parameters
    ----------
    found : sequence of Measured
        All objects of some labels.
    spacing : tuple of float
        Size of a pixel along each axis of the array.

    Returns
    -------
    list of Assessed
    """
    sizes = [one.size(spacing) for one in found]
    groups = [(one.one.category, sides) for one, (_, sides) in zip(found, sizes, strict=True)]
    scores = size_scores([size for size, _ in sizes], groups)
    return [
        _assessed(one, size, sides, z)
        for one, (size, sides), z in zip(found, sizes, scores, strict=True)
    ]


def size_scores(sizes: Sequence[float], groups: Iterable[object]) -> list[float]:
    """Return the robust z-score of the logarithm of each size in its group; 0 in a small one.

    Parameters
    ----------
    sizes : sequence of float
        Those of 0 have a score of 0.
    groups : iterable of hashable
        One for each size.
    """
    places: dict[object, list[int]] = {}
    for place, group in enumerate(groups):
        if sizes[place] > 0:
            places.setdefault(group, []).append(place)
    scores = np.zeros(len(sizes))
    for members in places.values():
        if len(members) >= FEW:
            scores[members] = _robust_scores(np.log([sizes[k] for k in members]))
    return [float(score) for score in scores]


def _robust_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    away = values - np.median(values)
    spread = max(float(np.median(np.abs(away))), LEAST_SPREAD)
    return np.asarray(0.6745 * away / spread)


def _assessed(one: Measured, size: float, sides: int, z: float) -> Assessed:
    flags, safe = [], 1.0
    worst = dict(one.worst)
    if one.largest is not None:
        worst["size"] = Worst(abs(z), one.largest)
        if one.one.status == "to check":
            worst["check"] = Worst(1.0, one.largest)
    for name, criterion in CRITERIA.items():
        found = worst.get(name)
        severity = 0.0 if found is None else criterion.severity(found.value)
        safe *= 1 - criterion.weight * severity
        if found is not None and severity >= FLAGGED:
            text = criterion.text.format(
                value=found.value,
                percent=100 * found.value,
                planes=_planes_text(one.axis, found),
                size="large" if z > 0 else "small",
            )
            key = None if name == "check" else found.key  # any other reason says where to look
            flags.append(Flag(criterion.flag, text, criterion.weight * severity, key))
    flags.sort(key=lambda flag: -flag.risk)
    return Assessed(one, size, sides, tuple(flags), 1 - safe)


def _planes_text(axis: int | None, found: Worst) -> str:
    if axis is None or found.before is None:
        return ""
    return f" between planes {dict(found.before.fixed)[axis]} and {dict(found.key.fixed)[axis]}"
