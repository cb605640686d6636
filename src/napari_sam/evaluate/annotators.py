"""Two annotators of one image compared: partners, what each missed, what one joins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..masks import overlap_counts
from .scores import THRESHOLDS

PARTNERS = THRESHOLDS[0]
"""IoU above which two objects are partners; an object has at most one."""
MOST = 0.5
"""Share of an object's pixels above which it lies in another one."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well two sets of objects agree.

    Attributes
    ----------
    objects_a, objects_b : int
    partners : (P, 2) int64
        Labels of a and of b whose IoU is above `PARTNERS`.
    ious : (P,) float64
        Of the partners.
    precision : (len(THRESHOLDS),) float64
        TP / (TP + FP + FN) at each of `THRESHOLDS`, the same whoever is taken as the truth.
    missed_by_a, missed_by_b : (N,) int64
        Labels of the other annotator that have no partner.
    """

    objects_a: int
    objects_b: int
    partners: Ints
    ious: NDArray[np.float64]
    precision: NDArray[np.float64]
    missed_by_a: Ints
    missed_by_b: Ints

    @property
    def mean_iou(self) -> float:
        """Mean IoU of partners; nan if there are none."""
        return float(self.ious.mean()) if len(self.ious) else float("nan")

    @property
    def mean_precision(self) -> float:
        """Mean of the average precision over all thresholds."""
        return float(self.precision.mean())


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two annotators of one image.

    Attributes
    ----------
    overall : Agreement
        Of all objects.
    joined_by_a, joined_by_b : mapping of int to tuple of int
        Objects of the annotator that hold most of two or more objects of the other one, and these.
    dice : float
        2 |A and B| / (|A| + |B|) of the pixels that belong to any object.
    same_class : float
        Share of partners that both say to be of the same class, of those that at least one gives a
        class; nan if there are none.
    classes : mapping of str to Agreement
        Of the objects of each class alone; "" is no class. Empty if no class is known.
    """

    overall: Agreement
    joined_by_a: Mapping[int, tuple[int, ...]]
    joined_by_b: Mapping[int, tuple[int, ...]]
    dice: float
    same_class: float
    classes: Mapping[str, Agreement]


@dataclass(frozen=True, eq=False)
class _Shared:
    """What objects share: labels and sizes of each side, and rows of (a, b, pixels)."""

    a: Ints
    b: Ints
    size_a: Ints
    size_b: Ints
    pairs: Ints

    def only(self, a: NDArray[np.bool_], b: NDArray[np.bool_]) -> _Shared:
        """Return some of the objects."""
        kept = np.isin(self.pairs[:, 0], self.a[a]) & np.isin(self.pairs[:, 1], self.b[b])
        return _Shared(self.a[a], self.b[b], self.size_a[a], self.size_b[b], self.pairs[kept])

    def sizes(self) -> tuple[Ints, Ints]:
        """Return the pixels of both objects of each pair."""
        row = np.searchsorted(self.a, self.pairs[:, 0])
        column = np.searchsorted(self.b, self.pairs[:, 1])
        return self.size_a[row], self.size_b[column]


def compare(
    a: Any,
    b: Any,
    classes_a: Mapping[int, str] | None = None,
    classes_b: Mapping[int, str] | None = None,
) -> Comparison:
    """Compare two label images of one image, a plane at a time.

    An object of a stack is one object over all its planes. Two objects are partners if their IoU
    is above 0.5, so no object has two.

    Parameters
    ----------
    a, b : (..., H, W) int array
        numpy, zarr, or anything else that is read by planes; 0 is background.
    classes_a, classes_b : mapping of int to str, optional
        The class of each label, where it is known.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If the shapes differ, they hold no integers, or neither holds an object.
    """
    shape = tuple(int(n) for n in a.shape)
    other = tuple(int(n) for n in b.shape)
    if shape != other:
        raise ValueError(f"two annotations of one image are compared, not {shape} and {other}")
    if len(shape) < 2:
        raise ValueError(f"labels are (..., H, W), but these are {shape}")
    found, foreground = _shared(a, b, shape)
    if not len(found.a) and not len(found.b):
        raise ValueError("neither of the two holds an object; compare labels that do")
    overall = _agreement(found)
    named_a, named_b = classes_a or {}, classes_b or {}
    kinds_a = np.array([named_a.get(k, "") for k in found.a.tolist()], object)
    kinds_b = np.array([named_b.get(k, "") for k in found.b.tolist()], object)
    names = sorted({*kinds_a, *kinds_b}) if any(kinds_a) or any(kinds_b) else []
    both = [(named_a.get(one, ""), named_b.get(two, "")) for one, two in overall.partners.tolist()]
    same = [one == two for one, two in both if one or two]
    return Comparison(
        overall,
        _joined(found, first=True),
        _joined(found, first=False),
        2 * foreground[2] / (foreground[0] + foreground[1]),
        float(np.mean(same)) if same else float("nan"),
        {name: _agreement(found.only(kinds_a == name, kinds_b == name)) for name in names},
    )


def _shared(a: Any, b: Any, shape: tuple[int, ...]) -> tuple[_Shared, tuple[int, int, int]]:
    """Return what objects share, and how many pixels belong to any object of a, of b, of both."""
    parts = []
    for place in np.ndindex(*shape[:-2]):
        one, other, counts = overlap_counts(np.asarray(a[place]), np.asarray(b[place]))
        table = counts.tocoo()
        row, column = table.coords
        parts.append(np.stack([one[row], other[column], table.data], axis=1).astype(np.int64))
    keys, pixels = _summed(np.concatenate(parts))
    if keys.min(initial=0) < 0:
        raise ValueError(f"labels are not negative, but one is {keys.min()}")
    in_a, in_b = keys[:, 0] > 0, keys[:, 1] > 0
    labels_a, size_a = _per_label(keys[in_a, 0], pixels[in_a])
    labels_b, size_b = _per_label(keys[in_b, 1], pixels[in_b])
    both = in_a & in_b
    pairs = np.column_stack([keys[both], pixels[both]])
    sums = tuple(int(pixels[chosen].sum()) for chosen in (in_a, in_b, both))
    return _Shared(labels_a, labels_b, size_a, size_b, pairs), (sums[0], sums[1], sums[2])


def _summed(rows: Ints) -> tuple[Ints, Ints]:
    """Return the different pairs of labels of rows (a, b, pixels), and their pixels."""
    keys, place = np.unique(rows[:, :2], axis=0, return_inverse=True)
    pixels = np.zeros(len(keys), np.int64)
    np.add.at(pixels, place.ravel(), rows[:, 2])
    return keys, pixels


def _per_label(labels: Ints, pixels: Ints) -> tuple[Ints, Ints]:
    values, place = np.unique(labels, return_inverse=True)
    sums = np.zeros(len(values), np.int64)
    np.add.at(sums, place, pixels)
    return values, sums


def _agreement(found: _Shared) -> Agreement:
    size_a, size_b = found.sizes()
    shared = found.pairs[:, 2]
    ious = shared / np.maximum(size_a + size_b - shared, 1)
    hits = np.array([np.count_nonzero(ious > threshold) for threshold in THRESHOLDS])
    total = len(found.a) + len(found.b)
    partners = found.pairs[ious > PARTNERS, :2]
    return Agreement(
        len(found.a),
        len(found.b),
        partners,
        ious[ious > PARTNERS],
        hits / (total - hits),
        np.setdiff1d(found.b, partners[:, 1]),
        np.setdiff1d(found.a, partners[:, 0]),
    )


def _joined(found: _Shared, first: bool) -> dict[int, tuple[int, ...]]:
    """Return the objects of one side that hold most of two or more of the other, and these."""
    inside = found.sizes()[1 if first else 0]
    held = found.pairs[found.pairs[:, 2] > MOST * inside]
    whole, part = (0, 1) if first else (1, 0)
    groups: dict[int, list[int]] = {}
    for row in held.tolist():
        groups.setdefault(row[whole], []).append(row[part])
    return {label: tuple(parts) for label, parts in groups.items() if len(parts) > 1}
